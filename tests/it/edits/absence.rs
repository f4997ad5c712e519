//! A row that is not there grants nothing.

use jeton::{
    domain::{Clock, SystemClock},
    store::Retirement,
};
use tonic::Code;

use super::Scene;
use crate::support::{
    Kind, TestNode, TestNodeOptions,
    node::{CACHE, NO_CACHE},
};

/// Of a node that caches, and of one that asks the database each time.
async fn scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for kind in Kind::BOTH {
        for cache in [CACHE, NO_CACHE] {
            let options = TestNodeOptions { cache, ..TestNodeOptions::default() };
            scenes.push(Scene::of(TestNode::start_with(kind, options).await).await);
        }
    }
    scenes
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_row_of_a_leaked_secret_does_not_revive_its_tokens() {
    for scene in scenes().await {
        let leaked = scene.client("orders").await;
        assert!(scene.is_active(&leaked).await);
        let (id, secret) = (&leaked.owner.client.client_id, leaked.owner.secret.id());
        scene.node.registry.retire_secret(id, secret, Retirement::Leaked).await.unwrap();
        assert!(!scene.is_active(&leaked).await);
        scene.write("", "delete from client_secret where id = {secret}", &leaked).await;
        assert!(!scene.is_active(&leaked).await, "{:?}", scene.node.database.kind);
        assert!(scene.node.issue(&leaked.owner).await.is_err());
    }
}

/// A connection without foreign keys leaves the secrets of a client behind, as a replica does.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_whose_client_is_gone_grants_nothing() {
    for scene in scenes().await {
        let gone = scene.client("orders").await;
        assert!(scene.is_active(&gone).await);
        let prefix = match scene.node.database.kind {
            Kind::Postgres => "set session_replication_role = replica; ",
            Kind::Sqlite => "pragma foreign_keys = off; ",
        };
        scene.write(prefix, "delete from client where id = {client}", &gone).await;
        let left = "select count(*) from client_secret";
        assert_eq!(scene.node.database.number(left).await, 2, "one of them has no client");
        assert!(!scene.is_active(&gone).await);
        let refused = scene.node.issue(&gone.owner).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        // Another client of that name is another client.
        let anew = scene.client("orders").await;
        assert!(scene.is_active(&anew).await && !scene.is_active(&gone).await);
        assert!(scene.node.issue(&gone.owner).await.is_err());
    }
}

/// The moment before which all tokens are dead is gone with it, and a fault is never "inactive".
#[tokio::test(flavor = "multi_thread")]
async fn without_the_row_of_the_installation_no_token_is_told_to_be_active() {
    for scene in scenes().await {
        let known = scene.client("orders").await;
        assert!(scene.is_active(&known).await);
        let kept = "create table kept as select * from installation; delete from installation";
        scene.write("", kept, &known).await;
        let fault = scene.node.introspect(&scene.server, &known.token).await.unwrap_err();
        assert_eq!(fault.code(), Code::Internal, "{:?}", scene.node.database.kind);
        scene.write("", "insert into installation select * from kept", &known).await;
        assert!(scene.is_active(&known).await);
    }
}

/// Jeton removes revocations when their tokens are dead, and goes by what the row says of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_by_hand_is_kept_for_as_long_as_its_token_lives() {
    for scene in scenes().await {
        let known = scene.client("orders").await;
        let long_ago = match scene.node.database.kind {
            Kind::Postgres => "now() - interval '3 hours'",
            Kind::Sqlite => "(unixepoch() - 10800) * 1000000",
        };
        for by_hand in [
            format!("insert into revoked_token values ({{token}}, {long_ago}, {long_ago})"),
            format!("update revoked_token set keep_until = {long_ago}"),
        ] {
            scene.write("", &by_hand, &known).await;
            let done = scene.node.store.upkeep(SystemClock.now(), 90).await.unwrap();
            assert_eq!(done.revocations_forgotten, 0, "{by_hand}");
            scene.node.database.heard().await;
            assert!(!scene.is_active(&known).await, "{by_hand}");
        }
        assert_eq!(scene.trail().await.last().unwrap(), "token.revoke");
        // That of a token which was never there, or is gone, goes as before.
        let unknown = match scene.node.database.kind {
            Kind::Postgres => "gen_random_uuid()",
            Kind::Sqlite => "randomblob(16)",
        };
        let of_nobody =
            format!("insert into revoked_token values ({unknown}, {long_ago}, {long_ago})");
        scene.write("", &of_nobody, &known).await;
        let done = scene.node.store.upkeep(SystemClock.now(), 90).await.unwrap();
        assert_eq!(done.revocations_forgotten, 1);
    }
}
