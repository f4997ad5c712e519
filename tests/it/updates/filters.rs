//! Which clients a filter finds, the same on both databases.

use std::{collections::BTreeSet, sync::Arc};

use jeton::{
    domain::{
        Audience, ClientId, ClientState, Clock, Label, Labels, OsRandom, Scope, SystemClock,
        Timestamp,
    },
    registry::{ClientUpdate, NewClient, NewSecret, Registry},
    store::{ClientFilter, Retirement},
};

use crate::support::{
    Database, Kind,
    node::{CHEAP, audiences, new_client, operator},
};

async fn found(registry: &Registry, filter: ClientFilter) -> Vec<String> {
    let listed = registry.list_clients(&filter).await.unwrap();
    listed.into_iter().map(|record| record.unwrap().client.client_id.to_string()).collect()
}

/// Three clients that differ in everything that a filter can ask for.
async fn world(database: &Database) -> Registry {
    let store = database.migrated().await;
    let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
    let registry = Registry::open(store, clock, random, CHEAP, operator()).await.unwrap();
    let scopes = |names: &[&str]| Scope::parse_set(names).unwrap();
    let orders = NewClient {
        name: "Größe of ORDERS".to_owned(),
        scopes: scopes(&["orders.read", "orders.write"]),
        ..new_client("Orders-1")
    };
    let stock = NewClient {
        scopes: scopes(&["orders.read.all"]),
        audiences: audiences(&["https://stock.test", "urn:x"]),
        serves: audiences(&["https://api.test"]),
        ..new_client("stock_1")
    };
    let expired =
        NewSecret { expires_at: Some(Timestamp::from_unix_micros(1)), ..NewSecret::default() };
    registry.create_client(orders, NewSecret::default()).await.unwrap();
    registry.create_client(stock, expired).await.unwrap();
    let (_, secret) =
        registry.create_client(new_client("stockX1"), NewSecret::default()).await.unwrap();
    let last = id("stockX1");
    registry.retire_secret(&last, secret.id(), Retirement::Retired).await.unwrap();
    registry.set_client_state(&last, ClientState::Disabled).await.unwrap();
    let update = ClientUpdate {
        labels: Some(Labels::parse(["team=payments", "tier=1"]).unwrap()),
        owner: Some("Ada".to_owned()),
        ..ClientUpdate::default()
    };
    registry.update_client(&id("Orders-1"), &update, None).await.unwrap();
    let labels = Labels::parse(["team=payments-eu", "tier=1"]).unwrap();
    let update = ClientUpdate { labels: Some(labels), ..ClientUpdate::default() };
    registry.update_client(&last, &update, None).await.unwrap();
    registry
}

fn id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_finds_what_it_names_and_nothing_similar() {
    const ALL: &[&str] = &["Orders-1", "stockX1", "stock_1"];
    let text = |text: &str| ClientFilter { text: Some(text.to_owned()), ..Default::default() };
    let scope = |scope: &str| ClientFilter {
        scope: Some(Scope::parse(scope).unwrap()),
        ..Default::default()
    };
    let audience = |name: &str| ClientFilter {
        audience: Some(Audience::parse(name).unwrap()),
        ..Default::default()
    };
    let labels = |labels: &[&str]| ClientFilter {
        labels: labels.iter().map(|label| Label::parse(label).unwrap()).collect(),
        ..Default::default()
    };
    let owner = |name: &str| ClientFilter { owner: Some(name.to_owned()), ..Default::default() };
    let state = |state| ClientFilter { state: Some(state), ..Default::default() };
    let serves = Some(Audience::parse("https://api.test").unwrap());
    let without_live_secret_at = Some(SystemClock.now());
    let rows: [(ClientFilter, &[&str]); 23] = [
        (ClientFilter::default(), ALL),
        (text("sToCk"), &["stockX1", "stock_1"]),
        (text("stock_"), &["stock_1"]),
        (text("%"), &[]),
        (text("of orders"), &["Orders-1"]),
        (text("größe"), &["Orders-1"]),
        (state(ClientState::Disabled), &["stockX1"]),
        (state(ClientState::Active), &["Orders-1", "stock_1"]),
        (scope("orders.read"), &["Orders-1"]),
        (scope("orders.read.all"), &["stock_1"]),
        (scope("read"), &["stockX1"]),
        (audience("urn:x"), &["stock_1"]),
        (audience("urn"), &[]),
        (ClientFilter { serves, ..Default::default() }, &["stock_1"]),
        (labels(&["team=payments"]), &["Orders-1"]),
        (labels(&["tier=1"]), &["Orders-1", "stockX1"]),
        (labels(&["tier=1", "team=payments-eu"]), &["stockX1"]),
        (labels(&["tier=1", "team=none"]), &[]),
        (labels(&["team="]), &[]),
        (owner("Ada"), &["Orders-1"]),
        (owner("ada"), &[]),
        (ClientFilter { without_live_secret_at, ..Default::default() }, &["stockX1", "stock_1"]),
        (
            ClientFilter { without_live_secret_at, state: Some(ClientState::Active), ..text("1") },
            &["stock_1"],
        ),
    ];
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let registry = world(&database).await;
        for (filter, expected) in &rows {
            assert_eq!(found(&registry, filter.clone()).await, *expected, "{kind:?}: {filter:?}");
        }
    }
}

/// More clients than a page has, of which the filter leaves some.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_reaches_over_all_pages() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let registry = world(&database).await;
        let (id, numbers) = match kind {
            Kind::Postgres => ("gen_random_uuid()", "generate_series(1, 1200) as n(value)"),
            Kind::Sqlite => (
                "randomblob(16)",
                "(with recursive n(value) as (select 1 union all select value + 1 from n
                  where value < 1200) select value from n)",
            ),
        };
        let many = format!(
            "insert into client (id, client_id, owner, created_at)
             select {id}, 'many-' || value, case when value % 2 = 0 then 'even' else '' end,
                    (select created_at from installation)
             from {numbers}"
        );
        database.execute_all(&many).await;
        let even = ClientFilter { owner: Some("even".to_owned()), ..Default::default() };
        let names: BTreeSet<_> = found(&registry, even).await.into_iter().collect();
        let expected = (1..=600).map(|n| format!("many-{}", n * 2)).collect();
        assert_eq!(names, expected, "{kind:?}");
    }
}
