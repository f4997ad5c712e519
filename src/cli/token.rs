//! `jeton token …`: issues, introspects and revokes tokens at a running node, over gRPC; and for
//! operators, on a database or through a node, lists, explains and revokes them.

mod explain;
mod list;
mod revoke;
mod simulate;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jeton_client::request;
use serde_json::json;
use tonic::{Response, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::{
    arguments::{Format, remark_on_commas},
    deadline::{Deadline, Wait},
    exit::Exit,
    input, output,
    server::Server,
    target::UNCHANGED,
};
use crate::{
    config::Links,
    pb::v1::{
        ClientAuthentication, ErrorReason, IntrospectTokenResponse, IssueTokenRequest,
        token_service_client::TokenServiceClient,
    },
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
    Introspect(OfToken),
    /// Revoke a token before it expires: as its client, or by its id as an operator
    #[command(after_help = "\
With --id it works in the database, or through a node if --server or a context names its control
listener, and the audit trail names the operator. Otherwise it calls a node as the client that the
token was issued to.

Examples:
  jeton token revoke --client-id orders --secret-file orders.secret < token.txt
  jeton token revoke --id 01890a5d-ac96-774b-bcce-b302099a8057")]
    Revoke(Box<revoke::Revoke>),
    /// Explain whether a token is active, and all reasons why not
    #[command(after_help = "\
Exits with 3 if the token is inactive.

Examples:
  jeton token explain token.txt --as stock
  jeton token explain --id 01890a5d-ac96-774b-bcce-b302099a8057 --json")]
    Explain(explain::Explain),
    /// Simulate a request: what a client would get, or why it is refused
    #[command(after_help = "\
Nothing is issued. Exits with 3 if the request would be refused. Nodes count quotas by themselves,
so the limits are shown and not checked.

Example:
  jeton token simulate orders --scope orders.read")]
    Simulate(simulate::Simulate),
    /// List the live tokens of a client, without their texts
    #[command(after_help = "\
Example:
  jeton token list orders --limit 10")]
    List(list::List),
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

    #[command(flatten)]
    format: Format,
}

/// Arguments of a command about a token.
#[derive(Debug, Args)]
pub(super) struct OfToken {
    #[command(flatten)]
    caller: Caller,

    /// File with the token [default: the variable `JETON_TOKEN`, else standard input]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    format: Format,
}

impl TokenCommand {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self {
            Self::Issue(issue) => issue.run(deadline).await,
            Self::Introspect(of_token) => of_token.introspect(deadline).await,
            Self::Revoke(revoke) => revoke.run(deadline).await,
            Self::Explain(explain) => explain.run(deadline).await,
            Self::Simulate(simulate) => simulate.run(deadline).await,
            Self::List(list) => list.run(deadline).await,
        }
    }
}

impl Issue {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        remark_on_commas("--scope", &self.scopes);
        let mut request = request::issue(Some(self.caller.authentication()?));
        (request.scopes, request.resources) = (self.scopes, self.resources);
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
        } else if self.format.json {
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

impl OfToken {
    /// The token, then the credentials, which is the order in which they are asked for.
    fn read(&self) -> anyhow::Result<(String, Option<ClientAuthentication>)> {
        let token = input::token(self.token_file.as_deref(), "--token-file")?;
        Ok((token, Some(self.caller.authentication()?)))
    }

    async fn introspect(self, deadline: Deadline) -> anyhow::Result<()> {
        let (token, authentication) = self.read()?;
        let request = request::introspect(token, authentication);
        let call = async |mut node: Node| node.introspect_token(request).await;
        let answer = self.caller.ask(deadline, UNCHANGED, call).await?;
        let rows = rows(&answer);
        if self.format.json {
            let members = rows.into_iter().map(|(name, value)| (name.to_owned(), json!(value)));
            let mut object: serde_json::Map<_, _> = members.collect();
            object.insert("active".to_owned(), json!(answer.active));
            output::json(&object.into());
        } else {
            output::properties(&rows);
        }
        if answer.active { Ok(()) } else { Err(Exit::Finding.error("")) }
    }
}

fn parse_token_id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "a token id is a UUID, the `jti` of the token")
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

impl Caller {
    fn authentication(&self) -> anyhow::Result<ClientAuthentication> {
        let secret = input::secret(&self.client_id, self.secret_file.as_deref())?;
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
        output::remark(&format!("Node: {}", self.server.url));
        let whom = format!("the node at {}", self.server.url);
        let work = async {
            let node = self.node().await?;
            let answer = call(node).await;
            // The exit status tells a refusal from a node that is away.
            let failed = |status: Status| {
                let why = format!("{:#}", self.server.explain(&status));
                Exit::of_answer(status.code()).error(why)
            };
            Ok(answer.map_err(failed)?.into_inner())
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
    if asked.is_empty() {
        return status.clone();
    }
    Status::new(status.code(), format!("{}: {}", status.message(), asked.join(" ")))
}
