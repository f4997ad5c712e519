//! What becomes of secrets in the end: one that is still used while it is retiring is warned of, and
//! the hash of one that ended long ago is erased.

use std::time::Duration;

use jeton::{
    domain::{Clock, SecretState, SystemClock},
    registry::{RegistryError, act},
    store::Retirement,
};
use tonic::Code;

use super::{
    OFTEN, literal, more,
    retirement::{restore, retire, stored},
    until, uses, writing,
};
use crate::support::{
    Database, Kind, TestNode,
    binary::{Served, run_json},
    http::{get, post_form},
    node::Credentials,
};

/// Sets a moment of a secret to so many days ago, by hand.
async fn date_back(node: &TestNode, kind: Kind, secret: &Credentials, column: &str, days: u32) {
    let moment = match kind {
        Kind::Postgres => format!("now() - interval '{days} days'"),
        Kind::Sqlite => format!("(unixepoch() - {days} * 86400) * 1000000"),
    };
    let id = literal(kind, secret.secret.id());
    let update = format!("update client_secret set {column} = {moment} where id = {id}");
    node.database.execute(&update).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_a_secret_is_erased_thirty_days_after_it_ended() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, writing(OFTEN)).await;
        let live = node.client("orders").await;
        let retired = more(&node, &live).await;
        let expired = more(&node, &live).await;
        let leaked = more(&node, &live).await;
        let lately = more(&node, &live).await;
        node.issue(&retired).await.unwrap();
        until(&node.store, &retired, |known| known.uses == 1).await;
        for secret in [&retired, &lately] {
            retire(&node, secret, Retirement::Retired).await;
        }
        retire(&node, &leaked, Retirement::Leaked).await;
        date_back(&node, kind, &retired, "retired_at", 31).await;
        date_back(&node, kind, &expired, "expires_at", 31).await;
        date_back(&node, kind, &leaked, "retired_at", 31).await;
        date_back(&node, kind, &lately, "retired_at", 29).await;

        let now = SystemClock.now();
        let done = node.store.upkeep(now, 90).await.unwrap();
        assert_eq!(done.hashes_forgotten, 3, "{kind:?}");
        assert_eq!(node.store.upkeep(now, 90).await.unwrap().hashes_forgotten, 0, "{kind:?}");
        let erased = "select count(*) from client_secret where hash = '$argon2id$'";
        assert_eq!(node.database.number(erased).await, 3, "{kind:?}");
        for (secret, state) in [
            (&live, SecretState::Live),
            (&retired, SecretState::Forgotten),
            (&expired, SecretState::Forgotten),
            (&leaked, SecretState::Leaked),
            (&lately, SecretState::Retired),
        ] {
            assert_eq!(stored(&node, secret).await.state(now), state, "{kind:?}");
        }
        assert_eq!(uses(&node.store, &retired).await[&retired.secret.id()].uses, 1, "{kind:?}");

        // The trail says so, of each.
        let trail = node.store.last_of_audit(None, 3).await.unwrap();
        for entry in trail {
            let entry = entry.unwrap();
            assert_eq!(act(&entry), "secret.forget", "{kind:?}: {entry:?}");
            assert_eq!(entry.actor.as_deref(), Some("jeton"), "{kind:?}");
            assert!(!entry.detail.contains("argon2id"), "{kind:?}: {entry:?}");
        }

        // It stays refused, and cannot be restored: neither by the registry nor by hand.
        for secret in [&retired, &expired, &leaked] {
            assert_eq!(node.issue(secret).await.unwrap_err().code(), Code::Unauthenticated);
        }
        for secret in [&retired, &expired] {
            let refused = restore(&node, secret).await.unwrap_err();
            assert!(matches!(refused, RegistryError::SecretForgotten(..)), "{kind:?}: {refused}");
        }
        let by_hand = "update client_secret set retired_at = null, expires_at = null
                       where forgotten_at is not null and burnt_at is null";
        let refused = node.database.refuses(by_hand).await;
        assert!(refused.contains("client_secret_forgotten_has_ended"), "{kind:?}: {refused}");
        restore(&node, &lately).await.unwrap();
        node.issue(&lately).await.unwrap();
        node.issue(&live).await.unwrap();
    }
}

/// A clock that is ahead on the machine of a node does not end the time for second thoughts.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_ahead_erases_nothing_too_early() {
    let kind = Kind::Postgres;
    let node = TestNode::start_with(kind, writing(OFTEN)).await;
    let client = node.client("orders").await;
    retire(&node, &client, Retirement::Retired).await;
    let ahead = SystemClock.now().plus(Duration::from_hours(40 * 24));
    assert_eq!(node.store.upkeep(ahead, 90).await.unwrap().hashes_forgotten, 0);
    restore(&node, &client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retiring_secret_that_is_still_used_is_warned_of_and_counted() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let created = run_json(&["client", "create", "--client-id", "orders"], &database);
        let text = |name: &str| created[name].as_str().unwrap();
        let (id, secret) = (text("secret_id"), text("client_secret"));
        let flags = ["--secret-use-seconds", "1"];
        let node = Served::start(&database, &flags);
        let issue = async |expected: u16| {
            let form = "grant_type=client_credentials";
            let answer = post_form(node.http, "/oauth2/token", "orders", secret, form).await;
            assert_eq!(answer.status.as_u16(), expected, "{kind:?}");
        };
        let retire = ["client", "retire-secret", "orders", id, "--even-if-in-use"];
        issue(200).await;
        run_json(&[&retire[..], &["--after", "24h"]].concat(), &database);
        issue(200).await;
        issue(200).await;
        let said = node.until("still used that is being retired");
        let line = said.lines().last().unwrap();
        for part in ["WARN", id, "orders", "127.0.0.1"] {
            assert!(line.contains(part), "{kind:?}: {part} in {line}");
        }
        run_json(&retire, &database);
        issue(401).await;
        let page = get(node.probes(), "/metrics").await.body;
        let page = String::from_utf8(page.to_vec()).unwrap();
        for (state, count) in [("live", 1), ("retiring", 2), ("refused", 1)] {
            let line = format!("jeton_secret_uses_total{{state=\"{state}\"}} {count}\n");
            assert!(page.contains(&line), "{kind:?}: {line} in {page}");
        }
    }
}
