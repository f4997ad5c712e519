//! The export of a Keycloak realm, or of one of its clients, with secrets in clear.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::file::{
    Candidate, Checked, Row, Skip, audiences, blank, candidate, lifetime, scopes, secret,
};
use crate::{
    domain::{ClientState, ForeignSecret, Timestamp, parse_name},
    registry::{ImportedProof, ImportedSecret},
};

/// Scopes that every realm has, and that mean nothing to a machine.
const BUILT_IN: [&str; 12] = [
    "acr",
    "address",
    "basic",
    "email",
    "microprofile-jwt",
    "offline_access",
    "organization",
    "phone",
    "profile",
    "roles",
    "service_account",
    "web-origins",
];

/// What an export without secrets has in place of each.
const MASK: &str = "**********";

/// What clients have from their realm.
struct Realm<'a> {
    lifetime: Option<u64>,
    /// The audiences that each client scope adds.
    audiences: BTreeMap<&'a str, Vec<&'a str>>,
    now: Timestamp,
}

pub(super) fn read(text: &str, now: Timestamp) -> Result<Vec<Row>, String> {
    let file: Value = serde_json::from_str(text).map_err(|error| {
        format!("line {}, column {}: this is not JSON", error.line(), error.column())
    })?;
    let realm = Realm::of(&file, now);
    let clients = file.get("clients").and_then(Value::as_array);
    match clients {
        Some(clients) => {
            let clients = clients.iter().enumerate();
            Ok(clients.map(|(at, client)| realm.row(format!("clients[{at}]"), client)).collect())
        }
        None if file.get("clientId").is_some() => Ok(vec![realm.row("client".into(), &file)]),
        None => Err("which is the export of neither a realm nor a client: `kc.sh export --realm \
                     NAME --file FILE` writes one"
            .to_owned()),
    }
}

impl<'a> Realm<'a> {
    fn of(file: &'a Value, now: Timestamp) -> Self {
        let scopes = file.get("clientScopes").and_then(Value::as_array).into_iter().flatten();
        Self {
            lifetime: file.get("accessTokenLifespan").and_then(Value::as_u64),
            audiences: scopes.map(|scope| (text(scope, "name"), mapped_audiences(scope))).collect(),
            now,
        }
    }

    fn row(&self, place: String, client: &Value) -> Row {
        let client_id = text(client, "clientId").to_owned();
        let read = self.client(&client_id, client);
        Row { place, client_id, read }
    }

    fn client(&self, client_id: &str, given: &Value) -> Checked<Candidate> {
        check_kind(given)?;
        let mut record = blank(client_id)?;
        let mut remarks = Vec::new();
        let client = &mut record.client;
        client.name = parse_name(text(given, "name"))?;
        if given.get("enabled") == Some(&Value::Bool(false)) {
            client.state = ClientState::Disabled;
        }
        if is(given, "bearerOnly") {
            client.grants.clear();
            client.serves = audiences("clientId", [client_id])?;
        }
        let names = |field| list(given, field).into_iter();
        let why = "which every realm has";
        let is_built_in = |name: &str| BUILT_IN.contains(&name);
        let defaults = names("defaultClientScopes");
        client.default_scopes = scopes(defaults, why, is_built_in, &mut remarks)?;
        let optional = names("optionalClientScopes");
        client.scopes = scopes(optional, why, is_built_in, &mut remarks)?;
        client.scopes.extend(client.default_scopes.iter().cloned());
        let of_scopes = names("defaultClientScopes").chain(names("optionalClientScopes"));
        let of_scopes = of_scopes.filter_map(|scope| self.audiences.get(scope)).flatten().copied();
        let all: BTreeSet<_> = mapped_audiences(given).into_iter().chain(of_scopes).collect();
        client.audiences = audiences("audience", all)?;
        let own =
            attribute(given, "access.token.lifespan").and_then(|text| text.parse::<u64>().ok());
        if let Some(seconds) = own.or(self.lifetime) {
            client.token_lifetime = lifetime(seconds, &mut remarks)?;
        }
        let not_before = given.get("notBefore").and_then(Value::as_i64).filter(|at| *at > 0);
        client.not_before = not_before.map(at_second);
        let secrets = self.secrets(given, &mut remarks)?;
        candidate(record, secrets, remarks)
    }

    /// The current secret, and the one before it while it is accepted.
    fn secrets(&self, given: &Value, remarks: &mut Vec<String>) -> Checked<Vec<ImportedSecret>> {
        let mut secrets = Vec::new();
        let current = text(given, "secret");
        let rotated = attribute(given, "client.secret.rotated").unwrap_or_default();
        for (label, text, expiry) in [
            ("imported", current, "client.secret.expiration.time"),
            ("imported, old 1", rotated, "client.secret.rotated.expiration.time"),
        ] {
            if text == MASK {
                return Err(Skip(
                    "its secret is masked: export with `kc.sh export`, which writes secrets, and \
                     not from the console"
                        .to_owned(),
                ));
            }
            if text.starts_with("${") {
                remarks.push("its secret is in a vault, where Jeton does not read it".to_owned());
                continue;
            }
            let end = attribute(given, expiry).and_then(|text| text.parse::<i64>().ok());
            let expires_at = end.filter(|end| *end > 0).map(at_second);
            if text.is_empty() {
                continue;
            }
            if expires_at.is_some_and(|end| end <= self.now) {
                remarks.push(format!("the secret `{label}` has expired and is left out"));
                continue;
            }
            let proof = ImportedProof::Text(ForeignSecret::parse_imported(text)?);
            secrets.push(ImportedSecret { expires_at, ..secret(label, proof) });
        }
        Ok(secrets)
    }
}

/// Refuses what is no machine with a secret.
fn check_kind(given: &Value) -> Checked<()> {
    let skip = |why: &str| Err(Skip(why.to_owned()));
    if !matches!(text(given, "protocol"), "" | "openid-connect") {
        return skip("its protocol is not openid-connect");
    }
    if is(given, "publicClient") {
        return skip("it is public, and here every client has a secret");
    }
    if !is(given, "serviceAccountsEnabled") && !is(given, "bearerOnly") {
        return skip("it has no service account, so it gets no tokens of its own");
    }
    if !matches!(text(given, "clientAuthenticatorType"), "" | "client-secret") {
        return skip("it authenticates in another way than by a secret");
    }
    Ok(())
}

/// The audiences that the mappers of a client or of a client scope add.
fn mapped_audiences(of: &Value) -> Vec<&str> {
    let mappers = of.get("protocolMappers").and_then(Value::as_array).into_iter().flatten();
    let kind = "oidc-audience-mapper";
    let mappers = mappers.filter(|mapper| text(mapper, "protocolMapper") == kind);
    let names = mappers.filter_map(|mapper| {
        let config = mapper.get("config")?;
        let custom = text(config, "included.custom.audience");
        let name =
            if custom.is_empty() { text(config, "included.client.audience") } else { custom };
        (!name.is_empty()).then_some(name)
    });
    names.collect()
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is(of: &Value, field: &str) -> bool {
    of.get(field) == Some(&Value::Bool(true))
}

fn list<'a>(of: &'a Value, field: &str) -> Vec<&'a str> {
    let members = of.get(field).and_then(Value::as_array).into_iter().flatten();
    members.filter_map(Value::as_str).collect()
}

fn attribute<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of.get("attributes")?.get(name)?.as_str()
}

fn at_second(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(seconds.saturating_mul(1_000_000))
}
