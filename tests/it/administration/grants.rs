//! Who makes administrators: nobody who could not do the same himself.

use jeton::{
    domain::{ADMINISTRATION, Scope, TokenLifetime},
    pb::v1::{
        AddSecretRequest, Client, CreateClientRequest, DeleteClientRequest, DisableClientRequest,
        EnableClientRequest, ErrorReason, GetClientRequest, IssueTokenRequest, RetireSecretRequest,
    },
    registry::{NewClient, NewSecret},
};
use tonic::Status;

use super::id;
use crate::support::{
    Kind,
    control::{Controlled, administrator, bearer, why},
    everything,
    node::{audiences, issue_request, new_client},
};

fn new_administrator(client_id: &str, scope: &str) -> CreateClientRequest {
    let client = Client {
        client_id: client_id.to_owned(),
        scopes: vec![scope.to_owned()],
        audiences: vec![ADMINISTRATION.to_owned()],
        ..Client::default()
    };
    CreateClientRequest { client: Some(client), ..Default::default() }
}

fn assert_not_granted(refused: Result<(), Status>) {
    assert_eq!(why(&refused.unwrap_err()).0, ErrorReason::GrantNotPermitted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_makes_and_changes_administrators_only_with_all_of_their_scopes() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let writer = administrator(&at.node, "writer", &["jeton:write"]).await;
        let both = administrator(&at.node, "both", &["jeton:write", "jeton:security"]).await;
        let ops_secret = at.ops.secret.id().0.to_string();

        let ask = at.ask_as(&writer, new_administrator("mine", "jeton:read")).await;
        assert_not_granted(control.create_client(ask).await.map(|_| ()));
        let add = AddSecretRequest { client_id: id("ops"), ..Default::default() };
        let ask = at.ask_as(&writer, add).await;
        assert_not_granted(control.add_secret(ask).await.map(|_| ()));
        let ask = at
            .ask_as(&writer, EnableClientRequest { client_id: id("ops"), etag: String::new() })
            .await;
        assert_not_granted(control.enable_client(ask).await.map(|_| ()));
        let ask = at
            .ask_as(&writer, DeleteClientRequest { client_id: id("ops"), etag: String::new() })
            .await;
        assert_not_granted(control.delete_client(ask).await.map(|_| ()));
        let retire = RetireSecretRequest {
            secret_id: ops_secret,
            even_if_last: true,
            client_id: id("ops"),
            ..RetireSecretRequest::default()
        };
        let ask = at.ask_as(&writer, retire).await;
        assert_not_granted(control.retire_secret(ask).await.map(|_| ()));
        at.node.issue(&at.ops).await.unwrap();

        // With all scopes of the other one, and security among the own, it works.
        let ask = at.ask_as(&both, new_administrator("third", "jeton:write")).await;
        let third = control.create_client(ask).await.unwrap().into_inner();
        everything::note_secrets_in(&third.client_secret);
        assert_eq!(third.client.unwrap().token_lifetime.unwrap().seconds, 900);
        let ask = at
            .ask_as(&both, EnableClientRequest { client_id: id("third"), etag: String::new() })
            .await;
        control.enable_client(ask).await.unwrap();
        let disable = DisableClientRequest { client_id: id("ops"), etag: String::new() };
        control.disable_client(at.ask_as(&both, disable).await).await.unwrap();
        at.node.issue(&at.ops).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_was_taken_away_is_gone_from_live_tokens() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let token = at.node.issue(&at.ops).await.unwrap().access_token;
        let scopes = match kind {
            Kind::Postgres => "'{jeton:read}'",
            Kind::Sqlite => "'jeton:read'",
        };
        at.node
            .database
            .execute(&format!(
                "update client set scopes = {scopes}, default_scopes = {scopes}
                 where client_id = 'ops'"
            ))
            .await;
        let create = new_administrator("x", "jeton:read");
        let refused = control.create_client(bearer(&token, create)).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::NotPermitted);
        let get = GetClientRequest { client_id: id("ops") };
        control.get_client(bearer(&token, get)).await.unwrap();
    }
}

/// By a command, and by hand.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_reserved_for_administration_is_used_for_nothing_else() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let scopes = |names: &[&str]| Scope::parse_set(names).unwrap();
        let short = TokenLifetime::OF_ADMINISTRATORS;
        let admin = || NewClient {
            scopes: scopes(&["jeton:read"]),
            audiences: audiences(&[ADMINISTRATION]),
            token_lifetime: short,
            ..new_client("x")
        };
        for (new, told) in [
            (
                NewClient { serves: audiences(&[ADMINISTRATION]), ..new_client("x") },
                "no client serves",
            ),
            (NewClient { scopes: scopes(&["jeton:all"]), ..admin() }, "are reserved"),
            (NewClient { audiences: audiences(&["https://a.test"]), ..admin() }, "only audience"),
            (NewClient { token_lifetime: TokenLifetime::DEFAULT, ..admin() }, "900 seconds"),
        ] {
            let made = at.node.registry.create_client(new, NewSecret::default()).await;
            let refused = made.unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
        at.node.register(admin()).await;

        at.node.client("orders").await;
        let list = |text: &str| match kind {
            Kind::Postgres => format!("'{{{}}}'", text.replace(' ', ",")),
            Kind::Sqlite => format!("'{text}'"),
        };
        let both = format!("{ADMINISTRATION} https://api.test");
        let (all, one) = ("jeton:read jeton:write jeton:security", "urn:jeton:administration");
        for (client, change, told) in [
            ("orders", format!("serves = {}", list(one)), "no client serves"),
            ("orders", format!("scopes = {}", list("jeton:read read write")), "no other audience"),
            ("ops", format!("scopes = {}", list(&format!("{all} jeton:x"))), "are reserved"),
            ("ops", format!("audiences = {}", list(&both)), "no other audience"),
            ("ops", "token_lifetime_seconds = 901".to_owned(), "900 seconds"),
        ] {
            let statement = format!("update client set {change} where client_id = '{client}'");
            let refused = at.node.database.try_execute(&statement).await.unwrap_err().to_string();
            assert!(refused.contains(told), "{change}: {refused}");
        }
        // What is not reserved is as free as ever.
        let free = format!("update client set scopes = {}", list("read write xjeton:read"));
        at.node.database.execute(&format!("{free} where client_id = 'orders'")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_administration_is_worth_nothing_elsewhere() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let server = at.node.resource_server("api").await;
        let token = at.node.issue(&at.ops).await.unwrap().access_token;
        assert!(!at.node.introspect(&server, &token).await.unwrap().active);
        let own = at.node.introspect(&at.ops, &token).await.unwrap();
        assert_eq!(own.audiences, [ADMINISTRATION]);
        // And a revoked one is worth nothing here.
        let mut control = at.control.clone();
        let get = || GetClientRequest { client_id: id("ops") };
        control.get_client(bearer(&token, get())).await.unwrap();
        at.node.revoke(&at.ops, &token).await.unwrap();
        let refused = control.get_client(bearer(&token, get())).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::InvalidToken);
    }
}

/// As somebody records it who may write to the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_administration_that_lives_too_long_is_refused() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let token = at.node.issue(&at.ops).await.unwrap().access_token;
        let second = match kind {
            Kind::Postgres => "interval '1 s'",
            Kind::Sqlite => "1000000",
        };
        let prolong = format!("update access_token set expires_at = expires_at + {second}");
        at.node.database.execute(&prolong).await;
        let get = || GetClientRequest { client_id: id("ops") };
        let refused = control.get_client(bearer(&token, get())).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::InvalidToken, "{kind:?}");
        control.get_client(at.ask(get()).await).await.unwrap();
    }
}

/// A client may have used the names before they were reserved. It is no administrator, and any node
/// can end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_from_before_is_no_administrator_and_can_be_disabled() {
    let at = Controlled::start(Kind::Postgres).await;
    let old = at.node.client("old").await;
    let (checks, table) = ("client_keeps_administration_apart", "alter table client");
    for statement in [
        format!("{table} disable trigger {checks}"),
        format!(
            "update client set scopes = '{{jeton:security}}', default_scopes = '{{}}',
                 audiences = '{{https://api.test,{ADMINISTRATION}}}' where client_id = 'old'"
        ),
        format!("{table} enable always trigger {checks}"),
    ] {
        at.node.database.execute(&statement).await;
    }
    let asked = IssueTokenRequest {
        scopes: vec![id("jeton:security")],
        resources: vec![id(ADMINISTRATION)],
        ..issue_request(&old)
    };
    let issued = at.node.grpc.clone().issue_token(asked).await.unwrap().into_inner();
    // It is registered for an hour.
    assert!(issued.expires_in.unwrap().seconds <= 900);
    let token = issued.access_token;
    everything::note_secrets_in(&token);
    let mut control = at.control.clone();
    let get = GetClientRequest { client_id: id("old") };
    let refused = control.get_client(bearer(&token, get)).await.unwrap_err();
    assert_eq!(why(&refused).0, ErrorReason::InvalidToken);
    let disable = DisableClientRequest { client_id: id("old"), etag: String::new() };
    control.disable_client(at.ask(disable).await).await.unwrap();
    at.node.issue(&old).await.unwrap_err();
}
