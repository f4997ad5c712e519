//! Clients, gateways and tools of other people, unchanged: the programs and configurations of
//! `tests/clients`, which `docs/clients.md` shows. `./test --clients` installs what they need.

mod gateways;
mod house;
#[expect(unreachable_pub, reason = "the lines are shown as a program would have them")]
#[path = "../clients/rust/token.rs"]
mod token;

use std::process::Output;

use self::house::House;
use crate::support::{Database, Kind, binary::Served, binary::run_json};

/// What became of a trial.
enum Outcome {
    Works,
    /// Why it could not be tried here.
    Skipped(String),
    Fails(String),
}

/// A program of `tests/clients`.
struct Program {
    client: &'static str,
    tried: &'static str,
    /// A command that must be installed.
    needs: &'static str,
    /// Words before the name of the file.
    command: &'static [&'static str],
    file: &'static str,
    /// What its output holds once.
    says: &'static str,
}

/// A token that was active and is not any more.
const ACTIVE: &str = "active:true";

#[rustfmt::skip]
const PROGRAMS: [Program; 9] = [
    Program { client: "curl", tried: "token, introspection, revocation", needs: "curl", command: &["sh"], file: "curl/token.sh", says: ACTIVE },
    Program { client: "grpcurl", tried: "the same over gRPC, by reflection", needs: "grpcurl", command: &["sh"], file: "grpcurl/token.sh", says: ACTIVE },
    Program { client: "Python, authlib", tried: "token, introspection, revocation", needs: "python3", command: &["python3"], file: "python/authlib_token.py", says: ACTIVE },
    Program { client: "Python, grpcio", tried: "the same with gzip, by reflection v1alpha", needs: "python3", command: &["python3"], file: "python/grpc_token.py", says: ACTIVE },
    Program { client: "Node, openid-client", tried: "discovery, token, introspection, revocation", needs: "node", command: &["node"], file: "node/http.mjs", says: ACTIVE },
    Program { client: "Node, simple-oauth2", tried: "a refusal is seen, a revocation succeeds", needs: "node", command: &["node"], file: "node/refusals.mjs", says: "refusedandrevoked" },
    Program { client: "Go, golang.org/x/oauth2", tried: "token", needs: "go", command: &["go", "run"], file: "go/main.go", says: "Bearerjta_" },
    Program { client: "Java, java.net.http", tried: "token, introspection, revocation", needs: "javac", command: &["java", "-Djavax.net.ssl.trustStore=ca.p12", "-Djavax.net.ssl.trustStorePassword=changeit"], file: "java/Token.java", says: ACTIVE },
    Program { client: "promtool", tried: "lint of the metrics, the configuration", needs: "promtool", command: &["promtool", "check", "config"], file: "prometheus/prometheus.yml", says: "SUCCESS" },
];

impl Program {
    fn run(&self, house: &House) -> Outcome {
        let file = house.prepare(self.file);
        if !house.has(self.needs) {
            return Outcome::missing(self.needs);
        }
        if self.client.starts_with("Java") {
            let imported = house.run(&[
                "keytool",
                "-importcert",
                "-noprompt",
                "-alias",
                "jeton",
                "-file",
                &house.ca,
                "-keystore",
                "ca.p12",
                "-storepass",
                "changeit",
            ]);
            if !imported.status.success() {
                return Outcome::of(&imported, "");
            }
        }
        let output = house.run(&[self.command, &[&file]].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        // A library that is not installed is no fault of ours.
        let missing = ["ModuleNotFoundError", "ERR_MODULE_NOT_FOUND", "cannot find package"];
        if let Some(line) = text.lines().find(|line| missing.iter().any(|m| line.contains(m))) {
            return Outcome::Skipped(line.trim().to_owned());
        }
        Outcome::of(&output, self.says)
    }
}

impl Outcome {
    fn missing(what: &str) -> Self {
        Self::Skipped(format!("no {what}"))
    }

    /// Success if the program succeeded and its output holds this text once.
    fn of(output: &Output, says: &str) -> Self {
        let said = String::from_utf8_lossy(&output.stdout);
        let plain: String = said.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
        if output.status.success() && (says.is_empty() || plain.matches(says).count() == 1) {
            Self::Works
        } else {
            let errors = String::from_utf8_lossy(&output.stderr);
            Self::Fails(format!("{} {said}{errors}", output.status))
        }
    }
}

/// Prints a table. `JETON_CLIENTS` names the clients to try, by the beginnings of their names.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients: ./test --clients installs them"]
async fn every_client_works_unchanged() {
    let house = House::new().await;
    let mut rows = Vec::new();
    for program in &PROGRAMS {
        if house::is_wanted(program.client) {
            rows.push((program.client, program.tried, program.run(&house)));
        }
    }
    gateways::try_all(&house, &mut rows).await;
    assert!(!rows.is_empty(), "JETON_CLIENTS names no client");
    println!("\n{:<24} {:<44} result", "client", "tried");
    let mut failures = 0;
    for (client, tried, outcome) in &rows {
        let result = match outcome {
            Outcome::Works => "works".to_owned(),
            Outcome::Skipped(why) => format!("skipped: {why}"),
            Outcome::Fails(why) => {
                failures += 1;
                format!("FAILS: {}", why.trim().replace('\n', " | "))
            }
        };
        println!("{client:<24} {tried:<44} {result}");
    }
    assert_eq!(failures, 0, "of {} trials", rows.len());
}

/// The lines for Rust need nothing that is not here.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_for_rust_get_a_token_over_tls() {
    let database = Database::ready(Kind::Sqlite).await;
    let created = run_json(&["client", "create", "--client-id", "orders"], &database);
    let served = Served::start(&database, &["--tls-self-signed"]);
    let url = format!("https://localhost:{}", served.grpc.port());
    let ca = database.dir.path().join("tls/cert.pem");
    let token = token::token(&url, &ca, created["client_secret"].as_str().unwrap()).await.unwrap();
    assert!(token.starts_with("jta_"));
}
