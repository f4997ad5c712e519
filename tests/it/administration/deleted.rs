//! What happens to a client and its secrets while it is deleted, and holds when it comes back.

use jeton::{
    domain::{Clock, SecretState as State, SystemClock},
    pb::v1::{
        BurnSecretRequest, ErrorReason, ReportLeakedSecretRequest, RestoreSecretRequest,
        SecretState,
    },
    registry::{NewSecret, RegistryError},
};

use super::{
    id, named, orders,
    undo::{delete, undelete},
};
use crate::support::{
    Kind,
    control::{Controlled, why},
    everything,
    node::Credentials,
};

/// One more secret of the client `orders`.
async fn more(at: &Controlled, of: &Credentials) -> Credentials {
    let added = at.node.registry.add_secret(&named("orders"), NewSecret::default()).await.unwrap();
    everything::note_secrets_in(added.1.expose());
    Credentials { client: of.client.clone(), secret: added.1 }
}

/// Retires all secrets of the client `orders` so many days ago, by hand.
async fn retire_before(at: &Controlled, kind: Kind, days: u32) {
    let moment = match kind {
        Kind::Postgres => format!("now() - interval '{days} days'"),
        Kind::Sqlite => format!("(unixepoch() - {days} * 86400) * 1000000"),
    };
    let update = format!(
        "update client_secret set retired_at = {moment}
         where client = (select id from client where client_id = 'orders')"
    );
    at.node.database.execute(&update).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_leaks_while_its_client_is_deleted_stays_out_of_use() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let reported = at.node.client("orders").await;
        let burnt = more(&at, &reported).await;
        let sound = more(&at, &reported).await;
        control.delete_client(at.ask(delete("orders")).await).await.unwrap();

        let client_secret = reported.secret().to_owned();
        let report = ReportLeakedSecretRequest { client_secret };
        at.node.grpc.clone().report_leaked_secret(report).await.unwrap();
        // As often as somebody finds it.
        for _ in 0..2 {
            let client_secret = burnt.secret().to_owned();
            let burn = BurnSecretRequest { client_secret, ..Default::default() };
            let told = control.burn_secret(at.ask(burn).await).await.unwrap().into_inner();
            assert_eq!((&*told.client_id, told.live_secrets_left), ("orders", 0), "{kind:?}");
            let secret = told.secret.unwrap();
            assert_eq!(secret.id, burnt.secret.id().0.to_string(), "{kind:?}");
            assert_eq!(secret.state(), SecretState::Leaked, "{kind:?}");
        }
        let trail = at.node.store.last_of_audit(Some(&named("orders")), 2).await.unwrap();
        for (entry, (actor, of)) in
            trail.into_iter().zip([("client:ops", &burnt), ("holder:127.0.0.1", &reported)])
        {
            let entry = entry.unwrap();
            assert_eq!(entry.action, "secret.update", "{kind:?}: {entry:?}");
            assert_eq!(entry.actor.as_deref(), Some(actor), "{kind:?}: {entry:?}");
            assert_eq!(entry.subject, Some(of.secret.id().0), "{kind:?}: {entry:?}");
            assert!(entry.detail.contains("burnt_at"), "{kind:?}: {entry:?}");
        }

        control.undelete_client(at.ask(undelete("orders")).await).await.unwrap();
        let leaked = SecretState::Leaked;
        assert_eq!(at.states().await, [leaked, leaked, SecretState::Retired], "{kind:?}");
        for (of, is_refused) in [(&reported, true), (&burnt, true), (&sound, false)] {
            let secret_id = of.secret.id().0.to_string();
            let restore = RestoreSecretRequest { secret_id, client_id: id("orders") };
            let restored = control.restore_secret(at.ask(restore).await).await;
            let refused = restored.err().map(|refusal| why(&refusal).0);
            assert_eq!(refused, is_refused.then_some(ErrorReason::SecretEnded), "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_of_a_deleted_client_are_erased_as_those_of_others() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let old = at.node.client("orders").await;
        retire_before(&at, kind, 31).await;
        more(&at, &old).await;
        // Time alone ends what can be taken back, whether or not upkeep came by.
        let refused = at.node.registry.restore_secret(&named("orders"), old.secret.id()).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, RegistryError::SecretForgotten(..)), "{kind:?}: {refused}");

        let erased = r#"select count(*) from deleted_client
                        where cast(secrets as text) like '%"$argon2id$"%'"#;
        control.delete_client(at.ask(delete("orders")).await).await.unwrap();
        at.node.store.upkeep(SystemClock.now(), 90).await.unwrap();
        assert_eq!(at.node.database.number(erased).await, 1, "{kind:?}");
        control.undelete_client(at.ask(undelete("orders")).await).await.unwrap();
        let (forgotten, retired) = (SecretState::Forgotten, SecretState::Retired);
        assert_eq!(at.states().await, [forgotten, retired], "{kind:?}");
    }
}

/// An undeletion erases by itself what upkeep has not erased.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_ended_long_ago_does_not_come_back_with_its_hash() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let client = at.node.client("orders").await;
        retire_before(&at, kind, 31).await;
        at.node.registry.delete_client(&named("orders")).await.unwrap();
        let deleted = at.node.registry.deleted_client(&named("orders")).await.unwrap();
        at.node.registry.undelete_client(&named("orders"), &deleted).await.unwrap();
        let secrets = at.node.store.list_secrets(&named("orders")).await.unwrap();
        let secret = secrets[0].as_ref().unwrap();
        assert_eq!(secret.id, client.secret.id());
        assert_eq!(secret.state(SystemClock.now()), State::Forgotten, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_taken_back_as_it_was_read_or_not_at_all() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let registry = &at.node.registry;
        at.node.client("orders").await;
        registry.delete_client(&named("orders")).await.unwrap();
        let read = registry.deleted_client(&named("orders")).await.unwrap();
        // Others are faster, and the client may be another one when it is deleted again.
        registry.undelete_client(&named("orders"), &read).await.unwrap();
        let refused = registry.undelete_client(&named("orders"), &read).await.unwrap_err();
        assert!(matches!(refused, RegistryError::ChangedMeanwhile(_)), "{kind:?}: {refused}");
        registry.delete_client(&named("orders")).await.unwrap();
        let refused = registry.undelete_client(&named("orders"), &read).await.unwrap_err();
        assert!(matches!(refused, RegistryError::ChangedMeanwhile(_)), "{kind:?}: {refused}");

        let again = registry.deleted_client(&named("orders")).await.unwrap();
        assert_eq!(again.key, read.key, "{kind:?}");
        registry.undelete_client(&named("orders"), &again).await.unwrap();
    }
}

/// On SQLite, those who may write into the file may replace any hash.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_noted_later_than_a_secret_was_made_gives_it_no_other_text() {
    let at = Controlled::start(Kind::Postgres).await;
    let ask = at.ask(orders("orders")).await;
    let created = at.control.clone().create_client(ask).await.unwrap().into_inner();
    everything::note_secrets_in(&created.client_secret);
    let note = "insert into request (actor, request_id, digest, client, secret)
                select 'client:ops', gen_random_uuid(), sha256('x'), secret.client, secret.id
                from client_secret as secret join client on client.id = secret.client
                where client_id = 'orders'";
    at.node.database.execute(note).await;
    let remint = "select count(*) from request
                  where remint_secret(actor, request_id, '$argon2id$other')";
    assert_eq!(at.node.database.number(remint).await, 0);
    // Not because of anything else: had it been noted before, it would be the request that made it.
    let before = "update request set at = at - interval '1 minute'";
    at.node.database.execute(before).await;
    assert_eq!(at.node.database.number(remint).await, 1);
}
