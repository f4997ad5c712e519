//! `jeton dev`: runs a trial node, issues a first token and prints commands to try.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, ensure};
use clap::Args;
use jeton_client::{HttpConnection, endpoint, request};
use serde_json::Value;
use tonic::{Request, metadata::MetadataValue};

use super::{node, output, serve, shutdown::Signals, start_log, target};
use crate::{
    config::Config,
    domain::{
        About, Audience, ClientId, ClientQuota, ClientSecret, ClientState, Clock, GrantType,
        OsRandom, Scope, SystemClock, TokenLifetime,
    },
    net::tls::PemFiles,
    node::Node,
    pb::v1::token_service_client::TokenServiceClient,
    registry::{NewClient, NewSecret, Registry, RegistryError},
    store::{Retirement, Store},
};

const CLIENT_ID: &str = "dev-client";
const AUDIENCE: &str = "https://api.example.com";
const LABEL: &str = "made by jeton dev";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jeton dev
  jeton dev --exit-after-check --data-dir /tmp/jeton-try")]
pub(super) struct Dev {
    /// Exit after the first tokens, with status 0 only if everything worked
    #[arg(long)]
    exit_after_check: bool,

    #[command(flatten)]
    config: Config,
}

impl Dev {
    pub(super) async fn run(self, strange: &[String]) -> anyhow::Result<()> {
        let mut config = self.config;
        config.tls.tls_self_signed = config.tls.tls_cert.is_none();
        let _telemetry = start_log(config.database.links, &config.log, strange)?;
        let mut signals = Signals::of_command().context("cannot listen for signals")?;
        let stores = node::open_stores(&config)?;
        output::remark(&format!("Database: {}", target::place(&config.database)));
        let store = Arc::clone(&stores.issue);
        let node = node::start(&config, stores).await.context(
            "the node did not start; if an address is in use, choose others with --grpc-addr, \
             --http-addr and --probe-addr",
        )?;
        let pem = node::pem_files(&config.tls, &config.database.directory).await?;
        let pem = pem.context("a trial node must have TLS")?;
        let secret = fresh_secret(store, &config).await?;
        let visitor = Visitor::new(&node, pem, &secret);
        let shown = visitor.check().await?;
        output::say(&shown);
        if self.exit_after_check {
            node.drain().await;
            return Ok(());
        }
        output::say("Serving until Ctrl-C.");
        signals.next().await;
        serve::finish(node, signals).await;
        Ok(())
    }
}

/// Creates the trial client, or adds a secret to it and retires the secret of the previous start.
/// With a new secret at every start, none has to be stored in clear text between starts.
async fn fresh_secret(store: Arc<dyn Store>, config: &Config) -> anyhow::Result<ClientSecret> {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
    let registry =
        Registry::open(store, clock, random, config.argon2.cost()?, node::this_user()).await?;
    let client_id = ClientId::parse(CLIENT_ID)?;
    let expires_at = config.new_secrets.expiry(None, SystemClock.now());
    let new_secret = || NewSecret { label: LABEL.to_owned(), expires_at };
    let audiences = BTreeSet::from([Audience::parse(AUDIENCE)?]);
    let new = NewClient {
        client_id: Some(client_id.clone()),
        name: "trial client of jeton dev".to_owned(),
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: Scope::parse_set(["read", "write"])?,
        default_scopes: None,
        audiences: audiences.clone(),
        default_audience: None,
        several_audiences: false,
        serves: audiences,
        token_lifetime: TokenLifetime::DEFAULT,
        quota: ClientQuota::default(),
        about: About::default(),
    };
    match registry.create_client(new, new_secret()).await {
        Ok((_, secret)) => return Ok(secret),
        Err(RegistryError::ClientIdTaken(_)) => (),
        Err(error) => return Err(error.into()),
    }
    let (_, secrets) = registry.show_client(&client_id).await?;
    let (_, fresh) = registry.add_secret(&client_id, new_secret()).await?;
    registry.set_client_state(&client_id, ClientState::Active).await?;
    for old in secrets.iter().flatten().filter(|old| old.label == LABEL && old.retired_at.is_none())
    {
        registry.retire_secret(&client_id, old.id, Retirement::Retired).await?;
    }
    Ok(fresh)
}

/// A client that calls the node from outside, through its listeners.
struct Visitor<'a> {
    node: &'a Node,
    pem: PemFiles,
    secret: &'a ClientSecret,
    authorization: String,
}

impl<'a> Visitor<'a> {
    fn new(node: &'a Node, pem: PemFiles, secret: &'a ClientSecret) -> Self {
        let authorization = request::basic(CLIENT_ID, secret.expose());
        Self { node, pem, secret, authorization }
    }

    /// Issues and introspects a token over gRPC and over HTTP. Returns a text with the answers and
    /// with commands for the user to do the same.
    async fn check(&self) -> anyhow::Result<String> {
        let grpc = self.over_grpc().await.context("the check over gRPC failed")?;
        let (issued, introspected) =
            self.over_http().await.context("the check over HTTP failed")?;
        Ok(self.tell(&grpc, &issued, &introspected))
    }

    async fn over_grpc(&self) -> anyhow::Result<String> {
        let url = format!("https://localhost:{}", self.node.grpc_addr().port());
        let channel = endpoint(&url, Some(&self.pem.cert))?.connect().await?;
        let mut client = TokenServiceClient::new(channel);
        let authorization: MetadataValue<_> = self.authorization.parse()?;
        let mut request = Request::new(request::issue(None));
        request.metadata_mut().insert("authorization", authorization.clone());
        let issued = client.issue_token(request).await?.into_inner();
        let introspect = request::introspect(issued.access_token.clone(), None);
        let mut request = Request::new(introspect);
        request.metadata_mut().insert("authorization", authorization);
        let introspected = client.introspect_token(request).await?.into_inner();
        ensure!(introspected.active, "the newly issued token is reported as inactive");
        Ok(format!(
            "IssueToken      access_token {}…, token_type {}, expires_in {} s, scopes {}\n  \
             IntrospectToken active {}, client_id {}, audiences {}",
            issued.access_token.get(..12).unwrap_or_default(),
            issued.token_type,
            issued.expires_in.unwrap_or_default().seconds,
            issued.scopes.join(" "),
            introspected.active,
            introspected.client_id,
            introspected.audiences.join(" "),
        ))
    }

    async fn over_http(&self) -> anyhow::Result<(Value, Value)> {
        let url = format!("https://localhost:{}", self.node.http_addr().port());
        let mut connection = HttpConnection::connect(&url, Some(&self.pem.cert)).await?;
        let mut post = async |path: &str, form: String| {
            let answer = connection.post_form(path, &self.authorization, form).await?;
            let (status, text) = (answer.status, String::from_utf8_lossy(&answer.body));
            ensure!(status == 200, "{path} answered {status}: {text}");
            Ok(answer.json()?)
        };
        let issued = post("/oauth2/token", "grant_type=client_credentials".to_owned()).await?;
        let token = issued["access_token"].as_str().context("the answer has no access_token")?;
        ensure!(issued.get("refresh_token").is_none(), "the answer has a refresh token");
        let introspected = post("/oauth2/introspect", format!("token={token}")).await?;
        ensure!(introspected["active"] == true, "the newly issued token is reported as inactive");
        Ok((issued, introspected))
    }

    fn tell(&self, grpc: &str, issued: &Value, introspected: &Value) -> String {
        let (id, secret) = (CLIENT_ID, self.secret.expose());
        let base = format!("https://localhost:{}", self.node.http_addr().port());
        let grpc_port = self.node.grpc_addr().port();
        let authorization = &self.authorization;
        let token = issued["access_token"].as_str().unwrap_or_default();
        let form = "-H \"Content-Type:application/x-www-form-urlencoded\"";
        format!(
            "Over gRPC:\n  {grpc}\n\n\
             Over HTTP:\n  POST /oauth2/token       {issued}\n  \
             POST /oauth2/introspect  {introspected}\n\n\
             Certificate: {} (curl --cacert in place of -k)\n\
             Metadata:    {base}/.well-known/oauth-authorization-server\n\
             Probes:      http://{}/readyz, and /metrics\n\n\
             Request a token yourself. This secret is not shown again, and ends when jeton dev \
             starts again with another:\n\n  \
             curl -v -X POST -H \"Authorization: {authorization}\" -k \
             -d \"grant_type=client_credentials\" {form} {base}/oauth2/token\n\n  \
             curl -u {id}:{secret} -k -d \"grant_type=client_credentials\" {form} \
             {base}/oauth2/token\n\n  \
             grpcurl -insecure -H \"authorization: {authorization}\" \
             -d '{{\"client_credentials\":{{}}}}' localhost:{grpc_port} \
             jeton.v1.TokenService/IssueToken\n\n\
             Introspect a token:\n\n  \
             curl -u {id}:{secret} -k -d \"token={token}\" {base}/oauth2/introspect\n",
            self.pem.cert.display(),
            self.node.probe_addr(),
        )
    }
}
