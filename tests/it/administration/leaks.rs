//! A secret of which an administrator knows the text alone.

use jeton::{
    domain::{ClientSecret, OsRandom, TagKey},
    pb::v1::{BurnSecretRequest, ErrorReason, SecretState},
    registry::NewSecret,
};

use super::id;
use crate::support::{
    Kind,
    control::{Controlled, administrator, why},
    everything,
};

fn by_text(text: &str) -> BurnSecretRequest {
    BurnSecretRequest { client_secret: text.to_owned(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_declared_leaked_by_its_text_alone() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let client = at.node.client("orders").await;
        let added = at.node.registry.add_secret(&client.client.client_id, NewSecret::default());
        everything::note_secrets_in(added.await.unwrap().1.expose());
        let token = at.node.issue(&client).await.unwrap().access_token;

        let reader = administrator(&at.node, "reader", &["jeton:read"]).await;
        let asked = at.ask_as(&reader, by_text(client.secret())).await;
        let refused = control.burn_secret(asked).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::NotPermitted, "{kind:?}");

        let burned = control.burn_secret(at.ask(by_text(client.secret())).await).await.unwrap();
        let burned = burned.into_inner();
        assert_eq!((&*burned.client_id, burned.live_secrets_left), ("orders", 1), "{kind:?}");
        let secret = burned.secret.unwrap();
        assert_eq!(secret.id, client.secret.id().0.to_string());
        assert_eq!(secret.state(), SecretState::Leaked);
        let server = at.node.resource_server("api").await;
        assert!(!at.node.introspect(&server, &token).await.unwrap().active, "{kind:?}");
        let trail = at.node.store.last_of_audit(Some(&client.client.client_id), 1).await.unwrap();
        assert_eq!(trail[0].as_ref().unwrap().actor.as_deref(), Some("client:ops"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_secret_or_two_is_refused() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let client = at.node.client("orders").await;
        let deleted = at.node.client("deleted").await;
        // By hand, so that it cannot come back.
        at.node.database.execute("delete from client where client_id = 'deleted'").await;
        let token = at.node.issue(&client).await.unwrap().access_token;
        let foreign = ClientSecret::generate(&OsRandom, &TagKey::from_bytes([7; 32])).unwrap();
        let both_ids = BurnSecretRequest { secret_id: id("x"), ..by_text(client.secret()) };
        let named = BurnSecretRequest { client_id: id("orders"), ..by_text(client.secret()) };
        let invalid = |field| (ErrorReason::InvalidRequest, id(field));
        for (request, expected) in [
            (by_text(&token), invalid("client_secret")),
            (by_text(&client.secret()[..78]), invalid("client_secret")),
            (by_text(foreign.expose()), invalid("client_secret")),
            (both_ids, invalid("secret_id")),
            (named, invalid("client_id")),
            (by_text(""), invalid("secret_id")),
            (by_text(deleted.secret()), (ErrorReason::SecretNotFound, String::new())),
        ] {
            let refused = control.burn_secret(at.ask(request).await).await.unwrap_err();
            assert_eq!(why(&refused), expected, "{kind:?}: {refused:?}");
        }
        at.node.issue(&client).await.unwrap();
    }
}
