//! The flags for what operators note of a client.

use clap::Args;

use crate::domain::{About, Client, Label, Labels, Malformed, parse_note, parse_owner};

/// What operators note of a client.
#[derive(Debug, Args)]
pub(super) struct Notes {
    /// Label by which clients are grouped and found, in place of one with its key; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = Label::parse)]
    pub(super) labels: Vec<Label>,

    /// Who is responsible for it: a person, a team or an address; empty for nobody
    #[arg(long, value_parser = parse_owner)]
    pub(super) owner: Option<String>,

    /// Anything else that operators should know about it; empty for nothing
    #[arg(long, value_parser = parse_note)]
    pub(super) note: Option<String>,
}

impl Notes {
    /// What is noted of a new client.
    pub(super) fn of_new_client(self) -> Result<About, Malformed> {
        let mut labels = Labels::default();
        for label in self.labels {
            labels.set(label)?;
        }
        let (owner, note) = (self.owner.unwrap_or_default(), self.note.unwrap_or_default());
        Ok(About { labels, owner, note, ..About::default() })
    }
}

/// What a client may give, by its patterns, in words.
pub(super) fn grantable(client: &Client, patterns: String) -> String {
    match (client.permissions().is_empty(), patterns.is_empty()) {
        (true, _) => "none".to_owned(),
        (false, true) => "all".to_owned(),
        (false, false) => patterns,
    }
}
