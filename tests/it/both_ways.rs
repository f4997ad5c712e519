//! `jeton client …` works directly on a database and through a node, and says the same both ways.

mod apply;
mod audit;
mod evidence;
mod import;
mod secrets;
mod tokens;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};

use jeton::{
    config::DatabaseUrl,
    domain::{Clock, SystemClock},
    net::tls::{self, Tls},
};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{Served, complaint, free_port, jeton},
    control::{administrator, options},
    everything,
    node::Credentials,
    tls::Authority,
};

/// Runs a command with the flags that say where.
fn ask(arguments: &[&str], place: &[String]) -> Output {
    let output = jeton().args(arguments).args(place).output().unwrap();
    everything::note_secrets_in(&String::from_utf8_lossy(&output.stdout));
    output
}

/// What a command printed, without what differs from one client and place to the other.
fn masked(output: &Output, name: &str, place: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout).replace(place, "PLACE");
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let words = text.split_inclusive(|c: char| !is_of_word(c));
    let words = words.map(|word| {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let of_a_time = |c: char| c.is_ascii_digit() || "-:.TZ".contains(c);
        let is_time = bare.len() >= 8 && bare.chars().all(of_a_time);
        let is_etag = bare.len() >= 40 && !bare.contains(':');
        if word.starts_with("jts_") {
            format!("MASKED{}", word.trim_start_matches(is_of_word))
        } else if is_time || is_etag || Uuid::try_parse(bare).is_ok() {
            word.replace(bare, "MASKED")
        } else {
            word.to_owned()
        }
    });
    words.collect::<String>().replace(name, "NAME")
}

/// The commands, with `NAME` for the client and `FIRST` and `SECOND` for its secrets.
const COMMANDS: [&[&str]; 23] = [
    &["create", "--client-id", "NAME", "--scope", "read", "--audience", "https://api.test"],
    &["create", "--client-id", "NAME", "--json"],
    &["create", "--client-id", "NAME-2", "--no-grant", "--serves", "https://api.test", "--json"],
    &["show", "NAME-2"],
    &["update", "NAME", "--add-scope", "write", "--token-lifetime", "15m", "--label", "team=a"],
    &["update", "NAME", "--add-scope", "write"],
    &["update", "NAME", "--owner", "payments", "--dry-run", "--json"],
    &["update", "NAME"],
    &["set-quota", "NAME", "--tokens-per-second", "5"],
    &["add-secret", "NAME", "--label", "second", "--expires-in", "never"],
    &["show", "NAME", "--json"],
    &["retire-secret", "NAME", "FIRST", "--after", "24h", "--even-if-in-use"],
    &["show", "NAME"],
    &["restore-secret", "NAME", "FIRST", "--json"],
    &["retire-secret", "NAME", "FIRST", "--even-if-in-use"],
    &["retire-secret", "NAME", "SECOND", "--leaked", "--json"],
    &["show", "NAME", "--json"],
    &["disable", "NAME"],
    &["enable", "NAME", "--json"],
    &["revoke-tokens", "NAME"],
    &["list", "--text", "NAME", "--json"],
    &["delete", "NAME"],
    &["show", "NAME"],
];

#[tokio::test(flavor = "multi_thread")]
async fn each_command_prints_the_same_on_the_database_and_through_a_node() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let _node = Served::start(&database, &[]);
        let socket = format!("unix:{}", database.dir.path().join("control.sock").display());
        let remote = ["--server".to_owned(), socket.clone()];
        let file = database.dir.path().join("jeton.db").display().to_string();
        let place = match kind {
            Kind::Sqlite => file,
            Kind::Postgres => DatabaseUrl::from(database.url.clone()).redacted(),
        };
        for command in COMMANDS {
            let run = |name: &str, flags: &[String]| {
                let ids = if command[1] == "NAME" { secrets(name, &database) } else { vec![] };
                let id = |at: usize| ids.get(at).cloned().unwrap_or_default();
                let filled = command.iter().map(|argument| match *argument {
                    "FIRST" => id(0),
                    "SECOND" => id(1),
                    other => other.replace("NAME", name),
                });
                let arguments: Vec<_> =
                    [String::from("client")].into_iter().chain(filled).collect();
                ask(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), flags)
            };
            let direct = run("direct", &database.flags());
            let through = run("remote", &remote);
            let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(
                (direct.status.code(), masked(&direct, "direct", &place)),
                (through.status.code(), masked(&through, "remote", &socket)),
                "{command:?}: {} {}",
                said(&direct),
                said(&through)
            );
            assert!(said(&through).contains("Node: unix:"), "{command:?}: {}", said(&through));
        }
        // The same clients, both ways, to the last byte.
        for command in [&["client", "list"][..], &["client", "list", "--json"]] {
            let (direct, through) = (ask(command, &database.flags()), ask(command, &remote));
            assert!(direct.status.success() && !direct.stdout.is_empty(), "{direct:?}");
            assert_eq!(direct.stdout, through.stdout, "{command:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_commands_both_ways() {
    let database = Database::ready(Kind::Sqlite).await;
    let _node = Served::start(&database, &[]);
    let socket = format!("unix:{}", database.dir.path().join("control.sock").display());
    let remote = ["--server".to_owned(), socket];
    for _ in 0..8 {
        ask(&["client", "create", "--client-id", "orders"], &remote);
        ask(&["client", "add-secret", "orders"], &remote);
    }
    let first = secrets("orders", &database).remove(0);
    for (command, told) in [
        (&["show", "ordres"][..], "`jeton client list`"),
        (&["create", "--client-id", "orders"], "`jeton client add-secret"),
        (&["undelete", "ordres"], "`jeton audit list"),
        (&["add-secret", "orders"], &*first),
    ] {
        let command = [&["client"], command].concat();
        for flags in [database.flags(), remote.to_vec()] {
            let refused = ask(&command, &flags);
            let complaint = complaint(&refused);
            assert!(complaint.contains(told), "{command:?}: {complaint}");
        }
    }
}

/// The ids of the secrets of a client, oldest first; none if there is no such client.
fn secrets(name: &str, database: &Database) -> Vec<String> {
    let shown = ask(&["client", "show", name, "--json"], &database.flags());
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
    let ids = shown["secrets"].as_array().into_iter().flatten();
    ids.map(|secret| secret["secret_id"].as_str().unwrap().to_owned()).collect()
}

/// A node with TLS, the file of its authority, and a folder for secrets.
struct Secured {
    node: TestNode,
    ca: PathBuf,
    folder: tempfile::TempDir,
}

impl Secured {
    async fn start(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let directory = database.dir.path();
        let files = tls::self_signed(directory, &[], SystemClock.now().into()).await.unwrap();
        let ca = files.cert.clone();
        let tls = Some(Arc::new(Tls::load(files).unwrap()));
        let node = TestNode::on(database, TestNodeOptions { tls, ..options() }).await;
        Self { node, ca, folder: tempfile::tempdir().unwrap() }
    }

    fn control(&self) -> String {
        format!("https://localhost:{}", self.node.node.control_addr().unwrap().port())
    }

    fn tokens(&self) -> String {
        format!("https://localhost:{}", self.node.node.grpc_addr().port())
    }

    fn server(url: &str, ca: &Path) -> Vec<String> {
        ["--server", url, "--tls-ca", &ca.display().to_string()].map(str::to_owned).to_vec()
    }

    /// The flags for everything that an administrator needs.
    fn flags(&self, caller: &Credentials) -> Vec<String> {
        let file = self.folder.path().join(caller.id());
        fs::write(&file, caller.secret()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut flags = Self::server(&self.control(), &self.ca);
        let file = file.display().to_string();
        let more = ["--admin-id", caller.id(), "--admin-secret-file", &file, "--token-server"];
        flags.extend(more.map(str::to_owned));
        flags.push(self.tokens());
        flags
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_on_another_machine_may_do_what_its_scopes_say() {
    for kind in Kind::BOTH {
        let at = Secured::start(kind).await;
        let ops = administrator(&at.node, "ops", &["jeton:read", "jeton:write"]).await;
        let ops = at.flags(&ops);
        let create = ["client", "create", "--client-id", "orders", "--actor", "alice"];
        let created = ask(&create, &ops);
        assert!(created.status.success(), "{created:?}");
        let refused = ask(&["client", "disable", "orders"], &ops);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        assert!(complaint(&refused).contains("jeton:security"), "{refused:?}");
        // It is the administrator whom the audit trail names.
        let named = at.node.store.last_of_audit(None, 2).await.unwrap();
        let actors: Vec<_> = named.into_iter().flatten().map(|entry| entry.actor).collect();
        assert!(actors.iter().all(|actor| actor.as_deref() == Some("client:ops")), "{actors:?}");

        // A client that is no administrator gets no token.
        let other = at.node.client("other").await;
        let refused = ask(&["client", "list"], &at.flags(&other));
        assert!(complaint(&refused).contains("issues no token to other"), "{refused:?}");
        assert!(complaint(&refused).contains("it is no administrator"), "{refused:?}");
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_about_the_node_is_told_with_what_to_do() {
    let at = Secured::start(Kind::Sqlite).await;
    let ops = administrator(&at.node, "ops", &["jeton:read"]).await;
    let all = at.flags(&ops);
    assert!(ask(&["client", "list"], &all).status.success());
    let foreign = at.folder.path().join("foreign.pem");
    fs::write(&foreign, Authority::new().pem()).unwrap();
    let flags = |url: &str| vec!["--server".to_owned(), url.to_owned()];
    let half =
        [Secured::server(&at.control(), &at.ca), vec!["--admin-id".into(), "ops".into()]].concat();
    let replaced = |from: &str, to: &str| -> Vec<String> {
        all.iter().map(|flag| flag.replace(from, to)).collect()
    };
    let secret = at.folder.path().join("ops");
    let open = at.folder.path().join("open");
    fs::copy(&secret, &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let away = free_port();
    let rows: [(Vec<String>, i32, &str); 11] = [
        (Secured::server(&at.control(), &foreign), 1, "--tls-ca"),
        (Secured::server(&at.control(), &at.ca), 5, "--admin-id"),
        (Secured::server(&at.tokens(), &at.ca), 1, "control listener"),
        (half, 2, "--admin-secret-file"),
        (replaced(&secret.display().to_string(), &open.display().to_string()), 1, "chmod 600"),
        (flags("unix:/nowhere/control.sock"), 7, "no node answers"),
        (flags(&format!("http://{away}")), 7, "no node answers"),
        (flags(&away.to_string()), 1, "https://HOST:PORT"),
        (flags("http://192.0.2.1:50052"), 1, "--trusted-network"),
        (
            [flags("unix:/x"), vec!["--database-url".into(), "x".into()]].concat(),
            2,
            "--database-url",
        ),
        ([flags("unix:/x"), vec!["--data-dir".into(), "x".into()]].concat(), 2, "--data-dir"),
    ];
    let plain = Secured::server(&at.control().replace("https", "http"), &at.ca);
    let refused = complaint(&ask(&["client", "list"], &plain));
    assert!(refused.contains("is the URL http instead of https?"), "{refused}");
    for (flags, status, told) in rows {
        let refused = ask(&["client", "list"], &flags);
        let complaint = complaint(&refused);
        assert!(complaint.contains(told), "{flags:?}: {complaint}");
        assert_eq!(refused.status.code(), Some(status), "{flags:?}: {complaint}");
    }
}
