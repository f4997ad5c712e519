//! A node that administers clients for a command, over gRPC.

use anyhow::{Context, ensure};
use jeton_client::request;
use tokio::sync::OnceCell;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt;

use crate::{
    cli::{contexts::Administrator, exit::Exit, input, links, server::Server},
    config::Links,
    domain::ADMINISTRATION,
    pb::v1::{
        ClientAuthentication, ErrorReason, client_service_client::ClientServiceClient,
        token_service_client::TokenServiceClient,
    },
};

/// Maximum answer in bytes: a page of clients that have everything at its limit is smaller.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// The service of the node, which is called with the token of the administrator.
pub(super) type Calls = ClientServiceClient<InterceptedService<Channel, Bearer>>;

/// The node, and who calls it.
pub(in crate::cli) struct Node {
    server: Server,
    links: Links,
    administrator: Option<Administrator>,
    calls: OnceCell<Calls>,
}

/// Why a call failed.
pub(super) struct Failed {
    /// The reason of a refusal.
    pub(super) reason: Option<ErrorReason>,
    /// Names of the fields that somebody else changed.
    pub(super) changed: String,
    /// The error, with its exit status.
    pub(super) error: anyhow::Error,
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self { reason: None, changed: String::new(), error }
    }
}

/// Adds the token of the administrator to each call.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

impl Node {
    /// The node at this address. Nothing is connected yet.
    ///
    /// # Errors
    /// If an address cannot be used, or a connection would not be protected.
    pub(super) fn new(
        server: Server,
        links: Links,
        administrator: Option<Administrator>,
    ) -> anyhow::Result<Self> {
        let is_url = |url: &str| ["https://", "http://"].iter().any(|start| url.starts_with(start));
        ensure!(
            is_url(&server.url) || server.url.starts_with("unix:"),
            "the address of the control listener is https://HOST:PORT, or unix: and a path, such \
             as unix:jeton-data/control.sock; {} is neither",
            server.url
        );
        if let Some(Administrator { token_server, .. }) = &administrator {
            ensure!(
                is_url(token_server),
                "the address of the node that issues the token is https://HOST:PORT; \
                 {token_server} is not"
            );
            links::check_url(links, "--token-server", token_server)?;
        }
        let _ = server.endpoint(links)?;
        Ok(Self { server, links, administrator, calls: OnceCell::new() })
    }

    pub(super) fn url(&self) -> &str {
        &self.server.url
    }

    /// Calls a method.
    pub(super) async fn call<A>(
        &self,
        method: impl AsyncFnOnce(Calls) -> Result<Response<A>, Status>,
    ) -> Result<A, Failed> {
        // Both futures are large, and each command has several calls.
        let connected = Box::pin(self.calls.get_or_try_init(|| self.connect()));
        let calls = connected.await?.clone();
        let answer = Box::pin(method(calls)).await.map_err(|status| self.refusal(&status))?;
        Ok(answer.into_inner())
    }

    async fn connect(&self) -> anyhow::Result<Calls> {
        let bearer = match &self.administrator {
            Some(administrator) => Some(self.token(administrator).await?),
            None => None,
        };
        let channel = self.server.connect(self.links).await?;
        let calls = ClientServiceClient::with_interceptor(channel, Bearer(bearer));
        Ok(calls.max_decoding_message_size(MAX_ANSWER))
    }

    /// A token for administration, as the value of a header.
    async fn token(&self, of: &Administrator) -> anyhow::Result<MetadataValue<Ascii>> {
        let Administrator { client_id, secret_file, token_server } = of;
        let secret = input::secret(client_id.as_str(), Some(secret_file))?;
        let server = Server { url: token_server.clone(), tls_ca: self.server.tls_ca.clone() };
        let mut tokens = TokenServiceClient::new(server.connect(self.links).await?);
        let mut message = request::issue(Some(ClientAuthentication {
            client_id: client_id.to_string(),
            client_secret: secret.to_string(),
        }));
        message.resources = vec![ADMINISTRATION.to_owned()];
        let issued = tokens.issue_token(message).await.map_err(|status| {
            let why = server.explain(&status);
            let text = format!("{token_server} issues no token to {client_id}: {why:#}");
            let reason = status.get_details_error_info().map(|info| info.reason);
            if reason.as_deref() == Some(ErrorReason::InvalidTarget.reason()) {
                let hint = "it is no administrator, which has a scope `jeton:…`";
                return Exit::NotPermitted.error(format!("{text}; {hint}"));
            }
            Exit::of_answer(status.code()).error(text)
        })?;
        let bearer = format!("Bearer {}", issued.into_inner().access_token);
        let mut bearer: MetadataValue<Ascii> =
            bearer.parse().ok().context("the token has a form that no header can have")?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }

    /// What a refusal, or a connection that broke, means to the command.
    pub(super) fn refusal(&self, status: &Status) -> Failed {
        let info = status.get_details_error_info();
        let reason = info.as_ref().and_then(|info| ErrorReason::from_reason(&info.reason));
        let mut metadata = info.map(|info| info.metadata).unwrap_or_default();
        let (changed, unused) = (metadata.remove("changed"), metadata.remove("secret_id"));
        let exit = match reason {
            Some(ErrorReason::InvalidRequest) => Exit::Usage,
            Some(ErrorReason::UnreadableRow) => Exit::Failed,
            _ => Exit::of_answer(status.code()),
        };
        let told = match (reason, status.code()) {
            (Some(ErrorReason::InvalidToken), _) if self.administrator.is_none() => format!(
                "the node at {} does not know you: name an administrator with --admin-id, \
                 --admin-secret-file and --token-server",
                self.server.url
            ),
            (None, Code::Unimplemented) => format!(
                "the listener at {} is not for administrators, or its node is of an earlier \
                 version: name its control listener (--control-addr of the node)",
                self.server.url
            ),
            _ => in_commands(&format!("{:#}", self.server.explain(status)), unused.as_deref()),
        };
        Failed { reason, changed: changed.unwrap_or_default(), error: exit.error(told) }
    }
}

/// What the contract calls something, and what does it on the command line.
const COMMANDS: [(&str, &str); 6] = [
    ("ListClients lists", "`jeton client list` lists"),
    ("ListAuditEvents tells", "`jeton audit list` tells"),
    ("ListSecrets lists", "`jeton client show` lists"),
    ("with AddSecret", "with `jeton client add-secret`"),
    ("set even_if_in_use", "add --even-if-in-use"),
    ("set even_if_last", "add --yes"),
];

/// The message of a node for somebody who types commands. It may be about one secret.
fn in_commands(message: &str, secret: Option<&str>) -> String {
    let message = message.replace("the one that the metadata name", secret.unwrap_or("an old one"));
    COMMANDS.iter().fold(message, |message, (call, command)| message.replace(call, command))
}
