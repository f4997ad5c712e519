//! A Postgres for the tests: the one that `DATABASE_URL` names, else a private server that goes
//! away with this process, however that ends.

use std::{
    env, fs,
    io::Read,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
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
/// if it is killed itself, it is started again.
pub(crate) struct PrivateServer {
    home: PathBuf,
    /// Holds the pipe whose end tells the server to stop.
    _guard: Child,
}

/// The shell outlives this process by a moment: when the pipe ends, it stops the server and removes
/// everything. A server that is merely our child would be left behind by a panic.
const GUARD: &str = r#"
until "$@" || [ -e stop ]; do sleep 0.2; done &
cat >&2
touch stop
kill -INT "$(head -n 1 data/postmaster.pid)"
wait
rm -rf "$PWD"
"#;

impl PrivateServer {
    pub(crate) fn start(settings: &[&str]) -> Self {
        let binaries = binaries().expect("install Postgres, or set DATABASE_URL");
        let home = tempfile::Builder::new().prefix("jeton-pg-").tempdir().unwrap().keep();
        // initdb refuses to run as root, so everything there belongs to another user.
        let user = if rustix::process::getuid().is_root() { Some(unprivileged()) } else { None };
        if let Some((uid, gid)) = user {
            chown(&home, Some(uid), Some(gid)).unwrap();
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(&home).stdout(Stdio::null()).stderr(Stdio::piped());
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let made = command(&binaries.join("initdb"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"])
            .arg("--pgdata=data")
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));

        let mut guard = command(Path::new("sh"))
            .args(["-c", GUARD, "sh"])
            .arg(binaries.join("postgres"))
            .args(["-D", "data", "-c", "listen_addresses=", "-k"])
            .arg(&home)
            .args(settings)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        await_ready(&mut guard);
        Self { home, _guard: guard }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.home.display())
    }

    /// The process that all others of the server descend from; it changes with each start.
    pub(crate) fn pid(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.home.join("data/postmaster.pid")).ok()?;
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
