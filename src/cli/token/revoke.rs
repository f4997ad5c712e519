//! `jeton token revoke`: as its client, at a running node; or by its id as an operator, directly in
//! the database.

use std::path::PathBuf;

use clap::Args;
use jeton_client::request;
use serde_json::json;
use uuid::Uuid;

use super::{Caller, Node, input, parse_token_id};
use crate::{
    cli::{arguments::Changing, deadline::Deadline, output, server::Server, target::Target},
    domain::TokenId,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Revoke {
    /// Id of the token, its `jti`: revoke it in the database, as an operator
    #[arg(long, value_name = "TOKEN_ID", value_parser = parse_token_id,
          conflicts_with_all = ["secret_file", "token_file"])]
    id: Option<Uuid>,

    #[command(flatten)]
    server: Server,

    /// Client identifier to authenticate with
    #[arg(long, value_name = "ID", env = "JETON_CLIENT_ID", required_unless_present = "id")]
    client_id: Option<String>,

    /// File with the client secret [default: the variable `JETON_CLIENT_SECRET`, else a prompt]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// File with the token [default: the variable `JETON_TOKEN`, else standard input]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    on: Changing,
}

impl Revoke {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self.id {
            Some(id) => by_operator(id, self.on, deadline).await,
            None => self.by_client(deadline).await,
        }
    }

    /// The token is read before the credentials, as at introspection.
    async fn by_client(self, deadline: Deadline) -> anyhow::Result<()> {
        let token = input::token(self.token_file.as_deref(), "--token-file")?;
        let caller = Caller {
            server: self.server,
            links: self.on.database.links,
            client_id: self.client_id.unwrap_or_default(),
            secret_file: self.secret_file,
        };
        let request = request::revoke(token, Some(caller.authentication()?));
        let undecided = "The token may or may not be revoked: run the command again.";
        let call = async |mut node: Node| node.revoke_token(request).await;
        caller.ask(deadline, undecided, call).await?;
        if self.on.format.json {
            output::json(&json!({ "active": false }));
        } else {
            output::say("The token can no longer be used.");
        }
        Ok(())
    }
}

async fn by_operator(id: Uuid, on: Changing, deadline: Deadline) -> anyhow::Result<()> {
    let undecided = format!(
        "The token {id} may or may not be revoked, and the change may still take effect: check \
         with `jeton token explain --id {id}`, then run the command again."
    );
    let target = Target::of(on.database)?;
    let registry = target.registry(on.operator.actor());
    let work = async { Ok(registry.revoke_token(TokenId(id)).await?) };
    let revoked = target.change(deadline, &undecided, work).await?;
    let client = revoked.token.facts.map(|facts| facts.client.client_id.to_string());
    if on.format.json {
        output::json(&json!({
            "token_id": id,
            "client_id": client,
            "revoked": true,
            "already_revoked": !revoked.is_new,
        }));
        return Ok(());
    }
    let of = client.map(|client| format!(" of client {client}")).unwrap_or_default();
    let already = if revoked.is_new { "" } else { " already" };
    output::say(&format!("Token {id}{of} is revoked{already} in {}.", target.place));
    Ok(())
}
