//! Of several retirements at the same moment, one secret of the client is kept.

use std::time::Duration;

use jeton::{
    domain::{Clock, SecretState, SystemClock},
    pb::v1::{ErrorReason, RetireSecretRequest},
    registry::{NewSecret, RegistryError},
    store::Retirement,
};

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    control::{Controlled, options, why},
    everything,
    node::Credentials,
};

const ROUNDS: usize = 24;
const HOUR: Duration = Duration::from_hours(1);

/// A new client with two live secrets.
async fn pair(node: &TestNode, name: &str) -> [Credentials; 2] {
    let first = node.client(name).await;
    let added = node.registry.add_secret(&first.client.client_id, NewSecret::default()).await;
    let (_, secret) = added.unwrap();
    everything::note_secrets_in(secret.expose());
    let second = Credentials { client: first.client.clone(), secret };
    [first, second]
}

/// How many secrets of the client are live and not going to end, and how many rows tell of it.
async fn kept_and_told(node: &TestNode, of: &Credentials) -> (usize, usize) {
    let secrets = node.store.list_secrets(&of.client.client_id).await.unwrap();
    let states = secrets.into_iter().map(|secret| secret.unwrap().state(SystemClock.now()));
    let trail = node.store.last_of_audit(Some(&of.client.client_id), 20).await.unwrap();
    (states.filter(|state| *state == SecretState::Live).count(), trail.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_administrators_at_the_same_moment_leave_a_client_one_secret() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let retire = |of: &Credentials, after: bool, even_if_last| RetireSecretRequest {
            secret_id: of.secret.id().0.to_string(),
            client_id: of.client.client_id.to_string(),
            after: after.then_some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
            even_if_in_use: true,
            even_if_last,
        };
        for round in 0..ROUNDS {
            // Both now, and one of them later; the last rounds with the word that both may go.
            let (later, even_if_last) = (round % 2 == 1, round + 4 >= ROUNDS);
            let [first, second] = pair(&at.node, &format!("orders-{round}")).await;
            let (_, told) = kept_and_told(&at.node, &first).await;
            let one = at.ask(retire(&first, false, even_if_last)).await;
            let other = at.ask(retire(&second, later, even_if_last)).await;
            let (mut here, mut there) = (at.control.clone(), at.control.clone());
            let (one, other) = tokio::join!(here.retire_secret(one), there.retire_secret(other));
            let refused: Vec<_> = [one, other].into_iter().filter_map(Result::err).collect();
            let reasons: Vec<_> = refused.iter().map(|status| why(status).0).collect();
            let after = kept_and_told(&at.node, &first).await;
            if even_if_last {
                assert_eq!((&*reasons, after), (&[][..], (0, told + 2)), "{kind:?}");
            } else {
                let expected = (&[ErrorReason::LastLiveSecret][..], (1, told + 1));
                assert_eq!((&*reasons, after), expected, "{kind:?}, {round}: {refused:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retirements_at_the_same_moment_keep_one_secret_and_what_leaked_ends_in_any_case() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let registry = &node.registry;
        for round in 0..ROUNDS {
            let [first, second] = pair(&node, &format!("orders-{round}")).await;
            let (id, secrets) = (&first.client.client_id, [first.secret.id(), second.secret.id()]);
            let later = Retirement::At(SystemClock.now().plus(HOUR));
            let how = [Retirement::Retired, later][round % 2];
            let (_, told) = kept_and_told(&node, &first).await;
            let (one, other) = tokio::join!(
                registry.retire_unless_last(id, secrets[0], Retirement::Retired),
                registry.retire_unless_last(id, secrets[1], how),
            );
            let refused: Vec<_> = [one, other].into_iter().filter_map(Result::err).collect();
            assert!(
                matches!(&*refused, [RegistryError::LastLiveSecret(..)]),
                "{kind:?}, {round}: {refused:?}"
            );
            assert_eq!(kept_and_told(&node, &first).await, (1, told + 1), "{kind:?}");

            // It is refused again and again, until it leaks. One that has ended keeps nobody.
            let last = node.store.list_secrets(id).await.unwrap().into_iter().map(Result::unwrap);
            let last = last.filter(|secret| secret.state(SystemClock.now()) == SecretState::Live);
            let last = last.map(|secret| secret.id).next().unwrap();
            for how in [Retirement::Retired, later] {
                let refused = registry.retire_unless_last(id, last, how).await;
                assert!(matches!(refused, Err(RegistryError::LastLiveSecret(..))), "{kind:?}");
            }
            registry.retire_unless_last(id, last, Retirement::Leaked).await.unwrap();
            let again = registry.retire_unless_last(id, last, Retirement::Retired).await;
            assert!(again.is_ok(), "{kind:?}: it has ended already");
            assert_eq!(kept_and_told(&node, &first).await.0, 0, "{kind:?}");

            // A burn waits for nobody and is never refused.
            let [first, second] = pair(&node, &format!("stock-{round}")).await;
            let id = &first.client.client_id;
            let (burned, retired) = tokio::join!(
                registry.retire_secret(id, first.secret.id(), Retirement::Leaked),
                registry.retire_unless_last(id, second.secret.id(), how),
            );
            burned.unwrap();
            let refused = matches!(retired, Err(RegistryError::LastLiveSecret(..)));
            assert!(refused || retired.is_ok(), "{kind:?}: {retired:?}");
            let kept = usize::from(refused);
            assert_eq!(kept_and_told(&node, &first).await.0, kept, "{kind:?}");
        }
    }
}

/// Nodes write uses down after a while, and until then nothing in the database tells of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_used_just_now_is_kept() {
    for kind in Kind::BOTH {
        let soon = TestNodeOptions { secret_use_interval: Duration::from_secs(2), ..options() };
        let at = Controlled::start_with(kind, soon).await;
        let [first, second] = pair(&at.node, "orders").await;
        at.node.issue(&second).await.unwrap();
        at.node.issue(&first).await.unwrap();
        let retire = |even_if_in_use| RetireSecretRequest {
            client_id: "orders".to_owned(),
            secret_id: first.secret.id().0.to_string(),
            even_if_in_use,
            ..RetireSecretRequest::default()
        };
        let mut control = at.control.clone();
        let refused = control.retire_secret(at.ask(retire(false)).await).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::SecretInUse, "{kind:?}");
        control.retire_secret(at.ask(retire(true)).await).await.unwrap();
        // It has ended, and retiring it once more changes nothing.
        control.retire_secret(at.ask(retire(false)).await).await.unwrap();
    }
}
