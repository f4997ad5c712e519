//! The shim before a node elsewhere: the same answers, and honest ones while the node is away.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::http::{HeaderMap, Request, header};
use jeton::{
    config::Proxies,
    domain::{ClientSecret, Clock, OsRandom, SystemClock, TagKey, Timestamp},
    net::Limits,
    node::{Shim, ShimOptions},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tonic::{Code, transport::Endpoint};

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    binary::free_port,
    http::{Answer, FORM, basic, get, post_form, send},
    node::Credentials,
};

async fn shim(upstream: SocketAddr, request_timeout: Duration, issuer: &str) -> Shim {
    limited(upstream, Limits { request_timeout, ..Limits::default() }, issuer).await
}

async fn limited(upstream: SocketAddr, limits: Limits, issuer: &str) -> Shim {
    let endpoint = Endpoint::from_shared(format!("http://{upstream}")).unwrap();
    let options = ShimOptions {
        workers: 1,
        upstream: endpoint.connect_timeout(Duration::from_secs(1)).connect_lazy(),
        http_addr: "127.0.0.1:0".parse().unwrap(),
        probe_addr: Some("127.0.0.1:0".parse().unwrap()),
        random: Arc::new(OsRandom),
        tls: None,
        proxies: Proxies::default(),
        issuer: Some(issuer.to_owned()),
        limits,
    };
    Shim::start(options).await.unwrap()
}

/// What an answer says, without what differs between any two.
fn bytes(answer: &Answer) -> (u16, HeaderMap, String) {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    headers.remove("x-request-id");
    (answer.status.as_u16(), headers, String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn before_a_remote_node_the_shim_answers_as_in_process() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let (client, server) = (node.client("orders").await, node.resource_server("api").await);
        let shim = shim(node.node.grpc_addr(), Duration::from_secs(5), node.node.issuer()).await;
        let faces = [node.node.http_addr(), shim.http_addr()];
        let token = node.issue(&client).await.unwrap().access_token;
        let (id, secret) = (client.id(), client.secret());
        let introspect = format!("token={token}");
        let foreign = ClientSecret::generate(&OsRandom, &TagKey::from_bytes([7; 32])).unwrap();
        let foreign = format!("client_secret={}", foreign.expose());
        let posted = [
            ("/oauth2/token", id, secret, ""),
            ("/oauth2/token", id, secret, "grant_type=password"),
            ("/oauth2/token", id, secret, "grant_type=client_credentials&scope=nope"),
            ("/oauth2/token", id, secret, "grant_type=client_credentials&scope=a&scope=b"),
            ("/oauth2/token", id, secret, "grant_type=client_credentials&client_secret=x"),
            ("/oauth2/token", id, "wrong", "grant_type=client_credentials"),
            ("/oauth2/token", server.id(), server.secret(), "grant_type=client_credentials"),
            ("/oauth2/token", id, secret, "%zz"),
            ("/oauth2/introspect", id, secret, &introspect),
            ("/oauth2/introspect", server.id(), server.secret(), &introspect),
            ("/oauth2/introspect", id, secret, "token=garbage"),
            ("/oauth2/introspect", id, secret, ""),
            ("/oauth2/revoke", server.id(), server.secret(), &introspect),
            ("/oauth2/revoke", id, secret, "token=garbage"),
            ("/oauth2/report-leak", id, secret, ""),
            ("/oauth2/report-leak", id, secret, "client_secret=garbage"),
            ("/oauth2/report-leak", id, secret, &foreign),
            ("/nowhere", id, secret, ""),
        ];
        for (path, id, secret, form) in posted {
            let mut answers = Vec::new();
            for face in faces {
                answers.push(bytes(&post_form(face, path, id, secret, form).await));
            }
            assert_eq!(answers[0], answers[1], "{path} {form}");
        }
        let long = format!("scope={}", "x".repeat(20_000));
        let odd = [
            Request::get("/oauth2/token").body(vec![]),
            Request::get("/.well-known/oauth-authorization-server").body(vec![]),
            Request::post("/oauth2/token?client_secret=x").body(vec![]),
            Request::post("/oauth2/token").header(header::CONTENT_TYPE, "text/plain").body(vec![]),
            Request::post("/oauth2/token").header(header::CONTENT_TYPE, FORM).body(long.into()),
            Request::post("/oauth2/token")
                .header(header::CONTENT_TYPE, FORM)
                .header(header::AUTHORIZATION, basic(id, secret))
                .header(header::AUTHORIZATION, basic(id, secret))
                .body(b"grant_type=client_credentials".to_vec()),
        ];
        for request in odd {
            let request = request.unwrap();
            let mut answers = Vec::new();
            for face in faces {
                answers.push(bytes(&send(face, request.clone()).await));
            }
            assert_eq!(answers[0], answers[1], "{request:?}");
        }
        // And one that succeeds, whose token the other face knows.
        let grant = "grant_type=client_credentials";
        let issued = post_form(faces[1], "/oauth2/token", id, secret, grant).await.json();
        let token = issued["access_token"].as_str().unwrap();
        assert!(node.introspect(&client, token).await.unwrap().active);
        assert!(shim.drain().await);
    }
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_or_silent_is_said_to_be_and_is_found_again() {
    // Nobody listens there.
    let dead = free_port();
    // This one takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for upstream in [dead, silent.local_addr().unwrap()] {
        let shim = shim(upstream, Duration::from_millis(300), "http://x.test").await;
        for (path, form) in
            [("/oauth2/token", "grant_type=client_credentials"), ("/oauth2/introspect", "token=x")]
        {
            let answer = post_form(shim.http_addr(), path, "orders", "x", form).await;
            assert_unavailable(&answer);
        }
    }

    // A node starts where there was none: the shim goes on without a restart.
    let node = TestNode::start(Kind::Sqlite).await;
    let client = node.client("orders").await;
    let shim = shim(dead, Duration::from_secs(2), "http://x.test").await;
    let ask = async || {
        let form = "grant_type=client_credentials";
        post_form(shim.http_addr(), "/oauth2/token", client.id(), client.secret(), form).await
    };
    assert_unavailable(&ask().await);
    let mut options =
        crate::support::node::node_options(node.database.store(), &TestNodeOptions::default());
    options.grpc_addr = dead;
    let _second = jeton::node::Node::start(options).await.unwrap();
    while ask().await.status != 200 {}
}

/// A clock that panics when it is told to: the one seam through which a test reaches into a call.
#[derive(Default)]
struct Fragile {
    is_broken: AtomicBool,
}

impl Clock for Fragile {
    fn now(&self) -> Timestamp {
        assert!(!self.is_broken.load(Ordering::SeqCst), "canary");
        SystemClock.now()
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }
}

/// The same call over gRPC, over HTTP in process and over HTTP through the shim.
async fn over_all_faces(
    node: &TestNode,
    shim: &Shim,
    client: &Credentials,
) -> (Code, [(u16, HeaderMap, String); 2]) {
    let code = node.issue(client).await.unwrap_err().code();
    let form = "grant_type=client_credentials";
    let ask = async |face| {
        bytes(&post_form(face, "/oauth2/token", client.id(), client.secret(), form).await)
    };
    (code, [ask(node.node.http_addr()).await, ask(shim.http_addr()).await])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_one_callers_fault_on_every_face() {
    let clock = Arc::<Fragile>::default();
    let options = TestNodeOptions { clock: Arc::<Fragile>::clone(&clock), ..Default::default() };
    let node = TestNode::start_with(Kind::Sqlite, options).await;
    let client = node.client("orders").await;
    let shim = shim(node.node.grpc_addr(), Duration::from_secs(5), node.node.issuer()).await;
    clock.is_broken.store(true, Ordering::SeqCst);
    let (code, [local, remote]) = over_all_faces(&node, &shim, &client).await;
    clock.is_broken.store(false, Ordering::SeqCst);
    assert_eq!(code, Code::Internal);
    assert_eq!(local, remote);
    assert!(local.0 == 500 && local.2.contains("server_error") && !local.2.contains("canary"));
    node.issue(&client).await.unwrap();
}

/// The database holds still, in the middle of a call, for longer than a call may take.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_call_alike_on_every_face_and_leaves_nothing_behind() {
    for kind in Kind::BOTH {
        let request_timeout = Duration::from_millis(500);
        let limits = Limits { request_timeout, ..Limits::default() };
        let options = TestNodeOptions { limits, ..Default::default() };
        let node = TestNode::start_with(kind, options).await;
        let client = node.client("orders").await;
        let shim = shim(node.node.grpc_addr(), request_timeout, node.node.issuer()).await;
        let lock = node.database.lock_tokens().await;
        let (code, [local, remote]) = over_all_faces(&node, &shim, &client).await;
        drop(lock);
        assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{kind:?}: {code:?}");
        assert_eq!(local, remote, "{kind:?}");
        assert_eq!(local.0, 503, "{kind:?}: {}", local.2);
        assert!(local.1.contains_key("retry-after"), "{kind:?}");
        // Whoever held the lock is gone: so must be what waited for it.
        while node.issue(&client).await.is_err() {}
    }
}

/// Upstreams that take a connection and are no node: none of their words reaches a caller.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_hangs_up_or_talks_nonsense_is_unavailable() {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary", "canary\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(said.as_bytes()).await;
            }
        });
        let shim = shim(upstream, Duration::from_secs(2), "http://x.test").await;
        for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
            let form = "grant_type=client_credentials&token=x";
            let answer = post_form(shim.http_addr(), path, "orders", "x", form).await;
            assert_unavailable(&answer);
            assert!(!String::from_utf8_lossy(&answer.body).contains("canary"));
        }
    }
}

/// A machine that is off: packets to it vanish, and connecting to it never ends by itself.
struct Void {
    address: SocketAddr,
    _queue: Vec<TcpStream>,
    _listener: TcpListener,
}

impl Void {
    async fn new() -> Self {
        // A queue of connections that nobody accepts is soon full, and what comes then is dropped.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        let connect = || timeout(Duration::from_millis(200), TcpStream::connect(address));
        while let Ok(connected) = connect().await {
            queue.push(connected.unwrap());
        }
        Self { address, _queue: queue, _listener: listener }
    }
}

/// The node behind it says nothing, so that a call that is under way stays so.
#[tokio::test(flavor = "multi_thread")]
async fn a_shim_refuses_at_once_what_is_beyond_its_concurrency_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request_timeout = Duration::from_mins(1);
    let limits = Limits { max_requests: 1, request_timeout, ..Limits::default() };
    let shim = limited(silent.local_addr().unwrap(), limits, "http://x.test").await;
    let http = shim.http_addr();
    let issue = move || async move {
        post_form(http, "/oauth2/token", "orders", "x", "grant_type=client_credentials").await
    };
    let waiting = tokio::spawn(issue());
    let _upstream = silent.accept().await.unwrap();
    let refused = timeout(Duration::from_secs(10), issue()).await.expect("it waits");
    assert_unavailable(&refused);

    // Introspection has a place of its own, and one that is given up is free again.
    let inspect = post_form(http, "/oauth2/introspect", "orders", "x", "token=x");
    assert!(timeout(Duration::from_millis(300), inspect).await.is_err(), "it was refused");
    waiting.abort();
    while timeout(Duration::from_millis(300), issue()).await.is_ok() {}
    let metrics = get(shim.probe_addr(), "/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let shed = metrics
        .lines()
        .find(|line| line.starts_with(r#"jeton_shed_total{cause="concurrency_limit"}"#));
    assert!(shed.is_some_and(|shed| !shed.ends_with(" 0")), "{metrics}");
}

/// Callers who come together wait together, and not one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_off_costs_nobody_more_than_the_request_timeout() {
    let void = Void::new().await;
    let shim = shim(void.address, Duration::from_millis(500), "http://x.test").await;
    let mut callers = JoinSet::new();
    for _ in 0..40 {
        let http = shim.http_addr();
        callers.spawn(async move {
            post_form(http, "/oauth2/introspect", "orders", "x", "token=x").await
        });
    }
    let answers = timeout(Duration::from_secs(10), callers.join_all()).await;
    let answers = answers.expect("all are answered, twenty times the timeout later at the latest");
    answers.iter().for_each(assert_unavailable);
}
