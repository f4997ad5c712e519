//! A Postgres for the tests: the one that `DATABASE_URL` names, else a private server that goes
//! away with this process, however that ends.

use std::{
    env, fs,
    io::{Read, Write},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    sync::OnceLock,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

static SERVER: OnceLock<Server> = OnceLock::new();

enum Server {
    /// Holds the name `DATABASE` in place of a database.
    Given(String),
    Private(PrivateServer),
}

/// The URL of a database of this name on the server that the tests share.
pub(crate) fn url(database: &str) -> String {
    match SERVER.get_or_init(start) {
        Server::Given(url) => url.replace("DATABASE", database),
        Server::Private(server) => server.url(database),
    }
}

fn start() -> Server {
    match env::var("DATABASE_URL") {
        Ok(url) => Server::Given(with_placeholder(&url)),
        Err(_) => Server::Private(PrivateServer::start(&["-c", "max_connections=300"])),
    }
}

/// Puts `DATABASE` in the place of the database that a URL names.
fn with_placeholder(url: &str) -> String {
    let (head, query) = url.split_once('?').map_or((url, ""), |(head, query)| (head, query));
    let after_scheme = head.find("://").expect("DATABASE_URL is a URL") + 3;
    let end = head[after_scheme..].find('/').map_or(head.len(), |slash| after_scheme + slash);
    format!("{}/DATABASE?{query}", &head[..end])
}

/// A server on a socket in a temporary folder. It goes away with this process, however that ends;
/// if it ends by itself or is killed, it is started again, unless it was halted.
pub(crate) struct PrivateServer {
    pub(crate) home: PathBuf,
    /// Holds the pipe whose end tells the server to stop.
    guard: Child,
    /// User and group of the server, where they are not ours.
    owner: Option<(u32, u32)>,
}

/// The shell outlives this process by a moment: when the pipe ends, it stops the server and removes
/// everything. A server that is merely our child would be left behind by a panic. A server that was
/// halted left the number of a process that is gone, which may be that of another by now.
const GUARD: &str = r#"
if [ -n "$PRIMARY" ]; then
    "$BINARIES/pg_basebackup" --host="$PRIMARY" --username=postgres --checkpoint=fast --no-sync \
        --write-recovery-conf --pgdata=data
else
    "$BINARIES/initdb" --username=postgres --auth=trust --encoding=UTF8 --no-sync \
        --wal-segsize=1 --pgdata=data >/dev/null
fi || { rm -rf "$PWD"; exit; }
until [ -e stop ]; do [ -e halt ] || "$@"; [ -e stop ] || sleep 0.2; done &
cat >&2
touch stop
[ -e halt ] || kill -INT "$(head -n 1 data/postmaster.pid)"
wait
rm -rf "$PWD"
"#;

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Puts the data on a disk of 80 MiB, in a namespace that ends with the server.
const SMALL_DISK: &str = r#"
mkdir data && mount -t tmpfs -o size=80m,mode=700,uid="$OWNER",gid="$GROUP" tmpfs data || exit
exec setpriv --reuid "$OWNER" --regid "$GROUP" --clear-groups "$@"
"#;

/// What a server has beside its settings.
#[derive(Clone, Copy, Default)]
struct Extras<'a> {
    /// The server that it is a standby of.
    primary: Option<&'a Path>,
    environment: &'a [(&'a str, String)],
    /// Files beside its data, which it alone can read.
    files: &'a [(&'a str, &'a str)],
}

impl PrivateServer {
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_by(|_| Command::new("sh"), Extras::default(), settings)
    }

    /// A server with these files beside its data, which it alone can read: its key, for one.
    pub(crate) fn start_with(files: &[(&str, &str)], settings: &[&str]) -> Self {
        let extras = Extras { files, ..Extras::default() };
        Self::start_by(|_| Command::new("sh"), extras, settings)
    }

    /// A server with these variables in its environment.
    pub(crate) fn start_in(environment: &[(&str, String)], settings: &[&str]) -> Self {
        let extras = Extras { environment, ..Extras::default() };
        Self::start_by(|_| Command::new("sh"), extras, settings)
    }

    /// A server whose disk can be filled. None where we are not allowed to mount one.
    pub(crate) fn on_a_small_disk(settings: &[&str]) -> Option<Self> {
        let may_mount = ["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
        let probe = Command::new("unshare").args(may_mount).stderr(Stdio::null()).status();
        if !probe.is_ok_and(|status| status.success()) {
            return None;
        }
        let within = |(owner, group): (u32, u32)| {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", SMALL_DISK, "sh", "sh"]);
            command.env("OWNER", owner.to_string()).env("GROUP", group.to_string());
            // It must be root who mounts, and steps down by itself.
            command.uid(0).gid(0);
            command
        };
        Some(Self::start_by(within, Extras::default(), settings))
    }

    /// A hot standby with a copy of the data of this server, whose log it follows.
    pub(crate) fn standby_of(primary: &Self, settings: &[&str]) -> Self {
        let extras = Extras { primary: Some(&primary.home), ..Extras::default() };
        Self::start_by(|_| Command::new("sh"), extras, settings)
    }

    fn start_by(
        shell: impl FnOnce((u32, u32)) -> Command,
        extras: Extras<'_>,
        settings: &[&str],
    ) -> Self {
        let binaries = binaries().expect("install Postgres, or set DATABASE_URL");
        let home = tempfile::Builder::new().prefix("jeton-pg-").tempdir().unwrap().keep();
        // initdb refuses to run as root, so everything there belongs to another user.
        let owner = rustix::process::getuid().is_root().then(unprivileged);
        let mut command = shell(owner.unwrap_or_default());
        let Extras { primary, environment, files } = extras;
        for (name, text) in files {
            let path = home.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, owner.map(|(uid, _)| uid), owner.map(|(_, gid)| gid)).unwrap();
        }
        if let Some((uid, gid)) = owner {
            chown(&home, Some(uid), Some(gid)).unwrap();
            if command.get_program() == "sh" {
                command.uid(uid).gid(gid);
            }
        }
        let mut guard = command
            .args(["-c", GUARD, "sh"])
            .arg(binaries.join("postgres"))
            .args(["-D", "data", "-c", "listen_addresses=", "-k"])
            .arg(&home)
            .args(settings)
            .env("BINARIES", binaries)
            .env("PRIMARY", primary.unwrap_or(Path::new("")))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        await_ready(&mut guard);
        Self { home, guard, owner }
    }

    /// Fills the disk, until what is returned is dropped.
    pub(crate) fn fill_disk(&self) -> impl Drop + use<> {
        struct Ballast(PathBuf);
        impl Drop for Ballast {
            fn drop(&mut self) {
                fs::remove_file(&self.0).unwrap();
            }
        }
        // The disk is there for the processes of its namespace, and for root by way of them.
        let root = PathBuf::from(format!("/proc/{}/root", self.guard.id()));
        let path = root.join(self.home.strip_prefix("/").unwrap()).join("data/ballast");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[0; 8 * 1024]).is_ok() {}
        Ballast(path)
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.home.display())
    }

    /// The process that all others of the server descend from; it changes with each start.
    pub(crate) fn pid(&self) -> Option<Pid> {
        let root = PathBuf::from(format!("/proc/{}/root", self.guard.id()));
        let home = root.join(self.home.strip_prefix("/").ok()?);
        let file = fs::read_to_string(home.join("data/postmaster.pid")).ok()?;
        Pid::from_raw(file.lines().next()?.parse().ok()?)
    }

    /// A connection that goes by none of what the database or the role is set to.
    async fn connect(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::from_str(&self.url(database))?.options([
            ("default_transaction_isolation", "read committed"),
            ("default_transaction_read_only", "off"),
            ("lock_timeout", "0"),
            ("statement_timeout", "0"),
        ]);
        PgConnection::connect_with(&options).await
    }

    /// Runs statements one after the other, each by itself.
    pub(crate) async fn execute(&self, statements: &[&str]) {
        let mut connection = self.connect("postgres").await.unwrap();
        for statement in statements {
            let statement = AssertSqlSafe((*statement).to_owned());
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }

    /// Waits until a question has the answer true. While the server does not answer, it waits on.
    pub(crate) async fn until(&self, question: &str) {
        let asked = async {
            while !self.answer("postgres", question).await.unwrap_or(false) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        assert!(asked.is_ok(), "the server does not come to this: {question}");
    }

    /// The answer to a question about a database.
    pub(crate) async fn answer(&self, database: &str, question: &str) -> Result<bool, sqlx::Error> {
        let mut connection = self.connect(database).await?;
        let question = AssertSqlSafe(question.to_owned());
        sqlx::query_scalar(question).fetch_one(&mut connection).await
    }

    /// Sends a signal to every process of the server.
    pub(crate) fn signal_all(&self, signal: Signal) {
        if let Some(parent) = self.pid() {
            signal_family(parent, signal);
        }
    }

    /// Stops the server and keeps it down: in order by INT, at once by QUIT, as a crash by KILL.
    pub(crate) async fn halt(&self, signal: Signal) {
        let halt = self.home.join("halt");
        let Some(parent) = self.pid().filter(|_| !halt.exists()) else { return };
        fs::write(halt, "").unwrap();
        if signal == Signal::KILL {
            self.signal_all(signal);
        } else {
            kill_process(parent, signal).unwrap();
        }
        let ended = async {
            while Path::new(&format!("/proc/{}", parent.as_raw_nonzero())).exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, ended).await.is_ok(), "the server does not stop");
    }

    /// Starts a server that was halted, and waits until it answers.
    pub(crate) async fn resume(&self) {
        fs::remove_file(self.home.join("halt")).unwrap();
        self.until("select true").await;
    }

    /// Gives a halted server the data of another, whose standby it is from its next start on. What
    /// it wrote and the other never had is gone.
    pub(crate) fn copy_from(&self, primary: &Self) {
        fs::remove_dir_all(self.home.join("data")).unwrap();
        let copied = self
            .program("pg_basebackup")
            .arg("--host")
            .arg(&primary.home)
            .args(["--username=postgres", "--checkpoint=fast", "--no-sync"])
            .args(["--write-recovery-conf", "--pgdata=data"])
            .status();
        assert!(copied.unwrap().success(), "the data of the primary cannot be copied");
    }

    /// Makes a halted server the standby of another from its next start on. The other must have
    /// its log to the end.
    pub(crate) fn follow(&self, primary: &Self) {
        let data = self.home.join("data");
        let signal = data.join("standby.signal");
        fs::write(&signal, "").unwrap();
        chown(&signal, self.owner.map(|owner| owner.0), self.owner.map(|owner| owner.1)).unwrap();
        let settings = fs::OpenOptions::new().append(true).open(data.join("postgresql.auto.conf"));
        let home = primary.home.display();
        // The last line counts.
        writeln!(settings.unwrap(), "primary_conninfo = 'host={home} user=postgres'").unwrap();
    }

    /// The end of the log of a server that was stopped in order.
    pub(crate) fn last_position(&self) -> String {
        let output = self.program("pg_controldata").arg("data").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (_, rest) = said.split_once("Latest checkpoint location:").unwrap();
        rest.lines().next().unwrap().trim().to_owned()
    }

    /// A program of Postgres, to be run by the user of the server in its folder.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(binaries().unwrap().join(name));
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.home).stderr(Stdio::null());
        command
    }
}

/// A program of Postgres, such as `pg_dump`.
pub(crate) fn program(name: &str) -> Option<Command> {
    let path = binaries()?.join(name);
    path.exists().then(|| Command::new(path))
}

/// Sends a signal to a server and its processes: stopped alone, the parent of them would leave the
/// others at work, and killed last, it could start new ones while the rest are killed.
pub(crate) fn signal_family(parent: Pid, signal: Signal) {
    if signal == Signal::KILL {
        let _ = kill_process(parent, Signal::STOP);
    }
    let children = format!("/proc/{0}/task/{0}/children", parent.as_raw_nonzero());
    let children = fs::read_to_string(children).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
    for pid in children.chain([parent]) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a server could be started here.
pub(crate) fn is_installed() -> bool {
    binaries().is_some()
}

/// Reads what the server says until it is ready, and lets it talk on to nobody.
fn await_ready(guard: &mut Child) {
    let mut said = String::new();
    let mut stderr = guard.stderr.take().unwrap();
    let mut chunk = [0; 1024];
    // One that recovers says `ready to accept read-only connections`.
    while !said.contains("ready to accept") {
        let length = stderr.read(&mut chunk).unwrap();
        assert!(length > 0, "the private Postgres did not start: {said}");
        said.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
}

/// Where initdb, postgres and their like are.
pub(crate) fn binaries() -> Option<PathBuf> {
    let on_path = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let installed = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];
    let mut versions: Vec<PathBuf> = installed
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path().join("bin")))
        .chain(fs::read_dir("/usr").into_iter().flat_map(|entries| {
            let entries = entries.flatten().map(|entry| entry.path());
            entries.filter(|path| path.to_string_lossy().contains("pgsql-")).map(|p| p.join("bin"))
        }))
        .collect();
    versions.sort();
    let mut candidates = on_path.into_iter().chain(versions.into_iter().rev());
    let found = candidates
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())?;
    // A link may stand there without those to the other programs.
    let initdb = fs::canonicalize(found.join("initdb")).ok()?;
    let folder = initdb.parent().filter(|folder| folder.join("postgres").exists());
    Some(folder.map_or(found, Path::to_owned))
}

/// The user and the group that servers run as where we are root, as which they refuse to run.
pub(crate) fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).expect("there is a user besides root")
}
