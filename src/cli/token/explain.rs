//! `jeton token explain`: whether a token is active, and if not, all reasons why.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{input, parse_token_id};
use crate::{
    cli::{
        administration::{Reading, ShownExplanation, ShownGrant, ShownToken, Site},
        deadline::Deadline,
        exit::Exit,
        node, output,
        table::Column,
    },
    domain::{ClientId, InactiveReason, TokenId},
    registry::{AskedToken, Inactivity},
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
        let site = Site::of(self.on.at)?;
        let tokens = site.tokens(node::this_user());
        let asked = match self.id {
            Some(id) => AskedToken::Id(TokenId(id)),
            None => AskedToken::Text(&text),
        };
        let work = tokens.explain(asked, self.seen_by.as_ref());
        let explanation = Box::pin(site.look(deadline, work)).await?;
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
    explanation: &'a ShownExplanation,
    seen_by: Option<&'a ClientId>,
}

impl Told<'_> {
    fn print(&self) {
        let ShownExplanation { token, reasons, is_text_compared, is_trail_readable, .. } =
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

    fn facts(&self, token: &ShownToken) -> Vec<(&'static str, String)> {
        let ShownToken { now, lost, .. } = token;
        let mut rows = vec![
            ("jti", token.id.to_string()),
            ("client_id", token.client_id.clone().unwrap_or_else(|| "(deleted)".to_owned())),
            ("scope", scope_of(now)),
            ("aud", aud_of(now)),
            ("lost scope", scope_of(lost)),
            ("lost aud", aud_of(lost)),
            ("issued", token.issued_at.to_string()),
            ("expires", token.expires_at.to_string()),
            ("secret", token.secret.to_string()),
        ];
        if let Some(server) = self.seen_by {
            let seen = match &self.explanation.seen {
                None => "nothing".to_owned(),
                Some(seen) => {
                    format!("scope {}; aud {}", scope_of(seen), aud_of(seen))
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
                let secret = self.explanation.token.as_ref().map(|token| token.secret);
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
            "token_id": self.explanation.id,
            "token": self.explanation.token.as_ref().map(token_json),
            "text_compared": self.explanation.is_text_compared,
            "audit_trail_readable": self.explanation.is_trail_readable,
        });
        if let Some(server) = self.seen_by {
            let seen = self.explanation.seen.as_ref();
            let seen =
                seen.map(|seen| json!({ "scopes": seen.scopes, "audiences": seen.audiences }));
            object["as"] = json!({ "client_id": server.as_str(), "sees": seen });
        }
        object
    }
}

/// A token without its text.
pub(super) fn token_json(token: &ShownToken) -> Value {
    json!({
        "token_id": token.id,
        "client_id": token.client_id,
        "scopes": token.now.scopes,
        "audiences": token.now.audiences,
        "lost_scopes": token.lost.scopes,
        "lost_audiences": token.lost.audiences,
        "issued_at": token.issued_at.to_string(),
        "expires_at": token.expires_at.to_string(),
        "secret_id": token.secret,
    })
}

fn scope_of(granted: &ShownGrant) -> String {
    granted.scopes.join(" ")
}

fn aud_of(granted: &ShownGrant) -> String {
    granted.audiences.join(" ")
}
