//! The `grpc.health.v1` service, for load balancers and Kubernetes.

use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{pb::v1::token_service_server::TokenServiceServer, rpc::TokenRpc};

/// Names that have a status: the whole server (empty), and each service by its full name.
const NAMES: [&str; 2] = ["", <TokenServiceServer<TokenRpc> as tonic::server::NamedService>::NAME];

/// The health status of the node.
#[derive(Debug)]
pub(super) struct Health(HealthReporter);

impl Health {
    /// Starts as not serving. The reporter itself begins with SERVING for the whole server, so this
    /// runs before the first listener serves.
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

    async fn set(&self, status: ServingStatus) {
        for name in NAMES {
            self.0.set_service_status(name, status).await;
        }
    }
}
