//! The evidence of use in both ways: what the registry finds on a database, or what a node answers.

use std::time::Duration;

use prost_types::{Duration as ProtoDuration, Timestamp as ProtoTimestamp};
use uuid::Uuid;

use super::{
    calls::PAGE,
    clients::Clients,
    message::duration,
    node::{Calls, Node},
    reading::{self, maybe, moment, understood},
};
use crate::{
    domain::{Advice, ClientId, ClientKey, Evidence, SecretId, SecretUse, Timestamp, Verdict},
    pb::v1,
    registry::{EVIDENCE_PATIENCE, ExpiringSecret, SecretReport},
    store::{EndingSecret, UnusedClient},
};

/// How far evidence goes, as far as commands print it.
pub(in crate::cli) struct Reach {
    /// Since when it has no gap; `None` if there is one now.
    pub(in crate::cli) complete_since: Option<Timestamp>,
    /// How long ago the node that is the longest behind has written; `None` if there is no node.
    pub(in crate::cli) age: Option<Duration>,
}

/// The secrets of a client with the evidence of their use.
pub(in crate::cli) struct Rotation {
    /// All secrets, oldest first. Those that a node cannot read are the last.
    pub(in crate::cli) secrets: Vec<SecretReport>,
    /// How long a secret must not have been used before it counts as unused.
    pub(in crate::cli) window: Duration,
    pub(in crate::cli) evidence: Reach,
}

/// Clients that have not authenticated for a while, each with the last time that it did.
pub(in crate::cli) struct Unused {
    pub(in crate::cli) clients: Vec<UnusedClient>,
    pub(in crate::cli) since: Timestamp,
    /// Whether it is known that they were not used.
    pub(in crate::cli) is_known: bool,
    pub(in crate::cli) evidence: Reach,
}

impl From<&Evidence> for Reach {
    fn from(evidence: &Evidence) -> Self {
        Self { complete_since: evidence.complete_since(), age: evidence.age() }
    }
}

impl Clients<'_> {
    /// Reports the secrets of a client, and which of them can be retired because they were not used
    /// for a window.
    pub(in crate::cli) async fn report_secrets(
        &self,
        client: &ClientId,
        window: Duration,
    ) -> anyhow::Result<Rotation> {
        let registry = match self {
            Self::Database(registry) => registry,
            Self::Node(node) => return node.report_secrets(client, window).await,
        };
        let report = registry.report_secrets(client, window, EVIDENCE_PATIENCE).await?;
        let evidence = Reach::from(&report.evidence);
        Ok(Rotation { secrets: report.secrets, window: report.window, evidence })
    }

    /// Lists the secrets of active clients that expire within a while, the first to expire first.
    pub(in crate::cli) async fn expiring_secrets(
        &self,
        within: Duration,
    ) -> anyhow::Result<Vec<ExpiringSecret>> {
        match self {
            Self::Database(registry) => Ok(registry.expiring_secrets(within).await?),
            Self::Node(node) => node.expiring_secrets(within).await,
        }
    }

    /// Lists active clients that have not authenticated for a while.
    pub(in crate::cli) async fn unused_clients(&self, time: Duration) -> anyhow::Result<Unused> {
        let registry = match self {
            Self::Database(registry) => registry,
            Self::Node(node) => return node.unused_clients(time).await,
        };
        let unused = registry.unused_clients(time, EVIDENCE_PATIENCE, None).await?;
        let (is_known, evidence) = (unused.is_known(), Reach::from(&unused.evidence));
        Ok(Unused { clients: unused.clients, since: unused.since, is_known, evidence })
    }
}

impl Node {
    async fn report_secrets(
        &self,
        client: &ClientId,
        window: Duration,
    ) -> anyhow::Result<Rotation> {
        let key = self.record(client).await?.client.key;
        // A node takes none for its default. No window is shorter than the lifetime of a token,
        // which is a second at least.
        let window = window.max(Duration::from_secs(1));
        let message = v1::ListSecretsRequest {
            client_id: client.to_string(),
            window: Some(duration(window)),
            at_once: false,
            await_uses: false,
        };
        let listed = self.ask(async |mut calls: Calls| calls.list_secrets(message).await).await?;
        understood("evidence", rotation(&listed, key))
    }

    async fn expiring_secrets(&self, within: Duration) -> anyhow::Result<Vec<ExpiringSecret>> {
        let mut secrets = Vec::new();
        let mut message = v1::ListExpiringSecretsRequest {
            within: Some(duration(within)),
            page_size: PAGE,
            page_token: String::new(),
        };
        loop {
            let asked = message.clone();
            let page =
                self.ask(async |mut calls: Calls| calls.list_expiring_secrets(asked).await).await?;
            for secret in &page.secrets {
                secrets.push(understood("secret", expiring_secret(secret))?);
            }
            message.page_token = page.next_page_token;
            if message.page_token.is_empty() {
                return Ok(secrets);
            }
        }
    }

    async fn unused_clients(&self, time: Duration) -> anyhow::Result<Unused> {
        let mut message = v1::ListUnusedClientsRequest {
            unused_for: Some(duration(time)),
            page_size: PAGE,
            page_token: String::new(),
        };
        let mut page = self.unused_page(message.clone()).await?;
        let mut all = understood("evidence", unused(&page))?;
        while !page.next_page_token.is_empty() {
            message.page_token = page.next_page_token;
            page = self.unused_page(message.clone()).await?;
            all.clients.extend(understood("evidence", unused(&page))?.clients);
        }
        Ok(all)
    }

    async fn unused_page(
        &self,
        message: v1::ListUnusedClientsRequest,
    ) -> anyhow::Result<v1::ListUnusedClientsResponse> {
        self.ask(async |mut calls: Calls| calls.list_unused_clients(message).await).await
    }
}

fn rotation(listed: &v1::ListSecretsResponse, client: ClientKey) -> Option<Rotation> {
    let mut secrets = Vec::new();
    for secret in &listed.secrets {
        let row = || listed.unreadable.iter().find(|row| row.id == secret.id);
        let uses = match &secret.r#use {
            Some(uses) => Ok(reading::uses(uses)?),
            None => Err(reading::unreadable(row()?, "secret_use")),
        };
        let advice = match &secret.advice {
            Some(judged) => Some(advice(judged)?),
            None => None,
        };
        secrets.push(SecretReport { secret: Ok(reading::secret(secret, client)?), uses, advice });
    }
    let is_listed = |id: &str| listed.secrets.iter().any(|secret| secret.id == id);
    for row in listed.unreadable.iter().filter(|row| !is_listed(&row.id)) {
        let row = reading::unreadable(row, "client_secret");
        let is_it = |one: &SecretReport| one.secret.as_ref().is_err_and(|it| it.id == row.id);
        // Another row with the same id has the uses of that secret.
        if row.id.is_none() || !secrets.iter().any(is_it) {
            secrets.push(SecretReport {
                secret: Err(row),
                uses: Ok(SecretUse::default()),
                advice: None,
            });
        }
    }
    let since = listed.evidence_complete_since_time.as_ref();
    Some(Rotation {
        secrets,
        window: Duration::try_from(listed.window?).ok()?,
        evidence: reach(since, listed.evidence_age)?,
    })
}

fn advice(message: &v1::RetirementAdvice) -> Option<Advice> {
    let verdict = match message.verdict() {
        v1::RetirementVerdict::Safe => Verdict::Safe,
        v1::RetirementVerdict::InUse => Verdict::InUse,
        v1::RetirementVerdict::NoSuccessor => Verdict::NoSuccessor,
        v1::RetirementVerdict::SuccessorUnused => Verdict::SuccessorUnused,
        v1::RetirementVerdict::TooEarly => Verdict::TooEarly,
        v1::RetirementVerdict::EvidenceGap => Verdict::EvidenceGap,
        v1::RetirementVerdict::Unspecified => return None,
    };
    Some(Advice { verdict, safe_from: maybe(message.safe_from_time.as_ref())? })
}

fn expiring_secret(message: &v1::ExpiringSecret) -> Option<ExpiringSecret> {
    let secret = EndingSecret {
        client_id: ClientId::parse(&message.client_id).ok()?,
        id: SecretId(Uuid::try_parse(&message.secret_id).ok()?),
        expires_at: moment(message.expire_time.as_ref()?)?,
    };
    Some(ExpiringSecret { secret, last_used_at: maybe(message.last_use_time.as_ref())? })
}

fn unused(page: &v1::ListUnusedClientsResponse) -> Option<Unused> {
    let client = |message: &v1::UnusedClient| {
        let client_id = ClientId::parse(&message.client_id).ok()?;
        Some((client_id, maybe(message.last_use_time.as_ref())?))
    };
    Some(Unused {
        clients: page.clients.iter().map(client).collect::<Option<_>>()?,
        since: moment(page.since_time.as_ref()?)?,
        is_known: page.known,
        evidence: reach(page.evidence_complete_since_time.as_ref(), page.evidence_age)?,
    })
}

fn reach(since: Option<&ProtoTimestamp>, age: Option<ProtoDuration>) -> Option<Reach> {
    let age = age.map(Duration::try_from).transpose().ok()?;
    Some(Reach { complete_since: maybe(since)?, age })
}
