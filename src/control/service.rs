//! Implementation of `jeton.v1.ClientService`: the methods by name.

use tonic::{Request, Response, Status};

use super::{
    ClientRpc,
    watch::{Events, Watcher},
};
use crate::pb::v1::{self, client_service_server::ClientService};

#[tonic::async_trait]
impl ClientService for ClientRpc {
    async fn create_client(
        &self,
        request: Request<v1::CreateClientRequest>,
    ) -> Result<Response<v1::CreateClientResponse>, Status> {
        self.run(request, |caller, message| self.create_one(caller, message)).await
    }

    async fn batch_create_clients(
        &self,
        request: Request<v1::BatchCreateClientsRequest>,
    ) -> Result<Response<v1::BatchCreateClientsResponse>, Status> {
        self.run(request, |caller, message| self.create_batch(caller, message)).await
    }

    async fn import_clients(
        &self,
        request: Request<v1::ImportClientsRequest>,
    ) -> Result<Response<v1::ImportClientsResponse>, Status> {
        self.run(request, |caller, message| self.import(caller, message)).await
    }

    async fn get_client(
        &self,
        request: Request<v1::GetClientRequest>,
    ) -> Result<Response<v1::GetClientResponse>, Status> {
        self.run(request, |_, message| self.get(message)).await
    }

    async fn list_clients(
        &self,
        request: Request<v1::ListClientsRequest>,
    ) -> Result<Response<v1::ListClientsResponse>, Status> {
        self.run(request, |_, message| self.list(message)).await
    }

    async fn update_client(
        &self,
        request: Request<v1::UpdateClientRequest>,
    ) -> Result<Response<v1::UpdateClientResponse>, Status> {
        self.run(request, |caller, message| self.update(caller, message)).await
    }

    async fn enable_client(
        &self,
        request: Request<v1::EnableClientRequest>,
    ) -> Result<Response<v1::EnableClientResponse>, Status> {
        self.run(request, |caller, message| self.enable(caller, message)).await
    }

    async fn disable_client(
        &self,
        request: Request<v1::DisableClientRequest>,
    ) -> Result<Response<v1::DisableClientResponse>, Status> {
        self.run(request, |caller, message| self.disable(caller, message)).await
    }

    async fn delete_client(
        &self,
        request: Request<v1::DeleteClientRequest>,
    ) -> Result<Response<v1::DeleteClientResponse>, Status> {
        self.run(request, |caller, message| self.delete(caller, message)).await
    }

    async fn undelete_client(
        &self,
        request: Request<v1::UndeleteClientRequest>,
    ) -> Result<Response<v1::UndeleteClientResponse>, Status> {
        self.run(request, |caller, message| self.undelete(caller, message)).await
    }

    async fn add_secret(
        &self,
        request: Request<v1::AddSecretRequest>,
    ) -> Result<Response<v1::AddSecretResponse>, Status> {
        self.run(request, |caller, message| self.add(caller, message)).await
    }

    async fn list_secrets(
        &self,
        request: Request<v1::ListSecretsRequest>,
    ) -> Result<Response<v1::ListSecretsResponse>, Status> {
        self.run(request, |_, message| self.secrets(message)).await
    }

    async fn list_expiring_secrets(
        &self,
        request: Request<v1::ListExpiringSecretsRequest>,
    ) -> Result<Response<v1::ListExpiringSecretsResponse>, Status> {
        self.run(request, |_, message| self.expiring(message)).await
    }

    async fn list_unused_clients(
        &self,
        request: Request<v1::ListUnusedClientsRequest>,
    ) -> Result<Response<v1::ListUnusedClientsResponse>, Status> {
        self.run(request, |_, message| self.unused(message)).await
    }

    async fn update_secret(
        &self,
        request: Request<v1::UpdateSecretRequest>,
    ) -> Result<Response<v1::UpdateSecretResponse>, Status> {
        self.run(request, |caller, message| self.change_secret(caller, message)).await
    }

    async fn retire_secret(
        &self,
        request: Request<v1::RetireSecretRequest>,
    ) -> Result<Response<v1::RetireSecretResponse>, Status> {
        self.run(request, |caller, message| self.retire(caller, message)).await
    }

    async fn restore_secret(
        &self,
        request: Request<v1::RestoreSecretRequest>,
    ) -> Result<Response<v1::RestoreSecretResponse>, Status> {
        self.run(request, |caller, message| self.restore(caller, message)).await
    }

    async fn find_secret(
        &self,
        request: Request<v1::FindSecretRequest>,
    ) -> Result<Response<v1::FindSecretResponse>, Status> {
        self.run(request, |_, message| self.find_secret_owner(message)).await
    }

    async fn burn_secret(
        &self,
        request: Request<v1::BurnSecretRequest>,
    ) -> Result<Response<v1::BurnSecretResponse>, Status> {
        self.run(request, |caller, message| self.burn(caller, message)).await
    }

    async fn revoke_client_tokens(
        &self,
        request: Request<v1::RevokeClientTokensRequest>,
    ) -> Result<Response<v1::RevokeClientTokensResponse>, Status> {
        self.run(request, |caller, message| self.revoke_tokens(caller, message)).await
    }

    async fn raise_not_before(
        &self,
        request: Request<v1::RaiseNotBeforeRequest>,
    ) -> Result<Response<v1::RaiseNotBeforeResponse>, Status> {
        self.run(request, |caller, _| self.revoke_all(caller)).await
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        self.run(request, |_, message| self.tokens(message)).await
    }

    async fn revoke_token_by_id(
        &self,
        request: Request<v1::RevokeTokenByIdRequest>,
    ) -> Result<Response<v1::RevokeTokenByIdResponse>, Status> {
        self.run(request, |caller, message| self.revoke_token(caller, message)).await
    }

    async fn simulate_issue(
        &self,
        request: Request<v1::SimulateIssueRequest>,
    ) -> Result<Response<v1::SimulateIssueResponse>, Status> {
        self.run(request, |_, message| self.simulate(message)).await
    }

    async fn explain_token(
        &self,
        request: Request<v1::ExplainTokenRequest>,
    ) -> Result<Response<v1::ExplainTokenResponse>, Status> {
        self.run(request, |_, message| self.explain(message)).await
    }

    async fn list_audit_events(
        &self,
        request: Request<v1::ListAuditEventsRequest>,
    ) -> Result<Response<v1::ListAuditEventsResponse>, Status> {
        self.run(request, |_, message| self.events(message)).await
    }

    type WatchAuditEventsStream = Events;

    async fn watch_audit_events(
        &self,
        request: Request<v1::WatchAuditEventsRequest>,
    ) -> Result<Response<Events>, Status> {
        let watcher = Watcher::of(&request);
        self.run(request, |caller, message| self.watch(caller, watcher, message)).await
    }

    async fn get_installation(
        &self,
        request: Request<v1::GetInstallationRequest>,
    ) -> Result<Response<v1::GetInstallationResponse>, Status> {
        self.run(request, |_, _| self.describe()).await
    }
}
