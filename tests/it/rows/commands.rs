//! What the commands make of rows that cannot be read.

use serde_json::Value;

use super::world::{Editor, uuid};
use crate::support::{
    Database, Kind,
    binary::{complaint, run, run_json},
};

/// Two clients, and somebody who edits without being stopped by constraints.
async fn clients(kind: Kind) -> (Database, Editor) {
    let database = Database::new(kind).await;
    database.migrated().await.close().await;
    let mut editor = Editor::of(&database).await;
    editor.loosen().await;
    for client_id in ["billing", "orders"] {
        let scopes = ["--scope", "read", "--scope", "write"];
        run_json(
            &[&["client", "create", "--client-id", client_id], &scopes[..]].concat(),
            &database,
        );
    }
    (database, editor)
}

fn scopes(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => r#"'{read,"\"x"}'"#,
        Kind::Sqlite => r#"'read "x'"#,
    }
}

/// Fails, says this in its one sentence, and shows the rest: what it shows, as JSON and for people.
fn shown(arguments: &[&str], database: &Database, said: &[&str]) -> (Value, String) {
    let shown = [&[][..], &["--json"]].map(|more| {
        let output = run(&[arguments, more].concat(), database);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let complaint = complaint(&output);
        assert!(!complaint.contains("the database cannot be used"), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        for part in said {
            assert!(complaint.contains(part), "{part} in {complaint}");
        }
        String::from_utf8(output.stdout).unwrap()
    });
    let [table, json] = shown;
    (serde_json::from_str(&json).unwrap(), table)
}

/// A-7.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_the_other_clients_and_names_the_one_that_cannot_be_read() {
    for kind in Kind::BOTH {
        let (database, mut editor) = clients(kind).await;
        let edit = |scopes: &str| {
            format!("update client set scopes = {scopes} where client_id = 'billing'")
        };
        editor.run(&edit(scopes(kind))).await.unwrap();
        let said = ["jeton: client billing ", "column scopes", "`jeton client delete billing`"];
        let (listed, table) = shown(&["client", "list"], &database, &said);
        assert_eq!(listed[0]["client_id"], "billing", "{kind:?}");
        assert!(listed[0]["unreadable"].as_str().unwrap().starts_with("scopes: "), "{listed}");
        assert_eq!(listed[1]["scopes"], serde_json::json!(["read", "write"]));
        assert!(listed[1].get("unreadable").is_none(), "{listed}");
        assert!(table.contains("unreadable: scopes") && table.contains("orders"), "{table}");

        let (client, table) = shown(&["client", "show", "billing"], &database, &said);
        assert!(client["unreadable"].as_str().unwrap().starts_with("scopes: "), "{client}");
        assert_eq!(client["id"], listed[0]["id"]);
        assert_eq!(client["secrets"][0]["state"], "live", "its secrets are shown all the same");
        assert!(table.contains("unreadable  scopes: ") && table.contains("live"), "{table}");
        let secret = client["secrets"][0]["secret_id"].as_str().unwrap().to_owned();
        assert!(run(&["client", "show", "orders"], &database).status.success());

        // What it takes to be safe from it works.
        for command in
            [&["disable", "--yes", "billing"][..], &["retire-secret", "--yes", "billing", &secret]]
        {
            let output = run(&[&["client"], command].concat(), &database);
            assert!(output.status.success(), "{output:?}");
        }
        editor.run(&edit("default_scopes")).await.unwrap();
        let client = run_json(&["client", "show", "billing"], &database);
        assert_eq!(
            (&client["state"], &client["secrets"][0]["state"]),
            (&"disabled".into(), &"retired".into())
        );
        editor.run(&edit(scopes(kind))).await.unwrap();
        editor.run("update client set version = null where client_id = 'orders'").await.unwrap();
        shown(&["client", "list"], &database, &["another row cannot be read"]);
        for client_id in ["billing", "orders"] {
            let deleted = run(&["client", "delete", "--yes", client_id], &database);
            assert!(deleted.status.success(), "{deleted:?}");
        }
        assert_eq!(run_json(&["client", "list"], &database), Value::Array(Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_proper_name_is_known_by_its_id() {
    for kind in Kind::BOTH {
        let (database, mut editor) = clients(kind).await;
        let id = run_json(&["client", "show", "billing"], &database)["id"].clone();
        let id = id.as_str().unwrap();
        let escape = if kind == Kind::Postgres { "chr(27)" } else { "char(27)" };
        for (name, shows) in [("null", None), (&*format!("{escape} || '[2J'"), Some("\u{1b}[2J"))] {
            let row = uuid(kind, id.parse().unwrap());
            let edit = format!("update client set client_id = {name} where id = {row}");
            editor.run(&edit).await.unwrap();
            let (listed, table) = shown(&["client", "list"], &database, &["column client_id"]);
            assert_eq!((&listed[0]["client_id"], &listed[0]["id"]), (&shows.into(), &id.into()));
            assert!(table.contains("orders") && !table.contains('\u{1b}'), "{table}");
            if shows.is_none() {
                assert!(table.contains(id), "{table}");
                shown(&["client", "list"], &database, &[id]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_read_is_marked_among_the_others() {
    for kind in Kind::BOTH {
        let (database, mut editor) = clients(kind).await;
        let first = run_json(&["client", "show", "billing"], &database);
        let first = first["secrets"][0]["secret_id"].as_str().unwrap();
        let second = run_json(&["client", "add-secret", "billing"], &database);
        let second = second["secret_id"].as_str().unwrap();
        let row = uuid(kind, first.parse().unwrap());
        let edit = format!("update client_secret set created_at = null where id = {row}");
        editor.run(&edit).await.unwrap();
        let said = ["client_secret", first, "column created_at"];
        let (client, table) = shown(&["client", "show", "billing"], &database, &said);
        let secrets = client["secrets"].as_array().unwrap();
        let of = |id: &str| secrets.iter().find(|secret| secret["secret_id"] == id).unwrap();
        assert_eq!(of(first)["unreadable"], "created_at: it is null", "{kind:?}");
        assert_eq!(of(second)["state"], "live");
        assert!(table.contains("unreadable: created_at"), "{table}");
        assert!(run(&["client", "list"], &database).status.success());
        let retired = run(&["client", "retire-secret", "--yes", "billing", second], &database);
        let said = String::from_utf8(retired.stderr).unwrap();
        assert!(retired.status.success() && !said.contains("no live secret"), "{said}");
    }
}

/// What people write in Postgres who mean "never" and "for good".
#[tokio::test(flavor = "multi_thread")]
async fn infinity_is_a_moment_like_any_other() {
    let (database, mut editor) = clients(Kind::Postgres).await;
    editor
        .run("update client set not_before = 'infinity', created_at = '-infinity'")
        .await
        .unwrap();
    editor.run("update client_secret set expires_at = 'infinity'").await.unwrap();
    let listed = run_json(&["client", "list"], &database);
    assert_eq!(listed[0]["created_at"], "-infinity");
    let client = run_json(&["client", "show", "billing"], &database);
    assert_eq!(client["secrets"][0]["state"], "live");
    assert!(client["secrets"][0]["expires_at"].is_null(), "{client}");
    let table = run(&["client", "show", "billing"], &database);
    assert!(String::from_utf8_lossy(&table.stdout).contains("never"));
    editor.run("update client_secret set retired_at = '-infinity'").await.unwrap();
    let client = run_json(&["client", "show", "billing"], &database);
    assert_eq!(client["secrets"][0]["state"], "retired");
    assert_eq!(client["secrets"][0]["retired_at"], "-infinity");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_the_trail_that_cannot_be_read_is_listed_and_fails_the_verification() {
    for kind in Kind::BOTH {
        let (database, mut editor) = clients(kind).await;
        editor.run("update audit set detail = null where seq = 2").await.unwrap();
        let said = ["row 2 of the audit trail", "column detail"];
        let (listed, table) = shown(&["audit", "list"], &database, &said);
        assert_eq!(listed.as_array().unwrap().len(), 4, "{kind:?}");
        assert_eq!(listed[1], serde_json::json!({"seq": 2, "unreadable": "detail: it is null"}));
        assert_eq!(listed[3]["action"], "secret.create");
        assert!(table.contains("unreadable: detail"), "{table}");
        let refused = complaint(&run(&["audit", "verify"], &database));
        assert!(refused.contains("the audit trail does not verify: row 2 of"), "{refused}");
        // What is changed now is written behind it.
        assert!(run(&["client", "disable", "--yes", "orders"], &database).status.success());
        let last = run(&["audit", "list", "--last", "1", "--json"], &database);
        let last: Value = serde_json::from_slice(&last.stdout).unwrap();
        assert_eq!(last[0]["action"], "client.update");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_without_its_key_is_named_as_such() {
    for kind in Kind::BOTH {
        let (database, mut editor) = clients(kind).await;
        editor.run("update installation set tag_key = null").await.unwrap();
        // Nothing else needs it.
        assert!(run(&["client", "list"], &database).status.success());
        for command in
            [&["client", "create", "--client-id", "stock"][..], &["client", "add-secret", "orders"]]
        {
            let refused = complaint(&run(command, &database));
            assert!(refused.starts_with("jeton: the row of installation"), "{refused}");
            assert!(refused.contains("column tag_key"), "{refused}");
        }
    }
}

/// What a backup has kept must not fail the restore.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_finished_whatever_moments_there_are() {
    for kind in Kind::BOTH {
        let (database, mut editor) = clients(kind).await;
        let (endless, last) = match kind {
            Kind::Postgres => ("'infinity'", "'294276-12-31 23:59:59.999999Z'"),
            Kind::Sqlite => ("9223372036854775807", "9223372036854775806"),
        };
        for edit in [
            format!("update installation set not_before = {endless}"),
            format!("update client set created_at = {endless} where client_id = 'billing'"),
            format!("update client set created_at = {last} where client_id = 'orders'"),
        ] {
            assert_eq!(editor.run(&edit).await.unwrap(), 1, "{edit}");
        }
        run_json(&["restore", "--finish"], &database);
        let finished = format!(
            "select count(*) from installation where generation = 1 and not_before = {endless}"
        );
        assert_eq!(database.number(&finished).await, 1, "{kind:?}");
    }
}
