//! Rotation over `ClientService`: uses and verdicts, retirements that begin later, and undo.

use std::time::Duration;

use jeton::{
    domain::ClientSecret,
    pb::v1::{
        AddSecretRequest, ErrorReason, ListSecretsRequest, ListSecretsResponse,
        RestoreSecretRequest, RetireSecretRequest, RetirementAdvice, RetirementVerdict,
        SecretState,
    },
};
use prost_types::Duration as ProtoDuration;
use tonic_types::StatusExt;

use super::id;
use crate::support::{
    Kind, TestNodeOptions,
    control::{Controlled, options, why},
    everything,
    node::Credentials,
};

const fn seconds(seconds: i64) -> ProtoDuration {
    ProtoDuration { seconds, nanos: 0 }
}

fn retire(secret: &str) -> RetireSecretRequest {
    RetireSecretRequest {
        client_id: id("orders"),
        secret_id: id(secret),
        ..RetireSecretRequest::default()
    }
}

impl Controlled {
    async fn listed(&self, window: Option<ProtoDuration>) -> ListSecretsResponse {
        let message = ListSecretsRequest { client_id: id("orders"), window, ..Default::default() };
        let mut control = self.control.clone();
        control.list_secrets(self.ask(message).await).await.unwrap().into_inner()
    }

    /// The secrets, once uses of so many of them were written down.
    async fn with_uses(&self, of: usize) -> ListSecretsResponse {
        loop {
            let listed = self.listed(None).await;
            let used = |secret: &jeton::pb::v1::Secret| {
                secret.r#use.as_ref().is_some_and(|uses| uses.uses > 0)
            };
            if listed.secrets.iter().filter(|secret| used(secret)).count() == of {
                return listed;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_replaced_by_what_is_known_of_its_use() {
    for kind in Kind::BOTH {
        let often =
            TestNodeOptions { secret_use_interval: Duration::from_millis(200), ..options() };
        let at = Controlled::start_with(kind, often).await;
        let mut control = at.control.clone();
        let caller = at.node.client("orders").await;
        let old = caller.secret.id().0.to_string();
        at.node.issue(&caller).await.unwrap();
        let listed = at.with_uses(1).await;
        let uses = listed.secrets[0].r#use.clone().unwrap();
        assert_eq!((uses.uses, &*uses.last_source), (1, "127.0.0.1"), "{kind:?}");
        assert_eq!(uses.first_use_time, uses.last_use_time);
        assert_eq!(uses.sources.len(), 1);
        let verdict = |listed: &ListSecretsResponse, at: usize| {
            listed.secrets[at].advice.as_ref().map(RetirementAdvice::verdict)
        };
        assert_eq!(verdict(&listed, 0), Some(RetirementVerdict::InUse), "{kind:?}");
        assert!(listed.evidence_complete_since_time.is_some());

        let add = AddSecretRequest { client_id: id("orders"), ..Default::default() };
        let added = control.add_secret(at.ask(add).await).await.unwrap().into_inner();
        everything::note_secrets_in(&added.client_secret);
        let (new, text) = (added.secret.unwrap().id, added.client_secret);
        let refused = control.retire_secret(at.ask(retire(&old)).await).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::SecretInUse, "{kind:?}");

        // The client goes over to the new secret.
        let secret = ClientSecret::parse(&text).unwrap();
        let moved = Credentials { client: caller.client.clone(), secret };
        at.node.issue(&moved).await.unwrap();
        let listed = at.with_uses(2).await;
        assert_eq!(verdict(&listed, 0), Some(RetirementVerdict::InUse), "{kind:?}");
        assert_eq!(verdict(&listed, 1), Some(RetirementVerdict::InUse), "{kind:?}");

        // Retired after an hour it works on, and the retirement is taken back.
        let later = RetireSecretRequest {
            after: Some(seconds(3_600)),
            even_if_in_use: true,
            ..retire(&old)
        };
        let retiring = control.retire_secret(at.ask(later).await).await.unwrap().into_inner();
        let secret = retiring.secret.unwrap();
        assert_eq!(secret.state(), SecretState::Retiring, "{kind:?}");
        assert!(secret.retire_time.is_some());
        assert_eq!(retiring.live_secrets_left, 2);
        at.node.issue(&caller).await.unwrap();
        let restore =
            |secret: &str| RestoreSecretRequest { client_id: id("orders"), secret_id: id(secret) };
        let restored = control.restore_secret(at.ask(restore(&old)).await).await.unwrap();
        let secret = restored.into_inner().secret.unwrap();
        assert_eq!((secret.state(), secret.retire_time), (SecretState::Live, None), "{kind:?}");

        // Retired now it is refused, and works again once it is restored.
        let now = RetireSecretRequest { even_if_in_use: true, ..retire(&old) };
        control.retire_secret(at.ask(now).await).await.unwrap();
        at.node.issue(&caller).await.unwrap_err();
        control.restore_secret(at.ask(restore(&old)).await).await.unwrap();
        at.node.issue(&caller).await.unwrap();

        let burn = jeton::pb::v1::BurnSecretRequest {
            client_id: id("orders"),
            secret_id: old.clone(),
            ..Default::default()
        };
        control.burn_secret(at.ask(burn).await).await.unwrap();
        let refused = control.restore_secret(at.ask(restore(&old)).await).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::SecretEnded, "{kind:?}");
        at.node.issue(&moved).await.unwrap();
        assert_ne!(new, old);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ninth_live_secret_is_refused_with_the_id_of_the_one_to_retire() {
    let at = Controlled::start(Kind::Sqlite).await;
    let mut control = at.control.clone();
    let first = at.node.client("orders").await.secret.id().0.to_string();
    let add = || AddSecretRequest { client_id: id("orders"), ..AddSecretRequest::default() };
    for _ in 0..7 {
        let added = control.add_secret(at.ask(add()).await).await.unwrap();
        everything::note_secrets_in(&added.into_inner().client_secret);
    }
    let refused = control.add_secret(at.ask(add()).await).await.unwrap_err();
    assert_eq!(why(&refused).0, ErrorReason::TooManySecrets);
    let metadata = refused.get_details_error_info().unwrap().metadata;
    assert_eq!(metadata["secret_id"], first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duration_that_cannot_be_is_refused_by_its_field() {
    let at = Controlled::start(Kind::Sqlite).await;
    let mut control = at.control.clone();
    let secret = at.node.client("orders").await.secret.id().0.to_string();
    let half = ProtoDuration { seconds: 1, nanos: 500_000_000 };
    for wrong in [seconds(-1), seconds(3_155_760_001), half] {
        let later =
            RetireSecretRequest { after: Some(wrong), even_if_last: true, ..retire(&secret) };
        let refused = control.retire_secret(at.ask(later).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("after")));
        let list = ListSecretsRequest {
            client_id: id("orders"),
            window: Some(wrong),
            ..Default::default()
        };
        let refused = control.list_secrets(at.ask(list).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("window")));
    }
}
