//! The `grpc.health.v1` service, for load balancers and Kubernetes.

use futures_util::{
    StreamExt,
    stream::{BoxStream, once, pending},
};
use tonic::{Code, Request, Response, Status};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse, health_check_response,
        health_server::Health as HealthRpc,
    },
    server::{HealthReporter, HealthService},
};

/// The health status of the node, as one listener reports it.
#[derive(Debug)]
pub(super) struct Health {
    reporter: HealthReporter,
    /// Names that have a status: the whole server (empty), and the service by its full name.
    names: [&'static str; 2],
}

impl Health {
    /// Starts as not serving. The reporter itself begins with SERVING for the whole server, so this
    /// runs before the first listener serves.
    pub(super) async fn not_serving(service: &'static str) -> Self {
        let health = Self { reporter: HealthReporter::new(), names: ["", service] };
        health.set_not_serving().await;
        health
    }

    /// The service that tells this status.
    pub(super) fn service(&self) -> impl HealthRpc {
        Watchable(HealthService::from_health_reporter(self.reporter.clone()))
    }

    pub(super) async fn set_serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    pub(super) async fn set_not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for name in self.names {
            self.reporter.set_service_status(name, status).await;
        }
    }
}

/// The service of tonic, with the `Watch` of an unknown service as the protocol wants it: a stream
/// that says `SERVICE_UNKNOWN` and stays open, and not an error, after which clients try again. The
/// names never change, so no other status follows.
struct Watchable(HealthService);

#[tonic::async_trait]
impl HealthRpc for Watchable {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.check(request).await
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        match self.0.watch(request).await {
            Ok(watching) => Ok(watching.map(StreamExt::boxed)),
            Err(status) if status.code() == Code::NotFound => {
                let unknown = health_check_response::ServingStatus::ServiceUnknown.into();
                let unknown = async move { Ok(HealthCheckResponse { status: unknown }) };
                Ok(Response::new(once(unknown).chain(pending()).boxed()))
            }
            Err(status) => Err(status),
        }
    }
}
