//! `jeton token explain`: whether a token is active, and if not, all reasons why.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{input, parse_token_id};
use crate::{
    cli::{
        arguments::Reading, deadline::Deadline, exit::Exit, node, output, table::Column,
        target::Target,
    },
    domain::{ClientId, Granted, InactiveReason, TokenId},
    registry::{AskedToken, Explanation, Inactivity},
    store::StoredToken,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    /// File with the token [default: the variable `JETON_TOKEN`, else standard input]
    #[arg(value_name = "FILE", conflicts_with = "id")]
    token_file: Option<PathBuf>,

    /// Id of the token, its `jti`, if its text is not known
    #[arg(long, value_name = "TOKEN_ID", value_parser = parse_token_id)]
    id: Option<Uuid>,

    /// Resource server for which to tell what it would see
    #[arg(long = "as", value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    seen_by: Option<ClientId>,

    #[command(flatten)]
    on: Reading,
}

impl Explain {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let text = match self.id {
            Some(_) => String::new(),
            None => input::token(self.token_file.as_deref(), "a FILE, --id")?,
        };
        let target = Target::of(self.on.database)?;
        let registry = target.registry(node::this_user());
        let work = async {
            let asked = match self.id {
                Some(id) => AskedToken::Id(TokenId(id)),
                None => AskedToken::Text(&text),
            };
            Ok(registry.explain_token(asked, self.seen_by.as_ref()).await?)
        };
        let explanation = target.look(deadline, work).await?;
        let told = Told { explanation: &explanation, seen_by: self.seen_by.as_ref() };
        if self.on.format.json {
            output::json(&told.json());
        } else {
            told.print();
        }
        if explanation.is_active() { Ok(()) } else { Err(Exit::Finding.error("")) }
    }
}

struct Told<'a> {
    explanation: &'a Explanation,
    seen_by: Option<&'a ClientId>,
}

impl Told<'_> {
    fn print(&self) {
        let Explanation { token, reasons, is_text_compared, is_trail_readable, .. } =
            self.explanation;
        if self.explanation.is_active() {
            output::say("The token is active.");
        } else {
            output::say("The token is inactive:");
            let columns = [
                Column::whole("reason"),
                Column::whole("since"),
                Column::text("by"),
                Column::text("meaning"),
            ];
            let row = |held: &Inactivity| {
                [
                    held.reason.as_str().to_owned(),
                    held.since.map(|since| since.to_string()).unwrap_or_default(),
                    held.actor.clone().unwrap_or_default(),
                    self.meaning(held.reason),
                ]
            };
            output::table(columns, reasons.iter().map(row).collect());
        }
        if let Some(token) = token {
            output::say("");
            output::properties(&self.facts(token));
        }
        if token.is_some() && *is_text_compared == Some(false) {
            output::remark(
                "The text was not compared with the stored digest, which this role of the \
                 database may not read.",
            );
        }
        if !is_trail_readable {
            output::remark("Who did this is not known: this role may not read the audit trail.");
        }
    }

    fn facts(&self, token: &StoredToken) -> Vec<(&'static str, String)> {
        let (now, lost) = (granted_now(token), token.lost());
        let mut rows = vec![
            ("jti", token.id.0.to_string()),
            ("client_id", client_of(token).unwrap_or_else(|| "(deleted)".to_owned())),
            ("scope", joined(&now.scopes)),
            ("aud", joined(&now.audiences)),
            ("lost scope", joined(&lost.scopes)),
            ("lost aud", joined(&lost.audiences)),
            ("issued", token.issued_at.to_string()),
            ("expires", token.expires_at.to_string()),
            ("secret", token.credential.0.to_string()),
        ];
        if let Some(server) = self.seen_by {
            let seen = self.explanation.seen.as_deref();
            let seen = match seen.filter(|_| self.explanation.is_active()) {
                None => "nothing".to_owned(),
                Some(seen) => {
                    format!("scope {}; aud {}", joined(&seen.scopes), joined(&seen.audiences))
                }
            };
            rows.push(("seen", format!("by {server}: {seen}")));
        }
        rows.retain(|(name, value)| !value.is_empty() || !name.starts_with("lost"));
        rows
    }

    fn meaning(&self, reason: InactiveReason) -> String {
        match reason {
            InactiveReason::NotOurs => {
                "this installation did not make the text, or its tag key was retired"
            }
            InactiveReason::NotFound => "it never existed, or it expired long ago and was deleted",
            InactiveReason::TextDiffers => "the text is not the one that has this id",
            InactiveReason::Expired => "its lifetime is over",
            InactiveReason::Revoked => "this token was revoked",
            InactiveReason::SecretLeaked => {
                let secret = self.explanation.token.as_ref().map(|token| token.credential.0);
                let secret = secret.unwrap_or_default();
                return format!("its secret {secret} leaked, or was deleted");
            }
            InactiveReason::ClientDisabled => "its client is disabled",
            InactiveReason::ClientDeleted => "its client was deleted",
            InactiveReason::TokensRevoked => {
                "all tokens of its client, or of all clients, were revoked"
            }
            InactiveReason::ClientNotBefore => "it is older than the not_before of its client",
            InactiveReason::InstallationNotBefore => {
                "it is older than the not_before of the installation"
            }
            InactiveReason::Narrowed => "its client lost all its scopes, or all its audiences",
            InactiveReason::NotServed => {
                let server = self.seen_by.map(ToString::to_string).unwrap_or_default();
                return format!("client {server} serves none of its audiences");
            }
        }
        .to_owned()
    }

    fn json(&self) -> Value {
        let reason = |held: &Inactivity| {
            json!({
                "reason": held.reason.as_str(),
                "since": held.since.map(|since| since.to_string()),
                "by": held.actor,
                "audit_seq": held.seq,
                "meaning": self.meaning(held.reason),
            })
        };
        let reasons: Vec<_> = self.explanation.reasons.iter().map(reason).collect();
        let mut object = json!({
            "active": self.explanation.is_active(),
            "reasons": reasons,
            "token_id": self.explanation.id.map(|id| id.0),
            "token": self.explanation.token.as_ref().map(token_json),
            "text_compared": self.explanation.is_text_compared,
            "audit_trail_readable": self.explanation.is_trail_readable,
        });
        if let Some(server) = self.seen_by {
            let seen = self.explanation.seen.as_ref().filter(|_| self.explanation.is_active());
            let seen = seen.map(|seen| {
                json!({ "scopes": texts(&seen.scopes), "audiences": texts(&seen.audiences) })
            });
            object["as"] = json!({ "client_id": server.as_str(), "sees": seen });
        }
        object
    }
}

/// What a token grants now.
pub(super) fn granted_now(token: &StoredToken) -> Granted {
    let granted = token.facts.as_ref().and_then(|facts| facts.granted.as_deref());
    granted.cloned().unwrap_or_default()
}

fn client_of(token: &StoredToken) -> Option<String> {
    token.facts.as_ref().map(|facts| facts.client.client_id.to_string())
}

/// A token without its text.
pub(super) fn token_json(token: &StoredToken) -> Value {
    let (now, lost) = (granted_now(token), token.lost());
    json!({
        "token_id": token.id.0,
        "client_id": client_of(token),
        "scopes": texts(&now.scopes),
        "audiences": texts(&now.audiences),
        "lost_scopes": texts(&lost.scopes),
        "lost_audiences": texts(&lost.audiences),
        "issued_at": token.issued_at.to_string(),
        "expires_at": token.expires_at.to_string(),
        "secret_id": token.credential.0,
    })
}

pub(super) fn texts<T: ToString>(set: &BTreeSet<T>) -> Vec<String> {
    set.iter().map(ToString::to_string).collect()
}

pub(super) fn joined<T: ToString>(set: &BTreeSet<T>) -> String {
    texts(set).join(" ")
}
