//! A TCP proxy before the private Postgres, which can make its connections die silently, and
//! statements fail, and lead to another server.

mod failpoint;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::Notify,
    task::JoinHandle,
};

pub(crate) use self::failpoint::{Failpoint, Failure};

#[derive(Default)]
struct State {
    /// Where new connections lead.
    upstream: Mutex<Upstream>,
    /// Connections are numbered from 1.
    last: AtomicU64,
    /// Connections up to this number swallow what they are given, in both directions.
    dead: AtomicU64,
    refuses: AtomicBool,
    /// After so many pieces from the node its connections are cut. 0 for never.
    pieces_left: AtomicI64,
    /// Connections that the node holds at this moment.
    open: AtomicU64,
    /// Whether the last piece still reaches the database, which then acts on it unheard.
    delivers_last: AtomicBool,
    /// Tells connections to end.
    cut: Notify,
    /// Lets statements fail, if there is one.
    failpoint: Option<Arc<Failpoint>>,
}

pub(crate) struct Proxy {
    state: Arc<State>,
    /// Of the database, through the proxy.
    pub(crate) url: String,
}

impl Proxy {
    pub(crate) async fn before(url: &str) -> Self {
        Self::with(url, State::default()).await
    }

    /// A proxy that lets statements fail, and does nothing else.
    pub(crate) async fn failing(url: &str) -> (Self, Arc<Failpoint>) {
        let failpoint = Arc::<Failpoint>::default();
        let state = State { failpoint: Some(Arc::clone(&failpoint)), ..State::default() };
        (Self::with(url, state).await, failpoint)
    }

    async fn with(url: &str, state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        *state.upstream.lock().unwrap() = Upstream::of(url);
        let state = Arc::new(state);
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { url: through(url, address), state }
    }

    /// What counts the connections that the node holds.
    pub(crate) fn open_connections(&self) -> OpenConnections {
        OpenConnections(Arc::clone(&self.state))
    }

    /// New connections lead to this server; those that there are stay where they are, as they do
    /// when a name or a balancer leads elsewhere.
    pub(crate) fn lead_to(&self, url: &str) {
        *self.state.upstream.lock().unwrap() = Upstream::of(url);
    }

    /// All connections of this moment go silent for good; new ones work.
    pub(crate) fn kill_silently(&self) {
        self.state.dead.store(self.state.last.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// All connections of this moment are closed; new ones work.
    pub(crate) fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// New connections are closed at once, and those that there are go silent.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
        self.kill_silently();
    }

    /// Cuts connections at the `number`th piece that the node sends from now on; whether that one
    /// is delivered decides whether the database acts on it. 0 ends it.
    pub(crate) fn cut_at(&self, number: i64, delivers_last: bool) {
        self.state.delivers_last.store(delivers_last, Ordering::SeqCst);
        self.state.pieces_left.store(number, Ordering::SeqCst);
    }
}

/// Counts the connections that a node holds.
pub(crate) struct OpenConnections(Arc<State>);

impl OpenConnections {
    pub(crate) fn now(&self) -> u64 {
        self.0.open.load(Ordering::SeqCst)
    }
}

/// The most connections that a node was seen to hold, by way of proxies that only it uses.
pub(crate) struct Most {
    most: Arc<AtomicU64>,
    watching: JoinHandle<()>,
}

impl Most {
    pub(crate) fn of(proxies: &[&Proxy]) -> Self {
        let open: Vec<_> = proxies.iter().map(|proxy| proxy.open_connections()).collect();
        let most = Arc::<AtomicU64>::default();
        let seen = Arc::clone(&most);
        let watching = tokio::spawn(async move {
            loop {
                let open = open.iter().map(OpenConnections::now).sum();
                seen.fetch_max(open, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { most, watching }
    }

    pub(crate) fn seen(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Most {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Counts a connection as open for as long as it lives.
struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    fn count(open: &'a AtomicU64) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl State {
    /// Whether this piece of the node is the one to cut at.
    fn is_last_piece(&self) -> bool {
        self.pieces_left.load(Ordering::SeqCst) > 0
            && self.pieces_left.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

#[derive(Clone, Default)]
enum Upstream {
    #[default]
    Nowhere,
    Unix(String),
    Tcp(String),
}

impl Upstream {
    fn of(url: &str) -> Self {
        let (head, query) = url.split_once('?').unwrap_or((url, ""));
        let socket = query.split('&').find_map(|parameter| parameter.strip_prefix("host=/"));
        if let Some(folder) = socket {
            return Self::Unix(format!("/{folder}/.s.PGSQL.5432"));
        }
        let authority = head.split_once("://").unwrap().1.split('/').next().unwrap();
        let host = authority.rsplit('@').next().unwrap();
        Self::Tcp(if host.contains(':') { host.to_owned() } else { format!("{host}:5432") })
    }
}

fn through(url: &str, proxy: SocketAddr) -> String {
    let head = url.split_once('?').map_or(url, |(head, _)| head);
    let (scheme, rest) = head.split_once("://").unwrap();
    let (authority, database) = rest.split_once('/').unwrap();
    let user = authority.rsplit_once('@').map_or("postgres", |(user, _)| user);
    format!("{scheme}://{user}@{proxy}/{database}?sslmode=disable")
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if state.refuses.load(Ordering::SeqCst) {
            continue;
        }
        let number = state.last.fetch_add(1, Ordering::SeqCst) + 1;
        let upstream = state.upstream.lock().unwrap().clone();
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            match upstream {
                Upstream::Nowhere => (),
                Upstream::Unix(path) => {
                    // A database that is away closes the connection to it, as it would its own.
                    let Ok(server) = UnixStream::connect(path).await else { return };
                    pump_both(client, server.into_split(), &state, number).await;
                }
                Upstream::Tcp(address) => {
                    let Ok(server) = TcpStream::connect(address).await else { return };
                    pump_both(client, server.into_split(), &state, number).await;
                }
            }
        });
    }
}

async fn pump_both(
    client: TcpStream,
    (mut from_server, mut to_server): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    state: &State,
    number: u64,
) {
    if let Some(failpoint) = &state.failpoint {
        return failpoint.pump(client.into_split(), (from_server, to_server)).await;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let asked = async {
        let _open = Open::count(&state.open);
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
            if number <= state.dead.load(Ordering::SeqCst) {
                continue;
            }
            let is_last = state.is_last_piece();
            if !is_last || state.delivers_last.load(Ordering::SeqCst) {
                let _ = to_server.write_all(&chunk[..length]).await;
            }
            if is_last {
                return;
            }
        }
    };
    let answered = async {
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from_server.read(&mut chunk).await {
            let is_dead = number <= state.dead.load(Ordering::SeqCst);
            if !is_dead && to_client.write_all(&chunk[..length]).await.is_err() {
                return;
            }
        }
    };
    // Whoever ends first ends both, unless the connection is one that goes silent for good.
    tokio::select! { () = asked => (), () = answered => (), () = state.cut.notified() => return }
    if number <= state.dead.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}
