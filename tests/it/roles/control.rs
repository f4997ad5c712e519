//! A node on whose control listener clients are changed, as a role that may do that and as one that
//! may not.

use std::fs;

use jeton::pb::v1::{
    Client, CreateClientRequest, GetClientRequest, client_service_client::ClientServiceClient,
};
use tonic::Code;

use super::world::World;
use crate::support::{
    binary::{Served, free_port, run},
    control::bearer,
    everything,
    http::post_form,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_changes_clients_only_as_a_role_that_may() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("secret");
    let arguments = ["bootstrap", "--client-id", "ops", "--out", out.to_str().unwrap()];
    let made = run(&arguments, &world.of("operator"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let secret = fs::read_to_string(&out).unwrap();
    everything::note_secrets_in(&secret);

    let grant = format!("grant {} to {}", world.roles.name("operator"), world.roles.name("member"));
    for (granted, expected) in [("select", Some(Code::Internal)), (grant.as_str(), None)] {
        world.database.execute_all(granted).await;
        let address = free_port().to_string();
        let flags = ["--no-migrate", "--control-addr", &address];
        let served = Served::start(&world.of("member"), &flags);
        let form = "grant_type=client_credentials";
        let issued = post_form(served.http, "/oauth2/token", "ops", secret.trim_end(), form).await;
        let token = issued.json()["access_token"].as_str().unwrap().to_owned();
        let url = format!("http://{address}");
        let mut control = ClientServiceClient::connect(url).await.unwrap();
        let get = GetClientRequest { client_id: "ops".to_owned() };
        control.get_client(bearer(&token, get)).await.unwrap();
        let client = Some(Client { client_id: "orders".to_owned(), ..Client::default() });
        let create = CreateClientRequest { client, secret: None };
        let created = control.create_client(bearer(&token, create)).await;
        assert_eq!(created.as_ref().err().map(tonic::Status::code), expected, "{created:?}");
        if let Ok(created) = created {
            everything::note_secrets_in(&created.into_inner().client_secret);
        } else {
            assert!(served.until("lacks a privilege").contains("jeton_operator"));
        }
    }
}
