//! Updates of clients: what is named changes and nothing else, and nobody overwrites what somebody
//! else has changed in between.

mod commands;
mod filters;
mod grantable;
mod model;

use std::collections::BTreeSet;

use jeton::{
    domain::{ClientState, Etag, Labels, LimitChange, Malformed, QuotaChange, QuotaLimit, Scope},
    registry::{ClientUpdate, RegistryError},
};
use tonic::Code;

use crate::support::{Database, Kind, TestNode, TestNodeOptions, node::audiences};

fn scopes(names: &[&str]) -> BTreeSet<Scope> {
    Scope::parse_set(names).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_changes_and_nothing_else_and_every_node_knows_at_once() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        // There is one node on SQLite.
        let other = match kind {
            Kind::Postgres => Some(TestNode::beside(&node, TestNodeOptions::default()).await),
            Kind::Sqlite => None,
        };
        let owner = node.client("orders").await;
        let id = &owner.client.client_id;
        for node in other.iter().chain([&node]) {
            assert_eq!(node.issue(&owner).await.unwrap().scopes, ["read", "write"]);
        }
        let before = node.registry.record(id).await.unwrap();

        let update = ClientUpdate {
            scopes: Some(scopes(&["read"])),
            default_scopes: Some(scopes(&["read"])),
            labels: Some(Labels::parse(["team=payments"]).unwrap()),
            owner: Some("payments@example.com".to_owned()),
            quota: QuotaChange {
                live_tokens: LimitChange::Set(QuotaLimit::new(7).unwrap()),
                ..QuotaChange::default()
            },
            ..ClientUpdate::default()
        };
        let updated = node.registry.update_client(id, &update, None).await.unwrap();
        let fields: Vec<_> = updated.changes().iter().map(|change| change.field).collect();
        assert_eq!(fields, ["scopes", "default_scopes", "live_tokens", "labels", "owner"]);
        assert_eq!(updated.before, before);
        let stored = node.registry.record(id).await.unwrap();
        assert_eq!(stored, updated.after, "{kind:?}");
        assert_eq!(stored.client.version, before.client.version + 1);
        assert_eq!(stored.client.audiences, audiences(&["https://api.test"]));
        assert_eq!(stored.about.note, "");

        // No node waits for a cache entry to grow old.
        for node in other.iter().chain([&node]) {
            assert_eq!(node.issue(&owner).await.unwrap().scopes, ["read"], "{kind:?}");
        }

        let trail = node.store.last_of_audit(Some(id), 1).await.unwrap().remove(0).unwrap();
        assert_eq!(
            (trail.action.as_str(), trail.actor.as_deref()),
            ("client.update", Some("operator:tests"))
        );
        assert!(trail.detail.contains("payments@example.com"), "{}", trail.detail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_changes_nothing_writes_nothing() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let id = node.client("orders").await.client.client_id;
        let before = node.registry.record(&id).await.unwrap();
        let rows = node.store.last_of_audit(None, 100).await.unwrap().len();
        let update = ClientUpdate {
            scopes: Some(scopes(&["write", "read"])),
            name: Some(String::new()),
            ..ClientUpdate::default()
        };
        let etag = Etag::of(&before);
        let updated = node.registry.update_client(&id, &update, Some(&etag)).await.unwrap();
        assert!(updated.changes().is_empty(), "{kind:?}");
        assert_eq!(node.registry.record(&id).await.unwrap(), before, "{kind:?}");
        assert_eq!(node.store.last_of_audit(None, 100).await.unwrap().len(), rows);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_the_rules_of_creation() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let id = node.client("orders").await.client.client_id;
        let before = node.registry.record(&id).await.unwrap();
        let many: BTreeSet<_> = (0..65).map(|n| Scope::parse(&format!("s{n}")).unwrap()).collect();
        let refused = [
            // The default scopes, which are read and write, would be left over.
            (
                ClientUpdate { scopes: Some(scopes(&["read"])), ..Default::default() },
                "default scope",
            ),
            (
                ClientUpdate { default_scopes: Some(scopes(&["admin"])), ..Default::default() },
                "default scope",
            ),
            (ClientUpdate { scopes: Some(many), ..Default::default() }, "at most 64 scopes"),
            (ClientUpdate { note: Some("two\nlines".to_owned()), ..Default::default() }, "a note"),
            (
                ClientUpdate { owner: Some("\u{202e}x".to_owned()), ..Default::default() },
                "an owner",
            ),
            (ClientUpdate { name: Some("\u{1b}[2J".to_owned()), ..Default::default() }, "a name"),
        ];
        for (update, why) in refused {
            match node.registry.update_client(&id, &update, None).await {
                Err(RegistryError::Malformed(Malformed(said))) => {
                    assert!(said.contains(why), "{said}");
                }
                other => panic!("{kind:?}: {other:?}"),
            }
        }
        assert_eq!(node.registry.record(&id).await.unwrap(), before, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_of_another_content_is_refused_and_the_error_names_what_differs() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let owner = node.client("orders").await;
        let id = &owner.client.client_id;
        let update = ClientUpdate { name: Some("Orders".to_owned()), ..ClientUpdate::default() };
        let (mut wrong, mut expected) = (Vec::new(), BTreeSet::new());
        let edits = ["owner = 'somebody'", "token_lifetime_seconds = 60", "state = 'disabled'"];
        for (edit, field) in edits.into_iter().zip(["owner", "token_lifetime_seconds", "state"]) {
            wrong.push(Etag::of(&node.registry.record(id).await.unwrap()));
            // By hand, which nothing in Jeton knows of beforehand.
            let statement = format!("update client set {edit} where client_id = 'orders'");
            node.database.execute_all(&statement).await;
            expected.insert(field);
        }
        for etag in &wrong {
            match node.registry.update_client(id, &update, Some(etag)).await {
                Err(RegistryError::EtagMismatch(named, fields)) => {
                    assert_eq!(named, *id);
                    // One byte tells of each field, and it may be the same by chance.
                    assert!(fields.iter().all(|field| expected.contains(field)), "{fields:?}");
                }
                other => panic!("{kind:?}: {other:?}"),
            }
            let last = node.registry.record(id).await.unwrap();
            assert_eq!(last.client.name, "", "{kind:?}");
        }
        // What is not content does not matter: secrets, and revoked tokens.
        let etag = Etag::of(&node.registry.record(id).await.unwrap());
        node.registry.revoke_tokens(id).await.unwrap();
        node.registry.add_secret(id, jeton::registry::NewSecret::default()).await.unwrap();
        node.registry.update_client(id, &update, Some(&etag)).await.unwrap();

        // A client that was deleted and made again is another one.
        let etag = Etag::of(&node.registry.record(id).await.unwrap());
        node.registry.delete_client(id).await.unwrap();
        let gone = node.registry.update_client(id, &update, Some(&etag)).await;
        assert!(matches!(gone, Err(RegistryError::NoSuchClient(_))), "{gone:?}");
        node.client("orders").await;
        let refused = node.registry.update_client(id, &update, Some(&etag)).await;
        assert!(matches!(refused, Err(RegistryError::EtagMismatch(..))), "{refused:?}");
    }
}

/// The compare happens in the statement that writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_with_the_same_etag_exactly_one_wins() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let id = node.client("orders").await.client.client_id;
        for round in 0..20 {
            let etag = Etag::of(&node.registry.record(&id).await.unwrap());
            let write = |writer: usize| {
                let (registry, id) = (node.registry.clone(), id.clone());
                let name = Some(format!("round {round}, writer {writer}"));
                let update = ClientUpdate { name, ..ClientUpdate::default() };
                tokio::spawn(async move { registry.update_client(&id, &update, Some(&etag)).await })
            };
            let writers: Vec<_> = (0..4).map(write).collect();
            let mut won = Vec::new();
            for writer in writers {
                match writer.await.unwrap() {
                    Ok(updated) => won.push(updated.after),
                    Err(RegistryError::EtagMismatch(..)) => {}
                    Err(other) => panic!("{kind:?}: {other:?}"),
                }
            }
            assert_eq!(won.len(), 1, "{kind:?}, round {round}");
            assert_eq!(node.registry.record(&id).await.unwrap(), won[0], "{kind:?}");
        }
    }
}

/// Without an etag, writers of different fields do not undo each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_different_fields_both_succeed() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let id = node.client("orders").await.client.client_id;
        for round in 0..10 {
            let text = Some(format!("round {round}"));
            let owner = ClientUpdate { owner: text.clone(), ..ClientUpdate::default() };
            let noted = ClientUpdate { note: text.clone(), ..ClientUpdate::default() };
            let (one, two, three) = tokio::join!(
                node.registry.update_client(&id, &owner, None),
                node.registry.update_client(&id, &noted, None),
                node.registry.set_client_state(&id, ClientState::Active),
            );
            three.unwrap();
            one.unwrap();
            two.unwrap();
            let about = node.registry.record(&id).await.unwrap().about;
            assert_eq!((Some(about.owner), Some(about.note)), (text.clone(), text), "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_what_a_terminal_would_obey() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let id = if kind == Kind::Postgres { "gen_random_uuid()" } else { "randomblob(16)" };
        let made = format!(
            "insert into client (id, client_id, created_at)
             select {id}, 'orders', created_at from installation"
        );
        database.execute_all(&made).await;
        let code = |code: u32| {
            if kind == Kind::Postgres { format!("chr({code})") } else { format!("char({code})") }
        };
        for column in ["owner", "note"] {
            for bad in [0x01, 0x0a, 0x1b, 0x7f, 0x9b, 0xad, 0x200b, 0x202e, 0x2066, 0xfeff, 0xe0041]
            {
                let edit = format!("update client set {column} = 'a' || {} || 'b'", code(bad));
                let refused = database.refuses(&edit).await;
                assert!(refused.contains("is_short_and_printable"), "{edit}: {refused}");
            }
            for good in [0x20, 0x7e, 0xe9, 0x200c, 0x200d, 0x6ce8, 0x1f600] {
                let edit = format!("update client set {column} = 'a' || {} || 'b'", code(good));
                database.execute_all(&edit).await;
            }
            let long = format!("update client set {column} = '{}'", "x".repeat(1025));
            assert!(database.refuses(&long).await.contains("is_short_and_printable"));
        }
        let labels = |list: &[&str]| match kind {
            Kind::Postgres => format!("update client set labels = array['{}']", list.join("','")),
            Kind::Sqlite => format!("update client set labels = '{}'", list.join(" ")),
        };
        database
            .execute_all(&labels(&["team=payments", "a/b.c=", "url=https://x.test/?a=b"]))
            .await;
        let odd = labels(&["team=a\u{202e}b"]);
        assert!(database.refuses(&odd).await.contains("client_labels_are"), "{odd}");
        if kind == Kind::Postgres {
            for odd in [&["team"][..], &["=x"], &["a=b c"], &["a=b\nc=d"], &["a=\\"], &[""]] {
                let odd = labels(odd);
                let refused = database.refuses(&odd).await;
                assert!(refused.contains("client_labels_are_keys_and_values"), "{odd}: {refused}");
            }
        }
    }
}

/// A row with labels that are none is a fault of its own, of administration only.
#[tokio::test(flavor = "multi_thread")]
async fn labels_that_cannot_be_read_stop_no_request() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let owner = node.client("orders").await;
        let twice = match kind {
            Kind::Postgres => "update client set labels = '{a=b,a=c}'",
            Kind::Sqlite => "update client set labels = 'a=b a=c'",
        };
        node.database.execute(twice).await;
        node.issue(&owner).await.unwrap();
        let unreadable = node.registry.record(&owner.client.client_id).await;
        let Err(RegistryError::Unreadable(row)) = unreadable else { panic!("{unreadable:?}") };
        assert_eq!((&*row.column, row.client_id.as_deref()), ("labels", Some("orders")));
        let listed = node.registry.list_clients(&jeton::store::ClientFilter::default()).await;
        assert_eq!(listed.unwrap().into_iter().filter(Result::is_err).count(), 1, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_loses_its_grant_is_refused_at_once() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let owner = node.client("orders").await;
        node.issue(&owner).await.unwrap();
        let no_grant = ClientUpdate { grants: Some(BTreeSet::new()), ..ClientUpdate::default() };
        node.registry.update_client(&owner.client.client_id, &no_grant, None).await.unwrap();
        let refused = node.issue(&owner).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{kind:?}: {refused:?}");
    }
}
