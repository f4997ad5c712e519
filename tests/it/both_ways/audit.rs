//! `jeton audit list` and `watch`, and `jeton token revoke --id`.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use jeton::domain::TokenText;
use serde_json::Value;

use super::ask;
use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton, run, run_json},
};

/// Filters, and how many changes they find.
const FILTERS: [(&[&str], usize); 12] = [
    (&["--client", "orders"], 7),
    (&["--actor", "ada"], 2),
    (&["--actor", "operator:ada"], 2),
    (&["--action", "client.update", "--client", "orders"], 3),
    (&["--action", "client.disable"], 1),
    (&["--action", "token"], 2),
    (&["--field", "scopes", "--gained", "write"], 1),
    (&["--lost", "write"], 1),
    (&["--since", "1h", "--client", "orders"], 7),
    (&["--until", "1h", "--client", "orders"], 0),
    (&["--last", "3"], 3),
    (&["--client", "orders", "--last", "2"], 2),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_listed_the_same_both_ways() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let node = Served::start(&database, &[]);
        let socket = format!("unix:{}", database.dir.path().join("control.sock").display());
        let remote = ["--server".to_owned(), socket.clone()];
        let create = ["client", "create", "--client-id", "orders", "--scope", "read"];
        let created = run_json(&create, &database);
        let folder = tempfile::tempdir().unwrap();
        let secret = created["client_secret"].as_str().unwrap();
        let file = folder.path().join("orders.secret");
        fs::write(&file, secret).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let url = format!("http://{}", node.grpc);
        let issued = || {
            let file = file.display().to_string();
            let issue = ["token", "issue", "--client-id", "orders", "--secret-file", &file];
            let token = ask(&[&issue[..], &["--token-only", "--server", &url]].concat(), &[]);
            String::from_utf8(token.stdout).unwrap().trim().to_owned()
        };
        for change in [&["--add-scope", "write"][..], &["--remove-scope", "write"]] {
            let change = [&["client", "update", "orders", "--actor", "ada"], change].concat();
            assert!(run(&change, &database).status.success());
        }

        // A token is revoked by an operator, on the database and through the node.
        for flags in [database.flags().clone(), remote.to_vec()] {
            let token = issued();
            let id = TokenText::parse(&token).unwrap().id().0.to_string();
            let revoke = ["token", "revoke", "--id", &id, "--json"];
            for is_again in [false, true] {
                let revoked = ask(&revoke, &flags);
                let told: Value = serde_json::from_slice(&revoked.stdout).unwrap();
                assert_eq!(told["client_id"], "orders", "{kind:?}: {revoked:?}");
                assert_eq!(told["already_revoked"], is_again, "{kind:?}: {revoked:?}");
            }
            let explain = ask(&["token", "explain", "--id", &id], &database.flags());
            assert_eq!(explain.status.code(), Some(3), "{explain:?}");
        }
        assert!(run(&["client", "disable", "orders", "--yes"], &database).status.success());

        for (filter, count) in FILTERS {
            for form in [&["audit", "list"][..], &["audit", "list", "--json"]] {
                let command = [form, filter].concat();
                let direct = ask(&command, &database.flags());
                let through = ask(&command, &remote);
                assert!(through.status.success(), "{command:?}: {through:?}");
                assert_eq!(direct.stdout, through.stdout, "{kind:?}: {command:?}");
                if form.contains(&"--json") {
                    let rows: Value = serde_json::from_slice(&through.stdout).unwrap();
                    let rows = rows.as_array().unwrap();
                    assert_eq!(rows.len(), count, "{kind:?}: {command:?}: {rows:?}");
                }
            }
        }
        let verify = ask(&["audit", "verify"], &remote);
        assert_eq!(verify.status.code(), Some(2), "{verify:?}");
    }
}

/// More changes than one call of a node lists.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_of_changes_comes_in_several_calls() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let change = "update client set note = case note when 'a' then 'b' else 'a' end";
        run_json(&["client", "create", "--client-id", "orders"], &database);
        database.execute_all(&[change; 600].join("; ")).await;
        let _node = Served::start(&database, &[]);
        let socket = format!("unix:{}", database.dir.path().join("control.sock").display());
        // The table alone: a node adds the hashes of edits by hand after a while.
        let command = ["audit", "list", "--client", "orders", "--last", "590"];
        let direct = ask(&command, &database.flags());
        let through = ask(&command, &["--server".to_owned(), socket]);
        let [direct, through] =
            [direct, through].map(|output| String::from_utf8(output.stdout).unwrap());
        assert_eq!(direct, through, "{kind:?}");
        assert_eq!(through.lines().count(), 1 + 590, "{kind:?}: {through}");
    }
}

/// A row that was moved to a position that Jeton never gives.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_moved_is_listed_both_ways() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        run_json(&["client", "create", "--client-id", "orders"], &database);
        let _node = Served::start(&database, &[]);
        let unprotected = match kind {
            Kind::Postgres => "alter table audit disable trigger all",
            Kind::Sqlite => "drop trigger audit_is_append_only",
        };
        let moved = "update audit set seq = -7 where seq = 1";
        database.execute_all(&[unprotected, moved].join("; ")).await;
        let socket = format!("unix:{}", database.dir.path().join("control.sock").display());
        let list = ["audit", "list", "--json"];
        let direct = ask(&list, &database.flags());
        let through = ask(&list, &["--server".to_owned(), socket]);
        assert_eq!(direct.stdout, through.stdout, "{kind:?}: {direct:?} {through:?}");
        let rows: Value = serde_json::from_slice(&through.stdout).unwrap();
        assert_eq!(rows[0]["seq"], -7, "{kind:?}: {rows}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_watched_through_a_node_until_it_stops() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let node = Served::start(&database, &[]);
        let socket = format!("unix:{}", database.dir.path().join("control.sock").display());
        run_json(&["client", "create", "--client-id", "before"], &database);
        // An edit by hand, which the embedded database has not sealed yet.
        database.execute_all("update client set note = 'by hand'").await;
        let mut command = jeton();
        command.args(["audit", "watch", "--json", "--action", "client", "--server", &socket]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut watching = command.spawn().unwrap();
        let mut said = BufReader::new(watching.stderr.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().contains("Watching for changes")));
        run_json(&["client", "create", "--client-id", "orders"], &database);
        let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let listed = ask(&["audit", "list", "--client", "orders", "--json"], &database.flags());
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!((&first["act"], &first), (&"client.create".into(), &listed[0]), "{kind:?}");
        drop(node);
        assert_eq!(watching.wait().unwrap().code(), Some(7), "{kind:?}");
        let last = said.last().unwrap().unwrap();
        assert!(last.contains("the last change seen is number"), "{kind:?}: {last}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let (id, nowhere) = ("00000000-0000-0000-0000-000000000007", "unix:/nowhere/control.sock");
    let administrator = ["--admin-id", "ops", "--admin-secret-file", "ops.secret"];
    let administrator =
        [&administrator[..], &["--token-server", "https://jeton.test:50051"]].concat();
    for (arguments, told) in [
        (&["token", "revoke", "--client-id", "a", "--context", "prod"][..], "--id"),
        (&["token", "revoke", "--id", id, "--admin-id", "ops"], "--admin-secret-file"),
        (&[&["token", "revoke", "--id", id][..], &administrator].concat(), "--server"),
        (&["audit", "list", "--gained", "", "--server", nowhere], "empty value"),
        (&["audit", "watch", "--actor", "", "--server", nowhere], "empty value"),
    ] {
        let refused = ask(arguments, &[]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(complaint(&refused).contains(told), "{refused:?}");
    }
}
