//! Secrets that expire and clients that nobody uses, in pages.

use std::time::Duration;

use jeton::{
    domain::{Clock, SystemClock},
    registry::NewSecret,
};

use super::{OFTEN, writing};
use crate::support::{Kind, TestNode};

const HOUR: Duration = Duration::from_hours(1);

/// Four clients, each with a secret that expires at the same moment. The row of one cannot be read.
async fn three_and_a_broken_one(kind: Kind) -> TestNode {
    let node = TestNode::start_with(kind, writing(OFTEN)).await;
    let end = SystemClock.now().plus(HOUR);
    for name in ["B", "a", "b", "c"] {
        let client = node.client(name).await.client.client_id;
        let new = NewSecret { expires_at: Some(end), ..NewSecret::default() };
        node.registry.add_secret(&client, new).await.unwrap();
    }
    let loosen = match kind {
        Kind::Postgres => "alter table client drop constraint client_client_id_is_printable",
        Kind::Sqlite => "pragma ignore_check_constraints = on",
    };
    let edit = "update client set client_id = 'a a' where client_id = 'a'";
    node.database.execute_all(&format!("{loosen}; {edit};")).await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_in_no_page_and_ends_no_list() {
    for kind in Kind::BOTH {
        let node = three_and_a_broken_one(kind).await;
        let (registry, zero) = (&node.registry, Duration::ZERO);
        let mut page = registry.unused_clients(zero, zero, Some(1)).await.unwrap();
        let (asked_at, mut names) = (page.evidence.asked_at(), Vec::new());
        loop {
            let [(name, None)] = &page.clients[..] else { panic!("{kind:?}: {page:?}") };
            let name = name.clone();
            names.push(name.to_string());
            if !page.has_more {
                break;
            }
            page = registry.unused_page(asked_at, zero, &name, 1).await.unwrap();
        }
        // In the order of their bytes.
        assert_eq!(names, ["B", "b", "c"], "{kind:?}");

        let now = SystemClock.now();
        let (until, mut from, mut after, mut ids) = (now.plus(HOUR * 2), now, None, Vec::new());
        loop {
            let (page, has_more) = registry.expiring_page(from, after, until, 1).await.unwrap();
            let [one] = &page[..] else { panic!("{kind:?}: {page:?}") };
            (from, after) = (one.secret.expires_at, Some(one.secret.id));
            ids.push(one.secret.id);
            if !has_more {
                break;
            }
        }
        let mut sorted = ids.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((ids.len(), &ids), (3, &sorted), "{kind:?}");
    }
}
