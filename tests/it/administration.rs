//! `ClientService`: what administrators do, and what they are refused.

mod deleted;
mod grants;
mod last_secret;
mod leaks;
mod limits;
mod repeated;
mod rotation;
mod undo;
mod updates;
mod watch;

use jeton::{
    domain::{AuditEntry, ClientId, ClientSecret},
    pb::v1::{
        AddSecretRequest, BatchCreateClientsRequest, BurnSecretRequest, Client, ClientState,
        CreateClientRequest, DeleteClientRequest, DisableClientRequest, EnableClientRequest,
        ErrorReason, GetClientRequest, GetInstallationRequest, ListAuditEventsRequest,
        ListClientsRequest, ListSecretsRequest, RaiseNotBeforeRequest, RestoreSecretRequest,
        RetireSecretRequest, RevokeClientTokensRequest, Secret, SecretState, batch_result::Outcome,
    },
    store::ClientFilter,
};

use crate::support::{
    Kind,
    control::{Controlled, why},
    everything,
    node::Credentials,
};

/// A client with the scopes `read` and `write` whose tokens are for one audience.
fn orders(client_id: &str) -> CreateClientRequest {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let client = Client {
        client_id: client_id.to_owned(),
        scopes: texts(&["read", "write"]),
        audiences: texts(&["https://api.test"]),
        ..Client::default()
    };
    CreateClientRequest { client: Some(client), ..Default::default() }
}

fn id(client_id: &str) -> String {
    client_id.to_owned()
}

fn named(client_id: &str) -> ClientId {
    ClientId::parse(client_id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_lives_from_its_creation_to_its_deletion() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let created = control.create_client(at.ask(orders("orders")).await).await.unwrap();
        let created = created.into_inner();
        everything::note_secrets_in(&created.client_secret);
        let client = created.client.unwrap();
        assert_eq!((client.state(), client.live_secrets), (ClientState::Active, 1));
        assert_eq!(client.default_scopes, ["read", "write"]);

        // It can request tokens, until it is disabled, and again afterwards.
        let stored = at.node.registry.record(&named("orders")).await.unwrap().client;
        let secret = ClientSecret::parse(&created.client_secret).unwrap();
        let caller = Credentials { client: stored, secret };
        let token = at.node.issue(&caller).await.unwrap().access_token;
        let disable = DisableClientRequest { client_id: id("orders"), etag: String::new() };
        let disabled = control.disable_client(at.ask(disable).await).await.unwrap().into_inner();
        assert_eq!(disabled.client.unwrap().state(), ClientState::Disabled);
        at.node.issue(&caller).await.unwrap_err();
        let enable = EnableClientRequest { client_id: id("orders"), etag: String::new() };
        let enabled = control.enable_client(at.ask(enable).await).await.unwrap().into_inner();
        assert_eq!(enabled.client.unwrap().state(), ClientState::Active);
        assert!(at.node.introspect(&caller, &token).await.unwrap().active);

        let revoke = RevokeClientTokensRequest { client_id: id("orders") };
        control.revoke_client_tokens(at.ask(revoke).await).await.unwrap();
        assert!(!at.node.introspect(&caller, &token).await.unwrap().active);
        let token = at.node.issue(&caller).await.unwrap().access_token;
        control.raise_not_before(at.ask(RaiseNotBeforeRequest {}).await).await.unwrap();
        assert!(!at.node.introspect(&caller, &token).await.unwrap().active);

        let get = GetClientRequest { client_id: id("orders") };
        let shown = control.get_client(at.ask(get.clone()).await).await.unwrap().into_inner();
        assert_eq!(shown.client.unwrap().id, client.id);
        let delete = DeleteClientRequest { client_id: id("orders"), etag: String::new() };
        control.delete_client(at.ask(delete).await).await.unwrap();
        let missing = control.get_client(at.ask(get).await).await.unwrap_err();
        assert_eq!(why(&missing).0, ErrorReason::ClientNotFound);

        // Every change names the administrator.
        let entries = at.node.store.last_of_audit(Some(&named("orders")), 20).await.unwrap();
        let by: Vec<_> =
            entries.into_iter().flatten().map(|entry: AuditEntry| entry.actor).collect();
        assert!(by.len() >= 5 && by.iter().all(|by| by.as_deref() == Some("client:ops")), "{by:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_added_retired_and_declared_leaked() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let first = at.node.client("orders").await;
        let retire = |id: &str, even_if_last| RetireSecretRequest {
            secret_id: id.to_owned(),
            even_if_last,
            even_if_in_use: true,
            client_id: "orders".to_owned(),
            after: None,
        };
        let first_id = first.secret.id().0.to_string();
        let the_last = control.retire_secret(at.ask(retire(&first_id, false)).await).await;
        assert_eq!(why(&the_last.unwrap_err()).0, ErrorReason::LastLiveSecret);
        at.node.issue(&first).await.unwrap();

        let add = AddSecretRequest { client_id: id("orders"), ..Default::default() };
        let added = control.add_secret(at.ask(add).await).await.unwrap().into_inner();
        everything::note_secrets_in(&added.client_secret);
        let second = added.secret.unwrap();
        assert_eq!(second.state(), SecretState::Live);
        // One that is going to end keeps nobody from being locked out.
        let hour = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
        let later = RetireSecretRequest { after: hour, ..retire(&second.id, false) };
        control.retire_secret(at.ask(later).await).await.unwrap();
        let the_last = control.retire_secret(at.ask(retire(&first_id, false)).await).await;
        assert_eq!(why(&the_last.unwrap_err()).0, ErrorReason::LastLiveSecret);
        let (secret_id, client_id) = (second.id.clone(), id("orders"));
        let restore = RestoreSecretRequest { secret_id, client_id };
        control.restore_secret(at.ask(restore).await).await.unwrap();
        let retired = control.retire_secret(at.ask(retire(&first_id, false)).await).await.unwrap();
        let retired = retired.into_inner();
        assert_eq!(retired.live_secrets_left, 1);
        assert_eq!(retired.secret.unwrap().state(), SecretState::Retired);
        at.node.issue(&first).await.unwrap_err();

        let burn = BurnSecretRequest {
            secret_id: second.id.clone(),
            client_id: id("orders"),
            ..Default::default()
        };
        let burnt = control.burn_secret(at.ask(burn).await).await.unwrap().into_inner();
        assert_eq!(burnt.live_secrets_left, 0);
        let list = ListSecretsRequest { client_id: id("orders"), ..Default::default() };
        let listed = control.list_secrets(at.ask(list).await).await.unwrap().into_inner().secrets;
        let states: Vec<_> = listed.iter().map(Secret::state).collect();
        assert_eq!(states, [SecretState::Retired, SecretState::Leaked]);

        // An id of another client, and other spellings of an id.
        let other = at.node.client("other").await.secret.id().0.to_string();
        let refused = control.retire_secret(at.ask(retire(&other, true)).await).await;
        assert_eq!(why(&refused.unwrap_err()).0, ErrorReason::SecretNotFound);
        for spelling in [first_id.to_uppercase(), first_id.replace('-', ""), String::new()] {
            let refused = control.retire_secret(at.ask(retire(&spelling, true)).await).await;
            let expected = (ErrorReason::InvalidRequest, "secret_id".to_owned());
            assert_eq!(why(&refused.unwrap_err()), expected, "{spelling}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_where_the_page_before_it_ended_and_nowhere_else() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        for number in 0..6 {
            at.node.client(&format!("client-{number}")).await;
        }
        let (scopes, none) = match kind {
            Kind::Postgres => (r#"'{"a\\b"}'"#, "'{}'"),
            Kind::Sqlite => (r"'a\b'", "''"),
        };
        let broken = format!(
            "update client set scopes = {scopes}, default_scopes = {none}
             where client_id = 'client-3'"
        );
        at.node.database.execute(&broken).await;
        let (mut names, mut broken, mut page_token) = (Vec::new(), Vec::new(), String::new());
        let mut pages = 0;
        let mut first = String::new();
        loop {
            let ask = ListClientsRequest { page_size: 2, page_token, ..Default::default() };
            let page = control.list_clients(at.ask(ask).await).await.unwrap().into_inner();
            names.extend(page.clients.into_iter().map(|client| client.client_id));
            broken.extend(page.unreadable.into_iter().map(|row| row.client_id));
            (page_token, pages) = (page.next_page_token, pages + 1);
            if first.is_empty() {
                first.clone_from(&page_token);
            }
            if page_token.is_empty() {
                break;
            }
        }
        let expected = ["client-0", "client-1", "client-2", "client-4", "client-5", "ops"];
        assert_eq!((names, broken, pages), (expected.map(id).to_vec(), vec![id("client-3")], 4));

        // A token that was altered, or made for another list, is refused; so is a negative size.
        let bent = format!("{}{}", if first.starts_with('A') { 'B' } else { 'A' }, &first[1..]);
        for token in ["x", "!", &bent] {
            let ask = ListClientsRequest {
                page_size: 2,
                page_token: token.to_owned(),
                ..Default::default()
            };
            let refused = control.list_clients(at.ask(ask).await).await.unwrap_err();
            assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("page_token")), "{token}");
        }
        let ask = ListAuditEventsRequest { page_token: first, ..Default::default() };
        let refused = control.list_audit_events(at.ask(ask).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("page_token")));
        let ask = ListClientsRequest { page_size: -1, ..Default::default() };
        let refused = control.list_clients(at.ask(ask).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("page_size")));
        let ask = GetClientRequest { client_id: id("client-3") };
        let refused = control.get_client(at.ask(ask).await).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::UnreadableRow);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_is_read_in_pages_without_a_gap() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let (mut seqs, mut page_token) = (Vec::new(), String::new());
        for _ in 0..3 {
            at.node.client(&format!("client-{}", seqs.len())).await;
            let ask = ListAuditEventsRequest {
                page_size: 2,
                page_token,
                after_seq: 1,
                ..Default::default()
            };
            let page = control.list_audit_events(at.ask(ask).await).await.unwrap().into_inner();
            seqs.extend(page.events.iter().map(|event| event.seq));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let expected: Vec<_> = (2..).take(seqs.len()).collect();
        assert!(seqs.len() >= 3 && seqs == expected, "{seqs:?}");
        let ask = ListAuditEventsRequest { after_seq: -1, ..Default::default() };
        let refused = control.list_audit_events(at.ask(ask).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("after_seq")));
        let installation = control.get_installation(at.ask(GetInstallationRequest {}).await).await;
        let installation = installation.unwrap().into_inner();
        let head = at.node.store.audit_head().await.unwrap().unwrap();
        assert_eq!(installation.audit_mark, head.to_string());
        assert_eq!(installation.issuer, at.node.node.issuer());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_of_a_batch_succeeds_or_fails_by_itself() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let bad = CreateClientRequest {
            client: Some(Client { scopes: vec![id("a b")], ..Client::default() }),
            ..Default::default()
        };
        let requests = vec![orders("a"), bad, orders("a"), orders("")];
        let batch = BatchCreateClientsRequest { requests };
        let results = control.batch_create_clients(at.ask(batch).await).await.unwrap();
        let outcomes: Vec<_> = results
            .into_inner()
            .results
            .into_iter()
            .map(|result| match result.outcome.unwrap() {
                Outcome::Created(created) => {
                    everything::note_secrets_in(&created.client_secret);
                    (ErrorReason::Unspecified, created.client.unwrap().client_id)
                }
                Outcome::Failure(failure) => (failure.reason(), failure.field),
            })
            .collect();
        assert_eq!(outcomes[0], (ErrorReason::Unspecified, id("a")));
        assert_eq!(outcomes[1], (ErrorReason::InvalidRequest, id("client.scopes")));
        assert_eq!(outcomes[2], (ErrorReason::ClientIdTaken, String::new()));
        assert_eq!((outcomes[3].0, outcomes[3].1.len()), (ErrorReason::Unspecified, 36));
        for size in [0, 201] {
            let batch = BatchCreateClientsRequest { requests: vec![orders(""); size] };
            let refused = control.batch_create_clients(at.ask(batch).await).await.unwrap_err();
            assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("requests")), "{size}");
        }
        assert_eq!(at.node.registry.list_clients(&ClientFilter::default()).await.unwrap().len(), 3);
    }
}

/// Both write to the one database, and neither waits for the end of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_issued_while_a_batch_of_clients_is_created() {
    let at = Controlled::start(Kind::Sqlite).await;
    let caller = at.node.client("orders").await;
    at.node.issue(&caller).await.unwrap();
    let batch = BatchCreateClientsRequest { requests: vec![orders(""); 200] };
    let (mut control, request) = (at.control.clone(), at.ask(batch).await);
    let batch = tokio::spawn(async move { control.batch_create_clients(request).await });
    let mut issued = 0;
    while !batch.is_finished() {
        at.node.issue(&caller).await.unwrap();
        issued += 1;
    }
    assert_eq!(batch.await.unwrap().unwrap().into_inner().results.len(), 200);
    assert!(issued > 20, "{issued} tokens");
}

/// Without the schema nothing is known of anybody, and so nothing is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_no_reason_to_turn_an_administrator_away() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let request = at.ask(ListClientsRequest::default()).await;
        at.node.store.close().await;
        let refused = at.control.clone().list_clients(request).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::Unavailable);
    }
}
