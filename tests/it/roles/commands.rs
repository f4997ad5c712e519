//! The binary, logged in to the database as each of the roles.

use std::process::Output;

use serde_json::Value;

use super::world::{Roles, World};
use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{Served, complaint, jeton, run, run_json},
    http::post_form,
};

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}")).to_owned()
}

/// Each line that must be there names what to do.
fn assert_names_the_grants(output: &Output) {
    let complaint = complaint(output);
    for part in ["lacks a privilege", "`jeton migrate --print-roles`", "permission denied"] {
        assert!(complaint.contains(part), "{part} in {complaint}");
    }
    assert!(!complaint.contains("password"), "{complaint}");
}

const CREATE: [&str; 8] =
    ["client", "create", "--client-id", "orders", "--scope", "read", "--serves", "https://a.test"];

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_administers_clients_and_is_in_the_trail() {
    let world = World::new().await;
    let operator = world.of("operator");
    let first = text(&run_json(&CREATE, &operator), "secret_id");
    let added = run_json(&["client", "add-secret", "orders", "--label", "2027"], &operator);
    said(&run(&["client", "retire-secret", "--yes", "orders", &first, "--leaked"], &operator));
    said(&run(&["client", "disable", "--yes", "orders"], &operator));
    said(&run(&["client", "enable", "orders"], &operator));
    let update = ["client", "update", "orders", "--add-scope", "x", "--label", "a=b", "--owner"];
    said(&run(&[&update[..], &["ada", "--note", "n", "--live-tokens", "7"]].concat(), &operator));
    assert_eq!(run_json(&["client", "list"], &operator).as_array().unwrap().len(), 1);
    let shown = run_json(&["client", "show", "orders"], &operator);
    let secrets = shown["secrets"].as_array().unwrap();
    let states = secrets.iter().map(|secret| text(secret, "state")).collect::<Vec<_>>();
    assert_eq!(states, ["leaked", "live"]);
    assert_eq!(text(&secrets[1], "secret_id"), text(&added, "secret_id"));
    said(&run(&["client", "delete", "--yes", "orders"], &operator));

    let trail = run_json(&["audit", "list"], &operator);
    let trail = trail.as_array().unwrap();
    assert_eq!(trail.len(), 8);
    assert!(trail.iter().all(|row| text(row, "login") == world.roles.name("operator")));
    assert!(said(&run(&["audit", "verify"], &operator)).contains("is intact: 8 rows"));
    // By hand, it names itself as it likes in one column, and not in the other.
    let forged = "set jeton.actor = 'operator:else';
                  insert into client (id, client_id) values (gen_random_uuid(), 'by-hand')";
    operator.execute_all(forged).await;
    let last = run_json(&["audit", "list", "--last", "1"], &operator);
    assert_eq!(text(&last[0], "actor"), "operator:else");
    assert_eq!(text(&last[0], "login"), world.roles.name("operator"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_rotates_a_secret_and_a_reader_sees_the_evidence() {
    let world = World::new().await;
    let (operator, reader) = (world.of("operator"), world.of("reader"));
    let first = text(&run_json(&CREATE, &operator), "secret_id");
    run_json(&["client", "rotate", "orders"], &operator);
    let retire = ["client", "retire-secret", "orders", &first, "--after", "24h"];
    assert_eq!(text(&run_json(&retire, &operator), "done"), "retiring");
    for role in [&operator, &reader] {
        let report = run_json(&["client", "secrets", "orders"], role);
        assert_eq!(text(&report["secrets"][0], "state"), "retiring");
        assert!(run(&["client", "expiring"], role).status.success());
        run_json(&["client", "dead"], role);
    }
    let restore = ["client", "restore-secret", "orders", &first];
    assert_names_the_grants(&run(&restore, &reader));
    assert_eq!(text(&run_json(&restore, &operator), "done"), "restored");

    let label = ["client", "update-secret", "orders", &first, "--label", "2027"];
    assert_names_the_grants(&run(&label, &reader));
    run_json(&label, &operator);
    run_json(&["client", "delete", "orders", "--yes"], &operator);
    let undelete = ["client", "undelete", "orders"];
    assert_names_the_grants(&run(&undelete, &reader));
    assert_eq!(text(&run_json(&undelete, &operator), "done"), "undeleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_looks_and_changes_nothing() {
    let world = World::new().await;
    let reader = world.of("reader");
    run_json(&CREATE, &world.of("operator"));
    assert_eq!(run_json(&["client", "list"], &reader).as_array().unwrap().len(), 1);
    let shown = run_json(&["client", "show", "orders"], &reader);
    let secret = text(&shown["secrets"][0], "secret_id");
    assert_eq!(run_json(&["audit", "list"], &reader).as_array().unwrap().len(), 2);
    assert!(said(&run(&["audit", "verify"], &reader)).contains("is intact: 2 rows"));

    let retire = ["client", "retire-secret", "--yes", "orders", &secret];
    said(&run(&["client", "list", "--without-live-secret", "--label", "a=b"], &reader));
    said(&run(&["audit", "list", "--client", "orders", "--gained", "read"], &reader));
    said(&run(&["client", "update", "orders", "--owner", "ada", "--dry-run"], &reader));
    let refused: [&[&str]; 7] = [
        &["client", "update", "orders", "--owner", "ada"],
        &["client", "create"],
        &["client", "add-secret", "orders"],
        &["client", "disable", "--yes", "orders"],
        &["client", "enable", "orders"],
        &["client", "delete", "--yes", "orders"],
        &retire,
    ];
    for command in refused {
        assert_names_the_grants(&run(command, &reader));
    }
    assert_eq!(run_json(&["audit", "list"], &reader).as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_without_the_rights_of_the_owner() {
    let world = World::new().await;
    let created = run_json(&CREATE, &world.of("operator"));
    let secret = text(&created, "client_secret");
    let service = world.of("service");
    let served = Served::start(&service, &["--no-migrate", "--log", "debug"]);
    served.until("finished a round of upkeep");
    let call = async |path: &str, form: &str| {
        let answer = post_form(served.http, path, "orders", &secret, form).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer
    };
    let token = call("/oauth2/token", "grant_type=client_credentials").await.json();
    let token = format!("token={}", text(&token, "access_token"));
    assert_eq!(call("/oauth2/introspect", &token).await.json()["active"], true);
    call("/oauth2/revoke", &token).await;
    assert_eq!(call("/oauth2/introspect", &token).await.json()["active"], false);
    // What an operator does is true on the node at once.
    said(&run(&["client", "disable", "--yes", "orders"], &world.of("operator")));
    let form = "grant_type=client_credentials";
    let refused = post_form(served.http, "/oauth2/token", "orders", &secret, form).await;
    assert_eq!(refused.status, 401);
    let trail = run_json(&["audit", "list", "--last", "2"], &world.of("reader"));
    assert_eq!(text(&trail[0], "action"), "token.revoke");
    assert_eq!(text(&trail[0], "login"), world.roles.name("service"));
    // It declares leaked what is reported to it, although it may not change secrets otherwise.
    let form = format!("client_secret={secret}");
    let reported = post_form(served.http, "/oauth2/report-leak", "", "", &form).await;
    assert_eq!(reported.status, 202, "{:?}", reported.body);
    let trail = run_json(&["audit", "list", "--last", "1"], &world.of("reader"));
    assert_eq!(text(&trail[0], "action"), "secret.update");
    assert_eq!(text(&trail[0], "actor"), "holder:127.0.0.1");
}

/// A node that was away for longer than partitions were made for finds none.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_migrate_makes_room_before_it_serves() {
    let world = World::new().await;
    let created = run_json(&CREATE, &world.of("operator"));
    let drop = "do $$ declare one text; begin
        for one in select inhrelid::regclass from pg_inherits
                   where inhparent = 'access_token'::regclass
        loop execute 'drop table ' || one; end loop; end $$";
    world.database.execute_all(drop).await;
    let served = Served::start(&world.of("service"), &["--no-migrate"]);
    let (secret, form) = (text(&created, "client_secret"), "grant_type=client_credentials");
    let issued = post_form(served.http, "/oauth2/token", "orders", &secret, form).await;
    assert_eq!(issued.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_grant_is_named_and_so_is_what_mends_it() {
    let world = World::new().await;
    run_json(&CREATE, &world.of("operator"));
    let stranger = world.of("stranger");
    let serve = ["serve", "--no-migrate", "--start-timeout-seconds", "10"];
    let commands: [&[&str]; 4] =
        [&["client", "list"], &["client", "create"], &["audit", "verify"], &serve];
    for command in commands {
        assert_names_the_grants(&run(command, &stranger));
    }
    // Some were forgotten.
    let (reader, service) = (world.roles.name("reader"), world.roles.name("service"));
    world.database.execute_all(&format!("revoke select on client from {reader}")).await;
    assert_names_the_grants(&run(&["client", "list"], &world.of("reader")));
    for function in ["make_partitions(timestamptz)", "join_feed(integer)"] {
        let revoke = format!("revoke execute on function {function} from {service}");
        world.database.execute_all(&revoke).await;
    }
    assert_names_the_grants(&run(&serve, &world.of("service")));
    // Run again, the script mends all of it.
    world.database.execute_all(&world.roles.script()).await;
    run_json(&["client", "list"], &world.of("reader"));
    Served::start(&world.of("service"), &["--no-migrate"]);

    // Tables that a role may not even see are not an empty database.
    world.database.execute_all("revoke usage on schema public from public").await;
    for command in [&["client", "list"][..], &["migrate"], &serve] {
        let complaint = complaint(&run(command, &stranger));
        assert!(complaint.contains("are in schema public"), "{complaint}");
        assert!(complaint.contains("--print-roles"), "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_migrates() {
    let world = World::new().await;
    assert!(said(&run(&["migrate"], &world.of("owner"))).contains("up to date"));
    for role in ["service", "operator", "reader"] {
        let complaint = complaint(&run(&["migrate"], &world.of(role)));
        assert!(complaint.contains("as the owner of the tables"), "{complaint}");
        assert!(complaint.contains("--no-migrate"), "{complaint}");
    }
    // From nothing, too.
    let empty = Database::new(Kind::Postgres).await;
    let name = world.roles.name("owner");
    empty.execute_all(&format!("grant create on schema public to {name}")).await;
    let owner = Database::at(world.roles.url(&empty.url, "owner"));
    assert!(said(&run(&["migrate"], &owner)).contains("from version 0"));
    empty.execute_all(&world.roles.script()).await;
    let service = Database::at(world.roles.url(&empty.url, "service"));
    Served::start(&service, &["--no-migrate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_are_printed_without_a_database_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let print = |arguments: &[&str]| {
        let mut command = jeton();
        command.args(["migrate", "--print-roles"]).args(arguments).current_dir(folder.path());
        command.output().unwrap()
    };
    let printed = said(&print(&[]));
    assert!(printed.starts_with("-- ") && printed.trim_end().ends_with("commit;"), "{printed}");
    for role in ["jeton_owner", "jeton_service", "jeton_operator", "jeton_reader"] {
        assert!(printed.contains(role), "{role}");
    }
    let other = said(&print(&["--role-prefix", "pay_"]));
    assert!(other.contains("pay_service") && !other.contains("jeton_service"));
    assert!(!print(&["--role-prefix", "a; drop"]).status.success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_may_be_run_again_and_takes_away_what_it_does_not_give() {
    let world = World::new().await;
    let (owner, service) = (world.roles.name("owner"), world.roles.name("service"));
    let rights = format!(
        "select string_agg(of, e'\\n' order by of) from (
             select format('%s %s %s', grantee, table_name, privilege_type) as of
             from information_schema.role_table_grants
             where table_schema = 'public' and grantee <> '{owner}') as one"
    );
    let before = world.ask::<String>(&rights).await;
    world
        .database
        .execute_all(&format!(
            "grant all on audit, client to {service}; grant select on client to public;
             grant update (applied) on node to {service};
             grant execute on function announce(text, uuid) to {service}, public"
        ))
        .await;
    assert!(world.refusal("service", "delete from audit where seq = 0").await.is_none());
    world.database.execute_all(&world.roles.script()).await;
    assert_eq!(world.ask::<String>(&rights).await, before);
    for statement in [
        "delete from audit where seq = 0",
        "update node set applied = 1",
        "select announce('everything', null)",
    ] {
        assert_eq!(world.refusal("service", statement).await.as_deref(), Some("42501"));
    }
    // The owner may do so as well, which is what it takes after a migration.
    world.of("owner").execute_all(&world.roles.script()).await;
    assert_eq!(world.ask::<String>(&rights).await, before);
    // Everything that the migrations make belongs to it.
    let others = format!(
        "select coalesce(string_agg(name, ' '), '') from (
             select relname as name from pg_class
             where relnamespace = 'public'::regnamespace and relowner <> '{owner}'::regrole
             union all
             select proname from pg_proc
             where pronamespace = 'public'::regnamespace and proowner <> '{owner}'::regrole) as of"
    );
    assert_eq!(world.ask::<String>(&others).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_says_what_it_needs_and_changes_nothing_else() {
    let (world, made) = (World::new().await, Roles::new(true));
    let empty = Database::new(Kind::Postgres).await;
    let refused = empty.refuses(&made.script()).await;
    assert!(refused.contains("there are no tables of Jeton"), "{refused}");
    // Who is no superuser runs it as well, if it owns the database and may make roles.
    let (owner, former) = (made.name("owner"), world.roles.name("stranger"));
    empty.execute_all(&format!("alter role {former} createrole")).await;
    let name: Vec<String> = super::texts(&empty, "select current_database()::text").await;
    empty.execute_all(&format!("alter database {} owner to {former}", name[0])).await;
    empty.execute_all(&format!("alter schema public owner to {former}")).await;
    let managed = Database::at(world.roles.url(&empty.url, "stranger"));
    said(&run(&["migrate"], &managed));
    for _ in 0..2 {
        managed.execute_all(&made.script()).await;
    }
    // Nodes that still log in as it go on, until it is taken from the owner's members.
    Served::start(&managed, &[]);
    managed.execute_all(&format!("revoke {owner} from {former}")).await;
    let refused = managed.refuses("select * from client").await;
    assert!(refused.contains("permission denied"), "{refused}");
}

/// Two installations on one server have roles of their own.
#[tokio::test(flavor = "multi_thread")]
async fn no_role_has_rights_in_another_database() {
    let (here, there) = (World::new().await, World::new().await);
    let node = TestNode::on(there.database.shared(), TestNodeOptions::default()).await;
    node.client("orders").await;
    for role in ["owner", "service", "operator", "reader"] {
        let foreign = Database::at(here.roles.url(&there.database.url, role));
        for query in ["select * from client", "select make_partitions(now())", "delete from client"]
        {
            let refused = foreign.refuses(query).await;
            assert!(refused.contains("permission denied"), "{role}: {query}: {refused}");
        }
    }
}
