//! Programs that run beside a service: gateways that ask for tokens or check them, and Prometheus.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use ::http::{HeaderMap, Request};
use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{
    Outcome,
    house::{House, is_wanted},
};
use crate::support::http::{Answer, get, post_form, send};

/// How long a program may take to start.
const START: Duration = Duration::from_secs(30);

/// How long a change may take from one node to another on the embedded database. Gateways that keep
/// answers keep them for minutes.
const FOLLOWED: Duration = Duration::from_secs(3);

type Rows = Vec<(&'static str, &'static str, Outcome)>;

pub(super) async fn try_all(house: &House, rows: &mut Rows) {
    // The service behind the gateways answers with the credential that it was sent.
    let listener = TcpListener::bind(house.service).await.unwrap();
    let answer = async |headers: HeaderMap| {
        headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    let service = tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    if is_wanted("Envoy") {
        rows.push(("Envoy", "credential_injector adds a token", envoy(house).await));
    }
    if is_wanted("nginx") {
        let tried = "auth_request with njs: a revoked token is out";
        rows.push(("nginx", tried, nginx(house).await));
    }
    if is_wanted("Apache") {
        rows.push(("Apache, mod_oauth2", "a revoked token is out", apache(house).await));
    }
    if is_wanted("Prometheus") {
        rows.push(("Prometheus", "a scrape, and promtool check metrics", prometheus(house).await));
    }
    service.abort();
}

/// A program that runs until this is dropped.
struct Running(Child);

impl Running {
    /// Starts a program and waits until it listens.
    async fn start(house: &House, words: &[&str], address: SocketAddr) -> Result<Self, Outcome> {
        if !house.has(words[0]) {
            return Err(Outcome::missing(words[0]));
        }
        let child = house.command(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut running = Self(child.unwrap());
        let began = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let has_ended = running.0.try_wait().unwrap().is_some();
            if has_ended || began.elapsed() > START {
                return Err(Outcome::Fails(running.end()));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(running)
    }

    /// Ends it, and returns what it said.
    fn end(&mut self) -> String {
        // `timeout` passes this on to the program.
        let id = self.0.id().to_string();
        std::process::Command::new("kill").arg(id).status().unwrap();
        let mut said = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut said);
        }
        let _ = self.0.wait();
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

async fn with_token(gateway: SocketAddr, token: &str) -> Answer {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    send(gateway, request.body(Vec::new()).unwrap()).await
}

/// Whether the gateway lets in a token until it is revoked, and nobody without one.
async fn guards(house: &House) -> Result<(), String> {
    let post = async |path: &str, form: &str| {
        post_form(house.plain.http, path, "orders", &house.orders, form).await
    };
    let issued = post("/oauth2/token", "grant_type=client_credentials").await.json();
    let token = issued["access_token"].as_str().unwrap();
    let mut told = vec![
        get(house.gateway, "/").await.status.as_u16(),
        with_token(house.gateway, token).await.status.as_u16(),
    ];
    post("/oauth2/revoke", &format!("token={token}")).await;
    // The gateway may ask the other node, which reads the change a moment later.
    let began = Instant::now();
    let mut revoked = with_token(house.gateway, token).await;
    while revoked.status == 200 && began.elapsed() < FOLLOWED {
        sleep(Duration::from_millis(50)).await;
        revoked = with_token(house.gateway, token).await;
    }
    told.push(revoked.status.as_u16());
    if told == [401, 200, 401] { Ok(()) } else { Err(format!("{told:?}")) }
}

/// What a gateway that guards a service has shown.
async fn guarded(house: &House, words: &[&str]) -> Outcome {
    let mut running = match Running::start(house, words, house.gateway).await {
        Ok(running) => running,
        Err(outcome) => return outcome,
    };
    match guards(house).await {
        Ok(()) => Outcome::Works,
        Err(why) => Outcome::Fails(format!("{why} {}", running.end())),
    }
}

async fn nginx(house: &House) -> Outcome {
    house.prepare("nginx/introspect.js");
    let file = format!("{}/{}", house.folder(), house.prepare("nginx/nginx.conf"));
    let words = ["nginx", "-p", house.folder(), "-c", &file, "-g"];
    let words = [&words[..], &["daemon off; master_process off;"]].concat();
    guarded(house, &words).await
}

async fn apache(house: &House) -> Outcome {
    // Its authorities are those of the system, so it calls the node without TLS here.
    let plain = format!("http://{}", house.plain.http);
    let replaced = [("https://tokens.example.com:8080", plain.as_str())];
    let file = house.prepare_with("apache/apache.conf", &replaced);
    let file = format!("{}/{file}", house.folder());
    let words = ["apache2", "-X", "-d", house.folder(), "-f", &file];
    guarded(house, &words).await
}

async fn envoy(house: &House) -> Outcome {
    let file = house.prepare("envoy/envoy.yaml");
    let words = ["envoy", "-c", &file, "--use-dynamic-base-id", "--log-level", "warn"];
    let mut running = match Running::start(house, &words, house.gateway).await {
        Ok(running) => running,
        Err(outcome) => return outcome,
    };
    // It refuses requests until it has its first token.
    let began = Instant::now();
    loop {
        let answer = get(house.gateway, "/").await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status == 200 && text.starts_with("Bearer jta_") {
            return Outcome::Works;
        }
        if began.elapsed() > START {
            return Outcome::Fails(format!("{} {text} {}", answer.status, running.end()));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn prometheus(house: &House) -> Outcome {
    if !house.has("promtool") {
        return Outcome::missing("promtool");
    }
    let page = get(house.secured.probes(), "/metrics").await;
    let mut lint = house.command(&["promtool", "check", "metrics"]);
    let lint = lint.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut lint = lint.unwrap();
    lint.stdin.take().unwrap().write_all(&page.body).unwrap();
    let lint = lint.wait_with_output().unwrap();
    if !lint.status.success() {
        return Outcome::of(&lint, "");
    }
    let file = house.prepare("prometheus/prometheus.yml");
    let (config, web) =
        (format!("--config.file={file}"), format!("--web.listen-address={}", house.gateway));
    let words = ["prometheus", &config, &web, "--storage.tsdb.path=prometheus"];
    let mut running = match Running::start(house, &words, house.gateway).await {
        Ok(running) => running,
        Err(outcome) => return outcome,
    };
    let began = Instant::now();
    while began.elapsed() < START {
        let found = get(house.gateway, "/api/v1/query?query=jeton_build_info").await;
        if String::from_utf8_lossy(&found.body).contains("\"version\":") {
            return Outcome::Works;
        }
        sleep(Duration::from_millis(200)).await;
    }
    Outcome::Fails(format!("it scraped nothing: {}", running.end()))
}
