//! Quotas: a client that requests too many tokens is refused with an honest wait, and no other is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jeton::domain::{
    ClientQuota, Clock, QuotaLimit, QuotaMode, SystemClock, Timestamp, TokenLifetime,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{Served, run, run_json},
    http::{self, Answer, basic, get, post_form},
    node::{Credentials, NO_CACHE, issue_request, new_client, quota},
};
use jeton::registry::NewClient;

/// A clock that stands still until the test advances it, so that no token flows in by itself.
struct StillClock {
    began: (Timestamp, Duration),
    micros: AtomicU64,
}

impl StillClock {
    fn new() -> Self {
        Self { began: (SystemClock.now(), SystemClock.uptime()), micros: AtomicU64::new(0) }
    }

    fn advance(&self, by: Duration) {
        self.micros.fetch_add(u64::try_from(by.as_micros()).unwrap() + 1, Ordering::SeqCst);
    }

    fn since(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::SeqCst))
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        self.began.0.plus(self.since())
    }

    fn uptime(&self) -> Duration {
        self.began.1 + self.since()
    }

    fn can_be_corrected(&self) -> bool {
        false
    }
}

/// A node by such a clock, with a rate of one token per second.
async fn node(kind: Kind, mode: QuotaMode, burst: i64, live: i64) -> (TestNode, Arc<StillClock>) {
    let clock = Arc::new(StillClock::new());
    let options = TestNodeOptions {
        clock: Arc::<StillClock>::clone(&clock),
        quota: quota(mode, 1, burst, live),
        cache: NO_CACHE,
        ..TestNodeOptions::default()
    };
    (TestNode::start_with(kind, options).await, clock)
}

/// Issues `count` tokens.
async fn use_up(node: &TestNode, caller: &Credentials, count: usize) {
    for number in 0..count {
        node.issue(caller).await.unwrap_or_else(|status| panic!("{number}: {status:?}"));
    }
}

fn wait(refused: &Status) -> Duration {
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "QUOTA_EXCEEDED");
    refused.get_details_retry_info().unwrap().retry_delay.unwrap()
}

async fn over_http(node: &TestNode, caller: &Credentials) -> Answer {
    let (http, form) = (node.node.http_addr(), "grant_type=client_credentials");
    post_form(http, "/oauth2/token", caller.id(), caller.secret(), form).await
}

async fn metric(node: &TestNode, name: &str) -> u64 {
    let page = get(node.node.probe_addr(), "/metrics").await;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_rate_is_refused_over_both_transports_with_an_honest_wait() {
    for kind in Kind::BOTH {
        let (node, clock) = node(kind, QuotaMode::Enforce, 3, 1_000).await;
        let (caller, other) = (node.client("orders").await, node.client("other").await);
        use_up(&node, &caller, 3).await;
        let refused = node.issue(&caller).await.unwrap_err();
        assert_eq!(wait(&refused), Duration::from_secs(1));
        let state = refused.metadata().get("ratelimit").unwrap().to_str().unwrap();
        assert!(state.starts_with(r#""rate";r=0;t=3, "live";r=997;t=3"#), "{state}");
        let answer = over_http(&node, &caller).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "1"));
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
        assert!(answer.header("ratelimit").starts_with(r#""rate";r=0;t=3, "#), "{answer:?}");

        use_up(&node, &other, 3).await;
        node.introspect(&caller, "x").await.unwrap();

        clock.advance(wait(&refused));
        assert_eq!(over_http(&node, &caller).await.status.as_u16(), 200, "the wait was honest");
        node.issue(&caller).await.unwrap_err();
        assert_eq!(metric(&node, r#"jeton_quota_exceeded_total{quota="rate"}"#).await, 3);
        assert_eq!(metric(&node, r#"jeton_quota_exceeded_total{quota="live"}"#).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_tokens_have_a_ceiling_and_expired_ones_make_room() {
    for kind in Kind::BOTH {
        let (node, clock) = node(kind, QuotaMode::Enforce, 1_000, 5).await;
        let lifetime = TokenLifetime::from_seconds(150).unwrap();
        let short = NewClient { token_lifetime: lifetime, ..new_client("orders") };
        let caller = node.register(short).await;
        use_up(&node, &caller, 5).await;
        let wait = wait(&node.issue(&caller).await.unwrap_err());
        // A fifteenth of a lifetime is the most by which it errs.
        assert!((150..=160).contains(&wait.as_secs()), "{wait:?}");
        clock.advance(wait);
        // The lease has ended as well.
        while node.introspect(&caller, "x").await.is_err() {}
        use_up(&node, &caller, 5).await;
        node.issue(&caller).await.unwrap_err();
        assert_eq!(metric(&node, r#"jeton_quota_exceeded_total{quota="live"}"#).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn monitoring_refuses_nobody_and_counts_what_would_be_refused() {
    for kind in Kind::BOTH {
        let (node, _) = node(kind, QuotaMode::Monitor, 10, 1_000).await;
        let caller = node.client("orders").await;
        use_up(&node, &caller, 25).await;
        assert_eq!(metric(&node, r#"jeton_quota_exceeded_total{quota="rate"}"#).await, 15);
        // Once per window, however long it goes on.
        for percent in [60, 80, 100] {
            let name = format!(r#"jeton_quota_reached_total{{quota="rate",percent="{percent}"}}"#);
            assert_eq!(metric(&node, &name).await, 1, "{percent}");
        }
        let answer = over_http(&node, &caller).await;
        assert_eq!(answer.status.as_u16(), 200);
        let policy = r#""rate";q=10;w=10, "live";q=1000;w=3600"#;
        assert_eq!(answer.header("ratelimit-policy"), policy);
        let state = answer.header("ratelimit");
        assert!(state.starts_with(r#""rate";r=0;t=10, "live";r=990;t=3"#), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_quotas_counts_and_says_nothing() {
    let (node, _) = node(Kind::Sqlite, QuotaMode::Off, 1, 1).await;
    let caller = node.client("orders").await;
    use_up(&node, &caller, 5).await;
    let request = Request::new(issue_request(&caller));
    let answer = node.grpc.clone().issue_token(request).await.unwrap();
    assert!(answer.metadata().get("ratelimit").is_none());
    assert!(!over_http(&node, &caller).await.headers.contains_key("ratelimit"));
    assert_eq!(metric(&node, r#"jeton_quota_exceeded_total{quota="rate"}"#).await, 0);
}

/// Nobody uses up the quota of a client without its secret.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_secrets_and_requests_that_fail_use_up_nothing() {
    for kind in Kind::BOTH {
        let (node, _) = node(kind, QuotaMode::Enforce, 3, 1_000).await;
        let victim = node.client("orders").await;
        let secret = node.client("other").await.secret;
        let stranger = Credentials { client: victim.client.clone(), secret };
        for _ in 0..20 {
            node.issue(&stranger).await.unwrap_err();
        }
        for _ in 0..20 {
            let mut request = issue_request(&victim);
            request.scopes = vec!["admin".to_owned()];
            node.grpc.clone().issue_token(request).await.unwrap_err();
        }
        use_up(&node, &victim, 3).await;
        wait(&node.issue(&victim).await.unwrap_err());
    }
}

/// Each node counts by itself: two give out twice as much, as documented, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_issue_at_most_twice_the_quota() {
    for kind in Kind::BOTH {
        let (first, clock) = node(kind, QuotaMode::Enforce, 4, 1_000).await;
        let options = TestNodeOptions {
            clock,
            quota: quota(QuotaMode::Enforce, 1, 4, 1_000),
            ..TestNodeOptions::default()
        };
        // SQLite has one node.
        let second = match kind {
            Kind::Postgres => Some(TestNode::beside(&first, options).await),
            Kind::Sqlite => None,
        };
        let caller = first.client("orders").await;
        let mut issued = 0;
        for node in [Some(&first), second.as_ref()].into_iter().flatten() {
            for _ in 0..10 {
                issued += usize::from(node.issue(&caller).await.is_ok());
            }
        }
        assert_eq!(issued, if second.is_some() { 8 } else { 4 }, "{kind:?}");
    }
}

async fn ask(node: &Served, secret: &str) -> Answer {
    let request = ::http::Request::post("/oauth2/token")
        .header("content-type", http::FORM)
        .header("authorization", basic("orders", secret))
        .body(b"grant_type=client_credentials".to_vec())
        .unwrap();
    http::send(node.http, request).await
}

/// The operator raises and lowers the quota of one client beside running nodes, and a shim passes
/// the fields and the wait on.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_sets_the_quota_of_a_client_on_running_nodes() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let create = ["client", "create", "--client-id", "orders", "--token-burst", "2"];
        let secret = run_json(&create, &database)["client_secret"].as_str().unwrap().to_owned();
        let node = Served::start(&database, &["--quota", "enforce", "--client-live-tokens", "7"]);
        let shim = Served::shim(&["--upstream", &format!("http://{}", node.grpc)]);
        let set = |limits: &[&str]| {
            let command = [&["client", "set-quota", "orders"], limits].concat();
            let done = run(&command, &database);
            assert!(done.status.success(), "{done:?}");
        };
        set(&["--tokens-per-second", "1", "--token-burst", "2"]);
        let policy = r#""rate";q=2;w=2, "live";q=7;w=3600"#;
        let answer = ask(&shim, &secret).await;
        assert_eq!((answer.status.as_u16(), answer.header("ratelimit-policy")), (200, policy));
        set(&["--tokens-per-second", "1000", "--token-burst", "1000", "--live-tokens", "2"]);
        let answer = ask(&node, &secret).await;
        assert_eq!(answer.header("ratelimit-policy"), r#""rate";q=1000;w=1, "live";q=2;w=3600"#);
        let refused = ask(&shim, &secret).await;
        assert_eq!(refused.status.as_u16(), 429, "{refused:?}");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((3_590..=3_840).contains(&wait), "{wait}");
        assert!(refused.header("ratelimit").contains(r#""live";r=0;t="#), "{refused:?}");

        set(&["--live-tokens", "3"]);
        assert_eq!(ask(&node, &secret).await.status.as_u16(), 200);
        let shown = run_json(&["client", "show", "orders"], &database);
        assert_eq!(shown["quota"]["live_tokens"], 3);
        assert_eq!(shown["quota"]["token_burst"], 1000, "what is not named stays as it was");
        let trail = run_json(&["audit", "list", "--client", "orders"], &database);
        let last = trail.as_array().unwrap().last().unwrap();
        assert_eq!(last["detail"]["live_tokens"], serde_json::json!([2, 3]), "{last}");
        assert_eq!(last["action"], "client.update");
        let nothing = run(&["client", "set-quota", "orders"], &database);
        assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
        let default = ["--tokens-per-second", "default", "--token-burst", "default"];
        set(&[&default[..], &["--live-tokens", "default"]].concat());
        let shown = run_json(&["client", "show", "orders"], &database);
        assert!(shown["quota"].as_object().unwrap().values().all(serde_json::Value::is_null));
        assert_eq!(ask(&shim, &secret).await.status.as_u16(), 200, "the default of the node again");
    }
}

/// `jeton bench` measures the node and not its quotas.
#[tokio::test(flavor = "multi_thread")]
async fn a_benchmark_runs_on_a_node_that_enforces_quotas() {
    let database = Database::new(Kind::Sqlite).await;
    let node = Served::start(&database, &["--quota", "enforce", "--client-token-burst", "3"]);
    let url = format!("http://{}", node.grpc);
    let report = run_json(&["bench", "issue", "--server", &url, "--seconds", "1"], &database);
    assert_eq!(report["failed"], 0, "{report}");
    assert!(report["requests"].as_u64().unwrap() > 10, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_out_of_range_is_refused_with_the_range() {
    let database = Database::ready(Kind::Sqlite).await;
    let create = ["client", "create", "--client-id", "orders"];
    run_json(&create, &database);
    for limit in ["0", "1.5", "1000000001", "many"] {
        let refused = run(&["client", "set-quota", "orders", "--token-burst", limit], &database);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains("1 to 1000000000"), "{limit}: {told}");
    }
}

/// What clients that were not set apart have, in the store and in the registry.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_stored_as_it_was_set() {
    for kind in Kind::BOTH {
        let (node, _) = node(kind, QuotaMode::Off, 1, 1).await;
        let caller = node.client("orders").await;
        let id = &caller.client.client_id;
        let limit = |number| Some(QuotaLimit::new(number).unwrap());
        for quota in [
            ClientQuota { burst: limit(7), ..ClientQuota::default() },
            ClientQuota::UNLIMITED,
            ClientQuota::default(),
        ] {
            node.registry.set_quota(id, quota).await.unwrap();
            let found = node.store.find_client(id, None).await.unwrap().unwrap();
            assert_eq!(found.client.quota, quota, "{kind:?}");
        }
        let unlimited = NewClient { quota: ClientQuota::UNLIMITED, ..new_client("batch") };
        let created = node.register(unlimited).await.client;
        let found = node.store.find_client(&created.client_id, None).await.unwrap().unwrap();
        assert_eq!(*found.client, created);
    }
}
