//! Methods that answer with evidence of use: which secrets expire soon, and which clients nobody
//! uses.

use std::time::Duration;

use prost::Message;
use prost_types::Duration as ProtoDuration;
use uuid::Uuid;

use super::{ClientRpc, Refusal, clients::list_of, parse, render};
use crate::{
    domain::{ClientId, SecretId, TagKeys, Timestamp, page_token, position_in},
    pb::v1,
    registry::{EVIDENCE_PATIENCE, ExpiringSecret, UnusedClients},
    request::Method,
    store::UnusedClient,
};

/// Within which time secrets expire, unless the caller says otherwise.
const WITHIN: Duration = Duration::from_hours(30 * 24);

/// For how long clients were not used, unless the caller says otherwise.
const UNUSED_FOR: Duration = Duration::from_hours(90 * 24);

impl ClientRpc {
    pub(super) async fn expiring(
        &self,
        mut message: v1::ListExpiringSecretsRequest,
    ) -> Result<v1::ListExpiringSecretsResponse, Refusal> {
        let size = parse::page_size(message.page_size)?;
        let within = time("within", message.within, WITHIN)?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let pages = self.pages(Method::ListExpiringSecrets, &message).await?;
        let position = pages.position(&token, end_and_secret)?;
        let (until, from, after) = position.unwrap_or_else(|| {
            let now = self.clock.now();
            (now.plus(within), now, None)
        });
        let (secrets, has_more) = self.registry.expiring_page(from, after, until, size).await?;
        let next = secrets.last().filter(|_| has_more).map(|last| {
            let (until, at) = (until.unix_micros(), last.secret.expires_at.unix_micros());
            pages.token(&format!("{until} {at} {}", last.secret.id.0))
        });
        Ok(v1::ListExpiringSecretsResponse {
            next_page_token: next.unwrap_or_default(),
            secrets: secrets.iter().map(expiring_secret).collect(),
        })
    }

    pub(super) async fn unused(
        &self,
        mut message: v1::ListUnusedClientsRequest,
    ) -> Result<v1::ListUnusedClientsResponse, Refusal> {
        let size = parse::page_size(message.page_size)?;
        let unused_for = time("unused_for", message.unused_for, UNUSED_FOR)?;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let pages = self.pages(Method::ListUnusedClients, &message).await?;
        let unused = match pages.position(&token, question_and_client)? {
            None => self.first_unused(unused_for, size).await?,
            Some((asked_at, last)) => {
                self.registry.unused_page(asked_at, unused_for, &last, size).await?
            }
        };
        let next = unused.clients.last().filter(|_| unused.has_more).map(|(last, _)| {
            let asked_at = unused.evidence.asked_at().unix_micros();
            pages.token(&format!("{asked_at} {last}"))
        });
        Ok(v1::ListUnusedClientsResponse {
            next_page_token: next.unwrap_or_default(),
            clients: unused.clients.iter().map(unused_client).collect(),
            since_time: Some(render::moment(unused.since)),
            known: unused.is_known(),
            evidence_complete_since_time: unused.evidence.complete_since().map(render::moment),
            evidence_age: unused.evidence.age().map(render::duration),
        })
    }

    /// Waits for evidence if there is a permit. Without one the answer is given at once, with the
    /// gap that there is.
    async fn first_unused(
        &self,
        unused_for: Duration,
        size: u32,
    ) -> Result<UnusedClients, Refusal> {
        let permit = self.waits.try_acquire().ok();
        let patience = if permit.is_some() { EVIDENCE_PATIENCE } else { Duration::ZERO };
        let unused = self.registry.unused_clients(unused_for, patience, Some(size)).await;
        drop(permit);
        Ok(unused?)
    }

    /// The pages of the list that a request asks for, which has no page in it any more.
    async fn pages(&self, method: Method, request: &impl Message) -> Result<Pages, Refusal> {
        let list = list_of(method, request);
        Ok(Pages { keys: self.store.installation().await?.tag_keys, list })
    }
}

/// A list in pages.
struct Pages {
    keys: TagKeys,
    list: Vec<u8>,
}

impl Pages {
    /// The position after which a page begins; `None` for the first page.
    fn position<T>(
        &self,
        token: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        if token.is_empty() {
            return Ok(None);
        }
        let position = position_in(&self.keys, &self.list, token);
        let position = position.map_err(Refusal::of_field("page_token"))?;
        // Only a position of ours has a tag of ours.
        let invalid = || Refusal::invalid("page_token", "start again without a page token");
        parse(&position).map(Some).ok_or_else(invalid)
    }

    fn token(&self, position: &str) -> String {
        page_token(&self.keys, &self.list, position)
    }
}

/// The end of the time in which secrets expire, and the last secret of a page.
fn end_and_secret(position: &str) -> Option<(Timestamp, Timestamp, Option<SecretId>)> {
    let (until, secret) = position.split_once(' ')?;
    let (expires_at, id) = secret.split_once(' ')?;
    let id = SecretId(Uuid::try_parse(id).ok()?);
    Some((moment(until)?, moment(expires_at)?, Some(id)))
}

/// The moment of the question, and the last client of a page.
fn question_and_client(position: &str) -> Option<(Timestamp, ClientId)> {
    let (asked_at, client) = position.split_once(' ')?;
    Some((moment(asked_at)?, ClientId::parse(client).ok()?))
}

fn moment(micros: &str) -> Option<Timestamp> {
    micros.parse().ok().map(Timestamp::from_unix_micros)
}

/// Parses a time that has a default. Zero is no time at all, and not the default.
fn time(
    field: &'static str,
    asked: Option<ProtoDuration>,
    default: Duration,
) -> Result<Duration, Refusal> {
    let unless_given = if asked.is_some() { Duration::ZERO } else { default };
    Ok(parse::whole_duration(field, asked)?.unwrap_or(unless_given))
}

fn expiring_secret(of: &ExpiringSecret) -> v1::ExpiringSecret {
    v1::ExpiringSecret {
        client_id: of.secret.client_id.to_string(),
        secret_id: of.secret.id.0.to_string(),
        expire_time: Some(render::moment(of.secret.expires_at)),
        last_use_time: of.last_used_at.map(render::moment),
    }
}

fn unused_client((client_id, last): &UnusedClient) -> v1::UnusedClient {
    v1::UnusedClient { client_id: client_id.to_string(), last_use_time: last.map(render::moment) }
}
