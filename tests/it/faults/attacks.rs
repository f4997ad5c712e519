//! Faults that come from outside, by way of the listeners.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jeton::pb::v1::{ClientCredentialsGrant, IssueTokenRequest, issue_token_request::Grant};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tonic::Code;

use super::world::{CALLERS, World};
use crate::support::raw_h2::{END_HEADERS, END_STREAM, HEADERS, RST_STREAM, RawH2, call, frame};

pub(super) async fn guess(world: &World) {
    let mut guesses = JoinSet::new();
    for number in 0..500 {
        let mut grpc = world.grpc();
        let mut client = world.steady.client.clone();
        client.client_secret.clone_from(&world.foreign_secret);
        if number % 2 == 1 {
            client.client_id = format!("unknown-{number}");
        }
        let asked = IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client_authentication: Some(client),
            ..Default::default()
        };
        guesses.spawn(async move { grpc.issue_token(asked).await.unwrap_err().code() });
    }
    for code in guesses.join_all().await {
        let honest = [
            Code::Unauthenticated,
            Code::ResourceExhausted,
            Code::DeadlineExceeded,
            Code::Unavailable,
        ];
        assert!(honest.contains(&code), "a wrong secret is told {code:?}");
    }
}

/// Each sends a byte now and then, and none a whole request.
pub(super) async fn slow_clients(world: &World) {
    let mut slow = Vec::new();
    for number in 0..300 {
        let address = if number % 2 == 0 { world.node.grpc } else { world.node.http };
        slow.push(TcpStream::connect(address).await.unwrap());
    }
    for byte in b"POST /oauth2/token" {
        for stream in &mut slow {
            // Who has had its time is gone.
            let _ = stream.write_all(&[*byte]).await;
        }
        world.sleep(50).await;
    }
}

pub(super) async fn streams_reset(world: &World) {
    let mut attackers = JoinSet::new();
    for _ in 0..10 {
        let attacker = RawH2::connect(world.node.grpc, &[]).await;
        let header = call("/jeton.v1.TokenService/IssueToken");
        let bytes = (1..).step_by(2).take(5_000).flat_map(move |stream| {
            let headers = frame(HEADERS, END_HEADERS | END_STREAM, stream, &header);
            [headers, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        });
        attackers.spawn(attacker.flood(bytes.collect()));
    }
    attackers.join_all().await;
}

/// Forty at once, for a second: alone they are refused within milliseconds, in which nothing could
/// be measured.
pub(super) async fn huge_input(world: &World) {
    let until = Instant::now() + Duration::from_secs(1);
    let filler: Arc<[u8]> = vec![b'x'; 4 * 1024 * 1024].into();
    let mut senders = JoinSet::new();
    for number in 0..40 {
        let (address, filler) = (world.node.http, Arc::clone(&filler));
        senders.spawn(async move {
            let head = if number % 2 == 0 {
                "POST /oauth2/token HTTP/1.1\r\nhost: x\r\ncontent-length: 4194304\r\n\
                 content-type: application/x-www-form-urlencoded\r\n\r\n"
            } else {
                "POST /oauth2/token HTTP/1.1\r\nhost: x\r\nx-filler: "
            };
            while Instant::now() < until {
                let mut stream = TcpStream::connect(address).await.unwrap();
                // The node may close before it has all of it, and mostly does.
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&filler).await;
                let mut answer = [0; 64];
                let answer = stream.read(&mut answer);
                let _ = tokio::time::timeout(Duration::from_secs(5), answer).await;
                drop(stream);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    senders.join_all().await;
}

fn limit(world: &World, resource: Resource, limit: Rlimit) -> Rlimit {
    prlimit(Some(Pid::from_child(&world.node.child)), resource, limit).unwrap()
}

/// The node keeps the descriptors that it has and gets no more.
pub(super) async fn no_descriptors(world: &World) {
    let held = std::fs::read_dir(format!("/proc/{}/fd", world.node.child.id())).unwrap().count();
    let maximum = getrlimit(Resource::Nofile).maximum;
    let none_left = Rlimit { current: Some(held as u64), maximum };
    let before = limit(world, Resource::Nofile, none_left);
    world.proxy.kill_silently();
    world.sleep(1_000).await;
    limit(world, Resource::Nofile, before);
}

/// The node gets a little more memory than it has, while much is sent to it. Where an allocation
/// fails the process ends, and the run with it.
pub(super) async fn little_memory(world: &mut World) {
    let now = world.address_space() * 1_024;
    let maximum = getrlimit(Resource::As).maximum;
    let little = Rlimit { current: Some(now + 64 * 1024 * 1024), maximum };
    let before = limit(world, Resource::As, little);
    huge_input(world).await;
    streams_reset(world).await;
    assert!(world.node.child.try_wait().unwrap().is_none(), "the node died for want of memory");
    limit(world, Resource::As, before);
}

/// Callers like the others, who begin all at once. Their end is waited for with that of the others.
pub(super) async fn many_callers(world: &mut World) {
    let stop = Arc::new(AtomicBool::new(false));
    world.call(9 * CALLERS, &stop);
    world.sleep(1_000).await;
    stop.store(true, Ordering::Relaxed);
}
