//! `jeton client expiring` and `jeton client dead`: what needs an operator before it breaks, and
//! what nobody needs any more.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{
    output,
    report::{evidence_json, evidence_line},
};
use crate::{
    cli::{
        administration::{Reading, Site, Unused},
        deadline::Deadline,
        duration::{ago, in_words, parse_duration},
        exit::Exit,
        node,
        table::Column,
    },
    domain::{ClientId, Clock, SystemClock, Timestamp},
    registry::ExpiringSecret,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Expiring {
    /// List the secrets that expire within this time
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse_duration)]
    within: Duration,

    #[command(flatten)]
    on: Reading,
}

impl Expiring {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let site = Site::of(self.on.at)?;
        let clients = site.clients(node::this_user());
        let expiring = Box::pin(clients.expiring_secrets(self.within));
        let expiring = site.look(deadline, expiring).await?;
        let now = SystemClock.now();
        if self.on.format.json {
            let object = |expiring: &ExpiringSecret| {
                json!({
                    "client_id": expiring.secret.client_id.as_str(),
                    "secret_id": expiring.secret.id.0,
                    "expires_at": expiring.secret.expires_at.to_string(),
                    "last_used_at": expiring.last_used_at.map(|last| last.to_string()),
                })
            };
            let secrets: Vec<_> = expiring.iter().map(object).collect();
            output::json(&json!({ "secrets": secrets }));
        } else if expiring.is_empty() {
            output::remark(&format!("No secret expires within {}.", in_words(self.within)));
        } else {
            let columns = ["client_id", "expires", "last used", "secret"].map(Column::whole);
            let cells = |expiring: &ExpiringSecret| {
                [
                    expiring.secret.client_id.to_string(),
                    expiring.secret.expires_at.to_string(),
                    last_use(expiring.last_used_at, now),
                    expiring.secret.id.0.to_string(),
                ]
            };
            output::table(columns, expiring.iter().map(cells).collect());
        }
        finding(!expiring.is_empty())
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Dead {
    /// List the clients that have not authenticated for this time
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = parse_duration)]
    since: Duration,

    #[command(flatten)]
    on: Reading,
}

impl Dead {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let site = Site::of(self.on.at)?;
        let clients = site.clients(node::this_user());
        let unused = Box::pin(clients.unused_clients(self.since));
        let Unused { clients, since, is_known, evidence } = site.look(deadline, unused).await?;
        let now = SystemClock.now();
        if self.on.format.json {
            let object = |(client, last): &(ClientId, Option<Timestamp>)| {
                let last = last.map(|last| last.to_string());
                json!({ "client_id": client.as_str(), "last_used_at": last })
            };
            let clients: Vec<_> = clients.iter().map(object).collect();
            let (dead, unknown) = if is_known { (clients, vec![]) } else { (vec![], clients) };
            output::json(&json!({
                "since": since.to_string(),
                "dead": dead,
                "unknown": unknown,
                "evidence": evidence_json(&evidence),
            }));
        } else {
            let verdict = if is_known { "dead" } else { "unknown" };
            let cells = |(client, last): &(ClientId, Option<Timestamp>)| {
                [client.to_string(), verdict.to_owned(), last_use(*last, now)]
            };
            let time = in_words(self.since);
            let is_old_enough = evidence.complete_since.is_some_and(|from| from <= since);
            if clients.is_empty() && is_old_enough {
                output::remark(&format!(
                    "Every client of {time} ago has authenticated since then."
                ));
            } else if clients.is_empty() {
                output::remark(&format!(
                    "No client is known to be dead, but uses were not counted for all of {time} \
                     yet: ask again when the evidence is that old, or with a shorter --since."
                ));
            } else {
                let columns = ["client_id", "verdict", "last used"].map(Column::whole);
                output::table(columns, clients.iter().map(cells).collect());
            }
            output::remark(&evidence_line(&evidence));
        }
        finding(is_known && !clients.is_empty())
    }
}

fn last_use(last: Option<Timestamp>, now: Timestamp) -> String {
    last.map_or_else(|| "no use counted".to_owned(), |last| ago(last, now))
}

/// Ends the command with the status of a finding, after everything was printed.
fn finding(is_one: bool) -> anyhow::Result<()> {
    if is_one { Err(Exit::Finding.error("")) } else { Ok(()) }
}
