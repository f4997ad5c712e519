//! `jeton token simulate`: what a client would get for a request now.

use clap::Args;
use serde_json::{Value, json};
use tonic_types::StatusExt;

use super::explain::{joined, texts};
use crate::{
    cli::{arguments::Reading, deadline::Deadline, exit::Exit, node, output, target::Target},
    domain::{ClientId, QuotaLimit},
    registry::{Simulated, Simulation},
    rpc::status::from_error,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Simulate {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// Scope that the client requests; may be repeated [default: its default scopes]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,

    /// Audience that the client requests; may be repeated [default: its default audience]
    #[arg(long = "resource", value_name = "RESOURCE")]
    resources: Vec<String>,

    #[command(flatten)]
    on: Reading,
}

impl Simulate {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.on.database)?;
        let registry = target.registry(node::this_user());
        let (client, scopes, resources) = (&self.client_id, &self.scopes, &self.resources);
        let work = async { Ok(registry.simulate_issue(client, scopes, resources).await?) };
        let simulation = target.look(deadline, work).await?;
        let refusal = refusal(&simulation.outcome);
        if self.on.format.json {
            output::json(&object(&simulation, refusal.as_ref()));
        } else {
            print(&simulation, refusal.as_ref());
        }
        if refusal.is_none() { Ok(()) } else { Err(Exit::Finding.error("")) }
    }
}

/// Why there would be no token: the reason that the caller would be told, and the message.
fn refusal(outcome: &Simulated) -> Option<(String, String)> {
    let status = from_error(outcome.error()?);
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    Some((reason, outcome.why()?))
}

fn print(simulation: &Simulation, refusal: Option<&(String, String)>) {
    let mut rows = Vec::new();
    match (&simulation.outcome, refusal) {
        (Simulated::Issued(granted, lifetime), _) => {
            output::say("The client would get a token:");
            rows.extend([
                ("scope", joined(&granted.scopes)),
                ("aud", joined(&granted.audiences)),
                ("lifetime", format!("{} s", lifetime.as_secs())),
            ]);
        }
        (_, Some((reason, message))) => {
            output::say("The request would be refused:");
            rows.extend([("reason", reason.clone()), ("message", message.clone())]);
        }
        _ => {}
    }
    let limit = |limit: Option<QuotaLimit>| {
        limit.map_or_else(|| "default of the node".to_owned(), |limit| limit.get().to_string())
    };
    let quota = simulation.client.quota;
    rows.extend([
        ("live secrets", simulation.live_secrets.to_string()),
        ("tokens per second", limit(quota.tokens_per_second)),
        ("token burst", limit(quota.burst)),
        ("live tokens", limit(quota.live_tokens)),
    ]);
    output::properties(&rows);
}

fn object(simulation: &Simulation, refusal: Option<&(String, String)>) -> Value {
    let token = match &simulation.outcome {
        Simulated::Issued(granted, lifetime) => json!({
            "scopes": texts(&granted.scopes),
            "audiences": texts(&granted.audiences),
            "lifetime_seconds": lifetime.as_secs(),
        }),
        _ => Value::Null,
    };
    let quota = simulation.client.quota;
    let limit = |limit: Option<QuotaLimit>| limit.map(QuotaLimit::get);
    json!({
        "client_id": simulation.client.client_id.as_str(),
        "token": token,
        "refusal": refusal.map(|(reason, message)| json!({ "reason": reason, "message": message })),
        "live_secrets": simulation.live_secrets,
        "quota": {
            "tokens_per_second": limit(quota.tokens_per_second),
            "token_burst": limit(quota.burst),
            "live_tokens": limit(quota.live_tokens),
        },
    })
}
