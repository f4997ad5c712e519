//! Rights in the database: what each role may do, and that no role may do more.

mod before;
mod commands;
mod control;
mod days;
mod keeping;
mod locks;
mod matrix;
mod shadows;
mod tokens;
mod world;

use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection};

use self::world::World;
use crate::support::{Database, Kind};

async fn texts(database: &Database, query: &'static str) -> Vec<String> {
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    sqlx::query_scalar(query).fetch_all(&mut admin).await.unwrap()
}

/// Every function there is, so that a migration that adds one has to guard it as well.
#[tokio::test(flavor = "multi_thread")]
async fn no_function_trusts_the_path_of_its_caller_or_is_for_everybody() {
    let database = Database::new(Kind::Postgres).await;
    database.migrated().await;
    let unguarded = texts(
        &database,
        "select format('%s %s', pg_proc.oid::regprocedure, proconfig)
         from pg_proc
         where pronamespace = 'public'::regnamespace
           and ('search_path=pg_catalog, public, pg_temp' = any (proconfig)) is not true",
    );
    assert_eq!(unguarded.await, [""; 0], "call guard_functions in the migration");
    let public = texts(
        &database,
        "select pg_proc.oid::regprocedure::text from pg_proc
         where pronamespace = 'public'::regnamespace
           and (proacl is null
                or exists (select from aclexplode(proacl) where grantee = 0))",
    );
    assert_eq!(public.await, [""; 0], "call guard_functions in the migration");
    // A trigger runs for whoever may edit the row, and calls what that role may not call.
    let powerless = texts(
        &database,
        "select distinct tgfoid::regprocedure::text from pg_trigger
         join pg_proc on pg_proc.oid = tgfoid where not tgisinternal and not prosecdef",
    );
    assert_eq!(powerless.await, [""; 0]);
    let allowed: BTreeSet<_> = texts(
        &database,
        "select kind || ' ' || privilege_type
         from (select 'schema' as kind, nspacl as acl from pg_namespace where nspname = 'public'
               union all
               select 'database', datacl from pg_database where datname = current_database()) as of
         cross join aclexplode(acl) where grantee = 0",
    )
    .await
    .into_iter()
    .collect();
    let expected = ["database CONNECT", "schema USAGE"].map(str::to_owned);
    assert_eq!(allowed, BTreeSet::from(expected));
}

/// Every table there is. Whoever may update, delete or truncate as a whole may also lock, and keep
/// all others from reading; so even what a role may change is granted by columns.
#[tokio::test(flavor = "multi_thread")]
async fn no_role_may_lock_a_table_or_change_one_as_a_whole() {
    let world = World::new().await;
    let granted = format!(
        "select coalesce(string_agg(format('%s: %s on %s', role, of, relname), ', '), '')
         from pg_class
         cross join unnest(array['{}', '{}', '{}', '{}', 'public']) as role
         cross join unnest(array['update', 'delete', 'truncate', 'references', 'trigger']) as of
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')
           and has_table_privilege(role, pg_class.oid, of)",
        world.roles.name("service"),
        world.roles.name("operator"),
        world.roles.name("reader"),
        world.roles.name("stranger"),
    );
    assert_eq!(world.ask::<String>(&granted).await, "");
    let sequences = format!(
        "select coalesce(string_agg(format('%s: %s', role, relname), ', '), '')
         from pg_class cross join unnest(array['{}', '{}', '{}']) as role
         where relnamespace = 'public'::regnamespace and relkind = 'S'
           and has_sequence_privilege(role, pg_class.oid, 'usage, select, update')",
        world.roles.name("service"),
        world.roles.name("operator"),
        world.roles.name("reader"),
    );
    assert_eq!(world.ask::<String>(&sequences).await, "");
}

/// Every table and column there is: a new one is for nobody until somebody says for whom.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_secret_is_read_by_those_who_need_it_and_no_table_is_forgotten() {
    let world = World::new().await;
    let secret = [
        "client_secret.hash",
        "client_secret.foreign_hash",
        "access_token.digest",
        "deleted_client.secrets",
        "installation.tag_key",
        "installation.next_tag_key",
        "installation.previous_tag_key",
        "node.id",
    ];
    let mut found = BTreeSet::new();
    for role in ["service", "operator", "reader", "stranger"] {
        let hidden = format!(
            "select coalesce(string_agg(format('%s.%s', relname, attname), ' '
                                        order by relname, attname), '')
             from pg_class join pg_attribute on attrelid = pg_class.oid
             where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
               and not relispartition and attnum > 0 and not attisdropped
               and not has_column_privilege('{}', pg_class.oid, attnum, 'select')",
            world.roles.name(role)
        );
        let hidden: String = world.ask(&hidden).await;
        let hidden: BTreeSet<_> = hidden.split(' ').map(str::to_owned).collect();
        let seen = secret.into_iter().filter(|column| !hidden.contains(*column));
        found.extend(seen.map(|column| format!("{role} {column}")));
        // Who is to see everything else.
        if role == "reader" {
            assert_eq!(hidden, BTreeSet::from(secret.map(str::to_owned)), "grant it in roles.sql");
        }
    }
    let expected = [
        "service client_secret.hash",
        "service client_secret.foreign_hash",
        "service access_token.digest",
        "service installation.tag_key",
        "service installation.next_tag_key",
        "service installation.previous_tag_key",
        "operator installation.tag_key",
        "operator installation.next_tag_key",
        "operator installation.previous_tag_key",
    ];
    assert_eq!(found, BTreeSet::from(expected.map(str::to_owned)));
}
