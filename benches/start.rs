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

#[path = "shared/process.rs"]
mod process;

use std::{env, process::Command, time::Instant};

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use jeton::pb::v1::{
    ClientCredentialsGrant, IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenRequest,
    IssueTokenResponse, ReportLeakedSecretRequest, ReportLeakedSecretResponse, RevokeTokenRequest,
    RevokeTokenResponse,
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

use process::{Process, register, serve};

const STARTS: usize = 5;
const CALLERS: u16 = 8;
/// Each hashes a secret, so that a few hundred already take seconds.
const HASHED_CALLS: u16 = 400;
const VERIFIED_CALLS: u16 = 8_000;
const EMPTY_CALLS: u16 = 40_000;
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
    what: String,
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
        [self.server.to_owned(), self.what.clone(), figure, ratio]
    }
}

async fn measure() -> Vec<Figure> {
    progress("an empty tonic unary");
    let mut figures = Vec::new();
    let empty = Process::start(&mut empty_server(), "listening");
    let memory = empty.memory_kib();
    figures.push(figure("empty", "idle memory", memory / 1_024.0, "MiB", None));
    let call = Call::Introspect(IntrospectTokenRequest::default());
    let unary = cpu_of(&empty, EMPTY_CALLS, &call).await;
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
        let authentication = register("bench", &flags);
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

        for (secret, calls, verified) in
            [("hashed", HASHED_CALLS, "0"), ("verified", VERIFIED_CALLS, "300")]
        {
            let mut command = serve(&flags);
            let node = Process::start(command.args(["--verified-seconds", verified]), "serving");
            let idle = node.memory_kib();
            let ratio = Some(idle / memory);
            figures.push(figure(server, "idle memory", idle / 1_024.0, "MiB", ratio));
            let issued = node.client().await.issue_token(issue.clone()).await;
            let cpu = cpu_of(&node, calls, &Call::Issue(issue.clone())).await;
            let what = format!("CPU per issue, secret {secret}");
            figures.push(figure(server, &what, cpu, "µs", Some(cpu / unary)));
            let call = Call::Introspect(IntrospectTokenRequest {
                token: issued.unwrap().into_inner().access_token,
                token_type_hint: String::new(),
                client_authentication: Some(authentication.clone()),
            });
            let cpu = cpu_of(&node, calls, &call).await;
            let what = format!("CPU per introspection, secret {secret}");
            figures.push(figure(server, &what, cpu, "µs", Some(cpu / unary)));
        }
    }
    figures
}

fn figure(
    server: &'static str,
    what: &str,
    value: f64,
    unit: &'static str,
    ratio: Option<f64>,
) -> Figure {
    Figure { server, what: what.to_owned(), value, unit, ratio }
}

fn progress(what: &str) {
    eprintln!("measuring {what} …");
}

async fn postgres_url() -> String {
    let url = |name| tokio::task::spawn_blocking(move || postgres::url(name));
    url("postgres").await.unwrap()
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

/// Microseconds of CPU time of the server per call.
async fn cpu_of(server: &Process, calls: u16, call: &Call) -> f64 {
    let before = server.cpu_micros();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (mut client, call) = (server.client().await, call.clone());
        callers.spawn(async move {
            for _ in 0..calls / CALLERS {
                call.make(&mut client).await.unwrap();
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    (server.cpu_micros() - before) / f64::from(calls)
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

    async fn report_leaked_secret(
        &self,
        _: Request<ReportLeakedSecretRequest>,
    ) -> Result<Response<ReportLeakedSecretResponse>, Status> {
        Ok(Response::new(ReportLeakedSecretResponse {}))
    }
}
