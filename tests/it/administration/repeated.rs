//! Requests that come again because their answers were lost.

use std::time::Duration;

use jeton::pb::v1::{
    AddSecretRequest, BatchCreateClientsRequest, CreateClientRequest, CreateClientResponse,
    ErrorReason, ListSecretsRequest, NewSecret, batch_result::Outcome,
};

use super::{id, named, orders, undo::credentials};
use crate::support::{
    Kind, TestNodeOptions,
    control::{Controlled, administrator, options, why},
    everything,
};

const ONE: &str = "8b811a6a-3c5e-4a57-9d0e-0123456789ab";
const TWO: &str = "8b811a6a-3c5e-4a57-9d0e-0123456789ac";

fn create(client_id: &str, request_id: &str) -> CreateClientRequest {
    CreateClientRequest { request_id: id(request_id), ..orders(client_id) }
}

fn add(request_id: &str) -> AddSecretRequest {
    AddSecretRequest { client_id: id("orders"), request_id: id(request_id), ..Default::default() }
}

/// A node that writes uses of secrets down often.
async fn start(kind: Kind) -> Controlled {
    let often = Duration::from_millis(200);
    let options = TestNodeOptions { secret_use_interval: often, ..options() };
    Controlled::start_with(kind, options).await
}

impl Controlled {
    async fn created(&self, request: CreateClientRequest) -> CreateClientResponse {
        let ask = self.ask(request).await;
        let created = self.control.clone().create_client(ask).await.unwrap().into_inner();
        everything::note_secrets_in(&created.client_secret);
        created
    }

    async fn secrets(&self) -> usize {
        self.node.store.list_secrets(&named("orders")).await.unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_created_once_and_its_unused_secret_gets_another_text() {
    for kind in Kind::BOTH {
        let at = start(kind).await;
        let first = at.created(create("orders", ONE)).await;
        assert!(!first.reminted);
        let again = at.created(create("orders", ONE)).await;
        assert!(again.reminted, "{kind:?}");
        let (client, secret) = (again.client.unwrap(), again.secret.unwrap());
        assert_eq!(client.id, first.client.unwrap().id, "{kind:?}");
        assert_eq!(secret.id, first.secret.unwrap().id, "{kind:?}");
        assert_ne!(again.client_secret, first.client_secret);
        assert_eq!(at.secrets().await, 1, "{kind:?}");

        // The lost text is worth nothing, and the new one works.
        let lost = credentials(&at, &client, &first.client_secret).await;
        at.node.issue(&lost).await.unwrap_err();
        let caller = credentials(&at, &client, &again.client_secret).await;
        at.node.issue(&caller).await.unwrap();
        let entries = at.node.store.last_of_audit(Some(&named("orders")), 20).await.unwrap();
        let by = entries.into_iter().flatten().find(|entry| entry.action == "secret.remint");
        assert_eq!(by.unwrap().actor.as_deref(), Some("client:ops"), "{kind:?}");

        // Somebody has it now.
        let ask = at.ask(create("orders", ONE)).await;
        let refused = at.control.clone().create_client(ask).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::AlreadyDelivered, "{kind:?}");
        at.node.issue(&caller).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_to_have_no_secret_has_none() {
    for kind in Kind::BOTH {
        let at = start(kind).await;
        let bare = CreateClientRequest { without_secret: true, ..orders("orders") };
        let secret = Some(NewSecret::default());
        for (request, field) in [
            (CreateClientRequest { secret, ..bare.clone() }, "secret"),
            (CreateClientRequest { request_id: id(ONE), ..bare.clone() }, "request_id"),
        ] {
            let refused = at.control.clone().create_client(at.ask(request).await).await;
            assert_eq!(why(&refused.unwrap_err()), (ErrorReason::InvalidRequest, id(field)));
        }
        let created = at.created(bare).await;
        assert!(created.secret.is_none() && created.client_secret.is_empty(), "{kind:?}");
        assert_eq!((created.client.unwrap().live_secrets, at.secrets().await), (0, 0), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_stands_for_one_request_of_one_caller() {
    for kind in Kind::BOTH {
        let at = start(kind).await;
        let mut control = at.control.clone();
        at.created(create("orders", ONE)).await;
        let labelled = CreateClientRequest {
            secret: Some(NewSecret { label: id("2027"), ..NewSecret::default() }),
            ..create("orders", ONE)
        };
        for other in [create("other", ONE), labelled] {
            let refused = control.create_client(at.ask(other).await).await.unwrap_err();
            let expected = (ErrorReason::RequestIdReused, id("request_id"));
            assert_eq!(why(&refused), expected, "{kind:?}");
        }
        let refused = control.add_secret(at.ask(add(ONE)).await).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::RequestIdReused, "{kind:?}");
        for wrong in ["x", "00000000-0000-0000-0000-000000000000", &ONE.to_uppercase()] {
            let refused = control.add_secret(at.ask(add(wrong)).await).await.unwrap_err();
            assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("request_id")), "{wrong}");
        }
        // Another caller has ids of its own, and the name is taken for it.
        let writer = administrator(&at.node, "writer", &["jeton:write"]).await;
        let ask = at.ask_as(&writer, create("orders", ONE)).await;
        let refused = control.create_client(ask).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::ClientIdTaken, "{kind:?}");
        // What failed is not kept: with another name the same id goes on.
        let ask = at.ask_as(&writer, create("third", ONE)).await;
        let created = control.create_client(ask).await.unwrap().into_inner();
        everything::note_secrets_in(&created.client_secret);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_added_once_however_often_the_request_comes_at_once() {
    for kind in Kind::BOTH {
        let at = start(kind).await;
        at.node.client("orders").await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let (mut control, ask) = (at.control.clone(), at.ask(add(TWO)).await);
            calls.spawn(async move { control.add_secret(ask).await });
        }
        let mut ids = std::collections::BTreeSet::new();
        while let Some(call) = calls.join_next().await {
            let added = call.unwrap().unwrap().into_inner();
            everything::note_secrets_in(&added.client_secret);
            ids.insert(added.secret.unwrap().id);
        }
        assert_eq!((ids.len(), at.secrets().await), (1, 2), "{kind:?}");
        let list = ListSecretsRequest { client_id: id("orders"), ..Default::default() };
        let listed = at.control.clone().list_secrets(at.ask(list).await).await.unwrap();
        assert_eq!(listed.into_inner().secrets.len(), 2, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_of_a_batch_can_have_an_id_of_its_own() {
    for kind in Kind::BOTH {
        let at = start(kind).await;
        let mut control = at.control.clone();
        let batch = || BatchCreateClientsRequest {
            requests: vec![create("orders", ONE), create("stock", TWO)],
        };
        let mut keys = Vec::new();
        for _ in 0..2 {
            let results = control.batch_create_clients(at.ask(batch()).await).await.unwrap();
            for result in results.into_inner().results {
                let Some(Outcome::Created(created)) = result.outcome else { panic!("{kind:?}") };
                everything::note_secrets_in(&created.client_secret);
                keys.push(created.client.unwrap().id);
            }
        }
        assert_eq!(keys[..2], keys[2..], "{kind:?}");
    }
}

/// What nobody has written down may have happened.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_which_it_is_not_known_whether_it_was_used_keeps_its_text() {
    for kind in Kind::BOTH {
        let at = start(kind).await;
        let first = at.created(create("orders", ONE)).await;
        let gap = match kind {
            Kind::Postgres => {
                "insert into evidence_gap (since, until)
                 values (now() - interval '1 hour', now() + interval '1 hour')"
            }
            Kind::Sqlite => {
                "insert into evidence_gap (since, until)
                 values ((strftime('%s', 'now') - 3600) * 1000000,
                         (strftime('%s', 'now') + 3600) * 1000000)"
            }
        };
        at.node.database.execute(gap).await;
        let ask = at.ask(create("orders", ONE)).await;
        let refused = at.control.clone().create_client(ask).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::AlreadyDelivered, "{kind:?}");
        let client = first.client.unwrap();
        let caller = credentials(&at, &client, &first.client_secret).await;
        at.node.issue(&caller).await.unwrap();
    }
}
