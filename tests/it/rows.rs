//! One row that cannot be read fails alone, whatever somebody has written into it by hand.

mod commands;
mod many;
mod nodes;
mod values;
mod world;

use jeton::{
    domain::{AuditReader, ClientRecord, ClientState, Tampered},
    registry::{NewClient, NewSecret, Registry},
    store::{ClientFilter, Store},
};
use serde_json::Value;
use tonic::Code;
use uuid::Uuid;

use crate::support::{
    Database, Kind,
    binary::run,
    node::{Credentials, audiences, new_client},
};
use values::claims;
use world::{Editor, LEFT_OUT, OF_NODES, TABLES, World, uuid};

/// Who is not touched: an owner with a token, and the resource server that asks about tokens.
struct Neighbours {
    good: Credentials,
    token: String,
    server: Credentials,
}

impl Neighbours {
    async fn of(world: &World) -> Self {
        let good = world.register(new_client("good")).await;
        let new = new_client("server");
        let new = NewClient { serves: audiences(&["https://api.test"]), ..new };
        let server = world.register(new).await;
        Self { token: world.issue(&good).await, good, server }
    }

    /// Asks about a token among others, at once: whether that one is active, and the others are.
    async fn ask(&self, world: &World, token: &str, what: &str) -> (bool, bool) {
        let (one, other, asked) = tokio::join!(
            world.introspect(&self.server, &self.token),
            world.introspect(&self.good, &self.token),
            world.introspect(&self.server, token),
        );
        let [one, other, asked] = [one, other, asked].map(|answer| {
            let answered = answer.map_err(|status| {
                assert_eq!(status.code(), Code::Internal, "{what}: {status:?}");
            });
            answered.ok()
        });
        // A node whose lease has just run out asks the database for tag keys that it cannot read,
        // while a call a moment before it still had those of the cache.
        if let (Some(one), Some(other)) = (one, other) {
            assert_eq!(one, other, "{what}");
        }
        (asked.unwrap_or(false), one.or(other).unwrap_or(false))
    }
}

/// Every value in a column of the rows of clients and tokens, each in the rows of a client of its
/// own, which stay as they are. How many values were tried and how many the database refused.
async fn try_column(
    world: &mut World,
    neighbours: &Neighbours,
    (table, column, of_type): (&str, &str, &str),
) -> (usize, usize) {
    let (mut victims, mut refused) = (Vec::new(), 0);
    let name = format!("{table}.{column}");
    let (active, authenticates) = claims(&name);
    for (value, literal) in values::of(world.kind, of_type) {
        let what = format!("{name} = {value}, {:?}", world.kind);
        let client_id = format!("{name}-{}", victims.len() + refused);
        let victim = world.register(new_client(&client_id)).await;
        let token = world.issue(&victim).await;
        if table == "revoked_token" {
            world.revoke(&victim, &token).await.unwrap();
        }
        let edit = format!(
            "update {table} set {column} = {literal} where {}",
            rows_of(table, world.kind, &victim)
        );
        match world.editor.run(&edit).await {
            Err(_) => {
                refused += 1;
                continue;
            }
            Ok(rows) => assert_eq!(rows, 1, "{what}"),
        }
        let (is_active, others_are) = neighbours.ask(world, &token, &what).await;
        assert!(others_are, "{what}");
        assert_eq!(is_active, active.with(value).unwrap_or(is_active), "{what}");
        let own = world.introspect(&victim, &neighbours.token).await;
        if let Err(status) = &own {
            let codes = [Code::Internal, Code::Unauthenticated];
            assert!(codes.contains(&status.code()), "{what}: {status:?}");
        }
        let expected = authenticates.with(value).unwrap_or(own.is_ok());
        assert_eq!(own.is_ok(), expected, "{what}: {own:?}");
        world.issue(&neighbours.good).await;
        victims.push(victim);
    }
    are_shown(world, neighbours, &victims, &name).await;
    (victims.len(), refused)
}

/// The rows of this client in a table, or of its token.
fn rows_of(table: &str, kind: Kind, victim: &Credentials) -> String {
    let client = uuid(kind, victim.client.key.0);
    match table {
        "client" => format!("id = {client}"),
        "revoked_token" => format!("id = (select id from access_token where client = {client})"),
        _ => format!("client = {client}"),
    }
}

/// The list has all clients, readable or not, and each can be looked at.
async fn are_shown(world: &World, neighbours: &Neighbours, victims: &[Credentials], name: &str) {
    let listed = world.registry.list_clients(&ClientFilter::default()).await.unwrap();
    for neighbour in [&neighbours.good, &neighbours.server] {
        assert!(listed.iter().flatten().any(|record| record.client == neighbour.client), "{name}");
    }
    for victim in victims {
        let id = &victim.client.client_id;
        let is_it = |key: Option<Uuid>, client_id: Option<&str>| {
            key == Some(victim.client.key.0) || client_id == Some(id.as_str())
        };
        let is_listed = listed.iter().any(|record| match record {
            Ok(ClientRecord { client, .. }) => {
                is_it(Some(client.key.0), Some(client.client_id.as_str()))
            }
            Err(row) => is_it(row.id, row.client_id.as_deref()),
        });
        assert!(is_listed, "{id}");
        if name != "client.client_id" {
            let (_, secrets) = world.registry.show_client(id).await.unwrap();
            let is_detached = ["client.id", "client_secret.client"].contains(&name);
            assert_eq!(secrets.len(), usize::from(!is_detached), "{id}");
        }
    }
}

/// Every value in a column of the one row of the installation, which is put right again.
async fn try_installation(
    world: &mut World,
    neighbours: &Neighbours,
    (column, of_type): (&str, &str),
) -> (usize, usize) {
    let (mut tried, mut refused) = (0, 0);
    let (active, issuing) = claims(&format!("installation.{column}"));
    world.editor.run("create table kept as select * from installation").await.unwrap();
    for (name, literal) in values::of(world.kind, of_type) {
        let what = format!("installation.{column} = {name}, {:?}", world.kind);
        let edit = format!("update installation set {column} = {literal}");
        if world.editor.run(&edit).await.is_err() {
            refused += 1;
            continue;
        }
        tried += 1;
        let (_, is_active) = neighbours.ask(world, &neighbours.token, &what).await;
        assert_eq!(is_active, active.with(name).unwrap_or(is_active), "{what}");
        let token = world.try_issue(&neighbours.good).await;
        assert_eq!(token.is_ok(), issuing.with(name).unwrap_or(token.is_ok()), "{what}");
        world.registry.list_clients(&ClientFilter::default()).await.unwrap();
        let restore = "delete from installation; insert into installation select * from kept";
        world.editor.run(restore).await.unwrap();
    }
    world.editor.run("drop table kept").await.unwrap();
    (tried, refused)
}

async fn every_column(kind: Kind) {
    let mut world = World::new(kind, async |_| {}).await;
    if kind == Kind::Sqlite {
        // They make JSON, which takes no blobs and would refuse them.
        world.editor.drop_triggers_of_the_trail().await;
    }
    // As after a restore: one more, and the largest generation of a client has no sum.
    world.editor.run("update installation set generation = 1").await.unwrap();
    let neighbours = Neighbours::of(&world).await;
    let (mut tried, mut refused) = (0, 0);
    for table in TABLES.into_iter().filter(|table| *table != "audit") {
        for (column, of_type) in world.editor.columns(table).await {
            let (more, others) = if table == "installation" {
                try_installation(&mut world, &neighbours, (&column, &of_type)).await
            } else {
                try_column(&mut world, &neighbours, (table, &column, &of_type)).await
            };
            assert!(more > 0 || column == "id", "{table}.{column}: nothing was tried");
            (tried, refused) = (tried + more, refused + others);
        }
    }
    // Types and keys still refuse some, more so on Postgres.
    assert!(tried > 150 && refused < tried / 2, "{kind:?}: {tried} tried, {refused} refused");
    // All of those are still there: the command lists them beside the others.
    let output = run(&["client", "list", "--json"], &world.database);
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let named = |name| listed.iter().any(|client| client["client_id"] == name);
    assert!(named("good") && named("server"), "{kind:?}");
    assert!(listed.iter().any(|client| client["unreadable"].is_string()), "{kind:?}");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    world.end();
}

/// A table that a migration adds has to be tried, or be named among those that are not read.
#[tokio::test(flavor = "multi_thread")]
async fn no_table_is_forgotten() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        database.migrated().await.close().await;
        let tables = Editor::of(&database).await.tables().await;
        let known = [&TABLES[..], &OF_NODES, &LEFT_OUT].concat();
        let forgotten = tables.iter().find(|table| !known.contains(&table.as_str()));
        assert_eq!(forgotten, None, "{kind:?}");
        assert!(tables.len() > TABLES.len(), "{tables:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_a_column_harms_only_its_own_client_on_postgres() {
    every_column(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_a_column_harms_only_its_own_client_on_sqlite() {
    every_column(Kind::Sqlite).await;
}

/// Reads the trail as the command does.
async fn verify(store: &dyn Store) -> Result<(), String> {
    let mut reader = AuditReader::default();
    loop {
        let page = store.audit_after(reader.position(), 2).await.unwrap();
        if page.is_empty() {
            return reader.finish().map(drop).map_err(|tampered| tampered.to_string());
        }
        for entry in page {
            let entry = entry.map_err(|row| row.to_string())?;
            reader.read(entry).map_err(|tampered: Tampered| tampered.to_string())?;
        }
    }
}

/// Five rows of the trail.
async fn changes(registry: &Registry) {
    let new = (new_client("audited"), NewSecret::default());
    let (client, _) = registry.create_client(new.0, new.1).await.unwrap();
    for state in [ClientState::Disabled, ClientState::Active, ClientState::Disabled] {
        registry.set_client_state(&client.client_id, state).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_a_row_of_the_trail_is_told_and_stops_nothing() {
    for kind in Kind::BOTH {
        let mut world = World::new(kind, changes).await;
        let good = world.register(new_client("good")).await;
        let keep = "create table kept as select * from audit";
        world.editor.run(keep).await.unwrap();
        let rows = world.store.last_of_audit(None, 100).await.unwrap().len();
        let (mut tried, mut refused) = (0, 0);
        for (column, of_type) in world.editor.columns("audit").await {
            for (name, literal) in values::of(kind, &of_type) {
                let what = format!("audit.{column} = {name}, {kind:?}");
                let edit = format!(
                    "update audit set {column} = {literal}
                     where seq = 3 and {column} is distinct from {literal}"
                );
                match world.editor.run(&edit).await {
                    Err(_) => refused += 1,
                    // That is what stood there.
                    Ok(0) => {}
                    Ok(_) => {
                        tried += 1;
                        let why = verify(world.store.as_ref()).await.unwrap_err();
                        assert!(why.contains("row 3") || column == "seq", "{what}: {why}");
                        let listed = world.store.last_of_audit(None, 100).await.unwrap();
                        assert_eq!(listed.len(), rows, "{what}");
                        assert!(listed.iter().flatten().count() >= rows - 1, "{what}");
                        if column != "seq" {
                            let id = &good.client.client_id;
                            world.registry.revoke_tokens(id).await.unwrap();
                        }
                        let restore = "delete from audit; insert into audit select * from kept";
                        world.editor.run(restore).await.unwrap();
                    }
                }
            }
        }
        assert!(tried > 40 && refused < tried / 2, "{kind:?}: {tried} tried, {refused} refused");
        assert_eq!(verify(world.store.as_ref()).await, Ok(()));
        world.end();
    }
}
