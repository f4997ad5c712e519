//! What somebody takes and does not give back, or leaves behind, to stop others.

use std::time::Duration;

use jeton::{
    domain::{Clock, SystemClock},
    store::{MaintainedStore, PostgresOptions, PostgresStore},
};
use sqlx::{Connection, PgConnection};

use super::world::World;
use crate::support::{
    binary::{Served, run, run_json},
    http::post_form,
};

/// What each role holds on to. The numbers are those by which versions of Jeton ever locked.
const HELD: [(&str, &str); 4] = [
    (
        "stranger",
        "begin; select pg_advisory_lock(7160834520117), pg_advisory_lock(7160834520118),
                       pg_advisory_lock(7160834520119); listen jeton_change",
    ),
    (
        "reader",
        "begin; select id from access_token; select label from client_secret;
                select * from client, change, audit, revoked_token",
    ),
    ("operator", "begin; select from client for update; select from client_secret for update"),
    ("service", "begin; select * from access_token, client_secret, installation, change"),
];

/// Not even all of them together stop a node from starting, issuing, answering and revoking.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_stops_a_node_by_a_lock() {
    let world = World::new().await;
    let operator = world.of("operator");
    let create = |name| ["client", "create", "--client-id", name];
    let secret = run_json(&create("orders"), &operator);
    let secret = secret["client_secret"].as_str().unwrap();
    let mut holders: Vec<PgConnection> = Vec::new();
    for (role, statements) in HELD {
        let mut holder = world.connect(role).await;
        sqlx::raw_sql(statements).execute(&mut holder).await.unwrap();
        holders.push(holder);
    }
    let served = Served::start(&world.of("service"), &["--no-migrate", "--log", "debug"]);
    served.until("finished a round of upkeep");
    let call = async |path: &str, form: &str| {
        let answer = post_form(served.http, path, "orders", secret, form).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer
    };
    let issued = call("/oauth2/token", "grant_type=client_credentials").await.json();
    let token = format!("token={}", issued["access_token"].as_str().unwrap());
    assert_eq!(call("/oauth2/introspect", &token).await.json()["active"], true);
    call("/oauth2/revoke", &token).await;
    assert_eq!(call("/oauth2/introspect", &token).await.json()["active"], false);
    assert!(run(&create("stock"), &operator).status.success());
    let disabled = run(&["client", "disable", "--yes", "stock"], &operator);
    assert!(disabled.status.success(), "{}", String::from_utf8_lossy(&disabled.stderr));
    let options = PostgresOptions::waiting(Duration::from_secs(5));
    let store = PostgresStore::at(&world.of("service").url, 1, options).unwrap();
    let days = SystemClock.now().plus(Duration::from_hours(48));
    assert_ne!(store.upkeep(days, 90).await.unwrap().partitions_made, 0);
    for holder in holders {
        holder.close().await.unwrap();
    }
}

/// Postgres lets each role change its own settings and password, which stops whoever logs in as it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_login_of_its_own_is_not_stopped_through_that_of_another() {
    let world = World::new().await;
    let secret = run_json(&["client", "create", "--client-id", "orders"], &world.of("operator"));
    let secret = secret["client_secret"].as_str().unwrap();
    let service = world.roles.name("service");
    let left = format!(
        "alter role {service} set default_transaction_read_only = on;
         alter role {service} set search_path = pg_temp;
         alter role {service} set statement_timeout = '1ms';
         alter role {service} password 'another'"
    );
    let other = world.roles.name("member");
    let tried = format!("alter role {other} set default_transaction_read_only = on");
    assert_eq!(world.refusal("service", &tried).await.as_deref(), Some("42501"));
    world.of("service").execute_all(&left).await;
    let served = Served::start(&world.of("member"), &["--no-migrate"]);
    let form = "grant_type=client_credentials";
    let issued = post_form(served.http, "/oauth2/token", "orders", secret, form).await;
    assert_eq!(issued.status, 200);
}
