//! A node on whose control listener clients are changed, as a role that may do that and as one that
//! may not. Only the first one issues tokens for administration.

use std::fs;

use jeton::{
    domain::ADMINISTRATION,
    pb::v1::{
        Client, CreateClientRequest, GetClientRequest, client_service_client::ClientServiceClient,
    },
};
use tonic::Code;

use super::world::{World, recording};
use crate::support::{
    binary::{Served, free_port, run, run_json},
    control::bearer,
    everything,
    http::post_form,
};

const FORM: &str = "grant_type=client_credentials";

/// An administrator `ops`, and the secret.
fn bootstrap(world: &World) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("secret");
    let arguments = ["bootstrap", "--client-id", "ops", "--out", out.to_str().unwrap()];
    let made = run(&arguments, &world.of("operator"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let secret = fs::read_to_string(&out).unwrap();
    everything::note_secrets_in(&secret);
    secret.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_changes_clients_only_as_a_role_that_may() {
    let world = World::new().await;
    let secret = bootstrap(&world);
    let (operator, member) = (world.roles.name("operator"), world.roles.name("member"));
    let (grant, revoke) =
        (format!("grant {operator} to {member}"), format!("revoke {operator} from {member}"));
    let mut token = String::new();
    for (change, expected) in [(grant, None), (revoke, Some(Code::Internal))] {
        world.database.execute_all(&change).await;
        let address = free_port().to_string();
        let flags = ["--no-migrate", "--control-addr", &address];
        let served = Served::start(&world.of("member"), &flags);
        // The one that may not is shown the token that the other one has issued.
        if expected.is_none() {
            let issued = post_form(served.http, "/oauth2/token", "ops", &secret, FORM).await;
            token = issued.json()["access_token"].as_str().unwrap().to_owned();
        }
        let url = format!("http://{address}");
        let mut control = ClientServiceClient::connect(url).await.unwrap();
        let get = GetClientRequest { client_id: "ops".to_owned() };
        control.get_client(bearer(&token, get)).await.unwrap();
        let client = Some(Client { client_id: "orders".to_owned(), ..Client::default() });
        let create = CreateClientRequest { client, ..Default::default() };
        let created = control.create_client(bearer(&token, create)).await;
        assert_eq!(created.as_ref().err().map(tonic::Status::code), expected, "{created:?}");
        if let Ok(created) = created {
            everything::note_secrets_in(&created.into_inner().client_secret);
        } else {
            assert!(served.until("lacks a privilege").contains("jeton_operator"));
        }
    }
}

/// It says so before the token is in a batch with those of others.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_role_may_not_change_clients_issues_no_token_for_administration() {
    let world = World::new().await;
    let secret = bootstrap(&world);
    let create = ["client", "create", "--client-id", "orders", "--audience", "https://a.test"];
    let created = run_json(&create, &world.of("operator"));
    let of_orders = created["client_secret"].as_str().unwrap();
    let served = Served::start(&world.of("service"), &["--no-migrate"]);
    for _ in 0..3 {
        let (refused, issued) = tokio::join!(
            post_form(served.http, "/oauth2/token", "ops", &secret, FORM),
            post_form(served.http, "/oauth2/token", "orders", of_orders, FORM),
        );
        assert_eq!((refused.status.as_u16(), issued.status.as_u16()), (400, 200));
        let refused = refused.json();
        assert_eq!(refused["error"], "invalid_target");
        let told = refused["error_description"].as_str().unwrap();
        assert!(told.contains("ask a node that serves administrators"), "{told}");
    }
}

/// By hand: the role of a node alone records none, and one that may, none that lives too long.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_tokens_for_administration_that_no_node_would_issue() {
    let world = World::new().await;
    let (short, long) = ("900 seconds", "900.001 seconds");
    let refusal =
        async |lifetime: &str| world.refusal("member", &recording(ADMINISTRATION, lifetime)).await;
    assert_eq!(refusal(short).await.as_deref(), Some("42501"));
    let (operator, member) = (world.roles.name("operator"), world.roles.name("member"));
    world.database.execute_all(&format!("grant {operator} to {member}")).await;
    assert_eq!(refusal(short).await, None);
    assert_eq!(refusal(long).await.as_deref(), Some("23514"));
    // A partition that is made later has the same trigger.
    let later = "select make_partitions(now() + interval '3 days')";
    world.of("service").execute_all(later).await;
    let bare = "select count(*) from pg_inherits where inhparent = 'access_token'::regclass
        and not exists (select from pg_trigger where tgrelid = inhrelid
                        and tgname = 'access_token_is_not_for_administration')";
    assert_eq!(world.ask::<i64>(bare).await, 0);
}
