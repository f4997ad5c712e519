//! Why a token is inactive, and what a request would get: the same answers as those of a node.

mod calls;
mod commands;
mod simulation;

use std::{sync::Arc, time::Duration};

use jeton::{
    domain::{
        Clock, HashCost, InactiveReason, ManualClock, OsRandom, SystemClock, TokenId, TokenText,
    },
    registry::{AskedToken, Explanation, Registry},
    store::Retirement,
};
use uuid::Uuid;

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    node::{Credentials, NO_CACHE, operator},
};

fn id_of(token: &str) -> TokenId {
    TokenText::parse(token).unwrap().id()
}

fn reasons(explanation: &Explanation) -> Vec<InactiveReason> {
    explanation.reasons.iter().map(|held| held.reason).collect()
}

/// A node, a client with a token, and a resource server that sees it.
struct World {
    node: TestNode,
    orders: Credentials,
    stock: Credentials,
    token: String,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let options = TestNodeOptions { cache: NO_CACHE, ..TestNodeOptions::default() };
        let node = TestNode::start_with(kind, options).await;
        let stock = node.resource_server("stock").await;
        let orders = node.client("orders").await;
        let token = node.issue(&orders).await.unwrap().access_token;
        Self { node, orders, stock, token }
    }

    /// Another client with a token.
    async fn other(&self, name: &str) -> (Credentials, String) {
        let client = self.node.client(name).await;
        let token = self.node.issue(&client).await.unwrap().access_token;
        (client, token)
    }

    async fn explain(&self, token: &str) -> Explanation {
        self.node.registry.explain_token(AskedToken::Text(token), None).await.unwrap()
    }

    /// The registry at a time when every token has expired.
    fn later(&self) -> Registry {
        let clock = ManualClock::at(SystemClock.now().plus(Duration::from_hours(2)));
        let store = Arc::clone(&self.node.store);
        Registry::new(store, Arc::new(clock), Arc::new(OsRandom), HashCost::DEFAULT, operator())
    }

    /// Changes by hand the row of a client.
    async fn edit(&self, client: &Credentials, column: &str, value: &str) {
        let id = client.id();
        let update = format!("update client set {column} = {value} where client_id = '{id}'");
        self.node.database.execute(&update).await;
    }

    /// A list, and a moment in an hour, as the database writes them.
    fn list(&self, name: &str) -> String {
        match self.node.database.kind {
            Kind::Postgres => format!("'{{{name}}}'"),
            Kind::Sqlite => format!("'{name}'"),
        }
    }

    fn in_an_hour(&self) -> String {
        match self.node.database.kind {
            Kind::Postgres => "now() + interval '1 hour'".to_owned(),
            Kind::Sqlite => {
                let moment = SystemClock.now().plus(Duration::from_hours(1));
                moment.unix_micros().to_string()
            }
        }
    }

    /// Checks that this reason alone holds, that it says who brought it about, and that the node
    /// calls the token inactive.
    async fn check(&self, caller: &Credentials, token: &str, reason: InactiveReason, by: &str) {
        let kind = self.node.database.kind;
        let told = self.explain(token).await;
        assert_eq!(reasons(&told), [reason], "{kind:?}");
        assert!(!told.is_active() && told.is_trail_readable);
        let actor = told.reasons[0].actor.clone().unwrap_or_default();
        assert!(actor.starts_with(by), "{kind:?} {reason:?}: {actor}");
        assert_eq!(told.reasons[0].seq.is_some(), !by.is_empty(), "{kind:?} {reason:?}");
        assert!(told.reasons[0].since.is_some() || by.is_empty(), "{kind:?} {reason:?}");
        assert!(!self.node.introspect(caller, token).await.unwrap().active, "{kind:?} {reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_is_told_with_whoever_brought_it_about() {
    const TESTS: &str = "operator:tests";
    for kind in Kind::BOTH {
        let at = World::new(kind).await;
        let registry = &at.node.registry;
        let told = at.explain(&at.token).await;
        assert!(told.is_active(), "{told:?}");
        assert_eq!(told.is_text_compared, Some(true));

        let (client, token) = at.other("revoked").await;
        at.node.revoke(&client, &token).await.unwrap();
        at.check(&at.stock, &token, InactiveReason::Revoked, "client:revoked").await;

        let (_, token) = at.other("ended").await;
        assert!(registry.revoke_token(id_of(&token)).await.unwrap().is_new);
        at.check(&at.stock, &token, InactiveReason::Revoked, TESTS).await;
        assert!(!registry.revoke_token(id_of(&token)).await.unwrap().is_new);

        let (client, token) = at.other("leaked").await;
        let (name, secret) = (&client.client.client_id, client.secret.id());
        registry.retire_secret(name, secret, Retirement::Leaked).await.unwrap();
        at.check(&at.stock, &token, InactiveReason::SecretLeaked, TESTS).await;

        let (client, token) = at.other("disabled").await;
        let (name, disabled) = (&client.client.client_id, jeton::domain::ClientState::Disabled);
        registry.set_client_state(name, disabled).await.unwrap();
        at.check(&at.stock, &token, InactiveReason::ClientDisabled, TESTS).await;

        let (client, token) = at.other("deleted").await;
        registry.delete_client(&client.client.client_id).await.unwrap();
        at.check(&at.stock, &token, InactiveReason::ClientDeleted, TESTS).await;

        let (client, token) = at.other("superseded").await;
        registry.revoke_tokens(&client.client.client_id).await.unwrap();
        at.check(&at.stock, &token, InactiveReason::TokensRevoked, TESTS).await;

        let by_hand = if kind == Kind::Postgres { "by hand: " } else { "" };
        let (client, token) = at.other("later").await;
        at.edit(&client, "not_before", &at.in_an_hour()).await;
        let told = at.explain(&token).await;
        assert_eq!(reasons(&told), [InactiveReason::ClientNotBefore], "{kind:?}");
        let actor = told.reasons[0].actor.clone().unwrap_or_default();
        assert!(actor.starts_with(by_hand), "{actor}");

        let (client, token) = at.other("narrowed").await;
        at.edit(&client, "default_scopes", &at.list("")).await;
        at.edit(&client, "scopes", &at.list("other")).await;
        let told = at.explain(&token).await;
        assert_eq!(reasons(&told), [InactiveReason::Narrowed], "{kind:?}");
        assert!(told.reasons[0].seq.is_some(), "{told:?}");
        let lost = told.token.unwrap().lost();
        assert_eq!((lost.scopes.len(), lost.audiences.len()), (2, 0), "{kind:?}");

        let told = at.later().explain_token(AskedToken::Text(&at.token), None).await.unwrap();
        assert_eq!(reasons(&told), [InactiveReason::Expired], "{kind:?}");

        // Those of all tokens come last.
        registry.revoke_all_tokens().await.unwrap();
        at.check(&at.stock, &at.token, InactiveReason::TokensRevoked, TESTS).await;
        let (_, token) = at.other("newest").await;
        let update = format!("update installation set not_before = {}", at.in_an_hour());
        at.node.database.execute(&update).await;
        let told = at.explain(&token).await;
        assert_eq!(reasons(&told), [InactiveReason::InstallationNotBefore], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_not_the_token_is_told_from_one_that_is() {
    for kind in Kind::BOTH {
        let at = World::new(kind).await;
        for text in ["x", "jts_", at.orders.secret()] {
            let told = at.explain(text).await;
            assert_eq!(reasons(&told), [InactiveReason::NotOurs], "{kind:?}");
            assert!(told.token.is_none() && told.id.is_none());
        }
        // The id is that of a token, and the rest is not.
        let place = at.token.len() - 30;
        let other = if &at.token[place..=place] == "A" { "B" } else { "A" };
        let forged = format!("{}{other}{}", &at.token[..place], &at.token[place + 1..]);
        let told = at.explain(&forged).await;
        let expected = [InactiveReason::NotOurs, InactiveReason::TextDiffers];
        assert_eq!(reasons(&told), expected, "{kind:?}");

        let unknown = AskedToken::Id(TokenId(Uuid::from_u128(7)));
        let told = at.node.registry.explain_token(unknown, None).await.unwrap();
        assert_eq!(reasons(&told), [InactiveReason::NotFound], "{kind:?}");
        let refused = at.node.registry.revoke_token(TokenId(Uuid::from_u128(7))).await;
        assert!(refused.unwrap_err().to_string().contains("there is no token"), "{kind:?}");

        let digest = match kind {
            Kind::Postgres => "sha256('')",
            Kind::Sqlite => "zeroblob(32)",
        };
        at.node.database.execute(&format!("update access_token set digest = {digest}")).await;
        let told = at.explain(&at.token).await;
        assert_eq!(reasons(&told), [InactiveReason::TextDiffers], "{kind:?}");
        assert!(!at.node.introspect(&at.stock, &at.token).await.unwrap().active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_reasons_are_told_together_the_strongest_first() {
    for kind in Kind::BOTH {
        let at = World::new(kind).await;
        let (registry, name) = (&at.node.registry, &at.orders.client.client_id);
        registry.revoke_token(id_of(&at.token)).await.unwrap();
        let secret = at.orders.secret.id();
        registry.retire_secret(name, secret, Retirement::Leaked).await.unwrap();
        registry.revoke_tokens(name).await.unwrap();
        at.edit(&at.orders, "audiences", &at.list("")).await;
        registry.set_client_state(name, jeton::domain::ClientState::Disabled).await.unwrap();
        let stock = Some(&at.stock.client.client_id);
        let asked = AskedToken::Id(id_of(&at.token));
        let told = at.later().explain_token(asked, stock).await.unwrap();
        let expected = [
            InactiveReason::Expired,
            InactiveReason::Revoked,
            InactiveReason::SecretLeaked,
            InactiveReason::ClientDisabled,
            InactiveReason::TokensRevoked,
            InactiveReason::Narrowed,
        ];
        assert_eq!(reasons(&told), expected, "{kind:?}");
        assert_eq!((told.is_text_compared, told.seen), (None, None));
        for held in &told.reasons[1..5] {
            assert_eq!(held.actor.as_deref(), Some("operator:tests"), "{kind:?} {held:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_server_is_told_what_it_sees() {
    for kind in Kind::BOTH {
        let at = World::new(kind).await;
        let other = at.node.client("other").await;
        for (server, sees) in [(&at.stock, true), (&at.orders, true), (&other, false)] {
            let seen_by = Some(&server.client.client_id);
            let asked = AskedToken::Text(&at.token);
            let told = at.node.registry.explain_token(asked, seen_by).await.unwrap();
            let answer = at.node.introspect(server, &at.token).await.unwrap();
            assert_eq!((told.is_active(), answer.active), (sees, sees), "{kind:?}");
            let seen = told.seen.as_deref().cloned().unwrap_or_default();
            let seen: Vec<_> = seen.audiences.iter().map(ToString::to_string).collect();
            assert_eq!(seen, answer.audiences, "{kind:?}");
            let expected: &[_] = if sees { &[] } else { &[InactiveReason::NotServed] };
            assert_eq!(reasons(&told), expected, "{kind:?}");
        }
    }
}
