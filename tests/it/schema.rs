//! The schema as a document, and what it promises of growth.

use std::{collections::BTreeSet, time::Duration};

use jeton::domain::{Clock, SystemClock};
use sqlx::{Connection, PgConnection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::support::{Database, Kind, TestNode, TestNodeOptions};

async fn texts(connection: &mut PgConnection, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(connection).await.unwrap()
}

#[tokio::test]
async fn every_table_and_column_is_explained_and_every_constraint_is_named() {
    let database = Database::new(Kind::Postgres).await;
    database.migrated().await;
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    let silent = texts(
        &mut admin,
        "select format('%s.%s', relname, coalesce(attname, '*'))
         from pg_class
         left join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
           and not relispartition and relname <> '_sqlx_migrations'
           and (coalesce(col_description(pg_class.oid, attnum), '') = ''
                or coalesce(obj_description(pg_class.oid, 'pg_class'), '') = '')",
    );
    assert_eq!(silent.await, [""; 0]);
    // Postgres itself would have named them by table, column and kind.
    let unnamed = texts(
        &mut admin,
        "select conname::text from pg_constraint
         join pg_class on pg_class.oid = conrelid
         where connamespace = 'public'::regnamespace and not relispartition and contype <> 'n'
           and relname <> '_sqlx_migrations' and conname ~ '_(key|check|fkey|pkey|excl)[0-9]*$'",
    );
    assert_eq!(unnamed.await, [""; 0]);
}

#[tokio::test]
async fn both_databases_have_the_same_tables_and_columns() {
    let (postgres, sqlite) =
        (Database::new(Kind::Postgres).await, Database::new(Kind::Sqlite).await);
    postgres.migrated().await;
    sqlite.migrated().await;
    let mut connection = PgConnection::connect(&postgres.url).await.unwrap();
    let of_postgres = texts(
        &mut connection,
        "select format('%s.%s', relname, attname) from pg_attribute
         join pg_class on pg_class.oid = attrelid
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
           and not relispartition and attnum > 0 and not attisdropped",
    );
    let file = SqliteConnectOptions::new().filename(sqlite.dir.path().join("jeton.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    let of_sqlite: Vec<String> = sqlx::query_scalar(
        "select sqlite_schema.name || '.' || pragma_table_info.name
         from sqlite_schema, pragma_table_info(sqlite_schema.name)
         where sqlite_schema.type = 'table'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let set = |columns: Vec<String>| columns.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(of_postgres.await), set(of_sqlite));
}

/// A look-up by id goes to one partition, by its primary key, however many there are.
#[tokio::test]
async fn a_token_is_looked_up_in_the_one_partition_of_its_time() {
    let database = Database::new(Kind::Postgres).await;
    let url = database.url.clone();
    let node = TestNode::on(database, TestNodeOptions::default()).await;
    let caller = node.client("orders").await;
    let token = node.issue(&caller).await.unwrap().access_token;
    let id = node.introspect(&caller, &token).await.unwrap().token_id;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let plan = sqlx::AssertSqlSafe(format!("explain select * from access_token where id = '{id}'"));
    let plan: Vec<String> = sqlx::query_scalar(plan).fetch_all(&mut admin).await.unwrap();
    let plan = plan.join("\n");
    let partitions = texts(
        &mut admin,
        "select inhrelid::regclass::text from pg_inherits
         where inhparent = 'access_token'::regclass order by 1",
    );
    let partitions = partitions.await;
    assert!(partitions.len() >= 5, "{partitions:?}");
    let named = partitions.iter().filter(|partition| plan.contains(*partition)).count();
    assert_eq!(named, 1, "{plan}");
    let row = sqlx::query("select tableoid::regclass::text as partition from access_token")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert!(plan.contains(&row.get::<String, _>("partition")), "{plan}");
}

/// The rate of issuing decides how large a partition is, and nothing else grows: what is dead goes
/// as a whole, and no statement updates or deletes a token.
#[tokio::test]
async fn dead_partitions_are_dropped_and_no_token_is_deleted() {
    let database = Database::new(Kind::Postgres).await;
    let url = database.url.clone();
    let node = TestNode::on(database, TestNodeOptions::default()).await;
    let caller = node.client("orders").await;
    for _ in 0..20 {
        node.issue(&caller).await.unwrap();
    }
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let long_ago = SystemClock.now().minus(Duration::from_hours(96));
    assert!(node.store.upkeep(long_ago).await.unwrap().partitions_made > 0);
    let done = node.store.upkeep(SystemClock.now()).await.unwrap();
    assert!(done.partitions_dropped > 0, "{done:?}");
    assert_eq!(node.store.upkeep(SystemClock.now()).await.unwrap().partitions_made, 0);
    sqlx::query("select pg_stat_force_next_flush()").execute(&mut admin).await.ok();
    let touched: i64 = sqlx::query_scalar(
        "select coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint from pg_stat_user_tables
         where relname like 'access_token%'",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(touched, 0);
}
