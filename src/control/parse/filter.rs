//! Parses what clients must have to be listed, and rows of the audit trail to be sent.

use super::{Parsed, client::labels};
use crate::{
    control::refusal::Refusal,
    domain::{Audience, ClientId, ClientState, Label, Scope, Timestamp},
    pb::v1,
    registry::AuditQuery,
    store::{AuditFilter, ClientFilter},
};

/// Maximum length of a text that is looked for, in bytes. No name is longer.
const MAX_TEXT: usize = 256;

/// Parses the filter of a list at `now`. A field that is not set selects all clients.
pub(in crate::control) fn client_filter(
    filter: Option<&v1::ClientFilter>,
    now: Timestamp,
) -> Parsed<ClientFilter> {
    let Some(filter) = filter else { return Ok(ClientFilter::default()) };
    let scope = named(&filter.scope).map(Scope::parse).transpose();
    let audience = named(&filter.audience).map(Audience::parse).transpose();
    let serves = named(&filter.serves).map(Audience::parse).transpose();
    let labels = labels("filter.labels", &filter.labels)?;
    let labels = labels.texts().iter().map(|label| Label::parse(label)).collect::<Result<_, _>>();
    Ok(ClientFilter {
        text: text("filter.text", &filter.text)?,
        state: state(filter.state)?,
        scope: scope.map_err(Refusal::of_field("filter.scope"))?,
        audience: audience.map_err(Refusal::of_field("filter.audience"))?,
        serves: serves.map_err(Refusal::of_field("filter.serves"))?,
        labels: labels.map_err(Refusal::of_field("filter.labels"))?,
        owner: text("filter.owner", &filter.owner)?,
        without_live_secret_at: filter.without_live_secret.then_some(now),
    })
}

/// Parses the filter of the audit trail. A field that is not set selects all rows.
pub(in crate::control) fn audit_query(filter: Option<&v1::AuditFilter>) -> Parsed<AuditQuery> {
    let Some(filter) = filter else { return Ok(AuditQuery::default()) };
    let client_id = named(&filter.client_id).map(ClientId::parse).transpose();
    let time = |field, of: Option<prost_types::Timestamp>| {
        of.map(|of| super::moment(field, of)).transpose()
    };
    let query = AuditQuery {
        rows: AuditFilter {
            client_id: client_id.map_err(Refusal::of_field("filter.client_id"))?,
            actor: text("filter.actor", &filter.actor)?,
            since: time("filter.since_time", filter.since_time)?,
            until: time("filter.until_time", filter.until_time)?,
            ..AuditFilter::default()
        },
        field: text("filter.field", &filter.field)?,
        gained: text("filter.gained", &filter.gained)?,
        lost: text("filter.lost", &filter.lost)?,
        ..AuditQuery::default()
    };
    Ok(query.of_action(text("filter.action", &filter.action)?))
}

fn named(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn text(field: &'static str, text: &str) -> Parsed<Option<String>> {
    if text.len() > MAX_TEXT || text.contains('\0') {
        return Err(Refusal::invalid(field, "is at most 256 bytes, without a NUL character"));
    }
    Ok(named(text).map(str::to_owned))
}

fn state(state: i32) -> Parsed<Option<ClientState>> {
    match v1::ClientState::try_from(state) {
        Ok(v1::ClientState::Unspecified) => Ok(None),
        Ok(v1::ClientState::Active) => Ok(Some(ClientState::Active)),
        Ok(v1::ClientState::Disabled) => Ok(Some(ClientState::Disabled)),
        Err(_) => Err(Refusal::invalid("filter.state", "there is no such state of a client")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::parse::refused;

    #[test]
    fn what_cannot_be_looked_for_is_refused_by_its_path() {
        let now = Timestamp::from_unix_micros(7);
        let filter = v1::ClientFilter::default;
        let rows = [
            ("filter.text", v1::ClientFilter { text: "x".repeat(257), ..filter() }),
            ("filter.owner", v1::ClientFilter { owner: "a\0b".into(), ..filter() }),
            ("filter.state", v1::ClientFilter { state: 3, ..filter() }),
            ("filter.scope", v1::ClientFilter { scope: "a b".into(), ..filter() }),
            ("filter.audience", v1::ClientFilter { audience: "a#b".into(), ..filter() }),
            ("filter.serves", v1::ClientFilter { serves: "a b".into(), ..filter() }),
            ("filter.labels", {
                let labels = [("a=b".to_owned(), "c".to_owned())];
                v1::ClientFilter { labels: labels.into(), ..filter() }
            }),
        ];
        for (field, filter) in rows {
            let told = refused(client_filter(Some(&filter), now));
            assert_eq!(told.map(|(field, _)| field), Some(field));
        }
        let filter = v1::ClientFilter { without_live_secret: true, ..filter() };
        let parsed = client_filter(Some(&filter), now);
        assert_eq!(parsed.ok().and_then(|filter| filter.without_live_secret_at), Some(now));
    }

    #[test]
    fn a_filter_of_the_trail_is_refused_by_its_path_too() {
        let filter = v1::AuditFilter::default;
        let rows = [
            ("filter.client_id", v1::AuditFilter { client_id: "a b".into(), ..filter() }),
            ("filter.actor", v1::AuditFilter { actor: "a\0".into(), ..filter() }),
            ("filter.gained", v1::AuditFilter { gained: "x".repeat(257), ..filter() }),
        ];
        for (field, filter) in rows {
            let told = refused(audit_query(Some(&filter)));
            assert_eq!(told.map(|(field, _)| field), Some(field));
        }
        assert_eq!(audit_query(Some(&filter())).ok(), Some(AuditQuery::default()));
    }
}
