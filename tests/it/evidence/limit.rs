//! A client has at most eight live secrets, however they are made or come back.

use std::{sync::Arc, time::Duration};

use jeton::{
    domain::{Clock, OsRandom, SecretHash, SecretId, StoredSecret, SystemClock, uuid_v4},
    registry::{NewSecret, RegistryError},
    store::Retirement,
};
use tokio::task::JoinSet;

use super::{
    OFTEN, more,
    retirement::{restore, retire, stored},
    writing,
};
use crate::support::{
    Kind, TestNode,
    node::{Credentials, operator},
};

/// The secret that a refusal tells to retire.
fn unused(refused: RegistryError) -> SecretId {
    let said = refused.to_string();
    match refused {
        RegistryError::TooManySecrets { unused, .. } => {
            let command = format!("`jeton client retire-secret orders {unused}`");
            assert!(said.contains("8 live secrets") && said.contains(&command), "{said}");
            SecretId(unused)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ninth_live_secret_is_refused_with_the_one_to_retire() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, writing(OFTEN)).await;
        let first = node.client("orders").await;
        let id = &first.client.client_id;
        let second = more(&node, &first).await;
        for _ in 0..6 {
            more(&node, &first).await;
        }
        // The first one is used, so the second one is the one that was not used for longest.
        node.issue(&first).await.unwrap();
        super::until(&node.store, &first, |known| known.uses == 1).await;
        let add = async || node.registry.add_secret(id, NewSecret::default()).await;
        assert_eq!(unused(add().await.unwrap_err()), second.secret.id(), "{kind:?}");

        // One that is retiring is live still, and its retirement can be taken back.
        let later = Retirement::At(SystemClock.now().plus(Duration::from_hours(1)));
        retire(&node, &second, later).await;
        assert_eq!(unused(add().await.unwrap_err()), second.secret.id(), "{kind:?}");
        restore(&node, &second).await.unwrap();

        // One that is retired makes room, and comes back only if there is room for it.
        retire(&node, &second, Retirement::Retired).await;
        let (third, _) = add().await.unwrap();
        unused(restore(&node, &second).await.unwrap_err());
        assert!(stored(&node, &second).await.retired_at.is_some(), "{kind:?}");
        node.registry.retire_secret(id, third.id, Retirement::Retired).await.unwrap();
        restore(&node, &second).await.unwrap();

        // Another client is not concerned.
        more(&node, &node.client("stock").await).await;
    }
}

/// Each statement counts what is there, so without a lock all of them would find room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_that_are_added_at_the_same_time_do_not_exceed_the_limit() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, writing(OFTEN)).await;
        let first: Credentials = node.client("orders").await;
        let known = stored(&node, &first).await;
        let mut tasks = JoinSet::new();
        for _ in 0..20 {
            let secret = StoredSecret {
                id: SecretId(uuid_v4(&OsRandom).unwrap()),
                hash: SecretHash::from_stored("$argon2id$x".to_owned()),
                ..known.clone()
            };
            let store = Arc::clone(&node.store);
            tasks.spawn(async move { store.add_secret(&secret, &operator()).await.unwrap() });
        }
        let added = tasks.join_all().await;
        assert_eq!(added.iter().filter(|is_added| **is_added).count(), 7, "{kind:?}");
        assert_eq!(node.database.number("select count(*) from client_secret").await, 8);
    }
}
