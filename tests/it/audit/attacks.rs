//! What is done to the rows of the trail, by age, by accident and by those who own the database.

use std::sync::Arc;

use jeton::{
    domain::{AuditEntry, AuditMark, ClientState, Clock, SystemClock, Tampered},
    store::Store,
};
use serde_json::Value;

use super::verify;
use crate::support::{Database, Kind, TestNode, TestNodeOptions};

/// Five changes, and what undoes the protection of their rows.
async fn trail_to_attack(kind: Kind) -> (Database, Arc<dyn Store>, AuditMark) {
    let database = Database::new(kind).await;
    let store = database.migrated().await;
    let node = TestNode::on(database.shared(), TestNodeOptions::default()).await;
    let owner = node.client("orders").await;
    let id = &owner.client.client_id;
    for state in [ClientState::Disabled, ClientState::Active, ClientState::Disabled] {
        node.registry.set_client_state(id, state).await.unwrap();
    }
    node.node.drain().await;
    let head = verify(&store, Vec::new()).await.unwrap().head.unwrap();
    assert_eq!(head.seq, 5);
    database
        .execute(match kind {
            Kind::Postgres => "alter table audit disable trigger all",
            Kind::Sqlite => "drop trigger audit_is_append_only",
        })
        .await;
    (database, store, head)
}

/// M-25.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_the_rows_shows() {
    let attacks = [
        ("update audit set actor = 'operator:else' where seq = 3", Tampered::Altered(3)),
        ("update audit set client_id = null where seq = 5", Tampered::Altered(5)),
        ("delete from audit where seq = 3", Tampered::Gap { expected: 3, found: 4 }),
        ("delete from audit where seq <= 2", Tampered::Beheaded(3)),
        ("delete from audit where seq >= 4", Tampered::Truncated { end: 3, mark: 5 }),
        ("delete from audit", Tampered::Truncated { end: 0, mark: 5 }),
        (
            "update audit set seq = 7 where seq = 3; update audit set seq = 3 where seq = 4;
             update audit set seq = 4 where seq = 7",
            Tampered::Altered(3),
        ),
        (
            "insert into audit (seq, at, action, detail, hash)
             select 6, at, action, detail, hash from audit where seq = 5",
            Tampered::Altered(6),
        ),
    ];
    for kind in Kind::BOTH {
        for (attack, expected) in &attacks {
            let (database, store, mark) = trail_to_attack(kind).await;
            for statement in attack.split(';') {
                database.execute(statement).await;
            }
            let found = verify(&store, vec![mark]).await;
            assert_eq!(found, Err(expected.clone()), "{kind:?}: {attack}");
        }
    }
}

/// A trail that is written anew as a whole is consistent, and still not the one that was marked.
#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_is_written_anew_shows_against_a_mark() {
    for kind in Kind::BOTH {
        let (database, store, mark) = trail_to_attack(kind).await;
        match kind {
            Kind::Postgres => {
                database.execute("update audit set actor = 'operator:else' where seq = 3").await;
                database.execute(REHASH).await;
            }
            Kind::Sqlite => {
                database.execute("update audit set action = 'else', hash = x''").await;
                store.upkeep(SystemClock.now(), 90).await.unwrap();
            }
        }
        let anew = verify(&store, Vec::new()).await.unwrap().head.unwrap();
        assert_eq!(anew.seq, mark.seq, "{kind:?}");
        assert_eq!(verify(&store, vec![mark]).await, Err(Tampered::OtherThanMarked(5)));
        assert_eq!(verify(&store, vec![anew]).await.unwrap().head, Some(anew));
    }
}

/// Makes all hashes anew, as somebody could who owns the database.
const REHASH: &str = "do $$
    declare entry audit; previous bytea := '';
    begin
        for entry in select * from audit order by seq loop
            previous := audit_hash(previous, entry);
            update audit set hash = previous where seq = entry.seq;
        end loop;
    end $$";

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_not_changed_by_accident() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        node.client("orders").await;
        let refused = node.database.refuses("update audit set actor = 'else'").await;
        assert!(refused.contains("never changed"), "{kind:?}: {refused}");
        if kind == Kind::Sqlite {
            let replace = "replace into audit (seq, action, detail) values (1, 'else', '{}')";
            let refused = node.database.refuses(replace).await;
            assert!(refused.contains("never changed"), "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_cut_off_and_what_is_left_still_verifies() {
    for kind in Kind::BOTH {
        let (database, store, _) = trail_to_attack(kind).await;
        // Three rows of a hundred days ago, and two of today.
        match kind {
            Kind::Postgres => {
                let age = "update audit set at = at - interval '100 days' where seq <= 3";
                database.execute(age).await;
                database.execute(REHASH).await;
                database.execute("alter table audit enable trigger all").await;
            }
            Kind::Sqlite => {
                let day = 24_i64 * 3_600 * 1_000_000;
                let age =
                    format!("update audit set at = at - iif(seq <= 3, 100 * {day}, 0), hash = x''");
                database.execute(&age).await;
            }
        }
        let kept = store.upkeep(SystemClock.now(), 100).await.unwrap();
        assert_eq!(kept.audit_forgotten, 0, "{kind:?}: once a day, not at once");
        let done = store.upkeep(SystemClock.now(), 90).await.unwrap();
        assert_eq!(done.audit_forgotten, 3, "{kind:?}");
        let again = store.upkeep(SystemClock.now(), 90).await.unwrap();
        assert_eq!(again.audit_forgotten, 0);

        let summary = verify(&store, Vec::new()).await.unwrap();
        assert_eq!((summary.rows, summary.first), (3, Some(4)), "{kind:?}");
        let last = store.last_of_audit(None, 1).await.unwrap().remove(0).unwrap();
        assert_eq!((last.action.as_str(), last.actor.as_deref()), (AuditEntry::CUT, Some("jeton")));
        // A mark of the row before the first can be compared, and an older one cannot.
        let cut: Value = serde_json::from_str(&last.detail).unwrap();
        let before = format!("3:{}", cut["hash"].as_str().unwrap());
        let before = AuditMark::parse(&before).unwrap();
        verify(&store, vec![before]).await.unwrap();
        let older = AuditMark { seq: 2, ..before };
        let away = Tampered::CutAway { first: 4, mark: 2 };
        assert_eq!(verify(&store, vec![older]).await, Err(away));
        // The first row that is left is covered by what the cut says of the row before it.
        database
            .execute(match kind {
                Kind::Postgres => "alter table audit disable trigger all",
                Kind::Sqlite => "select 1",
            })
            .await;
        database.execute("update audit set actor = 'operator:else' where seq = 4").await;
        assert_eq!(verify(&store, Vec::new()).await, Err(Tampered::Altered(4)));
    }
}

/// Whoever may edit clients is told of, and may neither write the trail nor cut it.
#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_not_for_those_who_edit_clients() {
    let node = TestNode::start(Kind::Postgres).await;
    node.client("orders").await;
    let role = format!("editor_{}", std::process::id());
    for statement in [
        format!("create role {role}"),
        format!("grant select, update on client to {role}"),
        format!("set role {role}; update client set name = 'by hand'"),
    ] {
        node.database.execute_all(&statement).await;
    }
    let last = node.store.last_of_audit(None, 1).await.unwrap().remove(0).unwrap();
    assert_eq!(last.action, "client.update");
    for forbidden in [
        "select cut_audit(0, 100)",
        "select record_audit('client.update', null, null, null, '{}')",
        "insert into audit select * from audit",
    ] {
        let attempt = format!("set role {role}; {forbidden}");
        let refused = node.database.refuses(&attempt).await;
        assert!(refused.contains("permission denied"), "{forbidden}: {refused}");
    }
    node.database.execute_all(&format!("drop owned by {role}; drop role {role}")).await;
}
