//! `jeton secret scan`: which secrets and tokens are in some text, whose they are, and whether they
//! can still be used. It prints none of them.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    strange,
    text::{Finding, Findings, Found},
};
use crate::{
    cli::{
        arguments::Reading,
        deadline::Deadline,
        exit::Exit,
        node, output,
        table::Column,
        target::{Target, UNCHANGED},
    },
    domain::{Client, Clock, SystemClock, Timestamp, TokenFacts},
    registry::{Registry, RegistryError},
    store::{OwnedSecret, Readable},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Scan {
    /// Files to search [default: standard input]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    on: Reading,
}

const COLUMNS: [Column; 7] = [
    Column::whole("what"),
    Column::whole("state"),
    Column::whole("client_id"),
    Column::whole("client"),
    Column::text("found in"),
    Column::whole("places"),
    Column::whole("id"),
];

impl Scan {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.on.database)?;
        target.announce();
        let registry = target.registry(node::this_user());
        let keys = target.ready_for(async { Ok(registry.tag_keys().await?) });
        let keys = target.step(deadline, UNCHANGED, keys).await?;
        // No deadline: the text may come from a program that takes as long as it likes.
        let findings = Findings::in_files(&self.files, &keys)?;
        let look = async {
            let mut rows = Vec::new();
            for finding in &findings.ours {
                rows.push(Row::of(&registry, finding).await?);
            }
            Ok(rows)
        };
        let rows = target.step(deadline, UNCHANGED, look).await;
        target.leave().await;
        let rows = rows?;
        if self.on.format.json {
            let found: Vec<_> = rows.iter().map(Row::json).collect();
            output::json(&json!({ "found": found, "made_elsewhere": findings.others }));
        } else if !rows.is_empty() {
            output::table(COLUMNS, rows.iter().map(Row::cells).collect());
        }
        if findings.others > 0 {
            output::remark(&strange(findings.others));
        }
        if rows.is_empty() {
            output::remark("No secret and no token of this installation was found.");
            return Ok(());
        }
        Err(Exit::Finding.error(""))
    }
}

/// One secret or token with its owner.
struct Row<'a> {
    finding: &'a Finding,
    client_id: Option<String>,
    client_state: Option<&'static str>,
    state: &'static str,
}

impl<'a> Row<'a> {
    async fn of(registry: &Registry, finding: &'a Finding) -> anyhow::Result<Self> {
        let now = SystemClock.now();
        let (client_id, client_state, state) = match finding.found {
            Found::Secret(id) => of_secret(registry.owned_secret(id).await?, now),
            Found::Token(id) => match registry.stored_token(id).await {
                Ok(token) => of_token(token.and_then(|token| token.facts), now),
                Err(RegistryError::Unreadable(_)) => (None, None, "unreadable"),
                Err(error) => return Err(error.into()),
            },
        };
        Ok(Self { finding, client_id, client_state, state })
    }

    const fn what(&self) -> &'static str {
        match self.finding.found {
            Found::Secret(_) => "secret",
            Found::Token(_) => "token",
        }
    }

    fn id(&self) -> String {
        match self.finding.found {
            Found::Secret(id) => id.0.to_string(),
            Found::Token(id) => id.0.to_string(),
        }
    }

    fn cells(&self) -> [String; 7] {
        [
            self.what().to_owned(),
            self.state.to_owned(),
            self.client_id.clone().unwrap_or_default(),
            self.client_state.unwrap_or_default().to_owned(),
            self.finding.first.clone(),
            self.finding.places.to_string(),
            self.id(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what(),
            "id": self.id(),
            "state": self.state,
            "client_id": self.client_id,
            "client_state": self.client_state,
            "found_in": self.finding.first,
            "places": self.finding.places,
        })
    }
}

type Owner = (Option<String>, Option<&'static str>, &'static str);

/// A token that was removed, or whose client was, has ended.
fn of_token(facts: Option<TokenFacts>, now: Timestamp) -> Owner {
    let Some(facts) = facts else { return (None, None, "ended") };
    let state = if facts.is_alive(now) { "active" } else { "inactive" };
    let client = &facts.client;
    (Some(client.client_id.to_string()), Some(client.state.as_str()), state)
}

fn of_secret(owned: Option<OwnedSecret>, now: Timestamp) -> Owner {
    let Some(OwnedSecret { client, secret }) = owned else { return (None, None, "deleted") };
    let state = secret.as_ref().map_or("unreadable", |secret| secret.state(now).as_str());
    (client_id(&client), client.as_ref().ok().map(|client| client.state.as_str()), state)
}

/// The `client_id` of a row, as far as it can be read.
pub(super) fn client_id(client: &Readable<Client>) -> Option<String> {
    match client {
        Ok(client) => Some(client.client_id.to_string()),
        Err(row) => row.client_id.clone(),
    }
}
