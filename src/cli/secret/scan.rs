//! `jeton secret scan`: which secrets and tokens are in some text, whose they are, and whether they
//! can still be used. It prints none of them.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    strange,
    text::{Finding, Findings},
};
use crate::{
    cli::{
        administration::{Found, Owner, Reading, Site, Text, Texts},
        deadline::Deadline,
        exit::Exit,
        node, output,
        table::Column,
        target::UNCHANGED,
    },
    domain::ClientState,
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
        let site = Site::of(self.on.at)?;
        let texts = site.texts(node::this_user(), deadline).await?;
        // No deadline: the text may come from a program that takes as long as it likes.
        let made_here = async |text: &Text| texts.made_here(text).await;
        let findings = Findings::in_files(&self.files, &made_here).await?;
        let look = async {
            let mut rows = Vec::new();
            for finding in &findings.ours {
                rows.push(Row::of(&texts, finding).await?);
            }
            Ok(rows)
        };
        let rows = site.step(deadline, UNCHANGED, look).await;
        site.leave().await;
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
    owner: Owner,
}

impl<'a> Row<'a> {
    async fn of(texts: &Texts<'_>, finding: &'a Finding) -> anyhow::Result<Self> {
        Ok(Self { finding, owner: texts.owner(finding.found).await? })
    }

    fn client_state(&self) -> Option<&'static str> {
        self.owner.client_state.map(ClientState::as_str)
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
            self.owner.state.to_owned(),
            self.owner.client_id.clone().unwrap_or_default(),
            self.client_state().unwrap_or_default().to_owned(),
            self.finding.first.clone(),
            self.finding.places.to_string(),
            self.id(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what(),
            "id": self.id(),
            "state": self.owner.state,
            "client_id": self.owner.client_id,
            "client_state": self.client_state(),
            "found_in": self.finding.first,
            "places": self.finding.places,
        })
    }
}
