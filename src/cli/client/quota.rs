//! `jeton client set-quota`, and the limits of a client in the output of other commands.

use clap::Args;
use serde_json::{Value, json};

use super::{output, undecided};
use crate::{
    cli::{deadline::Deadline, node::Operator, target::Target},
    config::Database,
    domain::{ClientId, ClientQuota, QuotaLimit},
};

/// Limits of one client.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Tokens per second that each node issues to it [default: the setting of the node]
    #[arg(long, value_name = "N", value_parser = QuotaLimit::parse)]
    tokens_per_second: Option<QuotaLimit>,

    /// Tokens that each node issues to it at once after a pause [default: the setting of the node]
    #[arg(long, value_name = "N", value_parser = QuotaLimit::parse)]
    token_burst: Option<QuotaLimit>,

    /// Tokens of it that may live at the same time, on each node [default: the setting of the node]
    #[arg(long, value_name = "N", value_parser = QuotaLimit::parse)]
    live_tokens: Option<QuotaLimit>,
}

impl From<Limits> for ClientQuota {
    fn from(limits: Limits) -> Self {
        Self {
            tokens_per_second: limits.tokens_per_second,
            burst: limits.token_burst,
            live_tokens: limits.live_tokens,
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
    operator: Operator,

    #[command(flatten)]
    database: Database,
}

impl SetQuota {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let (client, quota) = (&self.client_id, ClientQuota::from(self.limits));
        let what = format!("The quota of client {client} may or may not be changed");
        let undecided = undecided(client, &what);
        let target = Target::of(self.database)?;
        let work = async {
            let registry = target.registry(self.operator.actor());
            Ok(registry.set_quota(client, quota).await?)
        };
        target.change(deadline, &undecided, work).await?;
        output::say(&format!("Quota of client {client}: {}.", shown(quota)));
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
