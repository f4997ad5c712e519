//! `jeton token …`: issues, introspects and revokes tokens at a running node, over gRPC.

use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use tonic::{Response, Status, transport::Channel};
use tonic_types::StatusExt;
use zeroize::Zeroizing;

use super::{
    deadline::{Deadline, Wait},
    output,
    server::Server,
    target::UNCHANGED,
};
use crate::config::{CLIENT_SECRET, Links, TOKEN};
use crate::pb::v1::{
    ClientAuthentication, ClientCredentialsGrant, ErrorReason, IntrospectTokenRequest,
    IntrospectTokenResponse, IssueTokenRequest, RevokeTokenRequest, issue_token_request::Grant,
    token_service_client::TokenServiceClient,
};

/// gRPC client of a node.
type Node = TokenServiceClient<Channel>;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  jeton token issue --client-id orders --secret-file orders.secret --token-only |
    jeton token introspect --client-id orders --secret-file orders.secret")]
pub(super) enum TokenCommand {
    /// Request an access token
    #[command(after_help = "\
Example:
  jeton token issue --client-id orders --secret-file orders.secret --scope orders.read")]
    Issue(Issue),
    /// Introspect a token: whether it is active, and what it grants
    #[command(after_help = "\
Example:
  jeton token introspect --client-id orders --secret-file orders.secret < token.txt")]
    Introspect(Introspect),
    /// Revoke a token before it expires
    #[command(after_help = "\
Example:
  jeton token revoke --client-id orders --secret-file orders.secret < token.txt")]
    Revoke(Revoke),
}

/// Address of the node and credentials of the client.
#[derive(Debug, Args)]
struct Caller {
    #[command(flatten)]
    server: Server,

    #[command(flatten)]
    links: Links,

    /// Client identifier to authenticate with
    #[arg(long, value_name = "ID", env = "JETON_CLIENT_ID")]
    client_id: String,

    /// File with the client secret [default: the variable `JETON_CLIENT_SECRET`, else a prompt]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Issue {
    #[command(flatten)]
    caller: Caller,

    /// Scope to request; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,

    /// Audience (resource server) of the token; may be repeated
    #[arg(long = "resource", value_name = "RESOURCE")]
    resources: Vec<String>,

    /// Print the token and nothing else
    #[arg(long, conflicts_with = "json")]
    token_only: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Introspect {
    #[command(flatten)]
    caller: Caller,

    /// File with the token [default: the variable `JETON_TOKEN`, else standard input]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    caller: Caller,

    /// File with the token [default: the variable `JETON_TOKEN`, else standard input]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenCommand {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self {
            Self::Issue(issue) => issue.run(deadline).await,
            Self::Introspect(introspect) => introspect.run(deadline).await,
            Self::Revoke(revoke) => revoke.run(deadline).await,
        }
    }
}

impl Issue {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let request = IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            scopes: self.scopes,
            resources: self.resources,
            client_authentication: Some(self.caller.authentication()?),
        };
        let undecided = "A token that nobody holds may have been issued; it expires by itself.";
        let asked = request.clone();
        let call = async |mut node: Node| {
            node.issue_token(request).await.map_err(|status| naming(&status, &asked))
        };
        let issued = self.caller.ask(deadline, undecided, call).await?;
        let expires_in = issued.expires_in.unwrap_or_default().seconds;
        let scopes = issued.scopes.join(" ");
        if self.token_only {
            output::say(&issued.access_token);
        } else if self.json {
            output::json(&json!({
                "access_token": issued.access_token,
                "token_type": issued.token_type,
                "expires_in": expires_in,
                "scope": scopes,
            }));
        } else {
            output::properties(&[
                ("access_token", issued.access_token),
                ("token_type", issued.token_type),
                ("expires_in", format!("{expires_in} s")),
                ("scope", scopes),
            ]);
        }
        Ok(())
    }
}

impl Introspect {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let request = IntrospectTokenRequest {
            token: read_token(self.token_file.as_deref())?,
            token_type_hint: String::new(),
            client_authentication: Some(self.caller.authentication()?),
        };
        let call = async |mut node: Node| node.introspect_token(request).await;
        let answer = self.caller.ask(deadline, UNCHANGED, call).await?;
        let rows = rows(&answer);
        if self.json {
            let members = rows.into_iter().map(|(name, value)| (name.to_owned(), json!(value)));
            let mut object: serde_json::Map<_, _> = members.collect();
            object.insert("active".to_owned(), json!(answer.active));
            output::json(&object.into());
        } else {
            output::properties(&rows);
        }
        Ok(())
    }
}

fn rows(answer: &IntrospectTokenResponse) -> Vec<(&'static str, String)> {
    let mut rows = vec![("active", answer.active.to_string())];
    if answer.active {
        let seconds = |moment: Option<prost_types::Timestamp>| {
            let seconds = moment.unwrap_or_default().seconds;
            crate::domain::Timestamp::from_unix_micros(seconds * 1_000_000).to_string()
        };
        rows.extend([
            ("client_id", answer.client_id.clone()),
            ("scope", answer.scopes.join(" ")),
            ("aud", answer.audiences.join(" ")),
            ("iss", answer.issuer.clone()),
            ("jti", answer.token_id.clone()),
            ("issued", seconds(answer.issue_time)),
            ("expires", seconds(answer.expire_time)),
        ]);
    }
    rows
}

impl Revoke {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let request = RevokeTokenRequest {
            token: read_token(self.token_file.as_deref())?,
            token_type_hint: String::new(),
            client_authentication: Some(self.caller.authentication()?),
        };
        let undecided = "The token may or may not be revoked: run the command again.";
        let call = async |mut node: Node| node.revoke_token(request).await;
        self.caller.ask(deadline, undecided, call).await?;
        output::say("The token can no longer be used.");
        Ok(())
    }
}

impl Caller {
    fn authentication(&self) -> anyhow::Result<ClientAuthentication> {
        let secret = match (&self.secret_file, CLIENT_SECRET.value()) {
            (Some(file), _) => first_line(file)?,
            (None, Some(secret)) => secret.into(),
            (None, None) if io::stdin().is_terminal() => {
                rpassword::prompt_password(format!("Secret of {}: ", self.client_id))?.into()
            }
            (None, None) => bail!("no client secret: use --secret-file or JETON_CLIENT_SECRET"),
        };
        Ok(ClientAuthentication {
            client_id: self.client_id.clone(),
            client_secret: secret.to_string(),
        })
    }

    /// Calls the node. The deadline starts here, after the secret was read, so the time in which a
    /// person types the secret does not count.
    async fn ask<T>(
        &self,
        deadline: Deadline,
        undecided: &str,
        call: impl AsyncFnOnce(Node) -> Result<Response<T>, Status>,
    ) -> anyhow::Result<T> {
        let whom = format!("the node at {}", self.server.url);
        let work = async {
            let node = self.node().await?;
            Ok(call(node).await.map_err(|status| self.server.explain(&status))?.into_inner())
        };
        deadline.bound(&Wait { whom: &whom, undecided, store: None }, work).await
    }

    async fn node(&self) -> anyhow::Result<Node> {
        Ok(TokenServiceClient::new(self.server.connect(self.links).await?))
    }
}

/// The refusal of a request for a token, with the scopes or resources that it is about. The node
/// repeats nothing of a request.
fn naming(status: &Status, request: &IssueTokenRequest) -> Status {
    let info = status.get_details_error_info();
    let reason = info.and_then(|info| ErrorReason::from_reason(&info.reason));
    let asked = match reason {
        Some(ErrorReason::InvalidScope) => &request.scopes,
        Some(ErrorReason::InvalidTarget) => &request.resources,
        _ => return status.clone(),
    };
    Status::new(status.code(), format!("{}: {}", status.message(), asked.join(" ")))
}

fn read_token(file: Option<&Path>) -> anyhow::Result<String> {
    if let Some(file) = file {
        return Ok(first_line(file)?.to_string());
    }
    if let Some(token) = TOKEN.value() {
        return Ok(token);
    }
    if io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password("Token: ")?);
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("the token cannot be read from standard input")?;
    let token = line.trim_end();
    ensure!(!token.is_empty(), "no token: use --token-file, JETON_TOKEN or standard input");
    Ok(token.to_owned())
}

fn first_line(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = Zeroizing::new(
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
    );
    let line = text.lines().next().unwrap_or_default();
    ensure!(!line.is_empty(), "the first line of {} is empty", path.display());
    Ok(line.to_owned().into())
}
