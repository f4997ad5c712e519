//! Retirement at a later moment, and taking a retirement back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use jeton::{
    domain::{Clock, ManualClock, SecretState, StoredSecret, SystemClock, Timestamp},
    registry::{NewSecret, RegistryError},
    store::Retirement,
};
use tokio::task::JoinSet;
use tonic::Code;

use super::{OFTEN, literal, more, writing};
use crate::support::{
    Kind, TestNode, TestNodeOptions,
    node::{Credentials, NO_CACHE},
};

const HOUR: Duration = Duration::from_hours(1);

/// The stored secret of these credentials.
pub(super) async fn stored(node: &TestNode, credentials: &Credentials) -> StoredSecret {
    let secrets = node.store.list_secrets(&credentials.client.client_id).await.unwrap();
    let mut readable = secrets.into_iter().map(Result::unwrap);
    readable.find(|secret| secret.id == credentials.secret.id()).unwrap()
}

/// Retires the secret of these credentials.
pub(super) async fn retire(node: &TestNode, credentials: &Credentials, retirement: Retirement) {
    let id = &credentials.client.client_id;
    node.registry.retire_secret(id, credentials.secret.id(), retirement).await.unwrap();
}

/// Takes its retirement back.
pub(super) async fn restore(
    node: &TestNode,
    credentials: &Credentials,
) -> Result<StoredSecret, RegistryError> {
    node.registry.restore_secret(&credentials.client.client_id, credentials.secret.id()).await
}

/// Nodes apply the moment by their clocks, with and without a cache.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_retirement_refuses_a_secret_from_its_moment_on_and_not_before() {
    for kind in Kind::BOTH {
        for cache in [TestNodeOptions::default().cache, NO_CACHE] {
            let start = SystemClock.now();
            let clock = Arc::new(ManualClock::at(start));
            let options = TestNodeOptions {
                clock: Arc::<ManualClock>::clone(&clock),
                cache,
                ..writing(OFTEN)
            };
            let node = TestNode::start_with(kind, options).await;
            let client = node.client("orders").await;
            let token = node.issue(&client).await.unwrap().access_token;
            retire(&node, &client, Retirement::At(start.plus(HOUR / 2))).await;
            clock.set(start.plus(HOUR / 2).minus(Duration::from_micros(1)));
            node.issue(&client).await.unwrap();
            clock.set(start.plus(HOUR / 2));
            let refused = node.issue(&client).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{kind:?}");
            let found = stored(&node, &client).await;
            assert_eq!(found.state(clock.now()), SecretState::Retired, "{kind:?}");

            // And a restore brings it back, with its tokens as they were.
            restore(&node, &client).await.unwrap();
            node.issue(&client).await.unwrap();
            assert!(node.introspect(&client, &token).await.unwrap().active, "{kind:?}");
            assert_eq!(stored(&node, &client).await.state(clock.now()), SecretState::Live);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_puts_the_expiry_back_and_what_leaked_or_expired_stays_out_of_use() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, writing(OFTEN)).await;
        let client = node.client("orders").await;
        let (id, now) = (&client.client.client_id, SystemClock.now());
        let end = Some(now.plus(HOUR * 2));
        let new = NewSecret { label: String::new(), expires_at: end };
        let (_, secret) = node.registry.add_secret(id, new).await.unwrap();
        let limited = Credentials { client: client.client.clone(), secret };

        // Another moment replaces the first one, and neither is later than the expiry.
        for (after, expected) in [(HOUR, HOUR), (HOUR * 5, HOUR * 2), (HOUR / 2, HOUR / 2)] {
            retire(&node, &limited, Retirement::At(now.plus(after))).await;
            let found = stored(&node, &limited).await;
            assert_eq!(found.expires_at, Some(now.plus(expected)), "{kind:?}");
            assert_eq!((found.own_expiry(), found.state(now)), (end, SecretState::Retiring));
        }
        assert_eq!(restore(&node, &limited).await.unwrap().expires_at, end, "{kind:?}");
        assert_eq!(restore(&node, &limited).await.unwrap().retiring, None, "again");

        // One that never expires, retired later and then at once.
        retire(&node, &client, Retirement::At(now.plus(HOUR))).await;
        retire(&node, &client, Retirement::Retired).await;
        assert_eq!(stored(&node, &client).await.state(now), SecretState::Retired);
        let restored = restore(&node, &client).await.unwrap();
        assert_eq!((restored.expires_at, restored.retired_at), (None, None), "{kind:?}");
        node.issue(&client).await.unwrap();

        retire(&node, &client, Retirement::Retired).await;
        let again = Retirement::At(now.plus(HOUR));
        let refused = node.registry.retire_secret(id, client.secret.id(), again).await.unwrap_err();
        assert!(matches!(refused, RegistryError::SecretEnded(..)), "{kind:?}: {refused}");
        retire(&node, &client, Retirement::Leaked).await;
        let refused = restore(&node, &client).await.unwrap_err();
        assert!(matches!(refused, RegistryError::SecretLeaked(..)), "{kind:?}: {refused}");
        assert!(node.issue(&client).await.is_err());

        let statement = format!(
            "update client_secret set expires_at = created_at where id = {}",
            literal(kind, limited.secret.id())
        );
        node.database.execute(&statement).await;
        let refused = restore(&node, &limited).await.unwrap_err();
        assert!(matches!(refused, RegistryError::SecretExpired(..)), "{kind:?}: {refused}");
        let strange = restore(&node, &more(&node, &client).await).await;
        assert!(strange.is_ok(), "one that is live stays as it is");
    }
}

/// An edit by hand cannot announce a retirement that nodes would not apply.
#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_that_is_not_the_expiry_is_refused_by_the_schema() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, writing(OFTEN)).await;
        node.client("orders").await;
        let refused =
            node.database.refuses("update client_secret set retire_at = created_at").await;
        assert!(refused.contains("client_secret_retirement_ends_it"), "{kind:?}: {refused}");
    }
}

/// How callers with one secret fared, and what should have happened.
#[derive(Default)]
struct Callers {
    stop: AtomicBool,
    answered: AtomicU32,
    /// When their secret ends: until then they must not fail.
    ends: std::sync::Mutex<Option<Timestamp>>,
    /// When it has ended and that was acknowledged: from then on they must fail.
    ended: std::sync::Mutex<Option<Timestamp>>,
}

impl Callers {
    fn begin(
        self: &Arc<Self>,
        nodes: &Arc<Vec<TestNode>>,
        credentials: &Arc<Credentials>,
        tasks: &mut JoinSet<()>,
    ) {
        for number in 0..4 {
            let (all, nodes) = (Arc::clone(self), Arc::clone(nodes));
            let credentials = Arc::clone(credentials);
            tasks.spawn(async move {
                while !all.stop.load(Ordering::Relaxed) {
                    let began = SystemClock.now();
                    let issued = nodes[number % nodes.len()].issue(&credentials).await;
                    let answered = SystemClock.now();
                    let margin = Duration::from_millis(50);
                    if let Err(status) = issued {
                        let ends = *all.ends.lock().unwrap();
                        let may_fail = ends.is_some_and(|end| answered > end.minus(margin));
                        assert!(may_fail, "a wrong failure: {status}");
                        return;
                    }
                    let ended = *all.ended.lock().unwrap();
                    let may_succeed = ended.is_none_or(|end| began < end.plus(margin));
                    assert!(may_succeed, "a wrong success");
                    all.answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }

    async fn go_on(&self) {
        let enough = self.answered.load(Ordering::Relaxed) + 40;
        while self.answered.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_with_undo_on_two_nodes_under_load_has_no_wrong_failure_and_no_wrong_success() {
    for kind in Kind::BOTH {
        let first = TestNode::start_with(kind, writing(OFTEN)).await;
        let mut nodes = vec![first];
        // An embedded database is for one node.
        if kind == Kind::Postgres {
            nodes.push(TestNode::beside(&nodes[0], writing(OFTEN)).await);
        }
        let nodes = Arc::new(nodes);
        let node = &nodes[0];
        let old = Arc::new(node.client("orders").await);
        let (mut tasks, callers) = (JoinSet::new(), Arc::<Callers>::default());
        callers.begin(&nodes, &old, &mut tasks);
        callers.go_on().await;
        let new = Arc::new(more(node, &old).await);
        let others = Arc::<Callers>::default();
        others.begin(&nodes, &new, &mut tasks);

        // Announced and taken back: nobody notices.
        for _ in 0..3 {
            retire(node, &old, Retirement::At(SystemClock.now().plus(HOUR))).await;
            callers.go_on().await;
            restore(node, &old).await.unwrap();
            callers.go_on().await;
        }
        // Announced, and it takes place, on both nodes and by the clock.
        let moment = SystemClock.now().plus(Duration::from_millis(700));
        *callers.ends.lock().unwrap() = Some(moment);
        retire(node, &old, Retirement::At(moment)).await;
        // On a busy machine the moment may be over when the retirement is acknowledged.
        *callers.ended.lock().unwrap() = Some(moment.max(SystemClock.now()));
        while SystemClock.now() < moment.plus(Duration::from_millis(100)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for node in nodes.iter() {
            assert_eq!(node.issue(&old).await.unwrap_err().code(), Code::Unauthenticated);
        }
        // Taken back: when that returns, both nodes accept it.
        restore(node, &old).await.unwrap();
        let again = Arc::<Callers>::default();
        again.begin(&nodes, &old, &mut tasks);
        again.go_on().await;
        others.go_on().await;
        again.stop.store(true, Ordering::Relaxed);
        others.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        }
    }
}
