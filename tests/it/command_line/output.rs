//! Output: tables, JSON, pipes that close, texts that a terminal would obey.

use std::process::Stdio;

use serde_json::Value;

use super::{on_terminal, stderr, stdout};
use crate::support::{
    Database, Kind,
    binary::{complaint, jeton, run, run_json},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_ends_no_command_with_a_panic() {
    let database = Database::ready(Kind::Sqlite).await;
    run_json(&["client", "create", "--client-id", "orders"], &database);
    let commands: [&[&str]; 8] = [
        &["client", "list"],
        &["client", "list", "--json"],
        &["client", "show", "orders"],
        &["audit", "list"],
        &["audit", "verify"],
        &["config", "--json"],
        &["serve", "--help"],
        &["completions", "bash"],
    ];
    for command in commands {
        for closes_stderr in [false, true] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut jeton = jeton();
            let has_database = !matches!(command[0], "serve" | "completions");
            jeton.args(command).args(if has_database { database.flags() } else { Vec::new() });
            if closes_stderr {
                jeton.stderr(writer.try_clone().unwrap());
            }
            let output = jeton.stdout(writer).output().unwrap();
            assert!(output.status.success(), "{command:?}: {output:?}");
            assert!(!stderr(&output).contains("panicked"), "{output:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_cannot_be_written_is_an_error() {
    let database = Database::ready(Kind::Sqlite).await;
    run_json(&["client", "create", "--client-id", "orders"], &database);
    for command in [&["client", "list"][..], &["audit", "list", "--json"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = jeton().args(command).args(database.flags()).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("standard output cannot be written"), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_fit_the_terminal_and_are_complete_in_a_pipe() {
    let database = Database::ready(Kind::Sqlite).await;
    for number in 0..3 {
        let id = format!("client-{number}");
        let audience = format!("https://{}.example.com", "long".repeat(9));
        let create = ["client", "create", "--client-id", &id, "--audience", &audience];
        let scopes = ["--scope", "orders.read", "--scope", "orders.write", "--scope", "stock.read"];
        run_json(&[&create[..], &scopes].concat(), &database);
    }
    for command in [&["client", "list"][..], &["client", "show", "client-1"], &["audit", "list"]] {
        for columns in [80, 120, 200] {
            let said = stdout(&on_terminal(command, &database, columns, ""));
            assert!(said.contains("client-1"), "{said}");
            let table = said.lines().filter(|line| !line.starts_with("Database: "));
            for line in table {
                let width = line.trim_end().chars().count();
                // The properties of a client are not a table.
                assert!(width <= columns as usize || line.starts_with("audiences"), "{said}");
            }
        }
        let piped = stdout(&run(command, &database));
        assert!(!piped.contains(['─', '│', '═', '…']) && piped.contains('\t'), "{piped}");
    }
    let listed = stdout(&run(&["client", "list"], &database));
    assert_eq!(listed.lines().count(), 4, "a heading and a line for each client");
    let first: Vec<_> = listed.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(first, ["client_id", "client-0", "client-1", "client-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_a_terminal_obeys_are_refused_and_replaced_where_they_are_shown() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        for bad in ["\u{1b}]0;owned\u{7}", "two\nlines", "\u{202e}drawkcab", "zero\u{200b}width"] {
            let create = ["client", "create", "--client-id", "bad", "--name", bad];
            let refused = run(&create, &database);
            assert_eq!(refused.status.code(), Some(2), "{refused:?}");
            let said = complaint(&refused);
            assert!(said.contains("--name") && said.contains("no control characters"), "{said}");
            assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said}");
            let label = ["client", "create", "--client-id", "bad", "--secret-label", bad];
            assert!(complaint(&run(&label, &database)).contains("a label has at most 128 bytes"));
        }
        run_json(&["client", "create", "--client-id", "orders"], &database);
        let escape = if kind == Kind::Postgres { "chr(27)" } else { "char(27)" };
        database.execute(&format!("update client set name = {escape} || '[2J'")).await;
        database.execute(&format!("update client_secret set label = {escape} || '[2J'")).await;
        for command in [&["client", "show", "orders"][..], &["client", "list"], &["audit", "list"]]
        {
            let shown = run(command, &database);
            assert!(!stdout(&shown).contains('\u{1b}'), "{shown:?}");
        }
        assert!(stdout(&run(&["client", "show", "orders"], &database)).contains("\u{fffd}[2J"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_visible_on_a_terminal_of_80_columns() {
    let database = Database::ready(Kind::Sqlite).await;
    run_json(&["client", "create", "--client-id", "a-client-with-a-long-name"], &database);
    let update = ["client", "update", "a-client-with-a-long-name", "--add-scope", "admin"];
    run_json(&[&update[..], &["--actor", "somebody@operations.example.com"]].concat(), &database);
    let list = ["audit", "list", "--field", "scopes", "--gained", "admin"];
    let said = stdout(&on_terminal(&list, &database, 80, ""));
    let lines: Vec<_> = said.lines().map(str::trim_end).collect();
    assert!(lines.contains(&"    scopes +admin"), "{said}");
    assert!(lines.iter().any(|line| line.contains("  client.scopes.widen  ")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_is_complete_on_a_terminal_of_80_columns() {
    let database = Database::ready(Kind::Sqlite).await;
    let expires = ["client", "create", "--secret-expires-in", "1d", "--client-id"];
    for id in ["a-client-with-a-long-name", "another-client-with-a-long-name"] {
        run_json(&[&expires[..], &[id]].concat(), &database);
    }
    let secrets = ["client", "secrets", "a-client-with-a-long-name"];
    for (command, parts) in [
        (&["doctor"][..], &["another-client-with-a-long-name", "`jeton client rotate`"][..]),
        (&secrets[..], &["no newer secret"][..]),
    ] {
        let said = stdout(&on_terminal(command, &database, 80, ""));
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            assert!(words.contains(part), "{part} in {said}");
        }
        assert!(!said.contains('…'), "{said}");
    }
}

/// What the trail says of one act does not depend on the database, but for what only one of them
/// knows.
#[tokio::test(flavor = "multi_thread")]
async fn the_trail_reads_the_same_from_both_databases() {
    let mut trails = Vec::new();
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let create = "client create --client-id orders --scope read --scope write \
                      --audience https://a.test --default-audience https://a.test \
                      --several-audiences --secret-expires-in never --secret-label one";
        run_json(&create.split_whitespace().collect::<Vec<_>>(), &database);
        for edit in [
            "update client set not_before = created_at where client_id = 'orders'",
            "update client set scopes = default_scopes, audiences = audiences, state = 'disabled'",
            "update client set default_audience = null, several_audiences = not several_audiences",
            "update client_secret set expires_at = created_at",
        ] {
            database.execute(edit).await;
        }
        let scopes = if kind == Kind::Postgres { "'{read}'" } else { "'read'" };
        database
            .execute(&format!("update client set scopes = {scopes}, default_scopes = {scopes}"))
            .await;
        let update = ["client", "update", "orders", "--label", "b=1", "--label", "a=", "--owner"];
        run_json(&[&update[..], &["ada", "--token-lifetime", "15m"]].concat(), &database);
        run_json(&["tag-key", "rotate"], &database);
        run_json(&["client", "delete", "orders", "--yes"], &database);
        let mut trail = run_json(&["audit", "list"], &database);
        for row in trail.as_array_mut().unwrap() {
            for own in ["hash", "login", "client", "subject"] {
                row.as_object_mut().unwrap().remove(own);
            }
            mask_moments(row);
        }
        trails.push(trail);
    }
    let [postgres, sqlite] = &trails[..] else { unreachable!() };
    let pairs = postgres.as_array().unwrap().iter().zip(sqlite.as_array().unwrap());
    for (postgres, sqlite) in pairs {
        assert_eq!(postgres, sqlite);
    }
    assert_eq!(postgres, sqlite);
    assert_eq!(postgres[0]["detail"]["scopes"], serde_json::json!(["read", "write"]));
    assert_eq!(postgres[0]["detail"]["created_at"], "moment");
    assert_eq!(postgres[0]["detail"]["several_audiences"], true);
}

/// Replaces every moment in RFC 3339 by a word.
fn mask_moments(value: &mut Value) {
    match value {
        Value::String(text)
            if text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T' =>
        {
            *value = "moment".into();
        }
        Value::Array(values) => values.iter_mut().for_each(mask_moments),
        Value::Object(members) => members.values_mut().for_each(mask_moments),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_names_its_database_and_json_stays_json() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let place = match kind {
            Kind::Postgres => database.url.clone(),
            Kind::Sqlite => database.dir.path().join("jeton.db").display().to_string(),
        };
        run_json(&["client", "create", "--client-id", "orders"], &database);
        let commands: [&[&str]; 14] = [
            &["migrate"],
            &["client", "list"],
            &["client", "show", "orders"],
            &["audit", "list"],
            &["audit", "verify"],
            &["tag-key", "show"],
            &["client", "update", "orders", "--note", "on call"],
            &["client", "set-quota", "orders", "--live-tokens", "7"],
            &["client", "revoke-tokens", "orders"],
            &["client", "disable", "orders", "--yes"],
            &["client", "enable", "orders"],
            &["client", "add-secret", "orders"],
            &["tag-key", "rotate"],
            &["client", "delete", "orders", "--yes"],
        ];
        for command in commands {
            let output = run(&[command, &["--json"]].concat(), &database);
            assert!(output.status.success(), "{output:?}");
            serde_json::from_slice::<Value>(&output.stdout).unwrap();
            assert!(stderr(&output).contains(&format!("Database: {place}")), "{output:?}");
        }
        let listed = run(&["client", "list"], &database);
        assert!(stderr(&listed).contains(&format!("Database: {place}")), "{listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_json_where_json_is_asked_for() {
    let database = Database::ready(Kind::Sqlite).await;
    let rows: [(&[&str], u8, &str, &str); 3] = [
        (&["client", "show", "nobody", "--json"], 4, "NOT_FOUND", "there is no client nobody"),
        (&["client", "show", "a b", "--json"], 2, "USAGE", "a client id is"),
        (&["audit", "verify", "--json"], 3, "FINDING", "there is nothing to verify"),
    ];
    for (arguments, status, reason, message) in rows {
        let output = run(arguments, &database);
        let said = stderr(&output);
        let error: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["exit_status"], status);
        assert_eq!(output.status.code(), Some(status.into()));
        assert_eq!(error["error"]["reason"], reason);
        assert!(error["error"]["message"].as_str().unwrap().contains(message), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_in_colour_on_a_terminal_unless_no_color_is_set() {
    let database = Database::new(Kind::Sqlite).await;
    let dev = ["dev", "--exit-after-check", "--grpc-addr", "127.0.0.1:0", "--http-addr"];
    let dev = [&dev[..], &["127.0.0.1:0"]].concat();
    let said = stdout(&on_terminal(&dev, &database, 100, ""));
    assert!(said.contains("IssueToken") && said.contains("\u{1b}["), "{said}");
    let mut plain = jeton();
    let line = format!("exec \"{}\" {}", env!("CARGO_BIN_EXE_jeton"), dev.join(" "));
    plain.env("NO_COLOR", "1").env("JETON_DATA_DIR", database.dir.path());
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = stdout(&script.stdin(Stdio::null()).output().unwrap());
    assert!(said.contains("IssueToken") && !said.contains("\u{1b}["), "{said}");
}
