//! The commands, as operators and scripts use them.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
    process::{Command, Output},
};

use jeton::domain::TokenText;
use serde_json::{Value, json};

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton, run, run_json},
};

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Writes a file that only its owner can read, as one with a secret must be.
fn write_private(path: &Path, text: &str) {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}")).to_owned()
}

/// `jeton token …` of a client whose secret stands in a file.
struct Caller<'a> {
    served: &'a Served,
    client_id: &'a str,
    secret_file: String,
}

impl<'a> Caller<'a> {
    fn new(served: &'a Served, folder: &Path, client_id: &'a str, secret: &str) -> Self {
        let file = folder.join(format!("{client_id}-{}.secret", &secret[4..12]));
        write_private(&file, &format!("{secret}\n"));
        Self { served, client_id, secret_file: file.display().to_string() }
    }

    fn run(&self, arguments: &[&str], token: &str) -> Output {
        let server = format!("http://{}", self.served.grpc);
        jeton()
            .arg("token")
            .args(arguments)
            .args(["--server", &server, "--client-id", self.client_id])
            .args(["--secret-file", &self.secret_file])
            .env("JETON_TOKEN", token)
            .output()
            .unwrap()
    }

    fn issue(&self) -> String {
        said(&self.run(&["issue", "--token-only"], "")).trim_end().to_owned()
    }

    fn is_active(&self, token: &str) -> bool {
        let output = self.run(&["introspect", "--json"], token);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let is_active = answer["active"].as_bool().unwrap();
        assert_eq!(output.status.code(), Some(if is_active { 0 } else { 3 }));
        is_active
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_client_from_its_creation_to_its_deletion() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let create = "client create --client-id orders --name Orders --scope read --scope write \
                      --audience https://a.test --serves https://b.test --token-lifetime-seconds 120";
        let created = run_json(&create.split_whitespace().collect::<Vec<_>>(), &database);
        assert_eq!(created["client_id"], "orders");
        let first = text(&created, "client_secret");
        let served = Served::start(&database, &[]);
        let folder = database.dir.path();
        let caller = Caller::new(&served, folder, "orders", &first);
        let token = caller.issue();
        assert!(caller.is_active(&token));

        let shown = run_json(&["client", "show", "orders"], &database);
        assert_eq!(shown["scopes"], json!(["read", "write"]));
        assert_eq!(shown["audiences"], json!(["https://a.test"]));
        assert_eq!(shown["serves"], json!(["https://b.test"]));
        assert_eq!(shown["token_lifetime_seconds"], 120);
        let listed = run_json(&["client", "list"], &database);
        assert_eq!(listed[0]["client_id"], "orders");
        let first_id = text(&shown["secrets"][0], "secret_id");

        // Rotation: both work, then one does.
        let added = run_json(&["client", "add-secret", "orders", "--label", "2027"], &database);
        let second = text(&added, "client_secret");
        let rotated = Caller::new(&served, folder, "orders", &second);
        assert!(caller.is_active(&token) && rotated.is_active(&token));
        let retire = ["client", "retire-secret", "--yes", "--even-if-in-use", "orders", &first_id];
        said(&run(&retire, &database));
        assert!(complaint(&caller.run(&["issue"], "")).contains("authentication failed"));
        assert!(rotated.is_active(&token), "a retired secret leaves its tokens alone");
        said(&run(
            &["client", "retire-secret", "--yes", "orders", &first_id, "--leaked"],
            &database,
        ));
        assert!(!rotated.is_active(&token), "a leaked one takes them along");

        let token = rotated.issue();
        said(&run(&["client", "disable", "--yes", "orders"], &database));
        complaint(&rotated.run(&["issue"], ""));
        said(&run(&["client", "enable", "orders"], &database));
        assert!(rotated.is_active(&token));
        said(&rotated.run(&["revoke"], &token));
        assert!(!rotated.is_active(&token));

        // Nothing but the commands that made the secrets has shown them.
        for arguments in [&["client", "show", "orders"][..], &["client", "list"]] {
            for more in [&[][..], &["--json"]] {
                let shown = said(&run(&[arguments, more].concat(), &database));
                assert!(!shown.contains(&first[30..]) && !shown.contains(&second[30..]));
                assert!(!shown.contains("argon2"), "{shown}");
            }
        }
        said(&run(&["client", "delete", "--yes", "orders"], &database));
        complaint(&rotated.run(&["issue"], ""));
        assert!(complaint(&run(&["client", "show", "orders"], &database)).contains("no client"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_is_listed_and_verified() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let empty = run(&["audit", "verify"], &database);
        assert_eq!(empty.status.code(), Some(3));
        assert!(complaint(&empty).contains("empty: there is nothing to verify"), "{empty:?}");
        run_json(&["client", "create", "--client-id", "orders"], &database);
        said(&run(
            &["client", "disable", "--yes", "orders", "--actor", "alice@example.com"],
            &database,
        ));
        let escape = if kind == Kind::Postgres { "chr(27)" } else { "char(27)" };
        database.execute(&format!("update client set name = {escape} || '[2J'")).await;
        let listed = run_json(&["audit", "list"], &database);
        let listed = listed.as_array().unwrap();
        let column = |name: &str| listed.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
        let actions = ["client.create", "secret.create", "client.update", "client.update"];
        assert_eq!(column("action"), actions);
        let actors = column("actor");
        let user = format!("operator:uid={}@", rustix::process::getuid().as_raw());
        assert!(actors[0].as_str().unwrap().starts_with(&user), "{actors:?}");
        assert_eq!(actors[2], "operator:alice@example.com");
        assert!(actors[3].is_null());
        assert_eq!(listed[2]["detail"]["state"], json!(["active", "disabled"]));

        // For people, without what a terminal would obey.
        let table = said(&run(&["audit", "list", "--client", "orders", "--last", "2"], &database));
        assert!(table.contains("operator:alice@example.com") && table.contains("by hand"));
        assert!(!table.contains("client.create") && !table.contains('\u{1b}'), "{table}");

        let mark = text(&run_json(&["audit", "verify"], &database), "mark");
        let verified = said(&run(&["audit", "verify", "--mark", &mark], &database));
        assert!(verified.contains("intact: 4 rows from 1 on") && verified.contains(&mark));
        let wrong = mark.replace(':', "0:");
        let refused = complaint(&run(&["audit", "verify", "--mark", &wrong], &database));
        assert!(refused.contains("its end was removed"), "{refused}");
        let malformed = complaint(&run(&["audit", "verify", "--mark", "abc"], &database));
        assert!(malformed.contains("seq:hash"), "{malformed}");
        let nameless = ["client", "enable", "orders", "--actor", "two words"];
        assert!(complaint(&run(&nameless, &database)).contains("no space"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_answered_with_what_to_do() {
    let database = Database::ready(Kind::Sqlite).await;
    let created = run_json(&["client", "create", "--client-id", "orders"], &database);
    let served = Served::start(&database, &["--tls-self-signed"]);
    let url = |scheme: &str| format!("{scheme}://localhost:{}", served.grpc.port());
    let ask = |server: &str, more: &[&str]| {
        let output = jeton()
            .args(["token", "issue", "--client-id", "orders", "--server", server])
            .args(more)
            .env("JETON_CLIENT_SECRET", text(&created, "client_secret"))
            .output();
        output.unwrap()
    };
    let certificate = database.dir.path().join("tls/cert.pem").display().to_string();
    assert!(ask(&url("https"), &["--tls-ca", &certificate]).status.success());
    let rows: [(Output, &[&str]); 9] = [
        (ask(&url("https"), &[]), &["localhost"]),
        (ask(&url("http"), &[]), &["https"]),
        (ask("localhost:50051", &[]), &["URL"]),
        (ask(&url("https"), &["--tls-ca", "/nowhere.pem"]), &["/nowhere.pem", "cannot be read"]),
        (ask(&url("https"), &["--tls-ca", &certificate, "--scope", "x"]), &["not registered"]),
        (run(&["client", "create", "--client-id", "orders"], &database), &["already a client"]),
        (run(&["client", "create", "--client-id", "a b"], &database), &["client id"]),
        (run(&["client", "create", "--scope", "a b"], &database), &["scope"]),
        (run(&["client", "retire-secret", "--yes", "orders", "x"], &database), &["UUID"]),
    ];
    for (output, expected) in rows {
        let complaint = complaint(&output);
        for part in expected {
            assert!(complaint.contains(part), "{part} in {complaint}");
        }
    }
    // A secret on the command line would stand in the list of processes.
    for flag in ["--secret", "--client-secret"] {
        assert!(!ask(&url("https"), &[flag, "x"]).status.success());
    }
}

#[test]
fn config_shows_what_is_in_force_and_where_it_came_from_without_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jeton.toml");
    fs::write(&file, "hash_queue = 7\nmax_connections = 9").unwrap();
    for more in [&[][..], &["--json"]] {
        let output = jeton()
            .args(["config", "--max-connections", "5", "--config", file.to_str().unwrap()])
            .args(more)
            .env("JETON_DATABASE_URL", "postgres://jeton:hunter2@db.test/jeton")
            .output()
            .unwrap();
        let shown = said(&output);
        assert!(
            !shown.contains("hunter2") && shown.contains("jeton:[redacted]@db.test"),
            "{shown}"
        );
        for part in ["hash_queue", "7", "file", "max_connections", "5", "flag", "environment"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_works_at_the_first_start_and_at_the_second() {
    let database = Database::new(Kind::Sqlite).await;
    let ports = ["--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"];
    for _ in 0..2 {
        let shown = said(&run(&[&["dev", "--exit-after-check"], &ports[..]].concat(), &database));
        for part in ["IssueToken", "IntrospectToken", "curl -v -X POST", "curl -u dev-client:"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
    let secrets = run_json(&["client", "show", "dev-client"], &database);
    let live = secrets["secrets"].as_array().unwrap().iter();
    assert_eq!(live.filter(|secret| secret["state"] == "live").count(), 1, "{secrets}");
}

/// The names of all commands, by their own help.
fn commands(path: &[&str]) -> Vec<Vec<String>> {
    let help = said(&jeton().args(path).arg("--help").output().unwrap());
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let mut found = vec![path.iter().map(ToString::to_string).collect()];
    for line in listed.take_while(|line| line.starts_with("  ")) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
            found.extend(commands(&[path, &[name]].concat()));
        }
    }
    found
}

/// The examples of a help text, one a line.
fn examples(path: &[&str]) -> Vec<String> {
    let help = said(&jeton().args(path).arg("--help").output().unwrap());
    let (_, examples) = help.rsplit_once("\nExample").unwrap_or_else(|| panic!("none in {help}"));
    let (_, examples) = examples.split_once('\n').unwrap();
    // What ends with a pipe goes on in the next line. What stands far off is explanation.
    let examples = examples.replace("|\n", "| ");
    let lines = examples.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split("      ").next().unwrap().to_owned()).collect()
}

/// Leaves a secret in files that are searched.
fn leak(secret: &str, folder: &Path, database: &Database) {
    // Not the last one that works, which only an answer or --yes would end.
    run_json(&["client", "add-secret", "orders"], database);
    for file in ["leaked.txt", "ci.log"] {
        write_private(&folder.join(file), &format!("password={secret}\n"));
    }
    fs::write(folder.join("backup.tar"), [0xff, 0]).unwrap();
}

/// Examples of which the exit status may be that of a finding.
const FINDINGS: [&str; 3] = ["secret scan", "--as stock", "jsonl --plan"];

/// What other systems would export.
fn write_foreign_clients(folder: &Path) {
    let row = r#"{"id":"shop","client_secret":"","grant_types":["client_credentials"]}"#;
    fs::write(folder.join("clients.jsonl"), row).unwrap();
    let realm = r#"{"clients":[{"clientId":"shop","serviceAccountsEnabled":true}]}"#;
    fs::write(folder.join("realm.json"), realm).unwrap();
}

/// Examples for which a node runs.
const CALLS_OF_NODES: [&str; 4] = ["jeton token", "jeton bench", "jeton health", "--server unix:"];

/// Runs an example as it is printed, but for the addresses, in a folder that holds what examples
/// speak of: the client `orders`, its secret in a file, and a token.
async fn try_example(example: &str, postgres: &Database) {
    let database = Database::ready(Kind::Sqlite).await;
    // A copy is made into an empty one.
    let empty = Database::new(Kind::Postgres).await;
    let postgres = if example.contains("jeton copy") { &empty } else { postgres };
    let folder = database.dir.path();
    symlink(env!("CARGO_BIN_EXE_jeton"), folder.join("jeton")).unwrap();
    let mut line = example.replace("postgres://jeton@localhost/jeton", "\"$DATABASE\"");
    let mut served = None;
    if !example.contains("client create") {
        let create = ["client", "create", "--client-id", "orders", "--scope", "orders.read"];
        let created = run_json(&create, &database);
        line = line.replace("0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a", &text(&created, "secret_id"));
        write_private(&folder.join("orders.secret"), &text(&created, "client_secret"));
        if example.contains("jeton restore jeton.backup") {
            let backup = folder.join("jeton.backup").display().to_string();
            said(&run(&["backup", &backup], &database));
        }
        if example.contains("--as stock") {
            run_json(&["client", "create", "--client-id", "stock", "--serves", "a"], &database);
        }
        if example.contains("jeton secret") {
            leak(&text(&created, "client_secret"), folder, &database);
        }
        if example.contains("client undelete") {
            said(&run(&["client", "delete", "orders", "--yes"], &database));
        }
        if example.contains("jeton apply") {
            let file = folder.join("clients.toml");
            fs::write(file, said(&run(&["export"], &database))).unwrap();
        }
        if example.contains("jeton import") {
            write_foreign_clients(folder);
        }
        if example.contains("jeton tag-key retire") {
            said(&run(&["tag-key", "rotate"], &database));
        }
        if CALLS_OF_NODES.iter().any(|one| example.contains(one)) {
            let node = served.insert(Served::start(&database, &[]));
            let secret = text(&created, "client_secret");
            let token = Caller::new(node, folder, "orders", &secret).issue();
            let id = TokenText::parse(&token).unwrap().id().0.to_string();
            line = line.replace("01890a5d-ac96-774b-bcce-b302099a8057", &id);
            fs::write(folder.join("token.txt"), token).unwrap();
            if example.contains("--compare before.json") {
                let url = format!("http://{}", node.grpc);
                let before = ["bench", "issue", "--seconds", "1", "--json", "--server", &url];
                fs::write(folder.join("before.json"), said(&run(&before, &database))).unwrap();
            }
        }
    }
    let url = served.as_ref().map(|node| format!("http://{}", node.grpc)).unwrap_or_default();
    let probes = served.as_ref().map(|node| node.probes().to_string()).unwrap_or_default();
    let line = line.replace("127.0.0.1:9091", &probes).replace("unix:jeton-data/", "unix:");
    let output = Command::new("sh")
        .args(["-c", &line])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("DATABASE", &postgres.url)
        .env("JETON_DATA_DIR", folder)
        .env("XDG_CONFIG_HOME", crate::contexts::home_in(folder))
        .env("JETON_SERVER", url)
        .env("JETON_PROBE_ADDR", probes)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let may_find = FINDINGS.iter().any(|one| example.contains(one));
    let code = output.status.code();
    assert!(code == Some(0) || may_find && code == Some(3), "{example}: {complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_help_ends_with_an_example_that_works() {
    let postgres = Database::ready(Kind::Postgres).await;
    let mut tried = 0;
    for command in commands(&[]) {
        let path: Vec<_> = command.iter().map(String::as_str).collect();
        for example in examples(&path) {
            // What serves until it is told to stop has tests of its own.
            if !["serve", "shim", "dev", "audit watch"]
                .iter()
                .any(|name| example.starts_with(&format!("jeton {name}")))
            {
                try_example(&example, &postgres).await;
                tried += 1;
            }
        }
    }
    assert!(tried >= 15, "{tried} examples");
}
