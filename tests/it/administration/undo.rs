//! Deletions that are taken back, changes that name what they saw, and changes of secrets.

use jeton::{
    domain::ClientSecret,
    pb::v1::{
        Client, ClientState, CreateClientRequest, DeleteClientRequest, DisableClientRequest,
        EnableClientRequest, ErrorReason, GetClientRequest, ListSecretsRequest,
        RestoreSecretRequest, RetireSecretRequest, Secret, SecretState, UndeleteClientRequest,
        UpdateSecretRequest,
    },
    registry::NewSecret,
};
use prost_types::{FieldMask, Timestamp};

use super::{id, named, orders};
use crate::support::{
    Kind,
    control::{Controlled, administrator, why},
    everything,
    node::Credentials,
};

pub(super) fn undelete(client_id: &str) -> UndeleteClientRequest {
    UndeleteClientRequest { client_id: id(client_id) }
}

pub(super) fn delete(client_id: &str) -> DeleteClientRequest {
    DeleteClientRequest { client_id: id(client_id), ..Default::default() }
}

impl Controlled {
    pub(super) async fn states(&self) -> Vec<SecretState> {
        let list = ListSecretsRequest { client_id: id("orders"), ..Default::default() };
        let mut control = self.control.clone();
        let listed = control.list_secrets(self.ask(list).await).await.unwrap().into_inner();
        listed.secrets.iter().map(Secret::state).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_client_comes_back_disabled_with_retired_secrets_and_without_its_tokens() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let caller = at.node.client("orders").await;
        let (leaked, _) =
            at.node.registry.add_secret(&named("orders"), NewSecret::default()).await.unwrap();
        let burn = jeton::pb::v1::BurnSecretRequest {
            client_id: id("orders"),
            secret_id: leaked.id.0.to_string(),
            ..Default::default()
        };
        control.burn_secret(at.ask(burn).await).await.unwrap();
        let token = at.node.issue(&caller).await.unwrap().access_token;
        let before = at.node.registry.record(&named("orders")).await.unwrap();

        let missing = control.undelete_client(at.ask(undelete("orders")).await).await.unwrap_err();
        assert_eq!(why(&missing).0, ErrorReason::ClientNotFound, "{kind:?}: it is there");
        control.delete_client(at.ask(delete("orders")).await).await.unwrap();
        at.node.issue(&caller).await.unwrap_err();

        let back = control.undelete_client(at.ask(undelete("orders")).await).await.unwrap();
        let back = back.into_inner().client.unwrap();
        assert_eq!((back.state(), back.live_secrets), (ClientState::Disabled, 0), "{kind:?}");
        let mut after = at.node.registry.record(&named("orders")).await.unwrap();
        assert!(after.client.version > before.client.version);
        (after.client.version, after.client.state) = (before.client.version, before.client.state);
        assert_eq!(after, before, "{kind:?}: all else is as it was");
        assert_eq!(at.states().await, [SecretState::Retired, SecretState::Leaked], "{kind:?}");

        at.node.issue(&caller).await.unwrap_err();
        let enable = EnableClientRequest { client_id: id("orders"), ..Default::default() };
        control.enable_client(at.ask(enable).await).await.unwrap();
        at.node.issue(&caller).await.unwrap_err();
        let secret_id = caller.secret.id().0.to_string();
        let restore = RestoreSecretRequest { secret_id, client_id: id("orders") };
        control.restore_secret(at.ask(restore).await).await.unwrap();
        assert!(!at.node.introspect(&caller, &token).await.unwrap().active, "{kind:?}");
        let token = at.node.issue(&caller).await.unwrap().access_token;
        assert!(at.node.introspect(&caller, &token).await.unwrap().active, "{kind:?}");

        let entries = at.node.store.last_of_audit(Some(&named("orders")), 50).await.unwrap();
        let undone = entries.into_iter().flatten().find(|entry| entry.action == "client.undelete");
        assert_eq!(undone.unwrap().actor.as_deref(), Some("client:ops"), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_does_not_come_back_while_another_one_has_its_name() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let first = at.node.client("orders").await.client;
        control.delete_client(at.ask(delete("orders")).await).await.unwrap();
        let second = at.node.client("orders").await.client;
        let taken = control.undelete_client(at.ask(undelete("orders")).await).await.unwrap_err();
        assert_eq!(why(&taken).0, ErrorReason::ClientIdTaken, "{kind:?}");

        // The one that was deleted last comes back, not the one before it.
        control.delete_client(at.ask(delete("orders")).await).await.unwrap();
        let back = control.undelete_client(at.ask(undelete("orders")).await).await.unwrap();
        let key = back.into_inner().client.unwrap().id;
        assert_eq!(key, second.key.0.to_string(), "{kind:?}: and not {}", first.key.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_brings_an_administrator_back_whom_he_could_not_make() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let writer = administrator(&at.node, "writer", &["jeton:write"]).await;
        administrator(&at.node, "gone", &["jeton:read"]).await;
        control.delete_client(at.ask(delete("gone")).await).await.unwrap();
        let ask = at.ask_as(&writer, undelete("gone")).await;
        let refused = control.undelete_client(ask).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::GrantNotPermitted, "{kind:?}");
        control.undelete_client(at.ask(undelete("gone")).await).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_changed_meanwhile_is_neither_disabled_nor_enabled_nor_deleted() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        at.node.client("orders").await;
        let get = GetClientRequest { client_id: id("orders") };
        let seen = control.get_client(at.ask(get).await).await.unwrap().into_inner();
        let etag = seen.client.unwrap().etag;
        let disable = DisableClientRequest { client_id: id("orders"), etag: etag.clone() };
        let disabled = control.disable_client(at.ask(disable.clone()).await).await.unwrap();
        let now = disabled.into_inner().client.unwrap().etag;
        assert_ne!(now, etag);

        let refused = control.disable_client(at.ask(disable).await).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::EtagMismatch, "{kind:?}");
        let enable = EnableClientRequest { client_id: id("orders"), etag: etag.clone() };
        let refused = control.enable_client(at.ask(enable).await).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::EtagMismatch, "{kind:?}");
        let stale = DeleteClientRequest { client_id: id("orders"), etag };
        let refused = control.delete_client(at.ask(stale).await).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::EtagMismatch, "{kind:?}");
        let malformed = DeleteClientRequest { client_id: id("orders"), etag: id("x") };
        let refused = control.delete_client(at.ask(malformed).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("etag")), "{kind:?}");
        let fresh = DeleteClientRequest { client_id: id("orders"), etag: now };
        control.delete_client(at.ask(fresh).await).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_only_checked_is_not_created() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let check =
            |client_id: &str| CreateClientRequest { validate_only: true, ..orders(client_id) };
        let checked = control.create_client(at.ask(check("orders")).await).await.unwrap();
        let checked = checked.into_inner();
        assert_eq!((checked.secret, &*checked.client_secret), (None, ""), "{kind:?}");
        let client = checked.client.unwrap();
        assert_eq!((&*client.client_id, &*client.id), ("orders", ""), "{kind:?}");
        assert_eq!(client.default_scopes, ["read", "write"]);
        let get = GetClientRequest { client_id: id("orders") };
        let missing = control.get_client(at.ask(get).await).await.unwrap_err();
        assert_eq!(why(&missing).0, ErrorReason::ClientNotFound, "{kind:?}");
        let taken = control.create_client(at.ask(check("ops")).await).await.unwrap_err();
        assert_eq!(why(&taken).0, ErrorReason::ClientIdTaken, "{kind:?}");
    }
}

fn update(secret: Secret, paths: &[&str]) -> UpdateSecretRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let update_mask = Some(FieldMask { paths });
    UpdateSecretRequest { client_id: id("orders"), secret: Some(secret), update_mask }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_gets_another_label_and_expires_earlier_and_not_later() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let created = control.create_client(at.ask(orders("orders")).await).await.unwrap();
        let created = created.into_inner();
        everything::note_secrets_in(&created.client_secret);
        let secret = created.secret.unwrap();
        let begun = secret.create_time.unwrap().seconds;
        let expiring = |days: i64| Secret {
            id: secret.id.clone(),
            label: id("2027"),
            expire_time: Some(Timestamp { seconds: begun + days * 86_400, nanos: 0 }),
            ..Secret::default()
        };
        let both = update(expiring(30), &["label", "expire_time"]);
        let updated = control.update_secret(at.ask(both).await).await.unwrap().into_inner();
        let updated = updated.secret.unwrap();
        assert_eq!(updated.label, "2027", "{kind:?}");
        assert_eq!(updated.expire_time, expiring(30).expire_time, "{kind:?}");

        let later = update(expiring(31), &["expire_time"]);
        let refused = control.update_secret(at.ask(later).await).await.unwrap_err();
        let expected = (ErrorReason::InvalidRequest, id("secret.expire_time"));
        assert_eq!(why(&refused), expected, "{kind:?}");

        // While it is going to be retired, it is the own expiry that moves.
        let retire = RetireSecretRequest {
            client_id: id("orders"),
            secret_id: secret.id.clone(),
            after: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
            even_if_last: true,
            ..RetireSecretRequest::default()
        };
        control.retire_secret(at.ask(retire.clone()).await).await.unwrap();
        let earlier = update(expiring(20), &["expire_time"]);
        let updated = control.update_secret(at.ask(earlier).await).await.unwrap().into_inner();
        let updated = updated.secret.unwrap();
        assert_eq!(updated.state(), SecretState::Retiring, "{kind:?}");
        assert_eq!(updated.expire_time, expiring(20).expire_time, "{kind:?}");

        // What has ended keeps its expiry, and its label can still tell what it was.
        let now = RetireSecretRequest { after: None, ..retire };
        control.retire_secret(at.ask(now).await).await.unwrap();
        let ended = update(expiring(10), &["expire_time"]);
        let refused = control.update_secret(at.ask(ended).await).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::SecretEnded, "{kind:?}");
        let label = update(Secret { label: id("old"), ..expiring(1) }, &["label"]);
        control.update_secret(at.ask(label).await).await.unwrap();

        let unnamed = update(Secret::default(), &["label"]);
        let refused = control.update_secret(at.ask(unnamed).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("secret.id")), "{kind:?}");
    }
}

/// The credentials of a client that was created over gRPC.
pub(super) async fn credentials(at: &Controlled, client: &Client, text: &str) -> Credentials {
    let record = at.node.registry.record(&named(&client.client_id)).await.unwrap();
    Credentials { client: record.client, secret: ClientSecret::parse(text).unwrap() }
}
