//! The schema as a document, and what it promises of growth.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jeton::domain::{Clock, ManualClock, OsRandom, SystemClock, Timestamp, uuid_v7};
use sqlx::{Connection, PgConnection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use time::OffsetDateTime;

use crate::support::{Database, Kind, TestNode, TestNodeOptions, http::get, node::NO_CACHE};

async fn texts(connection: &mut PgConnection, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
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

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_the_same_tables_and_columns() {
    let (postgres, sqlite) =
        (Database::new(Kind::Postgres).await, Database::new(Kind::Sqlite).await);
    postgres.migrated().await;
    sqlite.migrated().await;
    let mut connection = PgConnection::connect(&postgres.url).await.unwrap();
    let of_postgres = texts(
        &mut connection,
        "select format('%s.%s %s', relname, attname,
                       case when attnotnull then 'required' else 'optional' end)
         from pg_attribute join pg_class on pg_class.oid = attrelid
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
           and not relispartition and attnum > 0 and not attisdropped",
    );
    let file = SqliteConnectOptions::new().filename(sqlite.dir.path().join("jeton.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    let of_sqlite: Vec<String> = sqlx::query_scalar(
        "select format('%s.%s %s', sqlite_schema.name, pragma_table_info.name,
                       iif(\"notnull\" or pk, 'required', 'optional'))
         from sqlite_schema, pragma_table_info(sqlite_schema.name)
         where sqlite_schema.type = 'table' and sqlite_schema.name not like 'sqlite%'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    // SQLite has no list of nodes, since what a node caches there holds for a moment only, no
    // partitions, and no roles of which one may make a client and must not bring one back. Postgres
    // has no REPLACE.
    let own = ["node.", "token_partition.", "deleted_key.", "replaced_row."];
    let set = |columns: Vec<String>| {
        let is_shared = |column: &String| !own.iter().any(|table| column.starts_with(table));
        columns.into_iter().filter(is_shared).collect::<BTreeSet<_>>()
    };
    assert_eq!(set(of_postgres.await), set(of_sqlite));
}

/// A look-up by id goes to one partition, by its primary key, however many there are.
#[tokio::test(flavor = "multi_thread")]
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

/// The id of a token says when it was issued, and so does the name of its partition.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_lies_in_the_partition_of_its_time() {
    let database = Database::new(Kind::Postgres).await;
    database.migrated().await;
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    let width = 6 * 3_600 * 1_000_000;
    let start = SystemClock.now().unix_micros() / width * width;
    for micros in [start, start + 1, start - 1, start + width - 1, start + width] {
        let id = uuid_v7(Timestamp::from_unix_micros(micros), &OsRandom).unwrap();
        let insert = "insert into access_token
            values ($1, sha256('x'), $1, $1, '{}', '{}', now(), now() + interval '1 hour')
            returning tableoid::regclass::text";
        let home: String = sqlx::query_scalar(insert).bind(id).fetch_one(&mut admin).await.unwrap();
        let moment = OffsetDateTime::from_unix_timestamp(micros.div_euclid(1_000_000)).unwrap();
        let (date, hour) = (moment.date(), moment.hour() / 6 * 6);
        let (year, month, day) = date.to_calendar_date();
        let month = u8::from(month);
        assert_eq!(home, format!("access_token_{year:04}{month:02}{day:02}t{hour:02}"));
    }
}

/// What Postgres counts for each partition: how often its index was asked, and it was read as a
/// whole.
async fn scans(admin: &mut PgConnection) -> BTreeMap<String, (i64, i64)> {
    let rows = sqlx::query(
        "select relname::text, coalesce(idx_scan, 0), seq_scan from pg_stat_user_tables
         where relname like 'access\\_token\\_%'",
    );
    let rows = rows.fetch_all(admin).await.unwrap();
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

/// The same once everything is counted: before version 15 that is a little later than it happened.
async fn settled(admin: &mut PgConnection) -> BTreeMap<String, (i64, i64)> {
    let version = "select current_setting('server_version_num')::int";
    let version: i32 = sqlx::query_scalar(version).fetch_one(&mut *admin).await.unwrap();
    let mut counts = scans(admin).await;
    if version < 150_000 {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = std::mem::replace(&mut counts, scans(admin).await);
            if before == counts {
                break;
            }
        }
    }
    counts
}

/// A backend tells what it counted at the latest when it ends.
async fn drained(node: TestNode, admin: &mut PgConnection) {
    let TestNode { node, store, .. } = node;
    node.drain().await;
    store.close().await;
    let others = "select count(*) from pg_stat_activity
                  where datname = current_database() and pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *admin).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The statement of the node itself, once its plan is no longer made anew for each id.
#[tokio::test(flavor = "multi_thread")]
async fn introspection_asks_the_index_of_one_partition_and_reads_no_table_as_a_whole() {
    const TIMES: i64 = 30;
    let database = Database::new(Kind::Postgres).await;
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    // The clock stands still, so that no partition is made between the two counts.
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let options = || TestNodeOptions {
        clock: Arc::<ManualClock>::clone(&clock),
        cache: NO_CACHE,
        ..TestNodeOptions::default()
    };
    let node = TestNode::on(database.shared(), options()).await;
    let caller = node.client("orders").await;
    let token = node.issue(&caller).await.unwrap().access_token;
    // This reads every partition as a whole, and is counted when its connection ends: before the
    // first count, while the connection that counts would tell of it at some time between the two.
    let mut finder = PgConnection::connect(&database.url).await.unwrap();
    let home = "select tableoid::regclass::text from access_token";
    let home: String = sqlx::query_scalar(home).fetch_one(&mut finder).await.unwrap();
    finder.close().await.unwrap();
    drained(node, &mut admin).await;

    let before = settled(&mut admin).await;
    let node = TestNode::on(database.shared(), options()).await;
    for _ in 0..TIMES {
        assert!(node.introspect(&caller, &token).await.unwrap().active);
    }
    drained(node, &mut admin).await;
    let after = settled(&mut admin).await;
    for (partition, (by_index, as_a_whole)) in after {
        let expected = if partition == home { TIMES } else { 0 };
        assert_eq!(by_index - before[&partition].0, expected, "{partition}");
        assert_eq!(as_a_whole - before[&partition].1, 0, "{partition}");
    }
}

/// No look-up reads a table as a whole, and deleting a client does not search all secrets.
#[tokio::test(flavor = "multi_thread")]
async fn every_table_has_a_primary_key_and_every_reference_an_index() {
    let database = Database::new(Kind::Postgres).await;
    database.migrated().await;
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    let without = texts(
        &mut admin,
        "select relname::text from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
           and not exists (select from pg_index where indrelid = pg_class.oid
                               and indisprimary and indisvalid)",
    );
    assert_eq!(without.await, [""; 0]);
    let without = texts(
        &mut admin,
        "select conname::text from pg_constraint
         where contype = 'f' and not exists (
             select from pg_index where indrelid = conrelid and indisvalid
                 and (indkey::int2[])[0:cardinality(conkey) - 1] @> conkey)",
    );
    assert_eq!(without.await, [""; 0]);

    let database = Database::new(Kind::Sqlite).await;
    database.migrated().await;
    let file = SqliteConnectOptions::new().filename(database.dir.path().join("jeton.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    for sought in [
        "client where id = x''",
        "client where client_id = ''",
        "client_secret where id = x''",
        "client_secret where client = x''",
        "access_token where id = x''",
        "access_token where id < x''",
        "revoked_token where id = x''",
    ] {
        let plan = sqlx::AssertSqlSafe(format!("explain query plan select * from {sought}"));
        let step: String =
            sqlx::query(plan).fetch_one(&mut connection).await.unwrap().get("detail");
        assert!(step.starts_with("SEARCH"), "{sought}: {step}");
    }
}

/// A view that forgets a column would leave its changes out of the audit trail.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_views_of_sqlite_show_every_column() {
    let database = Database::new(Kind::Sqlite).await;
    database.migrated().await;
    let file = SqliteConnectOptions::new().filename(database.dir.path().join("jeton.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "select t.name, c.name, v.sql
         from sqlite_schema t, pragma_table_info(t.name) c, sqlite_schema v
         where t.type = 'table' and v.type = 'view' and v.name = 'audited_' || t.name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(columns.iter().any(|(table, ..)| table == "client"), "{columns:?}");
    for (table, column, view) in columns {
        // Hashes and keys are not shown, and the key of a single row says nothing.
        let is_shown = view.contains(&format!("'{column}'"));
        let is_hidden = matches!(&*column, "singleton" | "hash" | "foreign_hash");
        assert!(is_shown || is_hidden, "{table}.{column}: {view}");
    }
    // The trigger of a deletion names the columns once more, but for the two that the row itself has.
    let missing: Vec<String> = sqlx::query_scalar(
        "select c.name from pragma_table_info('client') c, sqlite_schema d
         where d.name = 'client_removal_is_audited' and c.name not in ('id', 'client_id')
           and instr(d.sql, '''' || c.name || ''', old.' || c.name) = 0",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(missing, [""; 0]);
}

/// Waits for the first round of the node's own upkeep, which would drop partitions as well.
async fn first_upkeep(node: &TestNode) {
    let page = async || get(node.node.probe_addr(), "/metrics").await.body;
    while !String::from_utf8_lossy(&page().await).contains("jeton_upkeep_rounds_total{") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A reader holds up the drop, and not the drop the reader; what lives and what is not ours stays.
#[tokio::test(flavor = "multi_thread")]
async fn only_dead_partitions_that_nobody_reads_are_dropped() {
    let database = Database::new(Kind::Postgres).await;
    let url = database.url.clone();
    let node = TestNode::on(database, TestNodeOptions::default()).await;
    first_upkeep(&node).await;
    let caller = node.client("orders").await;
    let token = node.issue(&caller).await.unwrap().access_token;
    let long_ago = SystemClock.now().minus(Duration::from_hours(96));
    let made = node.store.upkeep(long_ago, 90).await.unwrap().partitions_made;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let foreign = "create table access_token_of_old partition of access_token
                   for values from ('00000000-0000-0000-0000-000000000000')
                              to ('00000000-0000-0000-0000-000000000001')";
    sqlx::query(foreign).execute(&mut admin).await.unwrap();

    let mut reading = admin.begin().await.unwrap();
    sqlx::query("select from access_token").execute(&mut *reading).await.unwrap();
    let done = node.store.upkeep(SystemClock.now(), 90).await.unwrap();
    assert_eq!(done.expired_partitions_dropped, 0, "while they are read");
    assert!(node.introspect(&caller, &token).await.unwrap().active);
    reading.rollback().await.unwrap();
    // A clock that is far ahead does not decide what is dead.
    let far_ahead = SystemClock.now().plus(Duration::from_hours(24 * 365));
    let done = node.store.upkeep(far_ahead, 90).await.unwrap();
    assert_eq!(done.expired_partitions_dropped, made);
    assert!(node.introspect(&caller, &token).await.unwrap().active);
    node.issue(&caller).await.unwrap();
    sqlx::query("select from access_token_of_old").execute(&mut admin).await.unwrap();
}

/// The rate of issuing decides how large a partition is, and nothing else grows: what is dead goes
/// as a whole, and no statement updates or deletes a token.
#[tokio::test(flavor = "multi_thread")]
async fn dead_partitions_are_dropped_and_no_token_is_deleted() {
    let database = Database::new(Kind::Postgres).await;
    let url = database.url.clone();
    let node = TestNode::on(database, TestNodeOptions::default()).await;
    first_upkeep(&node).await;
    let caller = node.client("orders").await;
    for _ in 0..20 {
        node.issue(&caller).await.unwrap();
    }
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let long_ago = SystemClock.now().minus(Duration::from_hours(96));
    assert!(node.store.upkeep(long_ago, 90).await.unwrap().partitions_made > 0);
    let done = node.store.upkeep(SystemClock.now(), 90).await.unwrap();
    assert!(done.expired_partitions_dropped > 0, "{done:?}");
    assert_eq!(node.store.upkeep(SystemClock.now(), 90).await.unwrap().partitions_made, 0);
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
