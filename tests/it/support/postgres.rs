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

static SERVER: OnceLock<Server> = OnceLock::new();

struct Server {
    /// Where databases are created; holds the name `DATABASE` in place of a database.
    url: String,
    /// Holds the pipe whose end tells the server to stop.
    _guard: Option<Child>,
}

/// The URL of a database of this name on the server.
pub(crate) fn url(database: &str) -> String {
    SERVER.get_or_init(start).url.replace("DATABASE", database)
}

fn start() -> Server {
    match env::var("DATABASE_URL") {
        Ok(url) => Server { url: with_placeholder(&url), _guard: None },
        Err(_) => start_private(),
    }
}

/// Puts `DATABASE` in the place of the database that a URL names.
fn with_placeholder(url: &str) -> String {
    let (head, query) = url.split_once('?').map_or((url, ""), |(head, query)| (head, query));
    let after_scheme = head.find("://").expect("DATABASE_URL is a URL") + 3;
    let end = head[after_scheme..].find('/').map_or(head.len(), |slash| after_scheme + slash);
    format!("{}/DATABASE?{query}", &head[..end])
}

fn start_private() -> Server {
    let binaries = binaries();
    let home = tempfile::Builder::new().prefix("jeton-pg-").tempdir().unwrap().keep();
    // initdb refuses to run as root, so everything there belongs to another user.
    let user = if rustix::process::getuid().is_root() { Some(unprivileged()) } else { None };
    if let Some((uid, gid)) = user {
        chown(&home, Some(uid), Some(gid)).unwrap();
    }
    let command = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(&home).stdout(Stdio::null());
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command
    };
    let data = home.join("data");
    let made = command(&binaries.join("initdb"))
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--pgdata"])
        .arg(&data)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));

    // The shell outlives this process by a moment: when the pipe ends, it stops the server and
    // removes everything. A server that is merely our child would be left behind by a panic.
    let script = r#""$@" & server=$!; cat >&2; kill -INT $server; wait $server; rm -rf "$PWD""#;
    let mut guard = command(Path::new("sh"))
        .args(["-c", script, "sh"])
        .arg(binaries.join("postgres"))
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(&home)
        .args(["-c", "listen_addresses=", "-c", "max_connections=300"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    await_ready(&mut guard);
    let url = format!("postgres://postgres@localhost/DATABASE?host={}", home.display());
    Server { url, _guard: Some(guard) }
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
fn binaries() -> PathBuf {
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
    candidates
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .expect("Postgres is not installed: install it, or set DATABASE_URL")
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
