//! `jeton client list` and `jeton client show`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    create::ends,
    filter::Filter,
    notes::grantable,
    output,
    quota::{quota_json, shown},
    unreadable,
};
use crate::{
    cli::{
        administration::{Reading, Site},
        deadline::Deadline,
        node,
        table::Column,
    },
    domain::{
        Client, ClientId, ClientRecord, Clock, Etag, FieldValue, StoredSecret, SystemClock,
        Timestamp,
    },
    store::{ClientFilter, LiveSecrets, Readable, UnreadableRow},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filter: Filter,

    #[command(flatten)]
    on: Reading,
}

impl List {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let site = Site::of(self.on.at)?;
        let clients = site.clients(node::this_user());
        let filter = ClientFilter::from(self.filter);
        let clients = site.look(deadline, clients.list(&filter)).await?;
        if self.on.format.json {
            let object = |(client, secrets): &(Readable<ClientRecord>, LiveSecrets)| {
                let mut object = client_json(client);
                if client.is_ok() {
                    object["live_secrets"] = live_secrets_json(*secrets);
                }
                object
            };
            output::json(&clients.iter().map(object).collect());
        } else if clients.is_empty() && filter != ClientFilter::default() {
            output::remark("No client matches the filter.");
        } else if clients.is_empty() {
            output::remark("There are no clients yet; create one with `jeton client create`.");
        } else {
            let rows = clients.iter().map(|(client, secrets)| client_cells(client, *secrets));
            output::table(COLUMNS, rows.collect());
        }
        unreadable::check(clients.iter().filter_map(|(client, _)| client.as_ref().err()))
    }
}

const COLUMNS: [Column; 11] = [
    Column::whole("client_id"),
    Column::whole("state"),
    Column::whole("secrets end"),
    Column::text("scopes"),
    Column::text("audiences"),
    Column::text("serves"),
    Column::whole("token lifetime"),
    Column::text("owner"),
    Column::text("labels"),
    Column::text("quota"),
    Column::whole("created"),
];

fn client_cells(record: &Readable<ClientRecord>, secrets: LiveSecrets) -> [String; 11] {
    let ClientRecord { client, about } = match record {
        Ok(record) => record,
        Err(row) => return unreadable::cells(row, 1),
    };
    [
        client.client_id.to_string(),
        client.state.as_str().to_owned(),
        secrets_end(secrets),
        joined(&client.scopes),
        joined(&client.audiences),
        joined(&client.serves),
        format!("{} s", client.token_lifetime.seconds()),
        about.owner.clone(),
        about.labels.texts().join(" "),
        shown(client.quota),
        client.created_at.to_string(),
    ]
}

/// When the live secrets of a client end: the first end, and how many of them never do.
fn secrets_end(secrets: LiveSecrets) -> String {
    let LiveSecrets { count, endless, first_end, expired } = secrets;
    let live = match (first_end, endless) {
        (None, 0) => "no live secret".to_owned(),
        (None, endless) if endless == count => "never".to_owned(),
        (first_end, 0) => ends(first_end),
        (first_end, endless) => format!("{}; {endless} of {count} never", ends(first_end)),
    };
    if expired == 0 { live } else { format!("{live}; {expired} expired") }
}

fn live_secrets_json(secrets: LiveSecrets) -> Value {
    json!({
        "count": secrets.count,
        "never_expire": secrets.endless,
        "first_expires_at": secrets.first_end.map(|end| end.to_string()),
        "expired": secrets.expired,
    })
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    #[command(flatten)]
    on: Reading,
}

impl Show {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let site = Site::of(self.on.at)?;
        let clients = site.clients(node::this_user());
        let (client, secrets) = site.look(deadline, clients.show(&self.client_id)).await?;
        let now = SystemClock.now();
        if self.on.format.json {
            let mut value = client_json(&client);
            value["secrets"] = secrets.iter().map(|secret| secret_json(secret, now)).collect();
            output::json(&value);
        } else {
            match &client {
                Ok(client) => show(client),
                Err(row) => show_unreadable(row),
            }
            let rows = secrets.iter().map(|secret| secret_cells(secret, now)).collect();
            output::table(SECRET_COLUMNS, rows);
        }
        unreadable::check(client.as_ref().err().into_iter().chain(unreadable::rows(&secrets)))
    }
}

const SECRET_COLUMNS: [Column; 6] = [
    Column::whole("secret"),
    Column::whole("state"),
    Column::whole("expires"),
    Column::text("label"),
    Column::whole("ended"),
    Column::whole("created"),
];

fn show(record: &ClientRecord) {
    let ClientRecord { client, about } = record;
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    let none = || "none".to_owned();
    output::properties(&[
        ("client_id", client.client_id.to_string()),
        ("id", client.key.0.to_string()),
        ("name", client.name.clone()),
        ("state", client.state.as_str().to_owned()),
        ("grant types", grants.join(" ")),
        ("scopes", joined(&client.scopes)),
        ("default scopes", joined(&client.default_scopes)),
        ("audiences", joined(&client.audiences)),
        ("default audience", default_audience(client)),
        ("audiences of a token", audiences_of_a_token(client).to_owned()),
        ("serves", joined(&client.serves)),
        ("token lifetime", format!("{} s", client.token_lifetime.seconds())),
        ("quota", shown(client.quota)),
        ("labels", about.labels.texts().join(" ")),
        ("owner", about.owner.clone()),
        ("note", about.note.clone()),
        ("grantable scopes", grantable(client, joined(&about.grantable.scopes))),
        ("grantable audiences", grantable(client, joined(&about.grantable.audiences))),
        ("created", client.created_at.to_string()),
        // Tokens that were issued before this moment are inactive.
        ("not before", client.not_before.map_or_else(none, |moment| moment.to_string())),
        ("etag", Etag::of(record).to_string()),
    ]);
}

/// The audience of a token that is requested without one, in words.
fn default_audience(client: &Client) -> String {
    match &client.default_audience {
        Some(default) => default.to_string(),
        None if client.must_name_audience() => "none: each request must name one".to_owned(),
        None => client.audiences.first().map_or_else(|| "none".to_owned(), ToString::to_string),
    }
}

/// How many audiences one token may be for, in words.
const fn audiences_of_a_token(client: &Client) -> &'static str {
    if client.several_audiences { "several, if the request names them" } else { "one" }
}

fn show_unreadable(row: &UnreadableRow) {
    output::properties(&[
        ("client_id", row.client_id.clone().unwrap_or_else(|| "?".to_owned())),
        ("id", row.id.map_or_else(|| "?".to_owned(), |id| id.to_string())),
        ("unreadable", row.reason()),
    ]);
}

fn secret_cells(secret: &Readable<StoredSecret>, now: Timestamp) -> [String; 6] {
    let secret = match secret {
        Ok(secret) => secret,
        Err(row) => return unreadable::cells(row, 1),
    };
    // When it was taken out of use, before its expiry.
    let retired = secret.retiring.map(|retiring| retiring.at).filter(|at| *at <= now);
    let ended = secret.leaked_at.or(secret.retired_at).or(retired);
    [
        secret.id.0.to_string(),
        secret.state(now).as_str().to_owned(),
        ends(secret.expires_at),
        secret.label.clone(),
        ended.map(|ended| ended.to_string()).unwrap_or_default(),
        secret.created_at.to_string(),
    ]
}

fn client_json(record: &Readable<ClientRecord>) -> Value {
    let record = match record {
        Ok(record) => record,
        Err(row) => return unreadable::client_json(row),
    };
    let ClientRecord { client, about } = record;
    let texts = |set: &[String]| json!(set);
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    json!({
        "client_id": client.client_id.as_str(),
        "id": client.key.0,
        "name": client.name,
        "state": client.state.as_str(),
        "grant_types": grants,
        "scopes": texts(&list(&client.scopes)),
        "default_scopes": texts(&list(&client.default_scopes)),
        "audiences": texts(&list(&client.audiences)),
        "default_audience": client.default_audience.as_ref().map(ToString::to_string),
        "several_audiences": client.several_audiences,
        "serves": texts(&list(&client.serves)),
        "token_lifetime_seconds": client.token_lifetime.seconds(),
        "quota": quota_json(client.quota),
        "labels": FieldValue::Labels(about.labels.clone()).to_json(),
        "owner": about.owner,
        "note": about.note,
        "grantable_scopes": texts(&list(&about.grantable.scopes)),
        "grantable_audiences": texts(&list(&about.grantable.audiences)),
        "created_at": client.created_at.to_string(),
        "not_before": client.not_before.map(|moment| moment.to_string()),
        "version": client.version,
        "etag": Etag::of(record).to_string(),
    })
}

pub(super) fn secret_json(secret: &Readable<StoredSecret>, now: Timestamp) -> Value {
    let secret = match secret {
        Ok(secret) => secret,
        Err(row) => return unreadable::secret_json(row),
    };
    let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    json!({
        "secret_id": secret.id.0,
        "label": secret.label,
        "state": secret.state(now).as_str(),
        "created_at": secret.created_at.to_string(),
        "expires_at": moment(secret.expires_at),
        "retired_at": moment(secret.retired_at),
        "retire_at": moment(secret.retiring.map(|retiring| retiring.at)),
        "leaked_at": moment(secret.leaked_at),
        "forgotten_at": moment(secret.forgotten_at),
    })
}

fn list<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    set.into_iter().map(ToString::to_string).collect()
}

fn joined<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> String {
    list(set).join(" ")
}
