//! I10: the audit trail has each change once, whoever made it, and shows what was done to it.

mod attacks;
mod search;

use std::{sync::Arc, time::Duration};

use jeton::{
    domain::{
        Actor, AuditEntry, AuditMark, AuditReader, AuditSummary, ClientId, ClientState, Clock,
        SystemClock, Tampered,
    },
    registry::{NewSecret, RegistryError},
    store::{Retirement, Store},
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Database, Kind, TestNode, TestNodeOptions, http::get, node::new_client};

async fn trail(store: &Arc<dyn Store>) -> Vec<AuditEntry> {
    store.audit_after(0, 100_000).await.unwrap().into_iter().map(Result::unwrap).collect()
}

/// Reads the whole trail, page by page.
async fn verify(store: &Arc<dyn Store>, marks: Vec<AuditMark>) -> Result<AuditSummary, Tampered> {
    let mut reader = AuditReader::new(marks);
    loop {
        let page = store.audit_after(reader.position(), 3).await.unwrap();
        if page.is_empty() {
            return reader.finish();
        }
        for entry in page {
            reader.read(entry.unwrap())?;
        }
    }
}

fn actions(trail: &[AuditEntry]) -> Vec<&str> {
    trail.iter().map(|entry| entry.action.as_str()).collect()
}

/// A node looks after its store at its start, and then not for ten minutes: until the first round
/// is over it may seal rows of hand edits at any moment.
async fn until_looked_after(node: &TestNode) {
    let round = r#"jeton_upkeep_rounds_total{outcome="OK"} 1"#;
    loop {
        let page = get(node.node.probe_addr(), "/metrics").await;
        if String::from_utf8_lossy(&page.body).contains(round) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a change was from and to.
fn changed<'a>(detail: &'a Value, column: &str) -> (&'a Value, &'a Value) {
    (&detail[column][0], &detail[column][1])
}

fn detail(entry: &AuditEntry) -> Value {
    serde_json::from_str(&entry.detail).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_has_one_row_that_says_who_and_what() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let owner = node.client("orders").await;
        let id = &owner.client.client_id;
        let token = node.issue(&owner).await.unwrap().access_token;
        let token_id = node.introspect(&owner, &token).await.unwrap().token_id;
        node.revoke(&owner, &token).await.unwrap();
        // Again is no change.
        node.revoke(&owner, &token).await.unwrap();
        let (second, _) = node.registry.add_secret(id, NewSecret::default()).await.unwrap();
        for retirement in [Retirement::Retired, Retirement::Leaked, Retirement::Leaked] {
            node.registry.retire_secret(id, second.id, retirement).await.unwrap();
        }
        node.registry.set_client_state(id, ClientState::Disabled).await.unwrap();
        node.registry.delete_client(id).await.unwrap();

        let trail = trail(&node.store).await;
        let expected = [
            "client.create",
            "secret.create",
            "token.revoke",
            "secret.create",
            "secret.update",
            "secret.update",
            "client.update",
            // Its secrets go with it.
            "client.delete",
        ];
        assert_eq!(actions(&trail), expected, "{kind:?}");
        for (entry, seq) in trail.iter().zip(1..) {
            assert_eq!(entry.seq, seq);
            // A client that revokes its own token has a short row.
            let revokes = entry.action == "token.revoke";
            let key = (!revokes).then_some(owner.client.key.0);
            assert_eq!(entry.client, key, "{entry:?}");
            let actor = if revokes { "client" } else { "operator:tests" };
            assert_eq!(entry.actor.as_deref(), Some(actor));
            assert_eq!(entry.detail == "{}", revokes, "{entry:?}");
            let in_full = if revokes { "client:orders" } else { "operator:tests" };
            assert_eq!(entry.actor_in_full().as_deref(), Some(in_full));
            assert_eq!(entry.client_id.as_deref(), Some("orders"));
            assert_eq!(entry.login.is_some(), kind == Kind::Postgres);
            let age = SystemClock.now().since(entry.at);
            assert!(age < Duration::from_mins(1), "{entry:?}");
        }
        assert_eq!(trail[1].subject, Some(owner.secret.id().0));
        assert_eq!(trail[2].subject.unwrap().to_string(), token_id);
        assert_eq!(trail[4].subject, Some(second.id.0));
        let retired = detail(&trail[4]);
        assert!(changed(&retired, "retired_at").0.is_null(), "{retired}");
        assert!(retired.get("burnt_at").is_none() && detail(&trail[5])["burnt_at"].is_array());
        let disabled = detail(&trail[6]);
        assert_eq!(changed(&disabled, "state").1, "disabled");
        assert_eq!(changed(&disabled, "version"), (&Value::from(1), &Value::from(2)));
        assert!(trail.iter().all(|entry| !entry.detail.contains("argon2")));
        let summary = verify(&node.store, Vec::new()).await.unwrap();
        assert_eq!((summary.rows, summary.first, summary.unsealed), (8, Some(1), 0));
        assert_eq!(summary.head, node.store.audit_head().await.unwrap());
    }
}

/// FC-10: two clients of one name, one after the other, are told apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_given_again_is_another_client_in_the_trail() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let first = node.client("orders").await;
        node.registry.delete_client(&first.client.client_id).await.unwrap();
        let second = node.client("orders").await;
        let named = node.store.last_of_audit(Some(&second.client.client_id), 100).await.unwrap();
        let of = |key| named.iter().flatten().filter(|entry| entry.client == Some(key)).count();
        assert_eq!((of(first.client.key.0), of(second.client.key.0)), (3, 2), "{kind:?}");
        let other = ClientId::parse("other").unwrap();
        assert!(node.store.last_of_audit(Some(&other), 100).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_by_hand_is_in_the_trail_and_is_nobodys_of_jeton() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        until_looked_after(&node).await;
        let owner = node.client("orders").await;
        let token = node.issue(&owner).await.unwrap().access_token;
        node.revoke(&owner, &token).await.unwrap();
        let database = &node.database;
        for statement in [
            "update client set state = 'disabled', scopes = scopes",
            "update client set name = name",
            "update client_secret set label = 'a ''b'' \"c\" \u{e9}', hash = replace(hash, 'm=64', 'm=65')",
            "update installation set not_before = created_at",
            "update access_token set expires_at = expires_at - 1 * (expires_at - issued_at) / 2",
            "delete from revoked_token",
            "delete from client_secret",
        ] {
            database.execute(statement).await;
        }
        let hand = trail(&node.store).await.split_off(3);
        let expected = [
            "client.update",
            "secret.update",
            "installation.update",
            "token.update",
            "token.unrevoke",
            "secret.delete",
        ];
        assert_eq!(actions(&hand), expected, "{kind:?}");
        assert!(hand.iter().all(|entry| entry.actor.is_none()));
        assert_eq!(detail(&hand[1])["hash"], "changed");
        assert_eq!(changed(&detail(&hand[1]), "label").1, "a 'b' \"c\" \u{e9}");

        // Whoever changes something through Jeton afterwards does not take them upon himself.
        let is_sealed = hand.iter().all(|entry| entry.hash.is_some());
        assert_eq!(is_sealed, kind == Kind::Postgres);
        let summary = verify(&node.store, Vec::new()).await.unwrap();
        assert_eq!(summary.unsealed, if is_sealed { 0 } else { 6 });
        let id = &owner.client.client_id;
        node.registry.set_client_state(id, ClientState::Active).await.unwrap();
        let trail = trail(&node.store).await;
        assert!(trail[3..9].iter().all(|entry| entry.actor.is_none()));
        assert_eq!(trail[9].actor.as_deref(), Some("operator:tests"));
        assert_eq!(verify(&node.store, Vec::new()).await.unwrap().unsealed, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_seals_what_was_edited_by_hand() {
    let node = TestNode::start(Kind::Sqlite).await;
    until_looked_after(&node).await;
    let owner = node.client("orders").await;
    node.database.execute("update client set name = 'by hand'").await;
    assert_eq!(verify(&node.store, Vec::new()).await.unwrap().unsealed, 1);
    node.store.upkeep(SystemClock.now(), 90).await.unwrap();
    assert_eq!(verify(&node.store, Vec::new()).await.unwrap().unsealed, 0);
    let last = node.store.last_of_audit(Some(&owner.client.client_id), 1).await.unwrap();
    let last = last[0].as_ref().unwrap();
    assert_eq!((last.action.as_str(), &last.actor), ("client.update", &None));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_names_the_actor_of_its_call() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let id = node.client("orders").await.client.client_id;
        for name in ["alice", "bob"] {
            let actor = Actor::operator(name).unwrap();
            let registry = node.registry.acting_as(actor.clone());
            registry.revoke_tokens(&id).await.unwrap();
            let last = node.store.last_of_audit(Some(&id), 1).await.unwrap();
            let last = last[0].as_ref().unwrap();
            assert_eq!(last.actor.as_deref(), Some(actor.as_str()), "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_happen_is_not_in_the_trail() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let owner = node.client("orders").await;
        let id = &owner.client.client_id;
        let before = trail(&node.store).await;
        let again = node.registry.create_client(new_client("orders"), NewSecret::default()).await;
        assert!(matches!(again, Err(RegistryError::ClientIdTaken(_))), "{kind:?}");
        let unknown = ClientId::parse("unknown").unwrap();
        node.registry.delete_client(&unknown).await.unwrap_err();
        node.registry.set_client_state(&unknown, ClientState::Disabled).await.unwrap_err();
        node.database.rolled_back("update client set name = 'x'; delete from client").await;
        // A trail that cannot be written stops the change.
        let (refuse, allow) = match kind {
            Kind::Postgres => (
                "alter table audit add constraint none_of_it check (action <> 'client.update')",
                "alter table audit drop constraint none_of_it",
            ),
            Kind::Sqlite => (
                "create trigger none_of_it before insert on audit begin
                     select raise(abort, 'no'); end",
                "drop trigger none_of_it",
            ),
        };
        node.database.execute(refuse).await;
        node.registry.set_client_state(id, ClientState::Disabled).await.unwrap_err();
        node.database.execute(allow).await;
        let client = node.registry.record(id).await.unwrap().client;
        assert_eq!(client.state, ClientState::Active);
        assert_eq!(trail(&node.store).await, before);
        // And the numbers go on without a gap.
        node.registry.set_client_state(id, ClientState::Disabled).await.unwrap();
        let summary = verify(&node.store, Vec::new()).await.unwrap();
        assert_eq!(summary.rows, 3);
    }
}

/// Writers at once, on connections of several nodes: one trail without a fork.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_make_one_trail() {
    const WRITERS: usize = 8;
    const CHANGES: usize = 25;
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let mut writing = tokio::task::JoinSet::new();
        let store = database.migrated().await;
        for writer in 0..WRITERS {
            let node = TestNode::on(database.shared(), TestNodeOptions::default()).await;
            writing.spawn(async move {
                let owner = node.client(&format!("writer-{writer}")).await;
                for _ in 0..CHANGES {
                    let token = node.issue(&owner).await.unwrap().access_token;
                    node.revoke(&owner, &token).await.unwrap();
                }
            });
        }
        while let Some(written) = writing.join_next().await {
            written.unwrap();
        }
        let summary = verify(&store, Vec::new()).await.unwrap();
        assert_eq!(summary.rows, u64::try_from(WRITERS * (CHANGES + 2)).unwrap(), "{kind:?}");
    }
}

/// Only what a client does to its own token, now and until it expires, is routine.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_is_not_routine_says_everything() {
    let node = TestNode::start(Kind::Postgres).await;
    let owner = node.client("orders").await;
    let mut admin = PgConnection::connect(&node.database.url).await.unwrap();
    for (actor, revoked_at, keep_until, is_routine) in [
        ("client:orders", "now()", "expires_at", true),
        ("client:orders", "now()", "expires_at + interval '1 day'", false),
        ("client:orders", "now() - interval '2 minutes'", "expires_at", false),
        ("client:other", "now()", "expires_at", false),
        ("operator:alice", "now()", "expires_at", false),
    ] {
        let token = node.issue(&owner).await.unwrap().access_token;
        let id = node.introspect(&owner, &token).await.unwrap().token_id;
        let statement = format!(
            "insert into revoked_token
             select id, {revoked_at}, {keep_until} from access_token,
                    (select set_config('jeton.actor', '{actor}', true)) as actor
             where id = '{id}'"
        );
        sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
        let last = trail(&node.store).await.pop().unwrap();
        assert_eq!(last.subject.unwrap().to_string(), id);
        assert_eq!(last.actor_in_full().as_deref(), Some(actor));
        assert_eq!(last.client_id.as_deref(), Some("orders"));
        assert_eq!(last.detail == "{}", is_routine, "{last:?}");
        assert_eq!(last.client, (!is_routine).then_some(owner.client.key.0), "{last:?}");
    }
    verify(&node.store, Vec::new()).await.unwrap();
    let shorter: bool = sqlx::query_scalar(
        "select 5 * max(pg_column_size(audit)) filter (where detail = '{}')
                < 4 * min(pg_column_size(audit)) filter (where detail <> '{}')
         from audit where action = 'token.revoke'",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(shorter, "a short row is shorter");
}
