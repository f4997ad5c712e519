//! A scope that was taken away from a client is not issued any more.

use std::{fs, path::Path};

use jeton::domain::ClientState;
use sqlx::{Connection, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions};
use tonic::Code;

use super::Scene;
use crate::support::{Database, Kind, TestNode, TestNodeOptions};

/// A row as no database takes it any more: somebody lifted the rule, or wrote it before there was
/// one.
async fn write_without_rule(scene: &Scene, set: &str) {
    let lift = match scene.node.database.kind {
        Kind::Postgres => {
            "alter table client drop constraint if exists client_default_scopes_are_registered; "
        }
        Kind::Sqlite => "drop trigger if exists client_default_scopes_stay_registered; ",
    };
    let set = match scene.node.database.kind {
        Kind::Postgres => set.replace('[', "'{").replace(']', "}'"),
        Kind::Sqlite => {
            set.replace(',', " ").replace(['[', ']'], "'").replace("' default", "', default")
        }
    };
    let update = format!("update client set {set} where client_id = 'orders'");
    scene.node.database.execute_all(&format!("{lift}{update}")).await;
    scene.node.database.heard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn default_scopes_are_issued_only_as_far_as_they_are_registered() {
    for kind in Kind::BOTH {
        let scene = Scene::new(kind).await;
        let known = scene.client("orders").await;
        let issued = |set| {
            let (scene, owner) = (&scene, &known.owner);
            async move {
                write_without_rule(scene, set).await;
                scene.node.issue(owner).await
            }
        };
        let granted = issued("scopes = [read]").await.unwrap();
        assert_eq!(granted.scopes, ["read"], "{kind:?}");
        let told = scene.node.introspect(&known.owner, &granted.access_token).await.unwrap();
        assert_eq!(told.scopes, ["read"]);

        let granted = issued("default_scopes = [never.registered,read]").await.unwrap();
        assert_eq!(granted.scopes, ["read"]);
        for none_left in ["default_scopes = [never.registered]", "scopes = []"] {
            let refused = issued(none_left).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{kind:?}: {none_left}");
            let why = "none of the default scopes of the client is registered";
            assert!(refused.message().contains(why), "{}", refused.message());
        }
        assert_eq!(issued("default_scopes = []").await.unwrap().scopes, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn default_scopes_that_are_not_registered_are_refused_when_they_are_written() {
    let scene = Scene::new(Kind::Sqlite).await;
    scene.client("orders").await;
    let insert = "into client (id, client_id, scopes, default_scopes, created_at)
                  values (randomblob(16), 'new', 'a b', 'a c', 0)";
    for wrong in [
        "update client set scopes = 'read' where client_id = 'orders'",
        "update client set default_scopes = 'never.registered' where client_id = 'orders'",
        "update client set default_scopes = 'read write rea' where client_id = 'orders'",
        "update client set scopes = 'read.all write' where client_id = 'orders'",
        "update or ignore client set scopes = '\"', default_scopes = '\"]' \
         where client_id = 'orders'",
        &format!("insert {insert}"),
        &format!("insert or ignore {insert}"),
        &format!("replace {insert}"),
    ] {
        let refused = scene.node.database.refuses(wrong).await;
        assert!(refused.contains("default_scopes must be part of scopes: "), "{wrong}: {refused}");
    }
    for right in [
        "update client set scopes = 'read', default_scopes = 'read' where client_id = 'orders'",
        "update client set scopes = 'write  read', default_scopes = ' read ' \
         where client_id = 'orders'",
        "update client set scopes = '', default_scopes = '' where client_id = 'orders'",
        "insert into client (id, client_id, scopes, default_scopes, created_at)
         values (randomblob(16), 'new', 'a b', 'b a', 0)",
    ] {
        scene.node.database.execute_all(right).await;
    }
}

/// A file of the version before, with a row that breaks the rule.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_broke_the_rule_before_is_migrated_and_can_be_changed() {
    let database = Database::new(Kind::Sqlite).await;
    let before = tempfile::tempdir().unwrap();
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    for migration in fs::read_dir(all).unwrap().flatten() {
        let name = migration.file_name();
        if name.to_str().unwrap() < "0005" {
            fs::copy(migration.path(), before.path().join(name)).unwrap();
        }
    }
    let file = SqliteConnectOptions::new()
        .filename(database.dir.path().join("jeton.db"))
        .create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    Migrator::new(before.path()).await.unwrap().run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    database
        .execute_all(
            "insert into client (id, client_id, scopes, default_scopes, created_at)
             values (randomblob(16), 'old', 'read', 'read admin', 0)",
        )
        .await;

    let node = TestNode::on(database, TestNodeOptions::default()).await;
    let id = jeton::domain::ClientId::parse("old").unwrap();
    node.registry.set_client_state(&id, ClientState::Disabled).await.unwrap();
    let whole_row = "update client set name = 'Old', scopes = scopes, \
                     default_scopes = default_scopes, state = 'active'";
    node.database.execute_all(whole_row).await;
    let client = node.registry.record(&id).await.unwrap().client;
    assert_eq!((client.name.as_str(), client.state), ("Old", ClientState::Active));
    let refused = node.database.refuses("update client set scopes = 'read write'").await;
    assert!(refused.contains("in the same statement"), "{refused}");
    let mended = "update client set scopes = 'read write', default_scopes = 'read'";
    node.database.execute_all(mended).await;
}
