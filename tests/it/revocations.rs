//! Many revocations at the same time: they share statements, and each keeps its row of the trail.

use std::{collections::BTreeMap, sync::Arc};

use jeton::{
    domain::{AuditReader, TokenId},
    store::Store,
};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Kind, TestNode, TestNodeOptions, http::get, node::Credentials};

/// A counter of a node.
async fn count(node: &TestNode, name: &str) -> u64 {
    let page = get(node.node.probe_addr(), "/metrics").await;
    let page = String::from_utf8_lossy(&page.body);
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

async fn id_of(node: &TestNode, owner: &Credentials, token: &str) -> TokenId {
    TokenId(node.introspect(owner, token).await.unwrap().token_id.parse().unwrap())
}

/// The `client_id` of each revoked token, in a trail whose chain of hashes is whole.
async fn revoked(store: &Arc<dyn Store>) -> BTreeMap<TokenId, Option<String>> {
    let mut reader = AuditReader::new(Vec::new());
    let mut revoked = BTreeMap::new();
    for entry in store.audit_after(0, 10_000).await.unwrap() {
        let entry = entry.unwrap();
        if entry.action == "token.revoke" {
            let twice = revoked.insert(TokenId(entry.subject.unwrap()), entry.client_id.clone());
            assert!(twice.is_none() && entry.actor.as_deref() == Some("client"), "{entry:?}");
        }
        reader.read(entry).unwrap();
    }
    reader.finish().unwrap();
    revoked
}

/// Each is in force on both nodes when it is acknowledged, although both have cached its token.
#[tokio::test(flavor = "multi_thread")]
async fn revocations_that_arrive_together_share_statements_and_keep_a_row_each() {
    const EACH: usize = 60;
    for kind in Kind::BOTH {
        let node = Arc::new(TestNode::start(kind).await);
        let second = Arc::new(TestNode::beside(&node, TestNodeOptions::default()).await);
        let mut expected = BTreeMap::new();
        let mut tokens = Vec::new();
        for name in ["orders", "stock"] {
            let owner = Arc::new(node.client(name).await);
            for _ in 0..EACH {
                let token = node.issue(&owner).await.unwrap().access_token;
                assert!(second.introspect(&owner, &token).await.unwrap().active);
                expected.insert(id_of(&node, &owner, &token).await, Some(name.to_owned()));
                tokens.push((Arc::clone(&owner), token));
            }
        }
        let mut revoking = JoinSet::new();
        for (owner, token) in tokens {
            let (node, second) = (Arc::clone(&node), Arc::clone(&second));
            revoking.spawn(async move {
                node.revoke(&owner, &token).await.unwrap();
                for node in [node, second] {
                    assert!(!node.introspect(&owner, &token).await.unwrap().active);
                }
            });
        }
        revoking.join_all().await;
        assert_eq!(revoked(&node.store).await, expected, "{kind:?}");
        let batches = count(&node, "jeton_revocation_batches_total").await;
        let tokens = count(&node, "jeton_revocation_batch_tokens_total").await;
        assert_eq!(tokens, 2 * EACH as u64);
        assert!(batches < tokens, "{kind:?}: {batches} statements");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_fails_fails_alone() {
    for kind in Kind::BOTH {
        let node = Arc::new(TestNode::start(kind).await);
        let owner = Arc::new(node.client("orders").await);
        let mut tokens = Vec::new();
        for _ in 0..40 {
            tokens.push(node.issue(&owner).await.unwrap().access_token);
        }
        let bad = id_of(&node, &owner, &tokens[7]).await.0;
        let refusal = match kind {
            Kind::Postgres => format!(
                "create function refuse() returns trigger language plpgsql as
                     $$ begin raise exception 'on purpose'; end $$;
                 create trigger refusal before insert on revoked_token for each row
                     when (new.id = '{bad}') execute function refuse()"
            ),
            Kind::Sqlite => format!(
                "create trigger refusal before insert on revoked_token
                     when new.id = x'{}' begin select raise(abort, 'on purpose'); end",
                bad.simple()
            ),
        };
        node.database.execute_all(&refusal).await;
        let mut revoking = JoinSet::new();
        for (number, token) in tokens.into_iter().enumerate() {
            let (node, owner) = (Arc::clone(&node), Arc::clone(&owner));
            revoking.spawn(async move {
                let outcome = node.revoke(&owner, &token).await.map_err(|error| error.code());
                let expected = if number == 7 { Err(Code::Internal) } else { Ok(()) };
                assert_eq!(outcome, expected, "{kind:?}: {number}");
                let is_active = node.introspect(&owner, &token).await.unwrap().active;
                assert_eq!(is_active, number == 7, "{kind:?}: {number}");
            });
        }
        revoking.join_all().await;
        assert_eq!(revoked(&node.store).await.len(), 39, "{kind:?}");
    }
}

/// As the function of Postgres and the statement of SQLite do it alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_passes_over_what_is_unknown_or_revoked() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let owner = node.client("orders").await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            let token = node.issue(&owner).await.unwrap().access_token;
            ids.push(id_of(&node, &owner, &token).await);
        }
        let now = jeton::domain::Clock::now(&jeton::domain::SystemClock);
        let unknown = TokenId(jeton::domain::uuid_v7(now, &jeton::domain::OsRandom).unwrap());
        node.store.revoke_tokens(&[ids[2], unknown, ids[0], ids[2]], now).await.unwrap();
        node.store.revoke_tokens(&[ids[0], unknown], now).await.unwrap();
        node.store.revoke_tokens(&[], now).await.unwrap();
        let revoked = revoked(&node.store).await;
        assert_eq!(revoked.into_keys().collect::<Vec<_>>(), [ids[0], ids[2]], "{kind:?}");
    }
}
