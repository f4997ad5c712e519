//! `grpc.health.v1`: what balancers and Kubernetes ask.

use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{pb::v1::token_service_server::TokenServiceServer, rpc::TokenRpc};

/// The whole server, and each service by its full name.
const NAMES: [&str; 2] = ["", <TokenServiceServer<TokenRpc> as tonic::server::NamedService>::NAME];

/// What the node says of itself.
#[derive(Debug)]
pub(super) struct Health(HealthReporter);

impl Health {
    /// Not serving yet. The reporter itself begins with SERVING for the whole server, before
    /// anything is known, so this comes before the first listener.
    pub(super) async fn not_serving(reporter: HealthReporter) -> Self {
        let health = Self(reporter);
        health.set_not_serving().await;
        health
    }

    pub(super) async fn set_serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    pub(super) async fn set_not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// Ends every open `Watch`, which would otherwise hold the drain up to its deadline. The last
    /// that it says is `NOT_SERVING`.
    pub(super) async fn end_watches(&self) {
        let mut reporter = self.0.clone();
        for name in NAMES {
            reporter.clear_service_status(name).await;
        }
    }

    async fn set(&self, status: ServingStatus) {
        for name in NAMES {
            self.0.set_service_status(name, status).await;
        }
    }
}
