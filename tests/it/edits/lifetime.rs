//! A change that was announced to nobody is true after a few minutes all the same.

use std::sync::Arc;

use jeton::domain::{Clock, ManualClock, SystemClock};

use super::{Scene, until_trusted};
use crate::support::{Kind, TestNode, TestNodeOptions, node::CACHE};

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_no_trigger_saw_is_true_when_the_cache_has_expired() {
    for kind in Kind::BOTH {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let options =
            TestNodeOptions { clock: Arc::<ManualClock>::clone(&clock), ..Default::default() };
        let scene = Scene::of(TestNode::start_with(kind, options).await).await;
        let known = scene.client("orders").await;
        scene.cache(&known, true).await;

        let unseen = match kind {
            Kind::Postgres => "alter table client disable trigger user; ",
            Kind::Sqlite => {
                "drop trigger client_update_is_announced;
                 drop trigger client_replacement_by_update_is_announced; "
            }
        };
        scene
            .write(unseen, "update client set state = 'disabled' where id = {client}", &known)
            .await;
        assert!(scene.is_active(&known).await, "{kind:?}: it was seen");
        // The statement that records a token looks at the client itself.
        assert!(scene.node.issue(&known.owner).await.is_err(), "{kind:?}");

        clock.run_for(CACHE.lifetime);
        // The lease is over as well, until it is renewed.
        until_trusted(&scene.node).await;
        for _ in 0..2 {
            assert!(!scene.is_active(&known).await, "{kind:?}");
            assert!(scene.node.issue(&known.owner).await.is_err());
        }
    }
}
