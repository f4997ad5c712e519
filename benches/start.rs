//! What a node costs before any tuning: start to first answer, idle memory, and the CPU time of the
//! server per issue and per introspection, beside an empty tonic unary in the same run.
//!
//! `cargo bench --bench start` prints a table, with `-- --json` one object. Linux only: the figures
//! are the kernel's own account of the server process, which the load generator cannot blur.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run may panic")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is the result")]

#[expect(dead_code, reason = "tests of faults want more of it than a benchmark")]
#[path = "../tests/it/support/postgres.rs"]
mod postgres;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Instant,
};

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use jeton::pb::v1::{
    ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IntrospectTokenResponse,
    IssueTokenRequest, IssueTokenResponse, RevokeTokenRequest, RevokeTokenResponse,
    issue_token_request::Grant,
    token_service_client::TokenServiceClient,
    token_service_server::{TokenService, TokenServiceServer},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Server},
};

const STARTS: usize = 5;
const CALLERS: u16 = 8;
/// Each hashes a secret, so that a few hundred already take seconds.
const HASHED_CALLS: u16 = 400;
const EMPTY_CALLS: u16 = 40_000;
/// The kernel counts CPU time in hundredths of a second.
const TICK_MICROS: f64 = 10_000.0;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if env::args().any(|argument| argument == "--empty-server") {
        runtime.block_on(Empty::serve());
        return;
    }
    let figures = runtime.block_on(measure());
    if env::args().any(|argument| argument == "--json") {
        println!("{}", json!(figures.iter().map(Figure::json).collect::<Vec<_>>()));
        return;
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "server",
        "what",
        "figure",
        "× empty unary",
    ]);
    for figure in &figures {
        table.add_row(figure.row());
    }
    for column in 2..4 {
        table.column_mut(column).unwrap().set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

struct Figure {
    server: &'static str,
    what: &'static str,
    value: f64,
    unit: &'static str,
    /// Of the empty unary's figure.
    ratio: Option<f64>,
}

impl Figure {
    fn json(&self) -> Value {
        let Self { server, what, value, unit, ratio } = self;
        json!({ "server": server, "what": what, "value": value, "unit": unit, "ratio": ratio })
    }

    fn row(&self) -> [String; 4] {
        let ratio = self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let figure = format!("{:.1} {}", self.value, self.unit);
        [self.server.to_owned(), self.what.to_owned(), figure, ratio]
    }
}

async fn measure() -> Vec<Figure> {
    progress("an empty tonic unary");
    let mut figures = Vec::new();
    let empty = Process::start(&mut empty_server(), "listening");
    let memory = empty.memory_kib();
    figures.push(figure("empty", "idle memory", memory / 1_024.0, "MiB", None));
    let call = Call::Introspect(IntrospectTokenRequest::default());
    let unary = empty.cpu_of(EMPTY_CALLS, &call).await;
    figures.push(figure("empty", "CPU per unary", unary, "µs", Some(1.0)));
    drop(empty);

    for (server, flags) in [
        ("SQLite", Vec::new()),
        ("Postgres", vec!["--database-url".to_owned(), postgres_url().await]),
    ] {
        progress(server);
        let directory = tempfile::tempdir().unwrap();
        let mut flags = flags;
        flags.extend(["--data-dir".to_owned(), directory.path().display().to_string()]);
        let authentication = register(&flags);
        let issue = IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client_authentication: Some(authentication.clone()),
            ..Default::default()
        };
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            let began = Instant::now();
            let node = Process::start(&mut serve(&flags), "serving");
            let _ = node.client().await.issue_token(issue.clone()).await.unwrap();
            starts.push(began.elapsed().as_secs_f64() * 1e3);
        }
        starts.sort_by(f64::total_cmp);
        figures.push(figure(server, "start to first token", starts[STARTS / 2], "ms", None));

        let node = Process::start(&mut serve(&flags), "serving");
        let idle = node.memory_kib();
        figures.push(figure(server, "idle memory", idle / 1_024.0, "MiB", Some(idle / memory)));
        let issued = node.client().await.issue_token(issue.clone()).await.unwrap().into_inner();
        let cpu = node.cpu_of(HASHED_CALLS, &Call::Issue(issue)).await;
        figures.push(figure(server, "CPU per issue", cpu, "µs", Some(cpu / unary)));
        let call = Call::Introspect(IntrospectTokenRequest {
            token: issued.access_token,
            token_type_hint: String::new(),
            client_authentication: Some(authentication),
        });
        let cpu = node.cpu_of(HASHED_CALLS, &call).await;
        figures.push(figure(server, "CPU per introspection", cpu, "µs", Some(cpu / unary)));
    }
    figures
}

const fn figure(
    server: &'static str,
    what: &'static str,
    value: f64,
    unit: &'static str,
    ratio: Option<f64>,
) -> Figure {
    Figure { server, what, value, unit, ratio }
}

fn progress(what: &str) {
    eprintln!("measuring {what} …");
}

async fn postgres_url() -> String {
    let url = |name| tokio::task::spawn_blocking(move || postgres::url(name));
    url("postgres").await.unwrap()
}

/// Registers the one client of the run.
fn register(flags: &[String]) -> ClientAuthentication {
    let output = jeton("client")
        .args(["create", "--client-id", "bench", "--scope", "read", "--json"])
        .args(flags)
        .output()
        .unwrap();
    let created: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |name: &str| created[name].as_str().unwrap().to_owned();
    ClientAuthentication { client_id: text("client_id"), client_secret: text("client_secret") }
}

fn jeton(command: &str) -> Command {
    let mut jeton = Command::new(env!("CARGO_BIN_EXE_jeton"));
    jeton.arg(command).env_clear();
    jeton
}

fn serve(flags: &[String]) -> Command {
    let mut serve = jeton("serve");
    serve.args(flags).args(["--http-addr", "127.0.0.1:0"]);
    serve
}

fn empty_server() -> Command {
    let mut empty = Command::new(env::current_exe().unwrap());
    empty.arg("--empty-server");
    empty
}

/// What the callers do, over and over.
#[derive(Clone)]
enum Call {
    Issue(IssueTokenRequest),
    Introspect(IntrospectTokenRequest),
}

impl Call {
    async fn make(&self, client: &mut TokenServiceClient<Channel>) -> Result<(), Status> {
        match self.clone() {
            Self::Issue(request) => client.issue_token(request).await.map(drop),
            Self::Introspect(request) => client.introspect_token(request).await.map(drop),
        }
    }
}

/// A server in a process of its own. It is killed when it is dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts it and waits until a line of what it says holds this word.
    fn start(command: &mut Command, word: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        command.args(["--grpc-addr", &address.to_string()]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(word)), "the server ended");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    async fn client(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::connect(format!("http://{}", self.address)).await.unwrap()
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    fn memory_kib(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// User and system time of all threads: fields 14 and 15 of proc(5), counted from the name,
    /// which may hold spaces.
    fn cpu_micros(&self) -> f64 {
        let stat = self.proc("stat");
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        let ticks = after_name.split(' ').skip(11).take(2).map(|text| text.parse::<u32>().unwrap());
        f64::from(ticks.sum::<u32>()) * TICK_MICROS
    }

    /// Microseconds of CPU time of the server per call.
    async fn cpu_of(&self, calls: u16, call: &Call) -> f64 {
        let before = self.cpu_micros();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (mut client, call) = (self.client().await, call.clone());
            callers.spawn(async move {
                for _ in 0..calls / CALLERS {
                    call.make(&mut client).await.unwrap();
                }
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
        (self.cpu_micros() - before) / f64::from(calls)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The least that a tonic service with this contract can do.
struct Empty;

impl Empty {
    async fn serve() {
        let mut arguments = env::args().skip_while(|argument| argument != "--grpc-addr").skip(1);
        let address = arguments.next().unwrap().parse().unwrap();
        let server = Server::builder().add_service(TokenServiceServer::new(Self)).serve(address);
        eprintln!("listening");
        server.await.unwrap();
    }
}

#[tonic::async_trait]
impl TokenService for Empty {
    async fn issue_token(
        &self,
        _: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        Ok(Response::new(IssueTokenResponse::default()))
    }

    async fn introspect_token(
        &self,
        _: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        Ok(Response::new(IntrospectTokenResponse::default()))
    }

    async fn revoke_token(
        &self,
        _: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        Ok(Response::new(RevokeTokenResponse {}))
    }
}
