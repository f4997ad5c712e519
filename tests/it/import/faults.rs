//! Imported secrets that are retiring, and stored hashes that cannot be used, as a node tells of them.

use std::{sync::Arc, time::Duration};

use jeton::{
    domain::{ClientId, Clock, OsRandom, SecretId, SystemClock},
    registry::Registry,
    store::Retirement,
};
use serde_json::json;

use super::{PBKDF2, TEXT, file, import, row};
use crate::support::{
    Database, Kind,
    binary::Served,
    http::{Answer, get, post_form},
    node::{CHEAP, operator},
};

/// A database with these clients of Hydra, which all have one secret of the same text.
async fn with(kind: Kind, client_ids: &[&str]) -> Database {
    let database = Database::ready(kind).await;
    let rows: Vec<_> = client_ids.iter().map(|id| row(id, &json!({}))).collect();
    let file = file(&database, "clients.jsonl", &rows.concat());
    let output = import(&database, &["--from", "hydra", &file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    database
}

fn registry(database: &Database) -> Registry {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
    Registry::new(database.store(), clock, random, CHEAP, operator())
}

async fn secret_of(registry: &Registry, client_id: &ClientId) -> SecretId {
    let (_, secrets) = registry.show_client(client_id).await.unwrap();
    secrets.into_iter().map(Result::unwrap).next().unwrap().id
}

/// The answer to a token request, which is tried again until a turn is free.
async fn issue(node: &Served, client_id: &str) -> Answer {
    let form = "grant_type=client_credentials";
    let text = TEXT.replace(' ', "+");
    loop {
        let answer = post_form(node.http, "/oauth2/token", client_id, &text, form).await;
        if answer.status.as_u16() != 429 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retiring_imported_secret_that_is_still_used_is_warned_of_and_counted() {
    for kind in Kind::BOTH {
        let database = with(kind, &["orders"]).await;
        let orders = ClientId::parse("orders").unwrap();
        let registry = registry(&database);
        let secret = secret_of(&registry, &orders).await;
        let tomorrow = SystemClock.now().plus(Duration::from_hours(24));
        registry.retire_secret(&orders, secret, Retirement::At(tomorrow)).await.unwrap();
        drop(registry);
        let node = Served::start(&database, &["--secret-use-seconds", "1"]);
        // The first is compared with the stored hash, the second one matched lately.
        for _ in 0..2 {
            assert_eq!(issue(&node, "orders").await.status.as_u16(), 200, "{kind:?}");
        }
        let said = node.until("still used that is being retired");
        let (id, line) = (secret.0.to_string(), said.lines().last().unwrap());
        for part in ["WARN", &id, "orders", "127.0.0.1"] {
            assert!(line.contains(part), "{kind:?}: {part} in {line}");
        }
        let page = get(node.probes(), "/metrics").await.body;
        let page = String::from_utf8(page.to_vec()).unwrap();
        for (state, count) in [("live", 0), ("retiring", 2)] {
            let line = format!("jeton_secret_uses_total{{state=\"{state}\"}} {count}\n");
            assert!(page.contains(&line), "{kind:?}: {line} in {page}");
        }
    }
}

/// The second one would be computed for hours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_hash_that_cannot_be_used_is_a_wrong_secret_to_callers_and_is_logged() {
    let dear = PBKDF2.replace("i=1000,", "i=4000000000,");
    for kind in Kind::BOTH {
        let database = with(kind, &["broken", "dear", "sound"]).await;
        let registry = registry(&database);
        let mut secrets = Vec::new();
        for (client_id, hash) in [("broken", "$2b$broken"), ("dear", dear.as_str())] {
            let id = ClientId::parse(client_id).unwrap();
            secrets.push((client_id, secret_of(&registry, &id).await));
            let statement = format!(
                "update client_secret set foreign_hash = '{hash}'
                 where client = (select id from client where client_id = '{client_id}')"
            );
            database.execute(&statement).await;
        }
        drop(registry);
        let node = Served::start(&database, &[]);
        let unknown = issue(&node, "nobody").await;
        assert_eq!(unknown.status.as_u16(), 401, "{kind:?}");
        for (client_id, secret) in secrets {
            let refused = issue(&node, client_id).await;
            assert_eq!((refused.status, refused.body), (unknown.status, unknown.body.clone()));
            let said = node.until("an imported hash cannot be used");
            let (id, line) = (secret.0.to_string(), said.lines().last().unwrap());
            assert!(line.contains("WARN") && line.contains(&id), "{kind:?}: {line}");
            assert!(!line.contains("$2b$") && !line.contains("$pbkdf2"), "{kind:?}: {line}");
        }
        assert_eq!(issue(&node, "sound").await.status.as_u16(), 200, "{kind:?}");
    }
}
