//! `jeton secret burn`: declares secrets leaked of which only the text is known.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{strange, text::Findings};
use crate::{
    cli::{
        administration::{Ending, Found, Owner, Site, Text, Texts},
        client::may_be_live,
        deadline::Deadline,
        exit::Exit,
        output,
        target::UNCHANGED,
    },
    domain::{ClientId, Clock, SecretId, SystemClock},
    registry::leaves_no_secret,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Burn {
    /// File with the secret, alone or within any text [default: standard input]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    ending: Ending,
}

/// Message if a change times out.
const UNDECIDED: &str = "Secrets may or may not be declared leaked, and the change may still take \
    effect: run the command again, which changes nothing that is done already.";

impl Burn {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let Ending { confirmation, changing } = self.ending;
        let site = Site::of(changing.at)?;
        let texts = site.texts(changing.operator.actor(), deadline).await?;
        // No deadline: a person may have to paste the text.
        let secrets = secrets_in(self.file.as_slice(), &texts).await?;

        let look = async {
            let mut leaks = Vec::new();
            for id in &secrets {
                leaks.push(Leak::of(&texts, *id, &secrets).await?);
            }
            Ok(leaks)
        };
        let mut leaks = site.step(deadline, UNCHANGED, look).await?;
        if let Some(consequence) = consequence(&leaks, &site) {
            site.confirm_at_terminal(confirmation, &consequence)?;
        }
        let burn = async {
            for leak in &mut leaks {
                leak.burn(&texts).await?;
            }
            Ok(())
        };
        let done = site.step(deadline, UNDECIDED, burn).await;
        if done.is_ok() {
            // Merely informative: it must not fail the command.
            for leak in leaks.iter_mut().filter(|leak| leak.tokens.is_none()) {
                leak.tokens = texts.count_tokens(leak.id).await;
            }
        }
        site.leave().await;
        done?;
        if changing.format.json {
            output::json(&json!({ "secrets": leaks.iter().map(Leak::json).collect::<Vec<_>>() }));
        } else {
            for leak in &leaks {
                leak.tell(&site.place);
            }
        }
        Ok(())
    }
}

/// What stops to work, if somebody is to be asked before: the last live secrets of clients, and in
/// a protected context any secret.
fn consequence(leaks: &[Leak], site: &Site) -> Option<String> {
    let named = |is_named: fn(&Leak) -> bool| {
        let leaks = leaks.iter().filter(|leak| is_named(leak) && leak.client_id.is_some());
        leaks.map(Leak::named).collect::<Vec<_>>().join(", ")
    };
    let (last, all) = (named(|leak| leak.is_last), named(|_| true));
    if !last.is_empty() {
        Some(format!(
            "In {}, these are the last live secrets of their clients: {last}. Without them the \
             clients cannot authenticate; `jeton client add-secret` adds another first.",
            site.place
        ))
    } else if site.is_protected() && !all.is_empty() {
        Some(format!("In {}, these secrets end, with their tokens: {all}.", site.place))
    } else {
        None
    }
}

/// The secrets in these files, or on standard input if there are none.
async fn secrets_in(files: &[PathBuf], texts: &Texts<'_>) -> anyhow::Result<Vec<SecretId>> {
    let made_here = async |text: &Text| texts.made_here(text).await;
    let findings = if files.is_empty() && io::stdin().is_terminal() {
        let pasted = Zeroizing::new(rpassword::prompt_password("Leaked secret: ")?);
        let mut findings = Findings::default();
        findings.add("-", "the text", &mut pasted.as_bytes(), &made_here).await?;
        findings
    } else {
        Findings::in_files(files, &made_here).await?
    };
    let mut secrets = Vec::new();
    let mut tokens = 0;
    for finding in &findings.ours {
        match finding.found {
            Found::Secret(id) => secrets.push(id),
            Found::Token(_) => tokens += 1,
        }
    }
    if tokens > 0 {
        output::remark(&format!(
            "Tokens in the text: {tokens}. They stay as they are: `jeton secret scan` says whose \
             they are, and `jeton client revoke-tokens` ends those of a client."
        ));
    }
    if findings.others > 0 {
        output::remark(&strange(findings.others));
    }
    if secrets.is_empty() {
        return Err(Exit::NotFound.error(
            "nothing was changed: there is no secret of this installation in the text. A secret is \
             `jts_` and 75 characters, complete and not encoded",
        ));
    }
    Ok(secrets)
}

/// A secret that leaked.
struct Leak {
    id: SecretId,
    owner: Owner,
    /// `None` if the secret was deleted with its client.
    client_id: Option<ClientId>,
    is_last: bool,
    /// Tokens issued with it that had not expired and were ended; `None` if nobody counted them.
    tokens: Option<u64>,
    live_left: usize,
}

impl Leak {
    /// Looks up a secret, one of those that leaked.
    async fn of(texts: &Texts<'_>, id: SecretId, all: &[SecretId]) -> anyhow::Result<Self> {
        let owner = texts.owner(Found::Secret(id)).await?;
        let client_id = owner.client_id.as_deref().and_then(|name| ClientId::parse(name).ok());
        if !owner.is_deleted() && client_id.is_none() {
            return Err(Exit::Failed.error(format!(
                "nothing was changed: the client of secret {} has a client_id that cannot be read: \
                 correct it in the database first",
                id.0
            )));
        }
        let mut is_last = false;
        if let Some(client_id) = &client_id {
            texts.check_burn(client_id, id).await?;
            if owner.may_be_live() {
                let secrets = texts.secrets(client_id).await?;
                is_last = leaves_no_secret(&secrets, all, SystemClock.now());
            }
        }
        // Those of a secret that was declared leaked before were ended then.
        let tokens = (owner.is_deleted() || owner.state == "leaked").then_some(0);
        Ok(Self { id, owner, client_id, is_last, tokens, live_left: 0 })
    }

    async fn burn(&mut self, texts: &Texts<'_>) -> anyhow::Result<()> {
        let Some(client_id) = &self.client_id else {
            // Its client may come back.
            return texts.burn_deleted(self.id).await;
        };
        let counted = texts.burn(client_id, self.id).await?;
        self.tokens = self.tokens.or(counted);
        let secrets = texts.secrets(client_id).await?;
        self.live_left = secrets.iter().filter(|secret| may_be_live(secret)).count();
        Ok(())
    }

    fn named(&self) -> String {
        let client = self.client_id.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("secret {} of client {client}", self.id.0)
    }

    fn tell(&self, place: &str) {
        let id = self.id.0;
        let Some(client_id) = &self.client_id else {
            output::say(&format!(
                "Secret {id} was deleted before, with its client. If the client comes back, the \
                 secret stays out of use."
            ));
            return;
        };
        output::say(&format!(
            "Secret {id} of client {client_id} is declared leaked in {place}: it no longer \
             authenticates, and tokens issued with it are inactive."
        ));
        let tokens =
            self.tokens.map_or_else(|| "not counted".to_owned(), |count| count.to_string());
        output::properties(&[
            ("state before", self.owner.state.to_owned()),
            ("scopes", self.owner.scopes.join(" ")),
            ("audiences", self.owner.audiences.join(" ")),
            ("tokens ended", tokens),
            ("live secrets left", self.live_left.to_string()),
        ]);
        if self.live_left == 0 {
            output::remark(&format!(
                "Client {client_id} has no live secret left: `jeton client add-secret {client_id}`."
            ));
        }
    }

    fn json(&self) -> Value {
        json!({
            "secret_id": self.id.0,
            "client_id": self.client_id.as_ref().map(ClientId::as_str),
            "state_before": self.owner.state,
            "scopes": self.owner.scopes,
            "audiences": self.owner.audiences,
            "tokens_ended": self.tokens,
            "live_secrets_left": self.live_left,
        })
    }
}
