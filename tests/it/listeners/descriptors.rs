//! Descriptors run out before anything else does. The database keeps its share of them, and a
//! system that gives none costs no time.

use std::{fs, net::TcpStream, process::Command, time::Duration};

use jeton::pb::v1::{
    ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, issue_token_request::Grant,
    token_service_client::TokenServiceClient,
};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

use super::metadata;
use crate::support::{
    Database, Kind,
    binary::{Served, run_json},
};

/// Descriptors that a process holds.
fn held(served: &Served) -> u64 {
    fs::read_dir(format!("/proc/{}/fd", served.child.id())).unwrap().count() as u64
}

/// Processor time that a process has had, in hundredths of a second.
fn processor_time(served: &Served) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", served.child.id())).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split(' ').collect::<Vec<_>>();
    fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
}

fn issue(created: &Value) -> IssueTokenRequest {
    let text = |name: &str| created[name].as_str().unwrap().to_owned();
    IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client_authentication: Some(ClientAuthentication {
            client_id: text("client_id"),
            client_secret: text("client_secret"),
        }),
        ..Default::default()
    }
}

// M-17: the database opens its files late, when connections could have taken everything.
#[tokio::test(flavor = "multi_thread")]
async fn connections_leave_descriptors_for_the_database() {
    let database = Database::new(Kind::Sqlite).await;
    let limit = 150;
    let mut shell = Command::new("sh");
    shell.env_clear().arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" \"$@\""));
    shell.arg(env!("CARGO_BIN_EXE_jeton"));
    let cheap = ["--argon2-memory-kib", "7168", "--argon2-passes", "5"];
    let served = Served::start_as(&mut shell, &database, &cheap);
    let created = run_json(&["client", "create", "--scope", "read"], &database);
    let mut client = TokenServiceClient::connect(format!("http://{}", served.grpc)).await.unwrap();
    // A connection that has authenticated does not make way for the others.
    client.issue_token(issue(&created)).await.unwrap();

    let silent: Vec<_> = [served.grpc, served.http]
        .into_iter()
        .flat_map(|address| (0..limit).map(move |_| TcpStream::connect(address).unwrap()))
        .collect();
    for _ in 0..20 {
        client.issue_token(issue(&created)).await.unwrap();
        assert!(held(&served) < limit - 20, "{} of {limit} are taken", held(&served));
    }
    drop(silent);
    metadata(served.http).await;
}

// M-17, FC-36, F4: tonic's own loop spun: 1.1 seconds of processor time in 3.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_descriptors_rests_and_accepts_again_when_there_are_some() {
    let database = Database::new(Kind::Sqlite).await;
    let served = Served::start(&database, &["--handshake-timeout-ms", "60000"]);
    let pid = Some(Pid::from_child(&served.child));
    let maximum = getrlimit(Resource::Nofile).maximum;
    let none_left = Rlimit { current: Some(held(&served)), maximum };
    let before = prlimit(pid, Resource::Nofile, none_left).unwrap();
    let waiting: Vec<_> = [served.grpc, served.http]
        .into_iter()
        .flat_map(|address| (0..20).map(move |_| TcpStream::connect(address).unwrap()))
        .collect();
    served.until("cannot accept connections; retrying");

    let spent = processor_time(&served);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = processor_time(&served) - spent;
    assert!(spent < 50, "{spent} hundredths of a second in 200");

    prlimit(pid, Resource::Nofile, before).unwrap();
    metadata(served.http).await;
    drop(waiting);
}

// FC-36: RUSTSEC-2024-0376, where the loop ended with the first such error.
#[tokio::test(flavor = "multi_thread")]
async fn peers_that_are_gone_before_they_are_accepted_do_not_end_the_loop() {
    let node = super::Attacked::start(super::short_handshake()).await;
    for _ in 0..1_000 {
        for address in [node.grpc(), node.http()] {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            // Closed with a reset, and not in an orderly way.
            stream.set_zero_linger().unwrap();
        }
    }
    node.still_serves().await;
}
