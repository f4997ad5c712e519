//! Parses a client to be created.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::Duration as ProtoDuration;

use super::{Parsed, whole_seconds};
use crate::{
    control::refusal::Refusal,
    domain::{
        About, Audience, AudiencePattern, ClientId, ClientQuota, GrantType, Grantable, Label,
        LabelKey, Labels, Permissions, QuotaLimit, Scope, ScopePattern, TokenLifetime, parse_name,
        parse_note, parse_owner,
    },
    pb::v1,
    registry::NewClient,
};

/// Parses a client to be created.
pub(in crate::control) fn new_client(client: Option<v1::Client>) -> Parsed<NewClient> {
    let client = client.ok_or_else(|| Refusal::invalid("client", "send the client to create"))?;
    refuse_output_only(&client)?;
    let scopes = Scope::parse_set(&client.scopes).map_err(Refusal::of_field("client.scopes"))?;
    let client_id = Some(client.client_id.as_str()).filter(|id| !id.is_empty());
    let client_id = client_id.map(ClientId::parse).transpose();
    let audiences = Audience::parse_set(&client.audiences);
    Ok(NewClient {
        client_id: client_id.map_err(Refusal::of_field("client.client_id"))?,
        name: parse_name(&client.name).map_err(Refusal::of_field("client.name"))?,
        grants: grants(&client)?,
        default_scopes: default_scopes(&client, &scopes)?,
        audiences: audiences.map_err(Refusal::of_field("client.audiences"))?,
        default_audience: default_audience(&client)?,
        several_audiences: client.several_audiences,
        serves: Audience::parse_set(&client.serves).map_err(Refusal::of_field("client.serves"))?,
        token_lifetime: token_lifetime(client.token_lifetime, &scopes)?,
        quota: ClientQuota {
            tokens_per_second: limit("client.tokens_per_second", client.tokens_per_second)?,
            burst: limit("client.token_burst", client.token_burst)?,
            live_tokens: limit("client.live_tokens", client.live_tokens)?,
        },
        scopes,
        about: About {
            labels: labels("client.labels", &client.labels)?,
            owner: parse_owner(&client.owner).map_err(Refusal::of_field("client.owner"))?,
            note: parse_note(&client.note).map_err(Refusal::of_field("client.note"))?,
            grantable: Grantable {
                scopes: grantable_scopes(&client)?,
                audiences: grantable_audiences(&client)?,
            },
        },
    })
}

pub(super) fn default_audience(client: &v1::Client) -> Parsed<Option<Audience>> {
    let name = Some(client.default_audience.as_str()).filter(|name| !name.is_empty());
    let name = name.map(Audience::parse).transpose();
    name.map_err(Refusal::of_field("client.default_audience"))
}

pub(super) fn grantable_scopes(client: &v1::Client) -> Parsed<BTreeSet<ScopePattern>> {
    let patterns = Grantable::parse_scopes(&client.grantable_scopes);
    patterns.map_err(Refusal::of_field("client.grantable_scopes"))
}

pub(super) fn grantable_audiences(client: &v1::Client) -> Parsed<BTreeSet<AudiencePattern>> {
    let patterns = Grantable::parse_audiences(&client.grantable_audiences);
    patterns.map_err(Refusal::of_field("client.grantable_audiences"))
}

pub(super) fn labels(field: &'static str, texts: &BTreeMap<String, String>) -> Parsed<Labels> {
    let mut labels = Labels::default();
    for (key, value) in texts {
        // A key with an equals sign would be taken apart at another place.
        let label = LabelKey::parse(key).and_then(|key| Label::parse(&format!("{key}={value}")));
        let set = label.and_then(|label| labels.set(label));
        set.map_err(Refusal::of_field(field))?;
    }
    Ok(labels)
}

/// A value that has no effect is refused, because its sender believes that it has one.
fn refuse_output_only(client: &v1::Client) -> Parsed<()> {
    let fields = [
        ("client.id", !client.id.is_empty()),
        ("client.state", client.state != 0),
        ("client.not_before_time", client.not_before_time.is_some()),
        ("client.create_time", client.create_time.is_some()),
        ("client.live_secrets", client.live_secrets != 0),
        ("client.next_secret_expire_time", client.next_secret_expire_time.is_some()),
        ("client.etag", !client.etag.is_empty()),
        ("client.version", client.version != 0),
        ("client.endless_secrets", client.endless_secrets != 0),
        ("client.expired_secrets", client.expired_secrets != 0),
    ];
    match fields.into_iter().find(|(_, is_set)| *is_set) {
        Some((field, _)) => Err(Refusal::invalid(field, "is output only: leave it out")),
        None => Ok(()),
    }
}

fn grants(client: &v1::Client) -> Parsed<BTreeSet<GrantType>> {
    const FIELD: &str = "client.grant_types";
    match (client.no_grant, &client.grant_types[..]) {
        (true, []) => Ok(BTreeSet::new()),
        (true, _) => Err(Refusal::invalid(FIELD, "send grant types or no_grant, not both")),
        (false, []) => Ok(BTreeSet::from([GrantType::ClientCredentials])),
        (false, names) => {
            let grants: Result<_, _> = names.iter().map(|name| GrantType::parse(name)).collect();
            grants.map_err(Refusal::of_field(FIELD))
        }
    }
}

fn default_scopes(
    client: &v1::Client,
    scopes: &BTreeSet<Scope>,
) -> Parsed<Option<BTreeSet<Scope>>> {
    const FIELD: &str = "client.default_scopes";
    match (client.no_default_scope, client.default_scopes.is_empty()) {
        (true, true) => Ok(Some(BTreeSet::new())),
        (true, false) => {
            Err(Refusal::invalid(FIELD, "send default scopes or no_default_scope, not both"))
        }
        (false, true) => Ok(None),
        (false, false) => {
            let default = Scope::parse_set(&client.default_scopes);
            let default = default.map_err(Refusal::of_field(FIELD))?;
            if default.is_subset(scopes) {
                return Ok(Some(default));
            }
            Err(Refusal::invalid(FIELD, "each default scope must be one of the client's scopes"))
        }
    }
}

fn token_lifetime(asked: Option<ProtoDuration>, scopes: &BTreeSet<Scope>) -> Parsed<TokenLifetime> {
    let Some(asked) = asked else {
        let is_administrator = !Permissions::of(scopes).is_empty();
        let default = TokenLifetime::DEFAULT;
        return Ok(if is_administrator { TokenLifetime::OF_ADMINISTRATORS } else { default });
    };
    lifetime(asked)
}

pub(super) fn lifetime(asked: ProtoDuration) -> Parsed<TokenLifetime> {
    let seconds = whole_seconds(asked).and_then(|seconds| u32::try_from(seconds).ok());
    let lifetime = TokenLifetime::from_seconds(seconds.unwrap_or(0));
    lifetime.map_err(Refusal::of_field("client.token_lifetime"))
}

pub(super) fn limit(field: &'static str, asked: Option<i64>) -> Parsed<Option<QuotaLimit>> {
    asked.map(QuotaLimit::new).transpose().map_err(Refusal::of_field(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::parse::refused;

    #[test]
    fn what_a_field_cannot_be_is_refused_by_its_path() {
        let seconds = |seconds, nanos| Some(ProtoDuration { seconds, nanos });
        let list = |text: &str| vec![text.to_owned()];
        let rows: Vec<(&str, v1::Client)> = vec![
            ("client.id", v1::Client { id: "x".into(), ..Default::default() }),
            ("client.state", v1::Client { state: 1, ..Default::default() }),
            ("client.client_id", v1::Client { client_id: "a b".into(), ..Default::default() }),
            ("client.name", v1::Client { name: "a\u{202e}b".into(), ..Default::default() }),
            ("client.scopes", v1::Client { scopes: list("a b"), ..Default::default() }),
            ("client.default_scopes", {
                v1::Client { default_scopes: list("other"), ..Default::default() }
            }),
            ("client.audiences", v1::Client { audiences: list("a#b"), ..Default::default() }),
            ("client.serves", v1::Client { serves: list(""), ..Default::default() }),
            (
                "client.grant_types",
                v1::Client { grant_types: list("implicit"), ..Default::default() },
            ),
            ("client.token_lifetime", {
                v1::Client { token_lifetime: seconds(86_401, 0), ..Default::default() }
            }),
            ("client.token_lifetime", {
                v1::Client { token_lifetime: seconds(1, 5), ..Default::default() }
            }),
            ("client.token_burst", v1::Client { token_burst: Some(0), ..Default::default() }),
        ];
        for (field, client) in rows {
            let told = refused(new_client(Some(client)));
            assert_eq!(told.map(|(field, _)| field), Some(field));
        }
        assert_eq!(refused(new_client(None)).unwrap().0, "client");
    }
}
