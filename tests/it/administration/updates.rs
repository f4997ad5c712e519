//! `UpdateClient`: masks, etags, and what only some callers may change. And lists with a filter.

use jeton::pb::v1::{
    Client, ClientFilter, ErrorReason, GetClientRequest, ListClientsRequest, UpdateClientRequest,
};
use prost_types::FieldMask;

use super::{id, named, orders};
use crate::support::{
    Kind,
    control::{Controlled, administrator, why},
    everything,
};

fn update(client: Client, paths: &[&str]) -> UpdateClientRequest {
    let mask = FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    UpdateClientRequest { client: Some(client), update_mask: Some(mask), validate_only: false }
}

fn scopes(client_id: &str, scopes: &[&str]) -> Client {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    Client { client_id: id(client_id), scopes, ..Client::default() }
}

impl Controlled {
    async fn create(&self, client_id: &str) -> Client {
        let ask = self.ask(orders(client_id)).await;
        let created = self.control.clone().create_client(ask).await.unwrap().into_inner();
        everything::note_secrets_in(&created.client_secret);
        created.client.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_of_the_mask_are_changed_and_no_others() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let created = at.create("orders").await;
        let wanted = Client {
            scopes: vec![id("read")],
            default_scopes: vec![],
            labels: [(id("team"), id("payments"))].into(),
            owner: id("payments@example.com"),
            name: id("not in the mask"),
            ..Client { client_id: id("orders"), ..Client::default() }
        };
        let paths = ["scopes", "default_scopes", "labels", "owner"];
        let preview = UpdateClientRequest { validate_only: true, ..update(wanted.clone(), &paths) };
        let preview = control.update_client(at.ask(preview).await).await.unwrap().into_inner();
        let get = GetClientRequest { client_id: id("orders") };
        let shown = control.get_client(at.ask(get.clone()).await).await.unwrap().into_inner();
        assert_eq!(shown.client.unwrap(), created, "{kind:?}: a preview changes nothing");

        let ask = at.ask(update(wanted, &paths)).await;
        let updated = control.update_client(ask).await.unwrap().into_inner();
        assert_eq!(updated.changed_fields, paths, "{kind:?}");
        assert_eq!(updated, preview, "{kind:?}");
        let client = updated.client.unwrap();
        let expected = Client {
            scopes: vec![id("read")],
            default_scopes: vec![],
            no_default_scope: true,
            labels: [(id("team"), id("payments"))].into(),
            owner: id("payments@example.com"),
            etag: client.etag.clone(),
            version: 2,
            ..created.clone()
        };
        assert_eq!(client, expected, "{kind:?}");
        assert_ne!(client.etag, created.etag);
        let shown = control.get_client(at.ask(get).await).await.unwrap().into_inner();
        assert_eq!(shown.client.unwrap(), client);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_keeps_what_somebody_else_changed_in_between() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let created = at.create("orders").await;
        let edit = "update client set owner = 'by hand' where client_id = 'orders'";
        at.node.database.execute(edit).await;
        let stale = Client { etag: created.etag, ..scopes("orders", &["read", "write", "more"]) };
        let ask = at.ask(update(stale.clone(), &["scopes"])).await;
        let refused = control.update_client(ask).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Aborted);
        assert_eq!(why(&refused).0, ErrorReason::EtagMismatch);
        let details = tonic_types::StatusExt::get_error_details(&refused);
        assert_eq!(details.error_info().unwrap().metadata["changed"], "owner");

        // Without an etag it is applied to whatever the client is now.
        let ask = at.ask(update(Client { etag: String::new(), ..stale }, &["scopes"])).await;
        let updated = control.update_client(ask).await.unwrap().into_inner().client.unwrap();
        assert_eq!((&*updated.owner, updated.scopes.len()), ("by hand", 3), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_refused_with_the_field_at_fault() {
    let at = Controlled::start(Kind::Sqlite).await;
    let mut control = at.control.clone();
    at.create("orders").await;
    let rows = [
        (update(scopes("orders", &[]), &[]), ErrorReason::InvalidRequest, "update_mask"),
        (update(scopes("orders", &[]), &["state"]), ErrorReason::InvalidRequest, "update_mask"),
        (update(scopes("a b", &[]), &["scopes"]), ErrorReason::InvalidRequest, "client.client_id"),
        (update(scopes("gone", &[]), &["scopes"]), ErrorReason::ClientNotFound, ""),
        // The default scopes would be left over.
        (update(scopes("orders", &[]), &["scopes"]), ErrorReason::InvalidRequest, "client"),
        (
            update(Client { etag: id("x"), ..scopes("orders", &[]) }, &["scopes"]),
            ErrorReason::InvalidRequest,
            "client.etag",
        ),
        (UpdateClientRequest::default(), ErrorReason::InvalidRequest, "client"),
    ];
    for (message, reason, field) in rows {
        let refused = control.update_client(at.ask(message).await).await.unwrap_err();
        assert_eq!(why(&refused), (reason, id(field)), "{refused:?}");
    }
}

/// Whoever could give a scope to a client could use it himself soon.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_or_takes_a_permission_that_he_cannot_grant() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let writer = administrator(&at.node, "writer", &["jeton:write"]).await;
        let security = administrator(&at.node, "security", &["jeton:security"]).await;
        let both = administrator(&at.node, "both", &["jeton:write", "jeton:security"]).await;
        administrator(&at.node, "reader", &["jeton:read"]).await;
        let give = || {
            let mut client = scopes("reader", &["jeton:read", "jeton:write"]);
            client.default_scopes.clone_from(&client.scopes);
            update(client, &["scopes", "default_scopes"])
        };
        let take = || {
            let client = Client { client_id: id("ops"), ..Client::default() };
            update(client, &["scopes", "default_scopes"])
        };
        let note = || {
            let client = Client { client_id: id("ops"), note: id("x"), ..Client::default() };
            update(client, &["note"])
        };
        for (caller, message, reason) in [
            (&writer, give(), ErrorReason::GrantNotPermitted),
            (&writer, take(), ErrorReason::GrantNotPermitted),
            (&writer, note(), ErrorReason::GrantNotPermitted),
            (&security, note(), ErrorReason::NotPermitted),
        ] {
            for validate_only in [true, false] {
                let message = UpdateClientRequest { validate_only, ..message.clone() };
                let ask = at.ask_as(caller, message).await;
                let refused = control.update_client(ask).await.unwrap_err();
                assert_eq!(why(&refused).0, reason, "{kind:?}: {refused:?}");
            }
        }
        // He lacks jeton:read by name, and has it all the same: the others include it.
        control.update_client(at.ask_as(&both, give()).await).await.unwrap();
        let record = at.node.registry.record(&named("reader")).await.unwrap();
        assert_eq!(record.client.scopes.len(), 2, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_selects_clients_over_pages_that_are_bound_to_it() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        for number in 0..5 {
            at.create(&format!("orders-{number}")).await;
        }
        at.create("stock").await;
        let mut labels = [(id("team"), id("payments")), (id("a"), id("b"))].into();
        for number in [0, 2, 4] {
            let client =
                Client { labels, client_id: format!("orders-{number}"), ..Client::default() };
            let ask = at.ask(update(client.clone(), &["labels"])).await;
            control.update_client(ask).await.unwrap();
            labels = client.labels;
        }
        let filter = Some(ClientFilter { labels, text: id("ORD"), ..ClientFilter::default() });
        let (mut names, mut page_token) = (Vec::new(), String::new());
        loop {
            let ask = ListClientsRequest {
                page_size: 1,
                page_token,
                filter: filter.clone(),
                with_secrets: false,
            };
            let page = control.list_clients(at.ask(ask).await).await.unwrap().into_inner();
            names.extend(page.clients.into_iter().map(|client| client.client_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
            let other = ListClientsRequest { page_token: page_token.clone(), ..Default::default() };
            let refused = control.list_clients(at.ask(other).await).await.unwrap_err();
            assert_eq!(why(&refused), (ErrorReason::InvalidRequest, id("page_token")));
        }
        assert_eq!(names, ["orders-0", "orders-2", "orders-4"], "{kind:?}");
    }
}
