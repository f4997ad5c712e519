//! More is asked than can be done: what is refused, what goes on, and who pays.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ::http::Request;
use jeton::{
    domain::{ClientState, HashCost},
    net::Limits,
    pb::v1::{ClientAuthentication, IssueTokenRequest, token_service_client::TokenServiceClient},
    store::Retirement,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tonic::Code;

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    http::{FORM, basic, send_from},
    node::{Credentials, issue_request},
};

/// One core is busy with it for about the tenth part of a second.
const SLOW: HashCost = HashCost { memory_kib: 65_536, passes: 2, lanes: 1 };

fn options(hash_queue: usize, hash_cost: HashCost) -> TestNodeOptions {
    TestNodeOptions { hash_queue, hash_cost, ..TestNodeOptions::default() }
}

/// Somebody with a secret of this installation, but of another client: its text has a good tag,
/// so it reaches the hash.
fn guess(of: &Credentials, with: &Credentials) -> IssueTokenRequest {
    let authentication = ClientAuthentication { client_id: of.id().to_owned(), ..with.message() };
    IssueTokenRequest { client_authentication: Some(authentication), ..issue_request(of) }
}

/// FC-19, M-16: those who were verified work on while wrong secrets come in by the hundred.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_wrong_secrets_holds_nobody_up_who_was_verified() {
    // Who waits too long shall be turned away by the queue, and not by the deadline of the call.
    let limits = TestNodeOptions::default().limits;
    let limits = Limits { request_timeout: Duration::from_mins(1), ..limits };
    let options = TestNodeOptions { limits, ..options(8, SLOW) };
    let node = TestNode::start_with(Kind::Sqlite, options).await;
    let (client, server) = (node.client("orders").await, node.resource_server("api").await);
    let token = node.issue(&client).await.unwrap().access_token;
    node.introspect(&server, &token).await.unwrap();
    let mut guesses = JoinSet::new();
    for number in 0..300 {
        let mut grpc = node.grpc.clone();
        let mut request = guess(&client, &server);
        let name = if number % 2 == 0 { "orders".into() } else { format!("unknown-{number}") };
        request.client_authentication.as_mut().unwrap().client_id = name;
        guesses.spawn(async move { grpc.issue_token(request).await.unwrap_err().code() });
    }
    for _ in 0..100 {
        assert!(node.introspect(&server, &token).await.unwrap().active);
        node.issue(&client).await.unwrap();
    }
    let codes = guesses.join_all().await;
    let shed = codes.iter().filter(|code| **code == Code::ResourceExhausted).count();
    let refused = codes.iter().filter(|code| **code == Code::Unauthenticated).count();
    assert_eq!(shed + refused, codes.len(), "{codes:?}");
    assert!(shed > 0 && refused > 0);
}

/// A client that starts with a hundred requests has one hash computed, so it takes one place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_requests_at_once_share_one_hash() {
    let node = TestNode::start_with(Kind::Sqlite, options(1, SLOW)).await;
    let client = node.client("orders").await;
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (mut grpc, request) = (node.grpc.clone(), issue_request(&client));
        calls.spawn(async move { grpc.issue_token(request).await.map(drop) });
    }
    for outcome in calls.join_all().await {
        outcome.unwrap();
    }
}

/// I3, FC-02: what was verified is forgotten at once where it matters, on every node.
#[tokio::test(flavor = "multi_thread")]
async fn a_verified_secret_is_refused_as_soon_as_it_is_retired_or_its_client_disabled() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let other = TestNode::beside(&node, TestNodeOptions::default()).await;
        let [retired, disabled, deleted] = [
            node.client("retired").await,
            node.client("disabled").await,
            node.client("deleted").await,
        ];
        for client in [&retired, &disabled, &deleted] {
            for at in [&node, &other, &node, &other] {
                at.issue(client).await.unwrap();
            }
        }
        let secret = retired.secret.id();
        let by = Retirement::Retired;
        node.registry.retire_secret(&retired.client.client_id, secret, by).await.unwrap();
        let disabled_id = &disabled.client.client_id;
        node.registry.set_client_state(disabled_id, ClientState::Disabled).await.unwrap();
        node.registry.delete_client(&deleted.client.client_id).await.unwrap();
        for client in [&retired, &disabled, &deleted] {
            for at in [&node, &other] {
                let status = at.issue(client).await.unwrap_err();
                assert_eq!(status.code(), Code::Unauthenticated, "{kind:?}");
            }
        }
        node.registry.set_client_state(disabled_id, ClientState::Active).await.unwrap();
        other.issue(&disabled).await.unwrap();
    }
}

/// FC-15: a wrong secret straight after the right one is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_verified_is_that_secret_and_no_other() {
    let node = TestNode::start(Kind::Sqlite).await;
    let (client, other) = (node.client("orders").await, node.client("other").await);
    for _ in 0..3 {
        node.issue(&client).await.unwrap();
        let status = node.grpc.clone().issue_token(guess(&client, &other)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
}

async fn ask(node: &TestNode, from: &str, client_id: &str, secret: &str) -> (u16, String) {
    let request = Request::post("/oauth2/token")
        .header("content-type", FORM)
        .header("authorization", basic(client_id, secret))
        .header("x-forwarded-for", "192.0.2.1")
        .body(b"grant_type=client_credentials".to_vec())
        .unwrap();
    let from = SocketAddr::new(from.parse().unwrap(), 0);
    let answer = send_from(from, node.node.http_addr(), request).await;
    (answer.status.as_u16(), answer.header("retry-after").to_owned())
}

/// FC-18: guessing is slowed for each client and secret, and locks nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_waits_and_the_client_does_not() {
    let node = TestNode::start(Kind::Sqlite).await;
    let (client, other) = (node.client("orders").await, node.client("other").await);
    for name in ["orders", "unknown"] {
        let mut statuses: Vec<(u16, String)> = Vec::new();
        // The first waits are short, and may be over before the next attempt on a busy machine.
        while statuses.last().is_none_or(|(status, _)| *status != 429) && statuses.len() < 20 {
            statuses.push(ask(&node, "127.0.0.2", name, other.secret()).await);
        }
        assert_eq!(statuses[0].0, 401);
        let (status, wait) = statuses.last().unwrap();
        assert_eq!((*status, wait.is_empty()), (429, false), "{name}");
    }
    let right = |from| ask(&node, from, client.id(), client.secret());
    assert_eq!(right("127.0.0.2").await.0, 200, "the guesser has another secret");
    assert_eq!(right("127.0.0.1").await.0, 200);
    assert_eq!(ask(&node, "127.0.0.2", other.id(), other.secret()).await.0, 200, "another client");
}

/// The places of issuing and of the rest are apart, and nobody waits for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_place_is_answered_at_once_and_the_other_kind_has_its_own() {
    let limits = Limits { max_requests: 1, ..Limits::default() };
    let node =
        TestNode::start_with(Kind::Sqlite, TestNodeOptions { limits, ..options(64, SLOW) }).await;
    let server = node.resource_server("api").await;
    node.introspect(&server, "x").await.unwrap();
    let mut clients = Vec::new();
    for number in 0..8 {
        clients.push(node.client(&format!("client-{number}")).await);
    }
    let mut calls = JoinSet::new();
    for client in &clients {
        let (mut grpc, request) = (node.grpc.clone(), issue_request(client));
        calls.spawn(async move { grpc.issue_token(request).await.map(drop) });
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    node.introspect(&server, "x").await.unwrap();
    let outcomes = calls.join_all().await;
    let shed = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(|status| {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    });
    let shed = shed.count();
    assert!((1..8).contains(&shed), "{shed}");
}

/// A connection that keeps failing is read more slowly; another one from the same address is not.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_turned_away_again_and_again_slows_its_own_connection() {
    let limits = Limits { max_failures_per_second: 20, ..TestNodeOptions::default().limits };
    let node = TestNode::start_with(
        Kind::Sqlite,
        TestNodeOptions { limits, ..TestNodeOptions::default() },
    );
    let node = node.await;
    let (client, other) = (node.client("orders").await, node.client("stock").await);
    let url = format!("http://{}", node.node.grpc_addr());
    let mut guesser = TokenServiceClient::connect(url).await.unwrap();
    let began = Instant::now();
    for number in 0..30 {
        let mut request = guess(&client, &other);
        let name = format!("unknown-{number}");
        request.client_authentication.as_mut().unwrap().client_id = name;
        let status = guesser.issue_token(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        // Each of these would wait behind thirty failures, if it were slowed too.
        node.issue(&client).await.unwrap();
    }
    let took = began.elapsed();
    assert!(took > Duration::from_secs(1), "thirty failures, of twenty a second: {took:?}");
}

/// A wrong path costs a line in the log, as a wrong secret does.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_paths_slows_its_own_connection() {
    let limits = Limits { max_failures_per_second: 20, ..TestNodeOptions::default().limits };
    let options = TestNodeOptions { limits, ..TestNodeOptions::default() };
    let node = TestNode::start_with(Kind::Sqlite, options).await;
    let client = node.client("orders").await;
    let mut flood = TcpStream::connect(node.node.http_addr()).await.unwrap();
    let began = Instant::now();
    let request = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut answer = [0; 4096];
    for number in 0..60 {
        flood.write_all(request).await.unwrap();
        let read = flood.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 404"), "{number}");
        node.issue(&client).await.unwrap();
    }
    let took = began.elapsed();
    assert!(took > Duration::from_secs(2), "sixty wrong paths, of twenty a second: {took:?}");
}
