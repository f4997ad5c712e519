//! `jeton secret burn`: declares secrets leaked of which only the text is known.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    scan, strange,
    text::{Findings, Found},
};
use crate::{
    cli::{
        arguments::Ending,
        client::may_be_live,
        deadline::Deadline,
        exit::Exit,
        output,
        target::{Target, UNCHANGED},
    },
    domain::{ClientId, Clock, SecretId, SystemClock, TagKeys},
    registry::{Registry, leaves_no_secret},
    store::{OwnedSecret, Retirement},
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
        let target = Target::of(self.ending.changing.database)?;
        target.announce();
        let registry = target.registry(self.ending.changing.operator.actor());
        let keys = target.ready_for(async { Ok(registry.tag_keys().await?) });
        let keys = target.step(deadline, UNCHANGED, keys).await?;
        // No deadline: a person may have to paste the text.
        let secrets = secrets_in(self.file.as_slice(), &keys)?;

        let look = async {
            let mut leaks = Vec::new();
            for id in &secrets {
                leaks.push(Leak::of(&registry, *id, &secrets).await?);
            }
            Ok(leaks)
        };
        let mut leaks = target.step(deadline, UNCHANGED, look).await?;
        let last: Vec<_> = leaks.iter().filter(|leak| leak.is_last).map(Leak::named).collect();
        if !last.is_empty() {
            self.ending.confirmation.ask_at_terminal(&format!(
                "In {}, these are the last live secrets of their clients: {}. Without them the \
                 clients cannot authenticate; `jeton client add-secret` adds another first.",
                target.place,
                last.join(", ")
            ))?;
        }
        let burn = async {
            for leak in &mut leaks {
                leak.burn(&registry).await?;
            }
            Ok(())
        };
        let done = target.step(deadline, UNDECIDED, burn).await;
        if done.is_ok() {
            // Merely informative, and a scan of the live tokens: it must not fail the command.
            for leak in leaks.iter_mut().filter(|leak| leak.tokens.is_none()) {
                let count = async { Ok(registry.count_tokens(leak.id).await?) };
                leak.tokens = target.step(deadline, UNCHANGED, count).await.ok();
            }
        }
        target.leave().await;
        done?;
        if self.ending.changing.format.json {
            output::json(&json!({ "secrets": leaks.iter().map(Leak::json).collect::<Vec<_>>() }));
        } else {
            for leak in &leaks {
                leak.tell(&target.place);
            }
        }
        Ok(())
    }
}

/// The secrets in these files, or on standard input if there are none.
fn secrets_in(files: &[PathBuf], keys: &TagKeys) -> anyhow::Result<Vec<SecretId>> {
    let findings = if files.is_empty() && io::stdin().is_terminal() {
        let pasted = Zeroizing::new(rpassword::prompt_password("Leaked secret: ")?);
        let mut findings = Findings::default();
        findings.add("-", &mut pasted.as_bytes(), keys).context("the text cannot be read")?;
        findings
    } else {
        Findings::in_files(files, keys)?
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
    /// `None` if the secret was deleted, with its client perhaps.
    owned: Option<OwnedSecret>,
    client_id: Option<ClientId>,
    was: &'static str,
    is_last: bool,
    /// Tokens issued with it that had not expired and were ended; `None` if nobody counted them.
    tokens: Option<u64>,
    live_left: usize,
}

impl Leak {
    /// Looks up a secret, one of those that leaked.
    async fn of(registry: &Registry, id: SecretId, all: &[SecretId]) -> anyhow::Result<Self> {
        let owned = registry.owned_secret(id).await?;
        let was = match owned.as_ref().map(|owned| &owned.secret) {
            None => "deleted",
            Some(Err(_)) => "unreadable",
            Some(Ok(secret)) => secret.state(SystemClock.now()).as_str(),
        };
        let named = owned.as_ref().and_then(|owned| scan::client_id(&owned.client));
        let client_id = named.as_deref().and_then(|name| ClientId::parse(name).ok());
        if owned.is_some() && client_id.is_none() {
            return Err(Exit::Failed.error(format!(
                "nothing was changed: the client of secret {} has a client_id that cannot be read: \
                 correct it in the database first",
                id.0
            )));
        }
        let may_be_live = owned.as_ref().is_some_and(|owned| may_be_live(&owned.secret));
        let is_last = match client_id.as_ref().filter(|_| may_be_live) {
            Some(client_id) => {
                let (_, secrets) = registry.show_client(client_id).await?;
                leaves_no_secret(&secrets, all, SystemClock.now())
            }
            None => false,
        };
        // Those of a secret that was declared leaked before were ended then.
        let tokens = ["leaked", "deleted"].contains(&was).then_some(0);
        Ok(Self { id, owned, client_id, was, is_last, tokens, live_left: 0 })
    }

    async fn burn(&mut self, registry: &Registry) -> anyhow::Result<()> {
        let Some(client_id) = &self.client_id else {
            // Its client may come back.
            registry.burn_deleted(self.id).await?;
            return Ok(());
        };
        registry.retire_secret(client_id, self.id, Retirement::Leaked).await?;
        let (_, secrets) = registry.show_client(client_id).await?;
        self.live_left = secrets.iter().filter(|secret| may_be_live(secret)).count();
        Ok(())
    }

    fn named(&self) -> String {
        let client = self.client_id.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("secret {} of client {client}", self.id.0)
    }

    /// Scopes and audiences of the client.
    fn reach(&self) -> [Vec<String>; 2] {
        let client = self.owned.as_ref().and_then(|owned| owned.client.as_ref().ok());
        client.map_or_else(Default::default, |client| {
            let scopes = client.scopes.iter().map(ToString::to_string).collect();
            [scopes, client.audiences.iter().map(ToString::to_string).collect()]
        })
    }

    fn tell(&self, place: &str) {
        let id = self.id.0;
        let Some(client_id) = &self.client_id else {
            output::say(&format!(
                "Secret {id} was deleted before. If its client comes back, it stays out of use."
            ));
            return;
        };
        output::say(&format!(
            "Secret {id} of client {client_id} is declared leaked in {place}: it no longer \
             authenticates, and tokens issued with it are inactive."
        ));
        let [scopes, audiences] = self.reach();
        let tokens =
            self.tokens.map_or_else(|| "not counted".to_owned(), |count| count.to_string());
        output::properties(&[
            ("state before", self.was.to_owned()),
            ("scopes", scopes.join(" ")),
            ("audiences", audiences.join(" ")),
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
        let [scopes, audiences] = self.reach();
        json!({
            "secret_id": self.id.0,
            "client_id": self.client_id.as_ref().map(ClientId::as_str),
            "state_before": self.was,
            "scopes": scopes,
            "audiences": audiences,
            "tokens_ended": self.tokens,
            "live_secrets_left": self.live_left,
        })
    }
}
