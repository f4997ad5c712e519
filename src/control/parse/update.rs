//! Parses an update of a client: the fields that its mask names, and their new values.

use std::collections::BTreeSet;

use prost_types::FieldMask;

use super::{
    Parsed,
    client::{default_audience, grantable_audiences, grantable_scopes, labels, lifetime, limit},
};
use crate::{
    control::refusal::Refusal,
    domain::{
        Audience, GrantType, LimitChange, QuotaLimit, Scope, parse_name, parse_note, parse_owner,
    },
    pb::v1,
    registry::{AudienceChange, ClientUpdate},
};

const MASK: &str = "update_mask";

/// The fields that an update can change.
const PATHS: [&str; 17] = [
    "name",
    "scopes",
    "default_scopes",
    "audiences",
    "default_audience",
    "several_audiences",
    "serves",
    "grant_types",
    "token_lifetime",
    "tokens_per_second",
    "token_burst",
    "live_tokens",
    "labels",
    "owner",
    "note",
    "grantable_scopes",
    "grantable_audiences",
];

/// Parses which fields of a client to change, and their new values. A field that the mask does not
/// name stays as it is, whatever its value in the message.
pub(in crate::control) fn client_update(
    client: &v1::Client,
    mask: Option<FieldMask>,
) -> Parsed<ClientUpdate> {
    let paths = mask.unwrap_or_default().paths;
    if paths.is_empty() {
        let remedy = format!("name the fields to change; they are {}", PATHS.join(", "));
        return Err(Refusal::invalid(MASK, remedy));
    }
    let mut update = ClientUpdate::default();
    let mut named = BTreeSet::new();
    for (index, path) in paths.iter().enumerate() {
        set(&mut update, client, index, path)?;
        if !named.insert(path) {
            return Err(Refusal::invalid(MASK, format!("names {path} twice: name it once")));
        }
    }
    Ok(update)
}

fn set(update: &mut ClientUpdate, client: &v1::Client, index: usize, path: &str) -> Parsed<()> {
    match path {
        "name" => {
            let name = parse_name(&client.name);
            update.name = Some(name.map_err(Refusal::of_field("client.name"))?);
        }
        "scopes" => update.scopes = Some(scopes("client.scopes", &client.scopes)?),
        "default_scopes" => {
            update.default_scopes = Some(scopes("client.default_scopes", &client.default_scopes)?);
        }
        "audiences" => update.audiences = Some(audiences("client.audiences", &client.audiences)?),
        "default_audience" => {
            let named = default_audience(client)?;
            update.default_audience = named.map_or(AudienceChange::Clear, AudienceChange::Set);
        }
        "several_audiences" => update.several_audiences = Some(client.several_audiences),
        "serves" => update.serves = Some(audiences("client.serves", &client.serves)?),
        "grant_types" => {
            let grants: Result<_, _> =
                client.grant_types.iter().map(|name| GrantType::parse(name)).collect();
            update.grants = Some(grants.map_err(Refusal::of_field("client.grant_types"))?);
        }
        "token_lifetime" => {
            let asked = client.token_lifetime.ok_or_else(|| {
                Refusal::invalid("client.token_lifetime", "send the new lifetime, such as 900s")
            })?;
            update.token_lifetime = Some(lifetime(asked)?);
        }
        "tokens_per_second" => {
            let asked = limit("client.tokens_per_second", client.tokens_per_second)?;
            update.quota.tokens_per_second = change(asked);
        }
        "token_burst" => {
            update.quota.burst = change(limit("client.token_burst", client.token_burst)?);
        }
        "live_tokens" => {
            update.quota.live_tokens = change(limit("client.live_tokens", client.live_tokens)?);
        }
        "labels" => update.labels = Some(labels("client.labels", &client.labels)?),
        "owner" => {
            let owner = parse_owner(&client.owner);
            update.owner = Some(owner.map_err(Refusal::of_field("client.owner"))?);
        }
        "note" => {
            let note = parse_note(&client.note);
            update.note = Some(note.map_err(Refusal::of_field("client.note"))?);
        }
        "grantable_scopes" => update.grantable_scopes = Some(grantable_scopes(client)?),
        "grantable_audiences" => update.grantable_audiences = Some(grantable_audiences(client)?),
        other => return Err(no_such_path(index, other)),
    }
    Ok(())
}

fn scopes(field: &'static str, texts: &[String]) -> Parsed<BTreeSet<Scope>> {
    Scope::parse_set(texts).map_err(Refusal::of_field(field))
}

fn audiences(field: &'static str, texts: &[String]) -> Parsed<BTreeSet<Audience>> {
    Audience::parse_set(texts).map_err(Refusal::of_field(field))
}

/// A limit that is not set is the default of the node.
fn change(asked: Option<QuotaLimit>) -> LimitChange {
    asked.map_or(LimitChange::UseDefault, LimitChange::Set)
}

/// The refusal of a path that no update changes. The path itself is not repeated.
fn no_such_path(index: usize, path: &str) -> Refusal {
    let remedy = match path {
        "*" => "there is no path for all fields: name those to change".to_owned(),
        "state" => "is changed by EnableClient and DisableClient".to_owned(),
        "no_default_scope" => "use default_scopes: an empty list means no default".to_owned(),
        "no_grant" => "use grant_types: an empty list means no grant".to_owned(),
        "id"
        | "client_id"
        | "create_time"
        | "not_before_time"
        | "live_secrets"
        | "next_secret_expire_time"
        | "endless_secrets"
        | "expired_secrets"
        | "version"
        | "etag" => "this field cannot be changed".to_owned(),
        _ => format!("no client has this field; those to change are {}", PATHS.join(", ")),
    };
    Refusal::invalid(MASK, format!("path {}: {remedy}", index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::parse::refused;

    fn mask(paths: &[&str]) -> FieldMask {
        FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
    }

    #[test]
    fn a_mask_names_each_field_once_and_none_that_cannot_be_changed() {
        let client = v1::Client::default();
        let rows = [
            (mask(&[]), "name the fields to change"),
            (mask(&["*"]), "path 1: there is no path for all fields"),
            (
                mask(&["name", "scope"]),
                "path 2: no client has this field; those to change are name",
            ),
            (mask(&["\u{202e}"]), "path 1: no client has this field; those to change are name"),
            (mask(&["state"]), "DisableClient"),
            (mask(&["no_grant"]), "use grant_types"),
            (mask(&["note", "etag"]), "path 2: this field cannot be changed"),
            (mask(&["note", "owner", "note"]), "names note twice"),
        ];
        assert_eq!(refused(client_update(&client, None)).unwrap().0, MASK);
        for (mask, told) in rows {
            let (field, remedy) = refused(client_update(&client, Some(mask))).unwrap();
            assert_eq!(field, MASK);
            assert!(remedy.contains(told), "{remedy}");
        }
    }

    #[test]
    fn each_field_is_changed_by_its_path_alone() {
        let client = v1::Client {
            token_lifetime: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..v1::Client::default()
        };
        let mut updates = vec![ClientUpdate::default()];
        for path in PATHS {
            let update = client_update(&client, Some(mask(&[path]))).ok();
            let update = update.unwrap_or_else(|| panic!("{path}"));
            assert!(!updates.contains(&update), "{path}");
            updates.push(update);
        }
    }

    #[test]
    fn a_value_that_a_field_cannot_have_is_refused_by_its_path() {
        let list = || vec!["a b#c".to_owned()];
        let client = v1::Client {
            name: "a\u{7}".to_owned(),
            scopes: list(),
            default_scopes: list(),
            audiences: list(),
            default_audience: "a b".to_owned(),
            serves: list(),
            grant_types: list(),
            token_lifetime: None,
            tokens_per_second: Some(-1),
            token_burst: Some(0),
            live_tokens: Some(i64::MAX),
            labels: [("a b".to_owned(), String::new())].into(),
            owner: "\u{202e}".to_owned(),
            note: "x".repeat(1_025),
            grantable_scopes: list(),
            grantable_audiences: list(),
            ..v1::Client::default()
        };
        for path in PATHS.into_iter().filter(|path| *path != "several_audiences") {
            let (field, _) = refused(client_update(&client, Some(mask(&[path])))).unwrap();
            assert_eq!(field, format!("client.{path}"));
        }
    }
}
