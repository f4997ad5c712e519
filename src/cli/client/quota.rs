//! `jeton client set-quota`, and the limits of a client in the output of other commands.

use clap::Args;
use serde_json::{Value, json};

use super::{output, undecided};
use crate::{
    cli::{
        administration::{Changing, Site},
        deadline::Deadline,
        exit::Exit,
    },
    domain::{ClientId, ClientQuota, LimitChange, QuotaChange, QuotaLimit},
};

/// Limits of one client.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Tokens per second that each node issues to it, or `default` for the setting of the node
    #[arg(long, value_name = "N", value_parser = LimitChange::parse)]
    tokens_per_second: Option<LimitChange>,

    /// Tokens that each node issues to it at once after a pause, or `default`
    #[arg(long, value_name = "N", value_parser = LimitChange::parse)]
    token_burst: Option<LimitChange>,

    /// Tokens of it that may live at the same time, on each node, or `default`
    #[arg(long, value_name = "N", value_parser = LimitChange::parse)]
    live_tokens: Option<LimitChange>,
}

impl Limits {
    /// The limits of a new client.
    pub(super) fn of_new_client(&self) -> ClientQuota {
        let change = self.change();
        ClientQuota {
            tokens_per_second: change.tokens_per_second.limit(),
            burst: change.burst.limit(),
            live_tokens: change.live_tokens.limit(),
        }
    }

    pub(super) fn change(&self) -> QuotaChange {
        QuotaChange {
            tokens_per_second: self.tokens_per_second.unwrap_or_default(),
            burst: self.token_burst.unwrap_or_default(),
            live_tokens: self.live_tokens.unwrap_or_default(),
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SetQuota {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    on: Changing,
}

impl SetQuota {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let (client, change) = (&self.client_id, self.limits.change());
        if change == QuotaChange::default() {
            return Err(Exit::Usage.error(
                "nothing was changed: name a limit, such as --tokens-per-second 200 or \
                 --tokens-per-second default",
            ));
        }
        let what = format!("The quota of client {client} may or may not be changed");
        let undecided = undecided(client, &what);
        let site = Site::of(self.on.at)?;
        let clients = site.clients(self.on.operator.actor());
        let changed = site.change(deadline, &undecided, clients.set_quota(client, change)).await?;
        let quota = changed.as_ref().ok().map(|record| record.client.quota);
        if self.on.format.json {
            let quota = quota.map(quota_json);
            output::json(&json!({ "client_id": client.as_str(), "quota": quota }));
        } else {
            let quota = quota.map_or_else(|| "changed".to_owned(), shown);
            output::say(&format!("Quota of client {client} in {}: {quota}.", site.place));
        }
        Ok(())
    }
}

/// A quota in words.
pub(super) fn shown(quota: ClientQuota) -> String {
    let limits = [
        ("tokens per second", quota.tokens_per_second),
        ("burst", quota.burst),
        ("live tokens", quota.live_tokens),
    ];
    let own = limits.iter().filter_map(|(what, limit)| Some(format!("{what} {}", (*limit)?.get())));
    let own: Vec<_> = own.collect();
    if own.is_empty() { "default of the node".to_owned() } else { own.join(", ") }
}

/// A quota in JSON; `null` where the default of the node applies.
pub(super) fn quota_json(quota: ClientQuota) -> Value {
    let number = |limit: Option<QuotaLimit>| limit.map(QuotaLimit::get);
    json!({
        "tokens_per_second": number(quota.tokens_per_second),
        "token_burst": number(quota.burst),
        "live_tokens": number(quota.live_tokens),
    })
}
