use jeton_client::{endpoint, request};
use jeton_proto::v1::{ClientAuthentication, token_service_client::TokenServiceClient};

/// A token over gRPC, for example from `https://tokens.example.com:50051`.
pub async fn token(url: &str, ca: &std::path::Path, secret: &str) -> anyhow::Result<String> {
    let mut tokens = TokenServiceClient::new(endpoint(url, Some(ca))?.connect().await?);
    let client = ClientAuthentication { client_id: "orders".into(), client_secret: secret.into() };
    let issued = tokens.issue_token(request::issue(Some(client.clone()))).await?.into_inner();
    let asked = request::introspect(issued.access_token.clone(), Some(client));
    anyhow::ensure!(tokens.introspect_token(asked).await?.into_inner().active);
    Ok(issued.access_token)
}
