//! Clients of other systems: `jeton import`, and authentication with the secrets that come along.

mod authentication;
mod faults;
mod files;
mod resumed;

use std::{process::Output, sync::Arc};

use jeton::{
    domain::{ClientId, ClientRecord, OsRandom, SystemClock},
    registry::Registry,
};
use serde_json::{Value, json};

use crate::support::{
    Database, Kind,
    binary::{complaint, run},
    node::{CHEAP, operator},
};

/// A secret of another system, and hashes of it.
const TEXT: &str = "a secret from elsewhere";
const PBKDF2: &str = "$pbkdf2-sha256$i=1000,l=32$c2FsdC1vZi1zaXh0ZWVuIQ$q0y+vG3m+1m5H95UBY8prdBj\
                      W77s6hPTw1+r3XDe3R0";
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuurv9WxoE/rc/7N6hITQQm7Q4paPVzvXG";

/// A database, and a folder for files.
struct World {
    database: Database,
}

impl World {
    async fn new(kind: Kind) -> Self {
        Self { database: Database::ready(kind).await }
    }

    fn import(&self, arguments: &[&str]) -> Output {
        import(&self.database, arguments)
    }

    /// The report of an import, and the exit status.
    fn report(&self, arguments: &[&str]) -> (Value, i32) {
        report(&self.database, arguments)
    }

    /// Why an import was refused, and the exit status.
    fn refused(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.import(arguments);
        (complaint(&output), output.status.code().unwrap())
    }

    async fn record(&self, client_id: &str) -> ClientRecord {
        let store = self.database.store();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        let registry = Registry::new(store, clock, random, CHEAP, operator());
        registry.record(&ClientId::parse(client_id).unwrap()).await.unwrap()
    }

    async fn clients(&self) -> i64 {
        self.database.number("select count(*) from client").await
    }
}

/// Writes a file beside the database and returns its path.
fn file(database: &Database, name: &str, text: &str) -> String {
    let path = database.dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn import(database: &Database, arguments: &[&str]) -> Output {
    run(&[&["import"], arguments].concat(), database)
}

fn report(database: &Database, arguments: &[&str]) -> (Value, i32) {
    let output = import(database, &[arguments, &["--json"]].concat());
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (report, output.status.code().unwrap())
}

/// The reason in a report for which a client was skipped.
fn why(report: &Value, client_id: &str) -> String {
    let clients = report["clients"].as_array().unwrap();
    let line = clients.iter().find(|line| line["client_id"] == client_id);
    let line = line.unwrap_or_else(|| panic!("{client_id} in {report}"));
    line["why"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// A row of Hydra, with other fields in place of its own.
fn row(client_id: &str, fields: &Value) -> String {
    let mut row = json!({
        "id": client_id,
        "client_name": "from elsewhere",
        "client_secret": PBKDF2,
        "grant_types": ["client_credentials"],
        "scope": "a.read a.write",
        "audience": ["https://api.test"],
        "token_endpoint_auth_method": "client_secret_basic",
    });
    for (field, value) in fields.as_object().unwrap() {
        row[field] = value.clone();
    }
    format!("{row}\n")
}
