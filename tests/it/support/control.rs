//! Administrators, and calls of the control listener.

use std::collections::BTreeSet;

use jeton::{
    domain::{ADMINISTRATION, Scope, TokenLifetime},
    node::ControlPlace,
    pb::v1::{ErrorReason, client_service_client::ClientServiceClient},
    registry::NewClient,
};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt;

use super::{
    Kind, TestNode, TestNodeOptions,
    node::{Credentials, audiences, new_client},
};

pub(crate) const ALL: [&str; 3] = ["jeton:read", "jeton:write", "jeton:security"];

/// Options of a node with a control listener on any free port.
pub(crate) fn options() -> TestNodeOptions {
    let control = Some(ControlPlace::Address("127.0.0.1:0".parse().unwrap()));
    TestNodeOptions { control, ..TestNodeOptions::default() }
}

/// A node with an administrator, who may do everything.
pub(crate) struct Controlled {
    pub(crate) node: TestNode,
    pub(crate) ops: Credentials,
    pub(crate) control: ClientServiceClient<Channel>,
}

impl Controlled {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, options()).await
    }

    pub(crate) async fn start_with(kind: Kind, options: TestNodeOptions) -> Self {
        let node = TestNode::start_with(kind, options).await;
        let ops = administrator(&node, "ops", &ALL).await;
        let control = ClientServiceClient::new(channel(&node));
        Self { node, ops, control }
    }

    /// A request of the administrator, with a new token.
    pub(crate) async fn ask<M>(&self, message: M) -> Request<M> {
        self.ask_as(&self.ops, message).await
    }

    pub(crate) async fn ask_as<M>(&self, caller: &Credentials, message: M) -> Request<M> {
        bearer(&self.node.issue(caller).await.unwrap().access_token, message)
    }
}

/// An administrator with these scopes.
pub(crate) async fn administrator(node: &TestNode, name: &str, scopes: &[&str]) -> Credentials {
    node.register(NewClient {
        scopes: Scope::parse_set(scopes).unwrap(),
        audiences: audiences(&[ADMINISTRATION]),
        serves: BTreeSet::new(),
        token_lifetime: TokenLifetime::OF_ADMINISTRATORS,
        ..new_client(name)
    })
    .await
}

/// The control listener of a node.
pub(crate) fn channel(node: &TestNode) -> Channel {
    let url = format!("http://{}", node.node.control_addr().unwrap());
    Channel::from_shared(url).unwrap().connect_lazy()
}

pub(crate) fn bearer<M>(token: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// The reason of a refusal, and the field at fault.
pub(crate) fn why(refusal: &Status) -> (ErrorReason, String) {
    let details = refusal.get_error_details();
    let reason = details.error_info().unwrap_or_else(|| panic!("{refusal:?}")).reason.clone();
    let reason = ErrorReason::from_reason(&reason).unwrap();
    let field = details.bad_request().map(|bad| bad.field_violations[0].field.clone());
    (reason, field.unwrap_or_default())
}
