//! `jeton client update` and the filters of `jeton client list`, as operators use them.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{
    Database, Kind,
    binary::{complaint, run, run_json},
};

async fn with_orders(kind: Kind) -> Database {
    let database = Database::ready(kind).await;
    let create = "client create --client-id orders --scope read --scope write \
                  --audience https://a.test";
    run_json(&create.split_whitespace().collect::<Vec<_>>(), &database);
    database
}

fn update(arguments: &str, database: &Database) -> Output {
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    run(&[&["client", "update", "orders"], &arguments[..]].concat(), database)
}

fn update_json(arguments: &str, database: &Database) -> Value {
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    run_json(&[&["client", "update", "orders"], &arguments[..]].concat(), database)
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_changes_what_he_names_and_sees_what_changed() {
    for kind in Kind::BOTH {
        let database = with_orders(kind).await;
        let done = update_json(
            "--add-scope admin --remove-scope write --token-lifetime 15m --label team=payments \
             --owner ada --live-tokens 7",
            &database,
        );
        let row = |field: &str, before: Value, after: Value| json!({ "field": field, "before": before, "after": after });
        let expected = [
            row("scopes", json!(["read", "write"]), json!(["admin", "read"])),
            // What is taken away is no default any more, and what is given does not become one.
            row("default_scopes", json!(["read", "write"]), json!(["read"])),
            row("token_lifetime_seconds", json!(3600), json!(900)),
            row("live_tokens", Value::Null, json!(7)),
            row("labels", json!({}), json!({ "team": "payments" })),
            row("owner", json!(""), json!("ada")),
        ];
        assert_eq!(done["changes"], json!(expected), "{kind:?}");
        let shown = run_json(&["client", "show", "orders"], &database);
        assert_eq!(shown["etag"], done["etag"]);
        assert_eq!(shown["scopes"], json!(["admin", "read"]));
        assert_eq!(shown["labels"], json!({ "team": "payments" }));
        assert_eq!((&shown["owner"], &shown["version"]), (&json!("ada"), &json!(2)));
        let text = stdout(&run(&["client", "show", "orders"], &database));
        assert!(text.contains("team=payments") && text.contains("ada"), "{text}");

        let table = stdout(&update("--remove-label team --label tier=1 --note hello", &database));
        let lines: Vec<_> = table.lines().collect();
        let expected = ["field\tbefore\tafter", "labels\tteam=payments\ttier=1", "note\t\thello"];
        assert_eq!(lines, expected, "{kind:?}");
        let again = update("--label tier=1 --note hello", &database);
        assert_eq!(stdout(&again), "");
        assert!(String::from_utf8_lossy(&again.stderr).contains("is like that already"));

        let replaced = update_json("--scope read --scope stock --default-scope stock", &database);
        assert_eq!(replaced["changes"][0]["after"], json!(["read", "stock"]));
        assert_eq!(replaced["changes"][1]["after"], json!(["stock"]));
        let emptied = update_json(
            "--no-default-scope --no-grant --remove-audience https://a.test",
            &database,
        );
        assert_eq!(emptied["changes"].as_array().unwrap().len(), 3, "{emptied}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_client_has_its_labels_and_its_owner_at_once() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let create = "client create --client-id stock --label team=stock --label tier=1 \
                      --owner ada --note hello --token-lifetime 15m";
        run_json(&create.split_whitespace().collect::<Vec<_>>(), &database);
        let shown = run_json(&["client", "show", "stock"], &database);
        assert_eq!(shown["labels"], json!({ "team": "stock", "tier": "1" }), "{kind:?}");
        assert_eq!((&shown["owner"], &shown["note"]), (&json!("ada"), &json!("hello")));
        assert_eq!(shown["token_lifetime_seconds"], 900);
        let trail = run_json(&["audit", "list"], &database);
        assert_eq!(trail[0]["detail"]["labels"], json!(["team=stock", "tier=1"]), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_difference_and_changes_nothing() {
    for kind in Kind::BOTH {
        let database = with_orders(kind).await;
        let before = run_json(&["client", "show", "orders"], &database);
        let planned = update_json("--add-scope admin --dry-run", &database);
        assert_eq!(planned["dry_run"], true);
        assert_eq!(planned["changes"][0]["after"], json!(["admin", "read", "write"]));
        assert_eq!(run_json(&["client", "show", "orders"], &database), before, "{kind:?}");
        assert_eq!(run_json(&["audit", "list"], &database).as_array().unwrap().len(), 2);
        let done = update_json("--add-scope admin", &database);
        assert_eq!((&done["changes"], &done["etag"]), (&planned["changes"], &planned["etag"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_is_a_conflict_that_names_the_fields() {
    for kind in Kind::BOTH {
        let database = with_orders(kind).await;
        let shown = run_json(&["client", "show", "orders"], &database);
        let etag = shown["etag"].as_str().unwrap().to_owned();
        database.execute_all("update client set owner = 'ada', token_lifetime_seconds = 61").await;
        let refused = update(&format!("--name Orders --etag {etag}"), &database);
        assert_eq!(refused.status.code(), Some(6), "{refused:?}");
        let said = complaint(&refused);
        assert!(said.contains("client orders was changed since"), "{said}");
        assert!(said.contains("token_lifetime_seconds") || said.contains("owner"), "{said}");
        assert!(said.contains("`jeton client show orders`"), "{said}");
        let shown = run_json(&["client", "show", "orders"], &database);
        assert_eq!(shown["name"], "");
        let etag = shown["etag"].as_str().unwrap();
        update_json(&format!("--name Orders --etag {etag}"), &database);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_refused_with_what_to_do() {
    let database = with_orders(Kind::Sqlite).await;
    stdout(&update("--label team=payments", &database));
    let rows: [(&str, i32, &[&str]); 15] = [
        ("", 2, &["name what to change", "--add-scope"]),
        ("--remove-scope writ", 2, &["does not have writ", "did you mean write?"]),
        ("--remove-scope zzz", 2, &["does not have zzz", "it has read write"]),
        ("--remove-audience https://b.test", 2, &["did you mean https://a.test?"]),
        ("--remove-serves https://b.test", 2, &["--remove-serves", "it has none"]),
        ("--remove-label teem", 2, &["did you mean team?"]),
        ("--scope read --add-scope write", 2, &["cannot be used with"]),
        ("--default-scope admin", 2, &["a default scope must be one of"]),
        ("--scope read --default-scope write", 2, &["a default scope must be one of"]),
        ("--token-lifetime 25h", 2, &["a second to a day", "15m"]),
        ("--token-lifetime soon", 2, &["a duration is a number with s, m, h or d"]),
        ("--label team", 2, &["key=value"]),
        ("--owner a\u{202e}b", 2, &["no control characters"]),
        ("--name x --etag W/1", 2, &["an etag is what `jeton client show`"]),
        // An etag may begin with a hyphen, so that this one is only too short.
        ("--name x --etag -F", 2, &["an etag is what `jeton client show`"]),
    ];
    for (arguments, status, parts) in rows {
        let refused = update(arguments, &database);
        assert_eq!(refused.status.code(), Some(status), "{arguments}: {refused:?}");
        let said = complaint(&refused);
        assert!(parts.iter().all(|part| said.contains(part)), "{arguments}: {said}");
    }
    let nobody = run(&["client", "update", "nobody", "--name", "x"], &database);
    assert_eq!(nobody.status.code(), Some(4), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_finds_clients_by_filters() {
    for kind in Kind::BOTH {
        let database = with_orders(kind).await;
        run_json(
            &["client", "create", "--client-id", "stock", "--serves", "https://a.test"],
            &database,
        );
        stdout(&update("--label team=payments --owner ada", &database));
        stdout(&run(&["client", "disable", "stock", "--yes"], &database));
        let found = |filter: &str| {
            let filter: Vec<_> = filter.split_whitespace().collect();
            let listed = run_json(&[&["client", "list"], &filter[..]].concat(), &database);
            let names = listed.as_array().unwrap().iter().map(|client| client["client_id"].clone());
            names.collect::<Vec<_>>()
        };
        for filter in [
            "--text ORD",
            "--state active",
            "--scope write",
            "--audience https://a.test",
            "--label team=payments",
            "--owner ada",
        ] {
            assert_eq!(found(filter), ["orders"], "{kind:?}: {filter}");
        }
        assert_eq!(found("--serves https://a.test --state disabled"), ["stock"]);
        assert_eq!(found("--without-live-secret"), [""; 0]);
        let none = run(&["client", "list", "--owner", "nobody"], &database);
        assert_eq!(stdout(&none), "");
        assert!(String::from_utf8_lossy(&none.stderr).contains("No client matches the filter"));
        let bad = run(&["client", "list", "--state", "asleep"], &database);
        assert!(complaint(&bad).contains("a client is active or disabled"), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_audience_is_one_of_the_audiences_or_none() {
    for kind in Kind::BOTH {
        let database = with_orders(kind).await;
        let second = update("--add-audience https://b.test", &database);
        assert!(String::from_utf8_lossy(&second.stderr).contains("must name one as resource"));
        let done = update_json("--default-audience https://b.test --several-audiences", &database);
        let row = |field: &str, before: Value, after: Value| json!({ "field": field, "before": before, "after": after });
        let expected = [
            row("default_audience", Value::Null, json!("https://b.test")),
            row("several_audiences", json!(false), json!(true)),
        ];
        assert_eq!(done["changes"], json!(expected), "{kind:?}");
        let refused = complaint(&update("--default-audience https://c.test", &database));
        assert!(refused.contains("must be one of the client's audiences"), "{refused}");
        // The default goes with the audience.
        let done = update_json("--remove-audience https://b.test --one-audience", &database);
        let expected = [
            row(
                "audiences",
                json!(["https://a.test", "https://b.test"]),
                json!(["https://a.test"]),
            ),
            row("default_audience", json!("https://b.test"), Value::Null),
            row("several_audiences", json!(true), json!(false)),
        ];
        assert_eq!(done["changes"], json!(expected), "{kind:?}");
        let database_says = run_json(&["audit", "list", "--field", "default_audience"], &database);
        let entries = database_says.as_array().map_or(0, Vec::len);
        assert!(entries >= 2, "{database_says}");
    }
}
