//! Honest callers: each call has a connection of its own, and each second the probes are asked.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{
    binary::Served,
    http::{FORM, basic},
};

/// Callers at the same time, each with a pause between two calls.
const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(10);

/// Longer than this, a call has failed. Figures at full size stay far below it; beside other tests
/// the machine may be busy.
const LIMIT: Duration = Duration::from_secs(15);

/// A probe that takes longer has failed; the default of Kubernetes is a second.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

pub(super) struct Honest {
    http: SocketAddr,
    probes: SocketAddr,
    process: u32,
    issue: Arc<[u8]>,
}

/// What the honest callers saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) calls: usize,
    pub(super) succeeded: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) memory_mib: u64,
    pub(super) probes: usize,
    pub(super) live: usize,
    pub(super) ready: usize,
}

impl Figures {
    /// Calls that succeeded, in thousandths.
    pub(super) fn success(&self) -> usize {
        1_000 * self.succeeded / self.calls.max(1)
    }
}

impl Honest {
    pub(super) fn new(node: &Served, secret: &str) -> Self {
        Self {
            http: node.http,
            probes: node.probes(),
            process: node.child.id(),
            issue: issue("good", secret, "close").into_bytes().into(),
        }
    }

    /// Resident memory of the node.
    pub(super) fn memory_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Calls for this long.
    pub(super) async fn measure(&self, period: Duration) -> Figures {
        let stop = Arc::new(AtomicBool::new(false));
        let (times, failed) = (Arc::<Mutex<Vec<Duration>>>::default(), Arc::<AtomicU64>::default());
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (stop, times, failed) =
                (Arc::clone(&stop), Arc::clone(&times), Arc::clone(&failed));
            let (http, request) = (self.http, Arc::clone(&self.issue));
            callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let status = timeout(LIMIT, ask(http, &request)).await;
                    if matches!(status, Ok(Ok(200))) {
                        times.lock().unwrap().push(began.elapsed());
                    } else {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    sleep(PAUSE).await;
                }
            });
        }
        let mut figures = self.watch(period).await;
        stop.store(true, Ordering::Relaxed);
        callers.join_all().await;
        let mut times = times.lock().unwrap().clone();
        times.sort_unstable();
        let at = |percent: usize| {
            times.get(times.len() * percent / 100).or(times.last()).copied().unwrap_or(LIMIT)
        };
        (figures.p50, figures.p99, figures.succeeded) = (at(50), at(99), times.len());
        let failed = usize::try_from(failed.load(Ordering::Relaxed)).unwrap();
        figures.calls = figures.succeeded + failed;
        figures
    }

    /// Asks the probes and reads the memory while the callers work.
    async fn watch(&self, period: Duration) -> Figures {
        let (mut figures, began) = (Figures::default(), Instant::now());
        while began.elapsed() < period {
            figures.probes += 1;
            for (path, count) in [("/livez", &mut figures.live), ("/readyz", &mut figures.ready)] {
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                let status = timeout(PROBE_LIMIT, ask(self.probes, request.as_bytes())).await;
                *count += usize::from(matches!(status, Ok(Ok(200))));
            }
            figures.memory_mib = figures.memory_mib.max(self.memory_mib());
            sleep(Duration::from_millis(200)).await;
        }
        figures
    }
}

/// The grant request of a client over HTTP/1.1, on a connection that is kept or closed after it.
pub(super) fn issue(client_id: &str, secret: &str, connection: &str) -> String {
    let form = "grant_type=client_credentials";
    format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\
         Content-Type: {FORM}\r\nAuthorization: {}\r\nContent-Length: {}\r\n\r\n{form}",
        basic(client_id, secret),
        form.len()
    )
}

/// Sends a request on a connection of its own and returns the status of the answer.
async fn ask(to: SocketAddr, request: &[u8]) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
    status
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}
