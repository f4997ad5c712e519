//! A newcomer's mistakes at the command line: each ends with one line that says how to mend it.

mod connections;
mod words;

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, free_port, jeton, run, run_json},
};

/// A complaint of one line that holds these parts.
fn assert_says(output: &Output, expected: &[&str]) {
    let complaint = complaint(output);
    let ours: Vec<_> = complaint.lines().filter(|line| line.starts_with("jeton: ")).collect();
    assert!(output.status.code() == Some(2) || ours.len() == 1, "{complaint}");
    for part in expected {
        assert!(complaint.contains(part), "{part} in {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_or_a_secret_that_is_not_there_is_named() {
    let secret_id = "0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a";
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        run_json(&["client", "create", "--client-id", "orders"], &database);
        let retire = ["client", "retire-secret", "nobody", secret_id];
        for command in ["show", "disable", "enable", "delete", "add-secret"] {
            let output = run(&["client", command, "nobody"], &database);
            assert_says(&output, &["no client nobody", "`jeton client list`"]);
        }
        assert_says(&run(&retire, &database), &["no client nobody", "`jeton client list`"]);
        let retire = ["client", "retire-secret", "orders", secret_id];
        assert_says(&run(&retire, &database), &["orders has no secret 0b8d9d5e"]);
        let again = ["client", "create", "--client-id", "orders"];
        assert_says(&run(&again, &database), &["already a client orders", "another client id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_cannot_be_is_refused_before_anything_is_stored() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let rows: [(&[&str], &[&str]); 11] = [
            (&["--client-id", "a b"], &["--client-id"]),
            (&["--scope", "a b"], &["--scope", "without space"]),
            (&["--scope", "caf\u{e9}"], &["--scope", "ASCII"]),
            (&["--audience", "https://a.test/#top"], &["--audience", "fragment"]),
            (&["--serves", "a b"], &["--serves"]),
            (&["--default-audience", "a b"], &["--default-audience"]),
            (
                &["--audience", "a", "--default-audience", "b"],
                &["default audience", "one of the client's audiences"],
            ),
            (&["--default-scope", "read"], &["default scope", "one of the client's scopes"]),
            (
                &["--token-lifetime-seconds", "86401"],
                &["--token-lifetime-seconds", "a second to a day"],
            ),
            (&["--secret-expires-in", "0"], &["--secret-expires-in", "90d", "never"]),
            // Past the year 9999 a moment cannot be stored, and an end of time is no end.
            (&["--secret-expires-in", "18446744073709551615"], &["--secret-expires-in"]),
        ];
        for (arguments, expected) in rows {
            let output = run(&[&["client", "create"], arguments].concat(), &database);
            assert_says(&output, expected);
        }
        let listed = run_json(&["client", "list"], &database);
        assert_eq!(listed.as_array().unwrap().len(), 0, "{listed}");
    }
}

#[test]
fn a_database_that_cannot_be_used_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let file = file.to_str().unwrap();
    let nobody = format!("postgres://jeton:canary@{}/jeton", free_port());
    let in_clear = "postgres://jeton:canary@db.test/x";
    let unknown = "postgres://jeton:canary@localhost/x?sslmod=require";
    let rows: [(&[&str], &[&str]); 6] = [
        (&["--data-dir", file], &[file, "--data-dir"]),
        (&["--database-url", &nobody], &["the database", "refused"]),
        (&["--database-url", "postgres://jeton:canary@[/x"], &["`host`", "[::1]"]),
        (&["--database-url", in_clear], &["sslmode=verify-full", "--trusted-network"]),
        (&["--database-url", unknown], &["`sslmod`", "sslmode"]),
        (&["--database-url", "mysql://jeton:canary@db/x"], &["postgres://user:password@host"]),
    ];
    let ports = ["--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"];
    let serve = [&["serve", "--start-timeout-seconds", "1"], &ports[..]].concat();
    let dev = [&["dev", "--start-timeout-seconds", "1"], &ports[..]].concat();
    let commands: [&[&str]; 5] =
        [&serve, &dev, &["migrate"], &["client", "list"], &["client", "show", "orders"]];
    for (arguments, expected) in rows {
        for command in commands {
            let output = jeton()
                .args([command, arguments].concat())
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert_says(&output, expected);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!said.contains("canary") && !said.contains(" { "), "{said}");
        }
    }
}

#[test]
fn a_secret_or_a_token_that_is_missing_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let empty = write("empty", "\n");
    let secret = write("secret", &format!("jts_{}\n", "A".repeat(75)));
    let nobody = format!("http://{}", free_port());
    let rows: [(&[&str], &[&str]); 7] = [
        (&["issue"], &["--client-id"]),
        (&["issue", "--client-id", "orders"], &["--secret-file", "JETON_CLIENT_SECRET"]),
        (&["issue", "--client-id", "orders", "--secret-file", &empty], &[&empty, "empty"]),
        (&["issue", "--client-id", "orders", "--secret-file", "/nowhere"], &["/nowhere"]),
        (
            &["introspect", "--client-id", "orders", "--secret-file", &secret],
            &["no token", "--token-file", "JETON_TOKEN"],
        ),
        (
            &["revoke", "--client-id", "orders", "--secret-file", &secret, "--token-file", &empty],
            &[&empty, "empty"],
        ),
        (
            &["issue", "--client-id", "orders", "--secret-file", &secret],
            &["no node answers", &nobody],
        ),
    ];
    for (arguments, expected) in rows {
        let output = jeton()
            .arg("token")
            .args(arguments)
            .env("JETON_SERVER", &nobody)
            .stdin(std::process::Stdio::null())
            .output();
        assert_says(&output.unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_be_called_as_it_was_is_told_from_one_that_is_not_there() {
    let database = Database::ready(Kind::Sqlite).await;
    run_json(&["client", "create", "--client-id", "orders"], &database);
    let secured = Served::start(&database, &["--tls-self-signed"]);
    let plain = Served::start(&database, &[]);
    let url =
        |scheme: &str, served: &Served| format!("{scheme}://localhost:{}", served.grpc.port());
    for (server, expected) in [
        (url("https", &secured), "DATA_DIR/tls/cert.pem): invalid peer certificate: UnknownIssuer"),
        (url("http", &secured), "is the URL http instead of https?"),
        (url("https", &plain), "is the URL https instead of http?"),
        (format!("http://{}", free_port()), "no node answers at"),
    ] {
        let output = jeton()
            .args(["token", "issue", "--client-id", "orders", "--server", &server])
            .env("JETON_CLIENT_SECRET", "jts_x")
            .output();
        assert_says(&output.unwrap(), &[expected, &server]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_or_a_resource_that_is_refused_is_named() {
    let database = Database::ready(Kind::Sqlite).await;
    let created = run_json(&["client", "create", "--client-id", "orders"], &database);
    let served = Served::start(&database, &[]);
    for asked in [["--scope", "orders.raed"], ["--resource", "https://stok.test"]] {
        let output = jeton()
            .args(["token", "issue", "--client-id", "orders"])
            .args(asked)
            .env("JETON_SERVER", format!("http://{}", served.grpc))
            .env("JETON_CLIENT_SECRET", created["client_secret"].as_str().unwrap())
            .output()
            .unwrap();
        assert_says(&output, &[asked[1], "not registered"]);
        assert!(!complaint(&output).contains("Client specified"), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_says_what_it_did_and_that_there_is_nothing_left_to_do() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
        let first = run(&["migrate"], &database);
        assert!(first.status.success() && said(&first).contains("from version 0 to"), "{first:?}");
        let second = run(&["migrate"], &database);
        assert!(second.status.success() && said(&second).contains("up to date"), "{second:?}");
    }
}

/// What serves until it is told to stop is not run here, but it must be written right: an unknown
/// flag would be told before the help is.
#[test]
fn the_examples_that_serve_name_flags_that_there_are() {
    for command in ["serve", "dev", "shim"] {
        let help = jeton().args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let (_, examples) = help.rsplit_once("\nExample").unwrap();
        let lines: Vec<_> =
            examples.lines().filter_map(|line| line.strip_prefix("  jeton ")).collect();
        assert!(!lines.is_empty(), "{help}");
        for line in lines {
            let output = jeton().args(line.split_whitespace()).arg("--help").output().unwrap();
            assert!(output.status.success(), "{line}");
        }
    }
    assert!(!jeton().args(["serve", "--nonsense", "--help"]).output().unwrap().status.success());
}
