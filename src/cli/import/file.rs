//! What a file of another system holds: clients that can be imported, and others with the reason.

use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

use anyhow::Context;
use clap::ValueEnum;
use uuid::Uuid;

use super::{csv, hydra, keycloak};
use crate::{
    cli::exit::Exit,
    domain::{
        About, Audience, Client, ClientId, ClientKey, ClientQuota, ClientRecord, ClientState,
        GrantType, Malformed, Scope, Timestamp, TokenLifetime,
    },
    registry::{ImportedClient, ImportedProof, ImportedSecret, MAX_IMPORTED_SECRETS, check_record},
};

/// Largest file that is read, in bytes: more than a million clients.
const MAX_FILE: u64 = 1 << 30;

/// System that the clients come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum System {
    /// Rows of the table `hydra_client` as JSON
    Hydra,
    /// The export of a realm or of one client, with its secrets
    Keycloak,
    /// A table with a header
    Csv,
}

/// A client of the file.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it is: `line 3`, `clients[2]`.
    pub(super) place: String,
    /// Its client id as the file has it.
    pub(super) client_id: String,
    /// The client, or why it cannot be imported.
    pub(super) read: Result<Candidate, Skip>,
}

/// A client that can be imported.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) client: ImportedClient,
    /// What of it is left out or is different here.
    pub(super) remarks: Vec<String>,
}

/// Why a client is not imported, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Skip(pub(super) String);

impl From<Malformed> for Skip {
    fn from(why: Malformed) -> Self {
        Self(why.to_string())
    }
}

/// A result for one client.
pub(super) type Checked<T> = Result<T, Skip>;

/// Names the field that a value is in.
pub(super) fn of_field<T>(field: &str, value: Result<T, Malformed>) -> Checked<T> {
    value.map_err(|why| Skip(format!("{field}: {why}")))
}

/// Reads a file and checks each client in it.
///
/// # Errors
/// If the file cannot be read as a whole.
pub(super) fn read(system: System, file: &Path, now: Timestamp) -> anyhow::Result<Vec<Row>> {
    let name = file.display();
    let text = text_of(file).with_context(|| format!("{name} cannot be read"))?;
    let rows = match system {
        System::Hydra => hydra::read(&text),
        System::Keycloak => keycloak::read(&text, now),
        System::Csv => csv::read(&text, now),
    };
    let mut rows = rows.map_err(|fault| Exit::Usage.error(format!("{name}, {fault}")))?;
    if rows.is_empty() {
        return Err(Exit::Usage.error(format!("{name} holds no client")));
    }
    refuse_repetitions(&mut rows);
    Ok(rows)
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    anyhow::ensure!(text.len() as u64 <= MAX_FILE, "it is larger than a gibibyte: split it");
    // Spreadsheets write a byte order mark.
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// Skips all but the first of several clients with the same id.
fn refuse_repetitions(rows: &mut [Row]) {
    let mut seen = BTreeSet::new();
    for row in rows {
        if row.read.is_ok() && !seen.insert(row.client_id.clone()) {
            row.read = Err(Skip("the file has this client id before: remove one".to_owned()));
        }
    }
}

/// A client with the defaults of Jeton.
pub(super) fn blank(client_id: &str) -> Checked<ClientRecord> {
    let client = Client {
        key: ClientKey(Uuid::nil()),
        client_id: ClientId::parse(client_id)?,
        name: String::new(),
        state: ClientState::Active,
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: BTreeSet::new(),
        default_scopes: BTreeSet::new(),
        audiences: BTreeSet::new(),
        default_audience: None,
        several_audiences: false,
        serves: BTreeSet::new(),
        token_lifetime: TokenLifetime::DEFAULT,
        quota: ClientQuota::default(),
        not_before: None,
        created_at: Timestamp::from_unix_micros(0),
        version: 1,
    };
    Ok(ClientRecord { client, about: About::default() })
}

/// A client with its secrets, checked as a whole.
pub(super) fn candidate(
    record: ClientRecord,
    mut secrets: Vec<ImportedSecret>,
    mut remarks: Vec<String>,
) -> Checked<Candidate> {
    check_record(&record)?;
    // The file comes from elsewhere, where others decide what it says.
    if !record.client.permissions().is_empty() {
        let why = "it would be an administrator: leave out the scopes that begin with jeton:, or \
                   make it with `jeton client create`";
        return Err(Skip(why.to_owned()));
    }
    if secrets.len() > MAX_IMPORTED_SECRETS {
        remarks.push(format!("only its {MAX_IMPORTED_SECRETS} newest secrets are taken"));
        secrets.truncate(MAX_IMPORTED_SECRETS);
    }
    if secrets.is_empty() {
        remarks.push("it has no secret: make one with `jeton client add-secret`".to_owned());
    }
    if record.client.must_name_audience() {
        remarks.push(
            "it has several audiences and no default: each of its requests must name one"
                .to_owned(),
        );
    }
    Ok(Candidate { client: ImportedClient { record, secrets }, remarks })
}

/// A secret without expiry.
pub(super) fn secret(label: &str, proof: ImportedProof) -> ImportedSecret {
    ImportedSecret { label: label.to_owned(), proof, expires_at: None }
}

/// Scopes, without those that `is_left_out` names; a remark says which.
pub(super) fn scopes<'a>(
    names: impl IntoIterator<Item = &'a str>,
    why: &str,
    is_left_out: impl Fn(&str) -> bool,
    remarks: &mut Vec<String>,
) -> Checked<BTreeSet<Scope>> {
    let (out, taken): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| is_left_out(name));
    if !out.is_empty() {
        remarks.push(format!("left out are the scopes {}, {why}", out.join(" ")));
    }
    of_field("scope", Scope::parse_set(taken))
}

/// Audiences by their names.
pub(super) fn audiences<'a>(
    field: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Checked<BTreeSet<Audience>> {
    of_field(field, Audience::parse_set(names))
}

/// A lifetime of tokens of so many seconds. A longer one than there is here is shortened.
pub(super) fn lifetime(seconds: u64, remarks: &mut Vec<String>) -> Checked<TokenLifetime> {
    let most = u64::from(TokenLifetime::MAX.seconds());
    if seconds > most {
        remarks.push("its tokens live for a day: longer is not possible".to_owned());
    }
    let seconds = u32::try_from(seconds.min(most)).unwrap_or(u32::MAX);
    of_field("token lifetime", TokenLifetime::from_seconds(seconds))
}

/// Whether any secret is there in clear.
pub(super) fn first_in_clear(rows: &[Row]) -> Option<&Row> {
    let is_clear = |secret: &ImportedSecret| matches!(secret.proof, ImportedProof::Text(_));
    rows.iter()
        .find(|row| row.read.as_ref().is_ok_and(|found| found.client.secrets.iter().any(is_clear)))
}
