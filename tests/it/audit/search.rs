//! Finding changes in the trail: by client, actor, action, time and field, the same on both
//! databases.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{
    Database, Kind,
    binary::{complaint, jeton, run, run_json},
};

fn json(line: &str, database: &Database) -> Value {
    run_json(&line.split_whitespace().collect::<Vec<_>>(), database)
}

/// The numbers of the entries that a filter finds.
fn found(filter: &str, database: &Database) -> Vec<i64> {
    let listed = json(&format!("audit list {filter}"), database);
    listed.as_array().unwrap().iter().map(|row| row["seq"].as_i64().unwrap()).collect()
}

/// Entries 1 and 2 create orders, 3 and 4 stock. Alice gives orders the scope admin (5), by hand it
/// is renamed (6), and Bob takes the scope away (7) and disables stock (8).
async fn world(kind: Kind) -> Database {
    let database = Database::ready(kind).await;
    json("client create --client-id orders --scope read --scope write", &database);
    json("client create --client-id stock --scope admin --actor alice", &database);
    json("client update orders --add-scope admin --actor alice", &database);
    database.execute_all("update client set client_id = 'shop' where client_id = 'orders'").await;
    json("client update shop --remove-scope admin --actor bob@example.com", &database);
    json("client disable stock --yes --actor bob@example.com", &database);
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gave_a_client_a_scope_is_one_command() {
    for kind in Kind::BOTH {
        let database = world(kind).await;
        let question = "audit list --client orders --field scopes --gained admin";
        let answer = json(question, &database);
        assert_eq!(answer.as_array().unwrap().len(), 1, "{kind:?}: {answer}");
        assert_eq!(answer[0]["actor"], "operator:alice");
        // The act is named beside what is stored and hashed.
        assert_eq!(answer[0]["act"], "client.scopes.widen", "{kind:?}");
        assert_eq!(answer[0]["action"], "client.update");
        assert_eq!(answer[0]["detail"]["scopes"][1], serde_json::json!(["admin", "read", "write"]));
        let table = run(&question.split_whitespace().collect::<Vec<_>>(), &database);
        let table = String::from_utf8_lossy(&table.stdout).into_owned();
        assert!(table.lines().nth(1).unwrap().ends_with("\tscopes +admin"), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_of_the_trail_finds_what_it_names() {
    let rows: [(&str, &[i64]); 27] = [
        ("", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("--last 3", &[6, 7, 8]),
        // Under either name, before and after.
        ("--client orders", &[1, 2, 5, 6, 7]),
        ("--client shop", &[1, 2, 5, 6, 7]),
        ("--client stock", &[3, 4, 8]),
        ("--client nobody", &[]),
        ("--actor alice", &[3, 4, 5]),
        ("--actor operator:alice", &[3, 4, 5]),
        ("--actor ali", &[]),
        ("--action client.update", &[5, 6, 7, 8]),
        ("--action secret", &[2, 4]),
        // Acts, which the database does not know.
        ("--action client.scopes", &[5, 7]),
        ("--action client.scopes.widen", &[5]),
        ("--action client.scopes --last 1", &[7]),
        ("--action client.scopes --gained admin", &[5]),
        ("--action client.rename", &[6]),
        ("--action client.disable --client stock", &[8]),
        ("--action client.enable", &[]),
        ("--action client --client stock", &[3, 8]),
        ("--field client_id", &[6]),
        ("--field state --gained disabled", &[8]),
        ("--field scopes --lost admin", &[7]),
        ("--gained admin", &[3, 5]),
        ("--gained admin --last 1", &[5]),
        ("--gained admin --lost read", &[]),
        ("--since 1h --until 2000-01-01", &[]),
        ("--since 1h --actor alice --field scopes", &[3, 5]),
    ];
    for kind in Kind::BOTH {
        let database = world(kind).await;
        for (filter, expected) in rows {
            assert_eq!(found(filter, &database), expected, "{kind:?}: {filter}");
        }
        let since = json("audit list --last 1", &database)[0]["at"].as_str().unwrap().to_owned();
        assert!(found(&format!("--since {since}"), &database).contains(&8));
        assert!(!found(&format!("--until {since}"), &database).contains(&8));
        let none = run(&["audit", "list", "--actor", "nobody"], &database);
        assert!(String::from_utf8_lossy(&none.stderr).contains("No change matches the filter"));
        let bad = run(&["audit", "list", "--since", "yesterday"], &database);
        assert!(complaint(&bad).contains("a moment is a date such as"), "{bad:?}");
    }
}

/// More rows than a page of the search has, of which the filter keeps a few.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_reaches_over_all_pages() {
    for kind in Kind::BOTH {
        let database = world(kind).await;
        let numbers = match kind {
            Kind::Postgres => "do $$ begin for n in 1..1100 loop
                update client set note = n::text where client_id = 'stock'; end loop; end $$"
                .to_owned(),
            Kind::Sqlite => {
                let update = "update client set note = note || 'x' where client_id = 'stock';";
                format!("begin; {} commit", update.repeat(1_020))
            }
        };
        database.execute_all(&numbers).await;
        assert_eq!(found("--field scopes --gained admin", &database), [3, 5], "{kind:?}");
        assert_eq!(found("--actor bob@example.com", &database), [7, 8], "{kind:?}");
        assert_eq!(found("--action client.scopes", &database), [5, 7], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_is_an_act_of_the_same_name_on_both_databases() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        json("client create --client-id orders", &database);
        let added = json("client add-secret orders", &database);
        let id = added["secret_id"].as_str().unwrap();
        for line in [
            &*format!("client retire-secret orders {id}"),
            &format!("client restore-secret orders {id}"),
            &format!("client retire-secret orders {id} --after 24h"),
            &format!("client restore-secret orders {id}"),
            &format!("client retire-secret orders {id} --leaked"),
            "client set-quota orders --token-burst 7",
            "client revoke-tokens orders",
            "client update orders --owner ada",
            "client disable orders --yes",
            "client enable orders",
            "client delete orders --yes",
        ] {
            json(line, &database);
        }
        let listed = json("audit list", &database);
        let acts = listed.as_array().unwrap().iter().map(|row| row["act"].as_str().unwrap());
        let expected = [
            "client.create",
            "secret.create",
            "secret.create",
            "secret.retire",
            "secret.restore",
            "secret.retire",
            "secret.restore",
            "secret.burn",
            "client.quota.set",
            "client.tokens.revoke",
            "client.describe",
            "client.disable",
            "client.enable",
            "client.delete",
        ];
        assert_eq!(acts.collect::<Vec<_>>(), expected, "{kind:?}");
        let table = run(&["audit", "list", "--action", "secret.burn"], &database);
        let table = String::from_utf8_lossy(&table.stdout).into_owned();
        assert!(table.contains("\tsecret.burn\torders\t"), "{table}");
        assert!(run(&["audit", "verify"], &database).status.success(), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_prints_what_changes_until_ctrl_c() {
    for kind in Kind::BOTH {
        let database = world(kind).await;
        let mut command = jeton();
        let watch = ["audit", "watch", "--json", "--field", "owner"];
        command.args(watch).args(database.flags());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Watching for changes") {
            line.clear();
            std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        }
        json("client update shop --note unwatched", &database);
        json("client update shop --owner ada --actor alice", &database);
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
        let entry: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(entry["detail"]["owner"], serde_json::json!(["", "ada"]), "{kind:?}");
        assert_eq!(entry["actor"], "operator:alice");
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let ended = async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
        assert!(ended.success(), "{kind:?}: {ended:?}");
    }
}
