//! A Postgres for the tests: the one that `DATABASE_URL` names, else a private server that goes
//! away with this process, however that ends.

use std::{
    env, fs,
    io::{Read, Write},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use rustix::process::Pid;

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
/// if it ends by itself or is killed, it is started again.
pub(crate) struct PrivateServer {
    home: PathBuf,
    /// Holds the pipe whose end tells the server to stop.
    guard: Child,
}

/// The shell outlives this process by a moment: when the pipe ends, it stops the server and removes
/// everything. A server that is merely our child would be left behind by a panic.
const GUARD: &str = r#"
"$INITDB" --username=postgres --auth=trust --encoding=UTF8 --no-sync --wal-segsize=1 \
    --pgdata=data >/dev/null || exit
until [ -e stop ]; do "$@"; [ -e stop ] || sleep 0.2; done &
cat >&2
touch stop
kill -INT "$(head -n 1 data/postmaster.pid)"
wait
rm -rf "$PWD"
"#;

/// Puts the data on a disk of 80 MiB, in a namespace that ends with the server.
const SMALL_DISK: &str = r#"
mkdir data && mount -t tmpfs -o size=80m,mode=700,uid="$OWNER",gid="$GROUP" tmpfs data || exit
exec setpriv --reuid "$OWNER" --regid "$GROUP" --clear-groups "$@"
"#;

impl PrivateServer {
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_by(|_| Command::new("sh"), &[], settings)
    }

    /// A server with these files beside its data, which it alone can read: its key, for one.
    pub(crate) fn start_with(files: &[(&str, &str)], settings: &[&str]) -> Self {
        Self::start_by(|_| Command::new("sh"), files, settings)
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
        Some(Self::start_by(within, &[], settings))
    }

    fn start_by(
        shell: impl FnOnce((u32, u32)) -> Command,
        files: &[(&str, &str)],
        settings: &[&str],
    ) -> Self {
        let binaries = binaries().expect("install Postgres, or set DATABASE_URL");
        let home = tempfile::Builder::new().prefix("jeton-pg-").tempdir().unwrap().keep();
        // initdb refuses to run as root, so everything there belongs to another user.
        let user = rustix::process::getuid().is_root().then(unprivileged);
        let mut command = shell(user.unwrap_or_default());
        for (name, text) in files {
            let path = home.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, user.map(|(uid, _)| uid), user.map(|(_, gid)| gid)).unwrap();
        }
        if let Some((uid, gid)) = user {
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
            .env("INITDB", binaries.join("initdb"))
            .current_dir(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        await_ready(&mut guard);
        Self { home, guard }
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
    while !said.contains("ready to accept connections") {
        let length = stderr.read(&mut chunk).unwrap();
        assert!(length > 0, "the private Postgres did not start: {said}");
        said.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
}

/// Where initdb and postgres are.
fn binaries() -> Option<PathBuf> {
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
    candidates.find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).expect("there is a user besides root")
}
