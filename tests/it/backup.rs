//! Backup and restore, as an operator does it: real processes, both databases.

mod drill;
mod refusals;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Database, binary::run_json};

/// A backup of this database, and what the command said of it.
fn back_up(database: &Database, folder: &Path) -> (PathBuf, Value) {
    let file = folder.join("jeton.backup");
    let said = run_json(&["backup", file.to_str().unwrap()], database);
    (file, said)
}

/// The names of all clients with their states.
fn clients(database: &Database) -> Vec<(String, String)> {
    let listed = run_json(&["client", "list"], database);
    let text = |client: &Value, member: &str| client[member].as_str().unwrap().to_owned();
    let clients = listed.as_array().unwrap().iter();
    clients.map(|client| (text(client, "client_id"), text(client, "state"))).collect()
}
