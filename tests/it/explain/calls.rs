//! The same over `ClientService`.

use jeton::pb::v1::{
    self, ErrorReason, ExplainTokenRequest, InactiveReason, ListTokensRequest,
    RevokeTokenByIdRequest, SimulateIssueRequest, simulate_issue_response::Outcome,
};

use super::id_of;
use crate::support::{
    Kind,
    control::{Controlled, why},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_lists_explains_and_revokes_a_token() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let orders = at.node.client("orders").await;
        let mut tokens = Vec::new();
        for _ in 0..3 {
            tokens.push(at.node.issue(&orders).await.unwrap().access_token);
        }
        // All of them in pages, newest first.
        let mut listed = Vec::new();
        let mut page_token = String::new();
        loop {
            let list =
                ListTokensRequest { client_id: "orders".to_owned(), page_size: 2, page_token };
            let page = control.list_tokens(at.ask(list).await).await.unwrap().into_inner();
            listed.extend(page.tokens.into_iter().map(|token| token.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        // In the order of their ids, because two may be of one millisecond.
        let mut issued: Vec<_> = tokens.iter().map(|token| id_of(token).0.to_string()).collect();
        issued.sort_by(|one, other| other.cmp(one));
        assert_eq!(listed, issued, "{kind:?}");
        let foreign = ListTokensRequest {
            client_id: "orders".to_owned(),
            page_size: 0,
            page_token: "x".to_owned(),
        };
        let refused = control.list_tokens(at.ask(foreign).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, "page_token".to_owned()));

        let by_text = ExplainTokenRequest { token: tokens[0].clone(), ..Default::default() };
        assert!(!format!("{by_text:?}").contains(&tokens[0]));
        let told = control.explain_token(at.ask(by_text.clone()).await).await.unwrap().into_inner();
        assert!(told.active && told.text_compared && told.reasons.is_empty(), "{told:?}");
        assert_eq!(told.token.unwrap().client_id, "orders");

        let revoke = RevokeTokenByIdRequest { token_id: id_of(&tokens[0]).0.to_string() };
        let revoked = control.revoke_token_by_id(at.ask(revoke.clone()).await).await.unwrap();
        assert!(!revoked.into_inner().already_revoked, "{kind:?}");
        assert!(!at.node.introspect(&orders, &tokens[0]).await.unwrap().active, "{kind:?}");
        let again = control.revoke_token_by_id(at.ask(revoke).await).await.unwrap().into_inner();
        assert_eq!((again.already_revoked, &*again.client_id), (true, "orders"));

        let told = control.explain_token(at.ask(by_text).await).await.unwrap().into_inner();
        let [reason] = &told.reasons[..] else { panic!("{told:?}") };
        assert_eq!((reason.reason(), &*reason.actor), (InactiveReason::Revoked, "client:ops"));
        assert!(reason.since_time.is_some() && reason.audit_seq > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_no_token_is_refused_by_its_field() {
    let at = Controlled::start(Kind::Sqlite).await;
    let mut control = at.control.clone();
    let ask = |token: &str, token_id: &str, as_client_id: &str| ExplainTokenRequest {
        token: token.to_owned(),
        token_id: token_id.to_owned(),
        as_client_id: as_client_id.to_owned(),
    };
    let id = "00000000-0000-0000-0000-000000000007";
    for (request, field) in [
        (ask("", "", ""), "token"),
        (ask("x", id, ""), "token_id"),
        (ask("", "7", ""), "token_id"),
        (ask("x", "", "not an id"), "as_client_id"),
    ] {
        let refused = control.explain_token(at.ask(request).await).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, field.to_owned()));
    }
    let nobody = control.explain_token(at.ask(ask("x", "", "nobody")).await).await.unwrap_err();
    assert_eq!(why(&nobody).0, ErrorReason::ClientNotFound);
    let revoke = RevokeTokenByIdRequest { token_id: id.to_owned() };
    let missing = control.revoke_token_by_id(at.ask(revoke).await).await.unwrap_err();
    assert_eq!(why(&missing).0, ErrorReason::TokenNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_simulates_a_request() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        at.node.client("orders").await;
        let ask = |scope: &str| SimulateIssueRequest {
            client_id: "orders".to_owned(),
            scopes: vec![scope.to_owned()],
            resources: Vec::new(),
        };
        let told = control.simulate_issue(at.ask(ask("read")).await).await.unwrap().into_inner();
        let Some(Outcome::Token(token)) = told.outcome else { panic!("{told:?}") };
        assert_eq!(
            (token.scopes, token.lifetime.unwrap().seconds),
            (vec!["read".to_owned()], 3_600)
        );
        assert_eq!((told.live_secrets, told.tokens_per_second), (1, None), "{kind:?}");
        let told = control.simulate_issue(at.ask(ask("admin")).await).await.unwrap().into_inner();
        let Some(Outcome::Refusal(v1::Failure { reason, message, .. })) = told.outcome else {
            panic!("{kind:?} gets a token")
        };
        assert_eq!(reason, i32::from(ErrorReason::InvalidScope));
        assert!(message.contains("not registered"), "{message}");
    }
}
