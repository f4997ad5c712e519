//! `jeton token simulate`: what a client would get for a request now.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        administration::{Reading, ShownOutcome, ShownSimulation, Site},
        deadline::Deadline,
        exit::Exit,
        node, output,
    },
    domain::ClientId,
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
        let site = Site::of(self.on.at)?;
        let tokens = site.tokens(node::this_user());
        let work = tokens.simulate(&self.client_id, &self.scopes, &self.resources);
        let simulation = Box::pin(site.look(deadline, work)).await?;
        if self.on.format.json {
            output::json(&object(&self.client_id, &simulation));
        } else {
            print(&simulation);
        }
        match simulation.outcome {
            ShownOutcome::Token(..) => Ok(()),
            ShownOutcome::Refusal(..) => Err(Exit::Finding.error("")),
        }
    }
}

fn print(simulation: &ShownSimulation) {
    let mut rows = Vec::new();
    match &simulation.outcome {
        ShownOutcome::Token(granted, seconds) => {
            output::say("The client would get a token:");
            rows.extend([
                ("scope", granted.scopes.join(" ")),
                ("aud", granted.audiences.join(" ")),
                ("lifetime", format!("{seconds} s")),
            ]);
        }
        ShownOutcome::Refusal(reason, message) => {
            output::say("The request would be refused:");
            rows.extend([("reason", reason.clone()), ("message", message.clone())]);
        }
    }
    let limit = |limit: Option<i64>| {
        limit.map_or_else(|| "default of the node".to_owned(), |limit| limit.to_string())
    };
    rows.extend([
        ("live secrets", simulation.live_secrets.to_string()),
        ("tokens per second", limit(simulation.tokens_per_second)),
        ("token burst", limit(simulation.token_burst)),
        ("live tokens", limit(simulation.live_tokens)),
    ]);
    output::properties(&rows);
}

fn object(client: &ClientId, simulation: &ShownSimulation) -> Value {
    let (token, refusal) = match &simulation.outcome {
        ShownOutcome::Token(granted, seconds) => {
            let token = json!({
                "scopes": granted.scopes,
                "audiences": granted.audiences,
                "lifetime_seconds": seconds,
            });
            (token, Value::Null)
        }
        ShownOutcome::Refusal(reason, message) => {
            (Value::Null, json!({ "reason": reason, "message": message }))
        }
    };
    json!({
        "client_id": client.as_str(),
        "token": token,
        "refusal": refusal,
        "live_secrets": simulation.live_secrets,
        "quota": {
            "tokens_per_second": simulation.tokens_per_second,
            "token_burst": simulation.token_burst,
            "live_tokens": simulation.live_tokens,
        },
    })
}
