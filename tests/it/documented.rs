//! Every command line in README and docs is run as it stands there: the `sh` blocks of a document
//! in their order, in a fresh directory, with the binary on the path and a Postgres of its own.
//!
//! A document prepares what its text takes for granted in comments, `<!-- sh: COMMAND -->`, which
//! are run in their place.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    binary::free_port,
    everything,
    postgres::{self, PrivateServer},
    tls::Authority,
};

const PRELUDE: &str = include_str!("documented/prelude.sh");

/// Commands that are not run here: the document, their beginning, and why.
const NOT_RUN: [(&str, &str, &str); 13] = [
    ("docs/administration.md", "grpcurl ", "no package of Debian; control_listener.rs calls it"),
    ("README.md", "./test", "it would run this test again"),
    ("README.md", "grpcurl ", "no package of Debian; tests/it/start.rs calls reflection"),
    ("README.md", "docker ", "needs an engine; tests/image runs these"),
    ("docs/containers.md", "docker ", "needs an engine; tests/image runs these"),
    (
        "docs/containers.md",
        "kubectl ",
        "needs a cluster; .ci/manifests.mjs validates the manifests",
    ),
    ("docs/containers.md", "install ", "writes into the machine; packaging.rs checks the unit"),
    ("docs/containers.md", "systemctl ", "needs systemd as the first process"),
    ("docs/containers.md", "systemd-sysusers", "creates a user of the machine"),
    ("docs/fuzzing.md", "./test --fuzz", "runs for as many minutes as it is told"),
    ("docs/fuzzing.md", "cargo test", "is a part of every run of the tests"),
    ("docs/fuzzing.md", "target/fuzz/", "needs what the fuzzer has built"),
    ("docs/operations.md", "docker ", "needs an engine; tests/image runs these"),
];

/// Documents with a test of their own.
const ELSEWHERE: [&str; 1] = ["docs/clients.md"];

/// What a document names and the test has under another name: by which the shell puts in what an
/// earlier command printed, and with which a command takes a second and not a minute.
const PLACEHOLDERS: [(&str, &str); 16] = [
    ("<Base64Encoded(CLIENT_ID:CLIENT_SECRET)>", "$BASIC"),
    ("<CLIENT_ID>", "$CLIENT_ID"),
    ("<CLIENT_SECRET>", "$CLIENT_SECRET"),
    ("<SECRET_ID>", "$(secret_id orders)"),
    ("jta_…", "$TOKEN"),
    ("revoke-tokens --all ", "revoke-tokens --all --yes "),
    ("client disable orders", "client disable --yes orders"),
    ("/usr/local/share/man/man1", "man1"),
    ("/etc/bash_completion.d/jeton", "jeton.bash"),
    ("/etc/ssl/db-ca.pem", "db-ca.pem"),
    ("/etc/jeton/database-password", "database-password"),
    ("/var/lib/jeton", "var-lib-jeton"),
    ("node.example.com", "localhost"),
    ("generate_series(1, 10000)", "generate_series(1, 200)"),
    ("--seconds 5 ", "--seconds 1 "),
    ("--clients 1000 ", "--clients 20 --seconds 1 "),
];

/// The commands of a document, each with the line on which it begins. A command that is continued
/// with a backslash is one.
fn commands(document: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let (mut is_inside, mut is_continued) = (false, false);
    for (number, line) in (1..).zip(document.lines()) {
        let line = line.trim();
        if let Some(hidden) = line.strip_prefix("<!-- sh: ") {
            found.push((number, hidden.strip_suffix(" -->").unwrap().to_owned()));
        } else if line.starts_with("```") {
            is_inside = ["```sh", "```console"].contains(&line);
        } else if is_inside && is_continued {
            let (_, command) = found.last_mut().unwrap();
            command.push('\n');
            command.push_str(line);
        } else if is_inside && !line.is_empty() {
            found.push((number, line.trim_start_matches("$ ").to_owned()));
        }
        is_continued = is_inside && line.ends_with('\\');
    }
    found
}

fn documents() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir("docs")
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().display()))
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"))
        .filter(|name| !ELSEWHERE.contains(&name.as_str()))
        .collect();
    names.push("README.md".to_owned());
    names
}

fn is_run(name: &str, command: &str) -> bool {
    !NOT_RUN.iter().any(|(document, start, _)| *document == name && command.starts_with(start))
}

/// The script for a document. Empty if nothing of it is run.
fn script(name: &str, [grpc, http, database]: [u16; 3]) -> String {
    let text = fs::read_to_string(name).unwrap();
    let mut script = String::new();
    for (line, mut command) in commands(&text).into_iter().filter(|(_, c)| is_run(name, c)) {
        for (documented, here) in PLACEHOLDERS {
            command = command.replace(documented, here);
        }
        command = command
            .replace("db.internal", &format!("localhost:{database}"))
            .replace("@localhost/", &format!("@localhost:{database}/"))
            .replace(":50051", &format!(":{grpc}"))
            .replace(":8080", &format!(":{http}"));
        writeln!(script, "at {name}:{line}\n{command}").unwrap();
    }
    script
}

/// A Postgres that answers at `localhost` with a certificate, as one on another machine does.
fn database(port: u16, cert: &str, key: &str) -> PrivateServer {
    PrivateServer::start_with(
        &[("cert.pem", cert), ("key.pem", key)],
        &[
            ["-c", "listen_addresses=127.0.0.1"],
            ["-c", &format!("port={port}")],
            ["-c", "ssl=on"],
            ["-c", "ssl_cert_file=../cert.pem"],
            ["-c", "ssl_key_file=../key.pem"],
        ]
        .concat(),
    )
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn run(name: &str) {
    let ports = [(); 3].map(|()| free_port().port());
    let commands = script(name, ports);
    assert!(!commands.is_empty(), "{name} has nothing to run");
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (cert, key) = authority.issue();
    let server = database(ports[2], &cert, &key);
    for (file, text) in [
        ("cert.pem", cert.as_str()),
        ("key.pem", &key),
        ("server-ca.pem", &authority.pem()),
        ("db-ca.pem", &authority.pem()),
        ("database-password", "a password\n"),
    ] {
        write_private(&folder.path().join(file), text);
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_jeton")).parent().unwrap();
    let path = env::join_paths(
        [binary.to_owned(), postgres::binaries().unwrap()]
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    );
    let mut shell = Command::new("bash")
        .args(["-s"])
        .current_dir(&folder)
        .env_clear()
        .env("PATH", path.unwrap())
        .env("PGHOST", &server.home)
        .env("PGPORT", ports[2].to_string())
        .env("PGUSER", "postgres")
        .env("JETON_GRPC_ADDR", format!("127.0.0.1:{}", ports[0]))
        .env("JETON_HTTP_ADDR", format!("127.0.0.1:{}", ports[1]))
        .env("JETON_SERVER", format!("http://127.0.0.1:{}", ports[0]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // In a thread of its own, since the shell reads on while its output is read here.
    let mut input = shell.stdin.take().unwrap();
    let role = "psql --quiet --command 'create role jeton superuser login'";
    let script = format!("{PRELUDE}\n{role}\nmain() {{\n{commands}}}\nmain </dev/null\n");
    std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = shell.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    everything::note_secrets_in(&said);
    assert!(output.status.success(), "{said}");
}

#[expect(clippy::print_stdout, reason = "a test that is not run says so")]
fn run_if_possible(name: &str) {
    let missing = ["bash", "curl", "jq", "openssl"]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        println!("not run: {program} is missing");
    } else if postgres::is_installed() {
        run(name);
    } else {
        println!("not run: a Postgres with other settings must be one of our own");
    }
}

#[test]
fn every_command_of_the_readme_succeeds() {
    run_if_possible("README.md");
}

#[test]
fn every_command_about_administration_succeeds() {
    run_if_possible("docs/administration.md");
}

#[test]
fn every_command_about_backups_succeeds() {
    run_if_possible("docs/backup.md");
}

#[test]
fn every_command_about_commands_succeeds() {
    run_if_possible("docs/commands.md");
}

#[test]
fn every_command_about_the_tasks_of_operators_succeeds() {
    run_if_possible("docs/operating.md");
}

#[test]
fn every_command_about_clients_in_files_succeeds() {
    run_if_possible("docs/declarative-clients.md");
}

#[test]
fn every_command_about_imports_succeeds() {
    run_if_possible("docs/import.md");
}

#[test]
fn every_command_about_operations_succeeds() {
    run_if_possible("docs/operations.md");
}

/// Whether a document with commands has a test above, and the list of exceptions none that is over.
#[test]
fn every_document_with_commands_is_run() {
    let mut run: Vec<_> = documents();
    run.retain(|name| !script(name, [1; 3]).is_empty());
    run.sort_unstable();
    let tested = [
        "README.md",
        "docs/administration.md",
        "docs/backup.md",
        "docs/commands.md",
        "docs/declarative-clients.md",
        "docs/import.md",
        "docs/operating.md",
        "docs/operations.md",
    ];
    assert_eq!(run, tested, "give it a test here");
    for (name, start, _) in NOT_RUN {
        let text = fs::read_to_string(name).unwrap();
        let is_there = commands(&text).iter().any(|(_, command)| command.starts_with(start));
        assert!(is_there, "{name} has no command `{start}` any more");
    }
}

#[test]
fn commands_are_found_in_blocks_lists_and_comments() {
    let document = "text\n<!-- sh: one -->\n```text\nno\n```\n1. a\n\n   ```sh\n   two \\\n     2\n\
                    \x20  ```\n```console\n$ three\n```\n";
    let found = commands(document);
    let expected = [(2, "one"), (9, "two \\\n2"), (13, "three")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}
