//! Administrators who are limited in what they give: `grantable_scopes` and `grantable_audiences`.

use jeton::{
    domain::{ADMINISTRATION, About, Grantable, Scope, TokenLifetime},
    pb::v1::{
        AddSecretRequest, BatchCreateClientsRequest, Client, CreateClientRequest,
        DeleteClientRequest, DisableClientRequest, EnableClientRequest, ErrorReason,
        RestoreSecretRequest, RetireSecretRequest, UpdateClientRequest, batch_result::Outcome,
    },
    registry::NewClient,
};
use prost_types::FieldMask;
use tonic::Status;
use tonic_types::StatusExt;

use super::id;
use crate::support::{
    Kind, TestNode,
    control::{ALL, Controlled, bearer, why},
    everything,
    node::{Credentials, audiences, new_client},
};

const OURS: &str = "https://orders.test/v1";

/// An administrator with all permissions, who gives scopes and audiences of orders alone.
async fn limited(node: &TestNode) -> Credentials {
    let grantable = Grantable::parse(["orders.*", "ping"], ["https://orders.test/*"]).unwrap();
    node.register(NewClient {
        scopes: Scope::parse_set(ALL).unwrap(),
        audiences: audiences(&[ADMINISTRATION]),
        token_lifetime: TokenLifetime::OF_ADMINISTRATORS,
        about: About { grantable, ..About::default() },
        ..new_client("limited")
    })
    .await
}

async fn registered(node: &TestNode, client_id: &str, scopes: &[&str]) -> Credentials {
    node.register(NewClient {
        scopes: Scope::parse_set(scopes).unwrap(),
        audiences: audiences(&[OURS]),
        ..new_client(client_id)
    })
    .await
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn client(client_id: &str, scopes: &[&str], audiences: &[&str], serves: &[&str]) -> Client {
    Client {
        client_id: id(client_id),
        scopes: texts(scopes),
        audiences: texts(audiences),
        serves: texts(serves),
        ..Client::default()
    }
}

fn create(client: Client) -> CreateClientRequest {
    CreateClientRequest { client: Some(client), ..Default::default() }
}

fn update(client: Client, paths: &[&str]) -> UpdateClientRequest {
    let mask = FieldMask { paths: texts(paths) };
    UpdateClientRequest { client: Some(client), update_mask: Some(mask), validate_only: false }
}

/// Asserts that it is refused by the limits, and returns the message.
fn limits_refuse<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    let refused = answer.unwrap_err();
    assert_eq!(why(&refused).0, ErrorReason::GrantNotPermitted);
    assert!(refused.message().contains("who is not limited"), "{}", refused.message());
    refused.message().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_administrator_creates_clients_within_its_limits() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let caller = limited(&at.node).await;
        let rows: [(Client, Option<(&str, &str)>); 7] = [
            (client("a", &["orders.read", "ping"], &[OURS], &[]), None),
            (client("b", &[], &[], &["https://orders.test/"]), None),
            (client("c", &["orders.read", "stock"], &[OURS], &[]), Some(("scope", "stock"))),
            (client("d", &["orders"], &[OURS], &[]), Some(("scope", "orders"))),
            (client("e", &["ping.all"], &[], &[]), Some(("scope", "ping.all"))),
            (
                client("f", &["ping"], &[OURS, "https://orders.test.evil/"], &[]),
                Some(("audience", "https://orders.test.evil/")),
            ),
            (client("g", &[], &[], &["https://pay.test"]), Some(("audience", "https://pay.test"))),
        ];
        for (client, refused) in rows.clone() {
            let ask = at.ask_as(&caller, create(client)).await;
            let answer = control.create_client(ask).await;
            let Some((key, name)) = refused else {
                everything::note_secrets_in(&answer.unwrap().into_inner().client_secret);
                continue;
            };
            let refusal = answer.unwrap_err();
            let details = refusal.get_error_details();
            assert_eq!(details.error_info().unwrap().metadata[key], name, "{kind:?}");
            let message = limits_refuse(Err::<(), _>(refusal));
            let pattern = if key == "scope" { "orders.* ping" } else { "https://orders.test/*" };
            assert!(message.contains(name) && message.contains(pattern), "{message}");
        }
        // In a batch each is judged by itself.
        let requests: Vec<_> = rows[1..3]
            .iter()
            .map(|(client, _)| Client {
                client_id: format!("{}2", client.client_id),
                ..client.clone()
            })
            .map(create)
            .collect();
        let ask = at.ask_as(&caller, BatchCreateClientsRequest { requests }).await;
        let batch = control.batch_create_clients(ask).await.unwrap().into_inner();
        match &batch.results.iter().map(|one| one.outcome.as_ref().unwrap()).collect::<Vec<_>>()[..]
        {
            [Outcome::Created(created), Outcome::Failure(failure)] => {
                everything::note_secrets_in(&created.client_secret);
                assert_eq!(failure.reason(), ErrorReason::GrantNotPermitted);
            }
            other => panic!("{other:?}"),
        }
        // Without limits all of it works.
        for (client, _) in rows.into_iter().filter(|(_, refused)| refused.is_some()) {
            let made = control.create_client(at.ask(create(client)).await).await.unwrap();
            everything::note_secrets_in(&made.into_inner().client_secret);
        }
    }
}

/// Adding a secret to a client is becoming it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_judged_before_and_after_a_change() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let caller = limited(&at.node).await;
        let foreign = registered(&at.node, "foreign", &["orders.read", "pay.all"]).await;
        registered(&at.node, "ours", &["orders.read"]).await;

        // What it may not give it can neither add nor take over, also not by taking it away first.
        for (name, scopes) in [("ours", &["pay.all"]), ("foreign", &["orders.read"])] {
            let change = update(client(name, scopes, &[], &[]), &["scopes", "default_scopes"]);
            let told = limits_refuse(control.update_client(at.ask_as(&caller, change).await).await);
            assert!(told.contains("pay.all"), "{told}");
        }
        let note = Client { client_id: id("foreign"), note: id("x"), ..Client::default() };
        let ask = at.ask_as(&caller, update(note, &["note"])).await;
        limits_refuse(control.update_client(ask).await);
        let add = |name: &str| AddSecretRequest { client_id: id(name), ..Default::default() };
        limits_refuse(control.add_secret(at.ask_as(&caller, add("foreign")).await).await);
        let delete = DeleteClientRequest { client_id: id("foreign"), ..Default::default() };
        limits_refuse(control.delete_client(at.ask_as(&caller, delete).await).await);

        // A secret that was retired, and a client that was disabled, stay so.
        let secret_id = foreign.secret.id().0.to_string();
        let retire = RetireSecretRequest {
            secret_id: secret_id.clone(),
            client_id: id("foreign"),
            even_if_last: true,
            even_if_in_use: true,
            ..RetireSecretRequest::default()
        };
        control.retire_secret(at.ask(retire).await).await.unwrap();
        let restore = RestoreSecretRequest { secret_id, client_id: id("foreign") };
        let ask = at.ask_as(&caller, restore.clone()).await;
        limits_refuse(control.restore_secret(ask).await);
        at.node.issue(&foreign).await.unwrap_err();
        control.restore_secret(at.ask(restore).await).await.unwrap();
        let disable = DisableClientRequest { client_id: id("foreign"), ..Default::default() };
        control.disable_client(at.ask_as(&caller, disable).await).await.unwrap();
        let enable = || EnableClientRequest { client_id: id("foreign"), ..Default::default() };
        limits_refuse(control.enable_client(at.ask_as(&caller, enable()).await).await);
        at.node.issue(&foreign).await.unwrap_err();
        control.enable_client(at.ask(enable()).await).await.unwrap();
        at.node.issue(&foreign).await.unwrap();

        // What is its own it changes as it likes.
        let change = update(client("ours", &["ping"], &[], &[]), &["scopes", "default_scopes"]);
        let change = UpdateClientRequest {
            client: change.client.map(|of| Client { default_scopes: texts(&["ping"]), ..of }),
            ..change
        };
        control.update_client(at.ask_as(&caller, change).await).await.unwrap();
        let added = control.add_secret(at.ask_as(&caller, add("ours")).await).await.unwrap();
        everything::note_secrets_in(&added.into_inner().client_secret);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_administrator_does_not_come_out_of_its_limits() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let caller = limited(&at.node).await;
        let lists = ["grantable_scopes", "grantable_audiences"];

        // Not by its own lists, nor by those of another, nor by another administrator.
        let others: [&[&str]; 3] = [&[], &["orders.*", "pay.*"], &["orders.read"]];
        for name in ["limited", "ops"] {
            for scopes in others {
                let wider =
                    Client { grantable_scopes: texts(scopes), ..client(name, &[], &[], &[]) };
                let ask = at.ask_as(&caller, update(wider, &lists)).await;
                let told = limits_refuse(control.update_client(ask).await);
                assert!(told.contains("is an administrator"), "{told}");
            }
            let add = AddSecretRequest { client_id: id(name), ..Default::default() };
            limits_refuse(control.add_secret(at.ask_as(&caller, add).await).await);
            let enable = EnableClientRequest { client_id: id(name), ..Default::default() };
            limits_refuse(control.enable_client(at.ask_as(&caller, enable).await).await);
        }
        let powerful = client("powerful", &["jeton:write"], &[ADMINISTRATION], &[]);
        for grantable in others {
            let made = Client { grantable_scopes: texts(grantable), ..powerful.clone() };
            limits_refuse(control.create_client(at.ask_as(&caller, create(made)).await).await);
        }
        registered(&at.node, "ours", &["orders.read"]).await;
        let raised = Client {
            client_id: id("ours"),
            token_lifetime: Some(prost_types::Duration { seconds: 900, nanos: 0 }),
            ..powerful.clone()
        };
        let paths = ["scopes", "default_scopes", "audiences", "token_lifetime"];
        let ask = at.ask_as(&caller, update(raised, &paths)).await;
        limits_refuse(control.update_client(ask).await);

        // Somebody without limits sets them, and they hold for tokens that were issued before.
        let token = at.node.issue(&caller).await.unwrap().access_token;
        let narrow =
            Client { grantable_scopes: texts(&["ping"]), ..client("limited", &[], &[], &[]) };
        let ask = at.ask(update(narrow, &["grantable_scopes"])).await;
        let updated = control.update_client(ask).await.unwrap().into_inner();
        assert_eq!(updated.changed_fields, ["grantable_scopes"]);
        assert_eq!(updated.client.unwrap().grantable_audiences, ["https://orders.test/*"]);
        let late = create(client("late", &["orders.read"], &[], &[]));
        limits_refuse(control.create_client(bearer(&token, late)).await);

        // Only administrators have limits, and they are patterns.
        let plain = Client { grantable_scopes: texts(&["a"]), ..client("p", &["a"], &[], &[]) };
        let refused = control.create_client(at.ask(create(plain)).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("client")));
        let odd = Client { grantable_scopes: texts(&["or*"]), ..powerful };
        let refused = control.create_client(at.ask(create(odd)).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("client.grantable_scopes")));
    }
}

/// By hand.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_limits_to_administrators_and_records_them() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        at.node.client("orders").await;
        let list = |text: &str| match kind {
            Kind::Postgres => format!("'{{{text}}}'"),
            Kind::Sqlite => format!("'{text}'"),
        };
        let limit = |column: &str, client: &str, text: &str| {
            format!("update client set {column} = {} where client_id = '{client}'", list(text))
        };
        for (column, text) in [("grantable_scopes", "a.*"), ("grantable_audiences", "b/*")] {
            let statement = limit(column, "orders", text);
            let refused = at.node.database.try_execute(&statement).await.unwrap_err().to_string();
            assert!(refused.contains("_of_administrators"), "{refused}");
            at.node.database.execute(&limit(column, "ops", text)).await;
        }
        for every_host in ["https:/*", "https://*"] {
            let statement = limit("grantable_audiences", "ops", every_host);
            let refused = at.node.database.refuses(&statement).await;
            assert!(refused.contains("client_grantable_audiences_"), "{refused}");
        }
        let record = at.node.registry.record(&super::named("ops")).await.unwrap();
        assert_eq!(record.about.grantable, Grantable::parse(["a.*"], ["b/*"]).unwrap());
        // It cannot make others any more, so another can be made in the database.
        assert!(!record.may_grant_access());
        assert!(at.node.registry.administrators().await.unwrap().is_empty());
        let entries = at.node.store.last_of_audit(Some(&super::named("ops")), 5).await.unwrap();
        let mut details = entries.into_iter().flatten().map(|entry| entry.detail);
        assert!(
            details.any(|detail| detail.contains("grantable_scopes") && detail.contains("a.*"))
        );
    }
}
