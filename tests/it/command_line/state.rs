//! What is asked before a change, and what is shown of clients, secrets and the tag key.

use super::{on_terminal, stderr, stdout};
use crate::support::{
    Database, Kind,
    binary::{complaint, run, run_json},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_something_asks_a_person_first_and_does_not_stop_a_script() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let created = run_json(&["client", "create", "--client-id", "orders"], &database);
        let first = created["secret_id"].as_str().unwrap();
        let commands: [&[&str]; 3] = [
            &["client", "retire-secret", "orders", first],
            &["client", "disable", "orders"],
            &["client", "delete", "orders"],
        ];
        for command in commands {
            let refused = on_terminal(command, &database, 100, "no\n");
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            assert!(stdout(&refused).contains("it was not confirmed"), "{refused:?}");
        }
        let shown = run_json(&["client", "show", "orders"], &database);
        assert_eq!(
            (&shown["state"], &shown["secrets"][0]["state"]),
            (&"active".into(), &"live".into())
        );

        // One that is not the last is retired without a question.
        let added = run_json(&["client", "add-secret", "orders"], &database);
        assert!(run(commands[0], &database).status.success());
        let second = added["secret_id"].as_str().unwrap();
        let last = ["client", "retire-secret", "orders", second];
        let refused = on_terminal(&last, &database, 100, "no\n");
        assert!(stdout(&refused).contains("is the last live secret of client orders"));
        // So is one that is retired already.
        assert!(run(commands[0], &database).status.success());
        let retired = run_json(&[&last[..], &["--yes"]].concat(), &database);
        assert_eq!(
            (&retired["done"], &retired["live_secrets_left"]),
            (&"retired".into(), &0.into())
        );

        let disabled = on_terminal(commands[1], &database, 100, "yes\n");
        assert!(disabled.status.success(), "{disabled:?}");
        assert!(run(commands[1], &database).status.success(), "a script is not asked");
        let deleted = on_terminal(commands[2], &database, 100, "yes\n");
        assert!(stdout(&deleted).contains("Client orders is deleted"), "{deleted:?}");
        assert_eq!(run(&["client", "show", "orders"], &database).status.code(), Some(4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_shown_with_the_moments_that_decide_about_its_tokens_and_secrets() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let create = ["client", "create", "--client-id", "orders"];
        let first = run_json(&create, &database)["secret_id"].as_str().unwrap().to_owned();
        run_json(&["client", "add-secret", "orders", "--expires-in", "1"], &database);
        run_json(&["client", "retire-secret", "orders", &first, "--yes"], &database);
        database.execute("update client set not_before = created_at").await;
        database.execute("update client_secret set expires_at = created_at").await;
        let shown = run_json(&["client", "show", "orders"], &database);
        assert_eq!(shown["not_before"], shown["created_at"], "{kind:?}");
        let table = stdout(&run(&["client", "show", "orders"], &database));
        let row = table.lines().find(|line| line.starts_with("not before")).unwrap();
        assert!(row.ends_with(shown["created_at"].as_str().unwrap()), "{table}");
        let retired = shown["secrets"][0]["retired_at"].as_str().unwrap();
        let row = table.lines().find(|line| line.starts_with(&first)).unwrap();
        assert!(row.contains("retired") && row.contains(retired), "{table}");

        // The warning of a node counts a secret that ended unretired, and so does the list.
        let listed = run_json(&["client", "list"], &database);
        assert_eq!(listed[0]["live_secrets"]["expired"], 1, "{listed}");
        let table = stdout(&run(&["client", "list"], &database));
        assert!(table.contains("no live secret; 1 expired"), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_a_tag_key_takes_along_are_named_before_and_shown_as_retired_after() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        for client in ["orders", "stock"] {
            run_json(&["client", "create", "--client-id", client], &database);
        }
        run_json(&["tag-key", "rotate"], &database);
        run_json(&["client", "add-secret", "orders"], &database);
        let shown = run_json(&["tag-key", "show"], &database);
        let client = |id: &str| serde_json::json!({"client_id": id, "earlier_live_secrets": 1});
        assert_eq!(shown["clients"], serde_json::json!([client("orders"), client("stock")]));
        let refused = run(&["tag-key", "retire"], &database);
        assert!(stderr(&refused).contains("(of orders, stock)"), "{refused:?}");
        let shown = run_json(&["client", "show", "stock"], &database);
        assert_eq!(shown["secrets"][0]["state"], "live", "nothing was changed");

        run_json(&["tag-key", "retire", "--yes", "--actor", "alice"], &database);
        let shown = run_json(&["client", "show", "orders"], &database);
        let states = |at: usize| &shown["secrets"][at]["state"];
        assert_eq!((states(0), states(1)), (&"retired".into(), &"live".into()), "{kind:?}");
        let listed = run_json(&["client", "list"], &database);
        assert_eq!(listed[1]["live_secrets"]["count"], 0, "{listed}");
        let trail = run_json(&["audit", "list", "--last", "2", "--client", "stock"], &database);
        let last = trail.as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["action"], &last["actor"]),
            (&"secret.update".into(), &"operator:alice".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_apart() {
    let database = Database::ready(Kind::Postgres).await;
    let with = |from: &str, to: &str| {
        let mut other = database.shared();
        other.url = other.url.replacen(from, to, 1);
        run(&["client", "list"], &other)
    };
    let address = database.url.split('?').next().unwrap();
    let name = address.rsplit('/').next().unwrap().to_owned();
    let no_database = with(&format!("/{name}"), "/nowhere_at_all");
    assert_eq!(no_database.status.code(), Some(4));
    assert!(complaint(&no_database).contains("no such database"), "{no_database:?}");
    let no_role = with("postgres@", "nobody_at_all@");
    assert_eq!(no_role.status.code(), Some(5));
    let said = complaint(&no_role);
    assert!(said.contains("correct the role") && !said.contains("at line"), "{said}");
}
