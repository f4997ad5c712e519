//! Things of one's own under the names of things that the functions of the owner use: temporary
//! tables, operators and functions. They would run with the rights of the owner, or be written to
//! in the place of the real ones.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::world::World;

/// What somebody does who may edit clients and secrets and nothing else.
struct Attack {
    what: &'static str,
    /// What is put in the way. `EDITOR` is the role.
    shadow: &'static str,
    /// What is changed then, and how that shows.
    change: [&'static str; 2],
    /// What the change must leave behind. False if the attack succeeded.
    promised: &'static str,
}

const DISABLE: [&str; 2] = [
    "update public.client set state = 'disabled'",
    "exists (select from client where state = 'disabled')",
];
const DELETE: [&str; 2] =
    ["delete from public.client_secret", "not exists (select from client_secret)"];
const RENAME: [&str; 2] = [
    "update public.client_secret set label = 'x'",
    "exists (select from client_secret where label = 'x')",
];

/// Code that takes rights if it runs as somebody who has them.
const EVIL: &str = "create function pg_temp.evil() returns trigger language plpgsql as $evil$
    begin
        execute 'grant select on public.installation to EDITOR';
        return null;
    exception when insufficient_privilege then return null;
    end $evil$;";

const NO_RIGHTS: &str = "not has_table_privilege('EDITOR', 'installation', 'select')";
/// Beside the client and its secret, which were announced when they were made.
const IS_ANNOUNCED: &str = "3 = (select count(*) from change where kind = 'client')";

const ATTACKS: [Attack; 6] = [
    Attack {
        what: "a temporary table `change` with a trigger takes rights",
        shadow: "EVIL create temporary table change (kind text, subject uuid);
                 create trigger evil before insert on pg_temp.change
                     for each row execute function pg_temp.evil();",
        change: DISABLE,
        promised: NO_RIGHTS,
    },
    Attack {
        what: "a temporary table `change` swallows an announcement",
        shadow: "create temporary table change (kind text, subject uuid);",
        change: DISABLE,
        promised: IS_ANNOUNCED,
    },
    Attack {
        what: "a temporary table `change` with a trigger rewrites the trail",
        shadow: "create function pg_temp.evil() returns trigger language plpgsql as $evil$
                 begin
                     execute 'alter table public.audit disable trigger user';
                     execute 'delete from public.audit';
                     return null;
                 exception when insufficient_privilege then return null;
                 end $evil$;
                 create temporary table change (kind text, subject uuid);
                 create trigger evil before insert on pg_temp.change
                     for each row execute function pg_temp.evil();",
        change: DISABLE,
        promised: "exists (select from audit where action = 'client.create')",
    },
    Attack {
        what: "an empty temporary table `client` hides that a secret is deleted",
        shadow: "create temporary table client (id uuid, client_id text);",
        change: DELETE,
        promised: "exists (select from audit where action = 'secret.delete')",
    },
    Attack {
        what: "a temporary table `client` forges a name in the trail",
        shadow: "create temporary table client (id uuid, client_id text);
                 insert into pg_temp.client select id, 'innocent' from public.client;",
        change: RENAME,
        promised: "not exists (select from audit where client_id = 'innocent')",
    },
    Attack {
        what: "an operator that fits better takes rights",
        shadow: "create function public.evil(integer, text) returns text language plpgsql as $evil$
                 begin
                     execute 'grant select on public.installation to EDITOR';
                     return '';
                 exception when insufficient_privilege then return '';
                 end $evil$;
                 create operator public.|| (
                     leftarg = integer, rightarg = text, function = public.evil);",
        change: DISABLE,
        promised: NO_RIGHTS,
    },
];

/// What the functions were before: they trusted whatever the caller's path leads to first.
const TRUSTING: &str = r#"
    do $$
    declare ours regprocedure;
    begin
        for ours in select oid from pg_proc where pronamespace = 'public'::regnamespace
                      and proname ~ '^(announce|audit|record)'
        loop
            execute format('alter function %s set search_path = "$user", public', ours);
        end loop;
    end $$;
    create function audit_field(value text) returns text language sql stable as $$
        select coalesce(octet_length(convert_to(value, 'UTF8')) || ':' || value, '-')
    $$;
    create or replace function audit_hash(previous bytea, entry audit) returns bytea
        language sql stable as $$
        select sha256(previous || convert_to(
            audit_field(entry.client_id) || audit_field(entry.detail::text), 'UTF8'))
    $$;"#;

/// Whether what was changed is changed, and what was promised is there after the attack.
async fn outcome(world: &World, attack: &Attack) -> (bool, bool) {
    let editor = world.roles.name("stranger");
    let fill = |text: &str| text.replace("EVIL", EVIL).replace("EDITOR", &editor);
    // A server on which anybody may make temporary tables, and objects in `public`, as it was up to
    // Postgres 14.
    let database: String = world.ask("select current_database()::text").await;
    world
        .database
        .execute_all(&format!(
            "grant temporary on database {database} to public;
             grant create on schema public to public;
             grant select, insert, update, delete on client, client_secret to {editor};
             insert into client (id, client_id) values (gen_random_uuid(), 'orders');
             insert into client_secret (id, client, hash)
                 select gen_random_uuid(), id, '$argon2id$' from client"
        ))
        .await;
    let mut connection = world.connect("stranger").await;
    // The owner must be able to write to what is put in the way.
    let open = "do $$ begin
        execute coalesce((select string_agg(format('grant all on %s to public', oid::regclass), ';')
                          from pg_class where relnamespace = pg_my_temp_schema()), '');
        end $$;";
    let attempt = format!("{} {open} {}", fill(attack.shadow), attack.change[0]);
    sqlx::raw_sql(AssertSqlSafe(attempt)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let shows = |what: &str| format!("select {}", fill(what));
    (world.ask(&shows(attack.change[1])).await, world.ask(&shows(attack.promised)).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_object_of_somebody_else_is_taken_for_one_of_ours() {
    let mut fell = Vec::new();
    for attack in ATTACKS {
        let (is_changed, is_safe) = outcome(&World::new().await, &attack).await;
        assert!(is_changed, "{}", attack.what);
        println!("{:<68} {}", attack.what, if is_safe { "withstood" } else { "SUCCEEDED" });
        if !is_safe {
            fell.push(attack.what);
        }
    }
    assert_eq!(fell, [""; 0]);
}

/// That the attacks are ones: without the search paths of their own all of them succeed.
#[tokio::test(flavor = "multi_thread")]
async fn functions_that_trust_the_path_of_their_caller_fall_for_every_one_of_them() {
    let mut stood = Vec::new();
    for attack in ATTACKS {
        let world = World::new().await;
        world.database.execute_all(TRUSTING).await;
        if outcome(&world, &attack).await != (true, false) {
            stood.push(attack.what);
        }
    }
    assert_eq!(stood, [""; 0]);
}

/// Tables, functions, operators and types of the names that our functions use, in a schema that the
/// role owns and that its search path names first.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_ones_own_is_not_looked_into() {
    let world = World::new().await;
    let (operator, mut connection) =
        (world.roles.name("operator"), world.connect("operator").await);
    let schema = format!("create schema mine authorization {operator}");
    world.database.execute_all(&schema).await;
    let evil = |name: &str, arguments: &str, returns: &str| {
        format!(
            "create function mine.{name}({arguments}) returns {returns} language plpgsql as $evil$
             begin
                 execute 'grant select on public.client_secret to {operator}';
                 raise exception '{name} ran';
             end $evil$;"
        )
    };
    let attempt = [
        "create table mine.change (kind text, subject uuid);
         create table mine.audit (like public.audit);
         create table mine.client (id uuid, client_id text);
         create domain mine.text as pg_catalog.bytea;
         create domain mine.uuid as pg_catalog.text;
         create domain mine.bigint as pg_catalog.text;"
            .to_owned(),
        evil("announce", "pg_catalog.text, pg_catalog.uuid", "void"),
        evil("record_audit", "text, pg_catalog.uuid, text, pg_catalog.uuid, jsonb", "void"),
        evil("audit_hash", "bytea, public.audit", "bytea"),
        evil("audit_detail", "jsonb, jsonb", "jsonb"),
        evil("pg_notify", "pg_catalog.text, pg_catalog.text", "void"),
        evil("sha256", "bytea", "bytea"),
        evil("convert_to", "pg_catalog.text, name", "bytea"),
        evil("to_jsonb", "public.client", "jsonb"),
        evil("concat_them", "pg_catalog.text, pg_catalog.text", "pg_catalog.text"),
        evil("concat_these", "bytea, bytea", "bytea"),
        evil("concat_those", "integer, pg_catalog.text", "pg_catalog.text"),
        "create operator mine.|| (
             leftarg = pg_catalog.text, rightarg = pg_catalog.text, function = mine.concat_them);
         create operator mine.|| (
             leftarg = bytea, rightarg = bytea, function = mine.concat_these);
         create operator mine.|| (
             leftarg = integer, rightarg = pg_catalog.text, function = mine.concat_those);
         set search_path = mine, public, pg_catalog;
         insert into public.client (id, client_id) values (gen_random_uuid(), 'orders');
         update public.client set state = 'disabled';"
            .to_owned(),
    ];
    let attempt = AssertSqlSafe(attempt.concat());
    sqlx::raw_sql(attempt).execute(&mut connection).await.unwrap();
    let written = "select format('%s %s', (select count(*) from change where kind = 'client'),
                                 (select count(*) from audit where client_id = 'orders'))";
    assert_eq!(world.ask::<String>(written).await, "2 2");
    let taken =
        format!("select has_column_privilege('{operator}', 'client_secret', 'hash', 'select')");
    assert!(!world.ask::<bool>(&taken).await);
    world.database.execute_all("drop schema mine cascade").await;
}

/// A restore runs with no search path at all, and triggers may fire in it.
#[tokio::test(flavor = "multi_thread")]
async fn triggers_and_functions_need_nothing_of_the_callers_search_path() {
    let world = World::new().await;
    let mut admin = PgConnection::connect(&world.database.url).await.unwrap();
    let statements = "set search_path = '';
        insert into public.client (id, client_id) values (gen_random_uuid(), 'orders');
        insert into public.client_secret (id, client, hash)
            select gen_random_uuid(), id, '$argon2id$' from public.client;
        update public.client set state = 'disabled';
        update public.client_secret set burnt_at = now();
        update public.installation set not_before = now();
        insert into public.revoked_token values (gen_random_uuid(), now(), now());
        update public.revoked_token set keep_until = now() + interval '1 hour';
        delete from public.revoked_token;
        delete from public.client;
        truncate public.client, public.client_secret, public.revoked_token, public.access_token;
        select public.make_partitions(now() + interval '3 days');
        select public.make_partitions(now() - interval '5 days');
        select public.drop_dead_partitions(now());
        select public.forget_revocations(now());
        select public.keep_announcing();
        select public.notice_lost_partitions();
        select public.delete_client('stock');
        select public.forget_changes();
        select public.cut_audit(90, 100);
        select public.renew_lease(node_id, place, true) from public.join_feed(2000);
        select public.require_lease(id, renewals) from public.node;
        select public.end_lease(handle, renewals, lease_until) from public.node;
        select public.expire_lease(id, renewals, lease_until) from public.node;
        select public.leave_feed(id) from public.node;
        select public.audit_hash('', audit) from public.audit;
        select public.guard_functions('^announce$')";
    for statement in statements.split(';') {
        let run = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut admin).await;
        run.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let actions: Vec<String> = sqlx::query_scalar("select action from public.audit order by seq")
        .fetch_all(&mut admin)
        .await
        .unwrap();
    let expected = [
        "client.create",
        "secret.create",
        "client.update",
        "secret.update",
        "installation.update",
        "token.revoke",
        "token.revoke",
        "token.unrevoke",
        "client.delete",
        "client.truncate",
        "secret.truncate",
        "revocation.truncate",
        "token.truncate",
    ];
    assert_eq!(actions, expected);
}
