//! The attacks. Each goes on until it is dropped, and begins again whenever the node ends it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    honest::issue,
    sources::{ATTACKER, address, connect},
};
use crate::support::raw_h2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, call, frame,
};

const WINDOW_UPDATE: u8 = 8;

const ISSUE: &str = "/jeton.v1.TokenService/IssueToken";
const INTROSPECT: &str = "/jeton.v1.TokenService/IntrospectToken";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// Pause before a connection that ended is opened again, at full size; longer at a smaller size, so
/// that the number of newcomers per second has the same relation to the limits of the node.
const AGAIN: Duration = Duration::from_millis(100);

/// What is attacked, and with what.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) grpc: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) probes: SocketAddr,
    pub(super) old_secret: String,
    /// Of a client of the attacker, which may issue tokens.
    pub(super) greedy_secret: String,
    /// The number of attackers is divided by this.
    pub(super) divisor: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attack {
    UnfinishedMessages,
    UnfinishedBodies,
    ManyStreams,
    ManyWatches,
    ManyReflections,
    OneRequestEach,
    Silent,
    ManySources,
    Probes,
    UnknownPaths,
    Settings,
    Pings,
    WindowUpdates,
    OldSecret,
    OldSecretFromManyAddresses,
    Greedy,
    UnreadLog,
}

impl Attack {
    pub(super) const ALL: [Self; 17] = [
        Self::UnfinishedMessages,
        Self::UnfinishedBodies,
        Self::ManyStreams,
        Self::ManyWatches,
        Self::ManyReflections,
        Self::OneRequestEach,
        Self::Silent,
        Self::ManySources,
        Self::Probes,
        Self::UnknownPaths,
        Self::Settings,
        Self::Pings,
        Self::WindowUpdates,
        Self::OldSecret,
        Self::OldSecretFromManyAddresses,
        Self::Greedy,
        Self::UnreadLog,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::UnfinishedMessages => "22 connections with 100 unfinished messages each",
            Self::UnfinishedBodies => "1,500 bodies that do not come",
            Self::ManyStreams => "320 connections with 100 streams each",
            Self::ManyWatches => "320 connections with 100 health watches each",
            Self::ManyReflections => "320 connections with 100 reflection streams each",
            Self::OneRequestEach => "1,500 connections with one request each",
            Self::Silent => "3,000 silent connections",
            Self::ManySources => "3,000 silent connections from 1,000 addresses",
            Self::Probes => "48 connections to the probe listener",
            Self::UnknownPaths => "flood of unknown paths",
            Self::Settings => "flood of SETTINGS",
            Self::Pings => "flood of PING",
            Self::WindowUpdates => "flood of WINDOW_UPDATE",
            Self::OldSecret => "an old secret with the name of the honest client",
            Self::OldSecretFromManyAddresses => "an old secret from 30 addresses",
            Self::Greedy => "one client that issues without end, with quotas enforced",
            Self::UnreadLog => "flood of unknown paths while nobody reads the log",
        }
    }

    pub(super) async fn run(self, target: Target) {
        let Target { grpc, http, probes, old_secret, greedy_secret, divisor } = target;
        let metadata = b"GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: x\r\n\r\n";
        let body = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
        let here = |_| ATTACKER;
        match self {
            Self::UnfinishedMessages => {
                let both = [streams(ISSUE, 0, false), streams(INTROSPECT, 0, false)];
                hold((22, divisor), here, move |number| (grpc, both[number % 2].clone())).await;
            }
            Self::UnfinishedBodies => {
                hold((1_500, divisor), here, move |_| (http, body.to_vec())).await;
            }
            Self::ManyStreams => {
                let streams = streams(ISSUE, 8_000, false);
                hold((320, divisor), here, move |_| (grpc, streams.clone())).await;
            }
            Self::ManyWatches => {
                let streams = streams(WATCH, 0, true);
                hold((320, divisor), here, move |_| (grpc, streams.clone())).await;
            }
            Self::ManyReflections => {
                let streams = streams(REFLECTION, 0, false);
                hold((320, divisor), here, move |_| (grpc, streams.clone())).await;
            }
            Self::OneRequestEach => {
                hold((1_500, divisor), here, move |_| (http, metadata.to_vec())).await;
            }
            Self::Silent => hold((3_000, divisor), here, move |_| (http, Vec::new())).await,
            Self::ManySources => {
                // Fewer at a smaller size, where a call takes longer than the table takes to turn over.
                let divisor = if divisor > 1 { 2 * divisor } else { divisor };
                hold(
                    (3_000, divisor),
                    |number| address(number % 1_000),
                    move |_| (http, Vec::new()),
                )
                .await;
            }
            Self::Probes => {
                let live = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
                hold((48, 1), here, move |_| (probes, live.to_vec())).await;
            }
            Self::UnknownPaths | Self::UnreadLog => {
                flood(8, http, b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200)).await;
            }
            Self::Settings => flood_frames(grpc, &frame(SETTINGS, 0, 0, &[])).await,
            Self::Pings => flood_frames(grpc, &frame(PING, 0, 0, &[0; 8])).await,
            Self::WindowUpdates => {
                flood_frames(grpc, &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await;
            }
            Self::OldSecret => guess(1, http, &old_secret, |_| "good".to_owned()).await,
            Self::OldSecretFromManyAddresses => {
                guess(30, http, &old_secret, |number| format!("invented-{number}")).await;
            }
            Self::Greedy => {
                let issue = issue("greedy", &greedy_secret, "keep-alive");
                flood(8, http, issue.into_bytes().repeat(200)).await;
            }
        }
    }
}

/// A hundred calls of a method, each with this many bytes of a message, and ended or not.
fn streams(path: &str, message: usize, is_whole: bool) -> Vec<u8> {
    let mut bytes = [&PREFACE[..], &frame(SETTINGS, 0, 0, &[])].concat();
    for stream in (1..).step_by(2).take(100) {
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &call(path)));
        if is_whole {
            bytes.extend(frame(DATA, END_STREAM, stream, &[0; 5]));
        } else if message > 0 {
            // The length of the message is never reached.
            let prefix = [0, 0, 0, 0xff, 0];
            bytes.extend(frame(DATA, 0, stream, &[&prefix[..], &vec![0; message]].concat()));
        }
    }
    bytes
}

/// Keeps this many connections open, each after it has sent something.
async fn hold(
    (count, divisor): (usize, usize),
    from: impl Fn(usize) -> IpAddr,
    sent: impl Fn(usize) -> (SocketAddr, Vec<u8>) + Clone + Send + 'static,
) {
    let mut connections = JoinSet::new();
    let again = AGAIN * u32::try_from(divisor).unwrap();
    for number in 0..count.div_ceil(divisor) {
        let (from, sent) = (from(number), sent.clone());
        connections.spawn(async move {
            loop {
                let (to, bytes) = sent(number);
                if let Ok(stream) = connect(from, to).await {
                    let _ = hold_one(stream, &bytes).await;
                }
                sleep(again).await;
            }
        });
    }
    connections.join_all().await;
}

/// Sends something and reads until the node closes the connection; sends it again every 5 seconds,
/// as the deadline of a message has passed by then.
async fn hold_one(mut stream: TcpStream, sent: &[u8]) -> io::Result<()> {
    let mut answer = [0; 4096];
    stream.write_all(sent).await?;
    let renewal = Duration::from_secs(5);
    loop {
        match timeout(renewal, stream.read(&mut answer)).await {
            Ok(Ok(0)) | Err(_) => return Ok(()),
            Ok(read) => read.map(drop)?,
        }
    }
}

/// Sends the same bytes without end on this many connections, and reads what comes.
async fn flood(count: usize, to: SocketAddr, bytes: Vec<u8>) {
    let mut connections = JoinSet::new();
    for _ in 0..count {
        let bytes = bytes.clone();
        connections.spawn(async move {
            loop {
                if let Ok(stream) = connect(ATTACKER, to).await {
                    let (mut reader, mut writer) = stream.into_split();
                    let writing = async { while writer.write_all(&bytes).await.is_ok() {} };
                    let mut sink = tokio::io::sink();
                    let reading = tokio::io::copy(&mut reader, &mut sink);
                    tokio::select! { () = writing => {}, _ = reading => {} }
                }
                sleep(AGAIN).await;
            }
        });
    }
    connections.join_all().await;
}

/// Floods with an HTTP/2 frame. The preface is repeated with it, and the connection ends there, so
/// it is sent often enough before.
async fn flood_frames(to: SocketAddr, one: &[u8]) {
    let mut connections = JoinSet::new();
    for _ in 0..2 {
        let (start, frames) =
            ([&PREFACE[..], &frame(SETTINGS, 0, 0, &[])].concat(), one.repeat(5_000));
        connections.spawn(async move {
            loop {
                if let Ok(stream) = connect(ATTACKER, to).await {
                    let (mut reader, mut writer) = stream.into_split();
                    let writing = async {
                        let _ = writer.write_all(&start).await;
                        while writer.write_all(&frames).await.is_ok() {}
                    };
                    let mut sink = tokio::io::sink();
                    let reading = tokio::io::copy(&mut reader, &mut sink);
                    tokio::select! { () = writing => {}, _ = reading => {} }
                }
                sleep(AGAIN).await;
            }
        });
    }
    connections.join_all().await;
}

/// Presents a secret from this many addresses, each time on a new connection.
async fn guess(
    addresses: usize,
    to: SocketAddr,
    secret: &str,
    name: impl Fn(u64) -> String + Clone + Send + 'static,
) {
    let mut attackers = JoinSet::new();
    for number in 0..addresses {
        let (from, secret, name) = (address(number), secret.to_owned(), name.clone());
        attackers.spawn(async move {
            for attempt in 0.. {
                let request = issue(&name(attempt), &secret, "close");
                if let Ok(mut stream) = connect(from, to).await {
                    let _ = stream.write_all(request.as_bytes()).await;
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
    }
    attackers.join_all().await;
}
