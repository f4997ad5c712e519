//! Attacks on the control listener: by strangers with small messages that become large, and by
//! administrators who take what others need.

use std::{fs, time::Duration};

use ::http::uri::PathAndQuery;
use jeton::{
    net::Limits,
    pb::v1::{
        DeleteClientRequest, DisableClientRequest, ErrorReason, ListClientsRequest,
        client_service_client::ClientServiceClient,
    },
};
use prost_types::FieldMask;
use tokio::time::timeout;
use tonic::{Code, Request, client::Grpc, codec::CompressionEncoding::Gzip, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    control_listener::socket,
    support::{
        Database, Kind, TestNode, TestNodeOptions,
        binary::Served,
        control::{Controlled, administrator, bearer, channel, options, why},
        http::get,
        raw_h2::{END_HEADERS, HEADERS, LONG, RawH2, frame, post},
    },
};

const BATCH: &str = "/jeton.v1.ClientService/BatchCreateClients";
const TOKENS: &str = "/jeton.v1.ClientService/ListTokens";

/// Memory in KiB by which a node may grow in these tests. One batch took gigabytes once.
const GROWTH: u64 = 64 * 1024;

/// The header of a call, whose message does not follow.
async fn begin(connection: &mut RawH2, stream: u32, path: &str, token: &str) {
    let authorization = format!("Bearer {token}");
    let fields = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", &authorization),
    ];
    let header = frame(HEADERS, END_HEADERS, stream, &post(path, &fields));
    connection.send(&header).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_may_not_call_a_method_is_refused_before_the_message() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, options()).await;
        let reader = administrator(&node, "reader", &["jeton:read"]).await;
        let token = node.issue(&reader).await.unwrap().access_token;
        let address = node.node.control_addr().unwrap();
        let mut connection = RawH2::connect(address, &[]).await;
        for (stream, token) in [(1, "x"), (3, &*token)] {
            begin(&mut connection, stream, BATCH, token).await;
            connection.until(HEADERS).await;
        }
        let page = get(node.node.probe_addr(), "/metrics").await.body;
        let page = String::from_utf8_lossy(&page).into_owned();
        for outcome in ["INVALID_TOKEN", "NOT_PERMITTED"] {
            let series = format!("rpc=\"BatchCreateClients\",outcome=\"{outcome}\"}} 1");
            assert!(page.contains(&series), "{kind:?} {series} in {page}");
        }
    }
}

/// A list of texts is on the wire what a batch is: an empty entry takes two bytes.
async fn batch(channel: &Channel, entries: usize, is_packed: bool, token: Option<&str>) -> Code {
    let mut grpc = Grpc::new(channel.clone());
    if is_packed {
        grpc = grpc.send_compressed(Gzip);
    }
    grpc.ready().await.unwrap();
    let message = FieldMask { paths: vec![String::new(); entries] };
    let request = match token {
        Some(token) => bearer(token, message),
        None => Request::new(message),
    };
    let codec = ProstCodec::<FieldMask, ()>::default();
    let answer = grpc.unary(request, PathAndQuery::from_static(BATCH), codec).await;
    answer.unwrap_err().code()
}

/// The most memory in KiB that the process ever had.
fn most_memory(served: &Served) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_empty_entries_takes_no_memory() {
    let database = Database::new(Kind::Sqlite).await;
    // Without the read throttle: nearly all of these calls fail.
    let served = Served::start(&database, &["--max-failures-per-second", "0"]);
    let channel = socket(&database.dir.path().join("control.sock")).await;
    // One that is right but for its entries, so that all is loaded that a call needs.
    assert_eq!(batch(&channel, 201, false, None).await, Code::InvalidArgument);
    let before = most_memory(&served);
    let sizes = [(250_000, Code::InvalidArgument), (2_000_000, Code::ResourceExhausted)];
    for (entries, code) in sizes {
        for is_packed in [false, true] {
            let of_stranger = batch(&channel, entries, is_packed, Some("x")).await;
            assert_eq!(of_stranger, Code::Unauthenticated, "{entries} {is_packed}");
            let of_user = batch(&channel, entries, is_packed, None).await;
            assert_eq!(of_user, code, "{entries} {is_packed}");
        }
    }
    let grown = most_memory(&served) - before;
    assert!(grown < GROWTH, "{grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_take_all_that_they_can_keep_nobody_from_ending_access() {
    for kind in Kind::BOTH {
        let limits = TestNodeOptions::default().limits;
        let limits = Limits { request_timeout: Duration::from_mins(1), ..limits };
        let at = Controlled::start_with(kind, TestNodeOptions { limits, ..options() }).await;
        at.node.client("orders").await;
        let reader = administrator(&at.node, "reader", &["jeton:read"]).await;
        let token = at.node.issue(&reader).await.unwrap().access_token;
        // Calls whose messages never come, until a whole one finds no permit.
        let address = at.node.node.control_addr().unwrap();
        let mut connection = RawH2::connect(address, &[]).await;
        let mut another = ClientServiceClient::new(channel(&at.node));
        let held = async {
            for stream in 0.. {
                begin(&mut connection, 2 * stream + 1, TOKENS, &token).await;
                let list = bearer(&token, ListClientsRequest::default());
                if let Err(refused) = another.list_clients(list).await {
                    return why(&refused).0;
                }
            }
            unreachable!()
        };
        let refused = timeout(LONG, held).await.expect("readers may take everything");
        assert_eq!(refused, ErrorReason::Unavailable, "{kind:?}");
        let mut control = at.control.clone();
        let disable = DisableClientRequest { client_id: "orders".to_owned(), ..Default::default() };
        control.disable_client(at.ask(disable).await).await.unwrap();
        // Nor from changing anything.
        let delete = DeleteClientRequest { client_id: "orders".to_owned(), ..Default::default() };
        control.delete_client(at.ask(delete).await).await.unwrap();
    }
}
