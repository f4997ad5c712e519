//! Every verb on every table of Postgres, in sessions of every kind.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Edit, Scene, edit};
use crate::support::Kind;

/// Sessions as people open them, and those of tools that load or synchronise data: triggers are
/// passed over there unless they are enabled always.
const SESSIONS: [&str; 2] = ["", "set session_replication_role = replica; "];

const REVOKE: &str = "insert into revoked_token values ({token}, now(), now() + interval '1 hour')";

fn of_clients() -> Vec<Edit> {
    let update = ["client.update"];
    vec![
        edit("update client set state = 'disabled' where id = {client}", false, false, &update),
        edit(
            "insert into client (id, client_id) values ({client}, {name})
             on conflict (id) do update set state = 'disabled'",
            false,
            false,
            &update,
        ),
        edit("update client set client_id = {other} where id = {client}", false, true, &update),
        edit(
            "update client set not_before = now() + interval '1 hour' where id = {client}",
            true,
            false,
            &update,
        ),
        edit("update client set name = name where id = {client}", true, true, &[]),
        edit("delete from client where id = {client}", false, false, &["client.delete"]),
        edit(
            "insert into client (id, client_id) values (gen_random_uuid(), {other})",
            true,
            true,
            &["client.create"],
        ),
    ]
}

fn of_secrets() -> Vec<Edit> {
    let update = ["secret.update"];
    vec![
        edit(
            "update client_secret set burnt_at = now(), retired_at = now() where id = {secret}",
            false,
            false,
            &update,
        ),
        edit(
            "insert into client_secret (id, client, hash) values ({secret}, {client}, '$argon2id$')
             on conflict (id) do update set burnt_at = now(), retired_at = now()",
            false,
            false,
            &update,
        ),
        edit(
            "update client_secret set hash = (
                 select hash from client_secret where id <> {secret} limit 1)
             where id = {secret}",
            false,
            true,
            &update,
        ),
        edit(
            "update client_secret set client = (select id from client where client_id = 'api')
             where id = {secret}",
            false,
            true,
            &update,
        ),
        edit("delete from client_secret where id = {secret}", false, false, &["secret.delete"]),
        edit(
            "insert into client_secret (id, client, hash)
             values (gen_random_uuid(), {client}, '$argon2id$')",
            true,
            true,
            &["secret.create"],
        ),
    ]
}

fn of_tokens() -> Vec<Edit> {
    let update = ["token.update"];
    let truncate = ["token.truncate"];
    vec![
        edit(
            "update access_token set expires_at = issued_at + interval '1 microsecond'
             where id = {token}",
            true,
            false,
            &update,
        ),
        edit(
            "update access_token set id = overlay(id::text placing '00000000' from 29)::uuid
             where id = {token}",
            true,
            false,
            &update,
        ),
        edit(
            "insert into access_token select * from access_token where id = {token}
             on conflict (id) do update
             set expires_at = excluded.issued_at + interval '1 microsecond'",
            true,
            false,
            &update,
        ),
        edit("delete from access_token where id = {token}", true, false, &["token.delete"]),
        edit(
            "insert into access_token
             select overlay(id::text placing '00000000' from 29)::uuid, digest, client, secret,
                    scopes, audiences, issued_at, expires_at
             from access_token where id = {token}",
            true,
            true,
            &["token.create"],
        ),
        edit("truncate access_token", true, false, &truncate),
        edit(
            "do $$ begin
                 execute 'truncate '
                     || (select tableoid::regclass from access_token where id = {token});
             end $$",
            true,
            false,
            &truncate,
        ),
        edit(
            "do $$ begin
                 execute format('delete from %s where id = %L',
                     (select tableoid::regclass from access_token where id = {token}), {token});
             end $$",
            true,
            false,
            &["token.delete"],
        ),
    ]
}

fn of_revocations() -> Vec<Edit> {
    let of_revoked = |sql, active, audit: [&'static str; 1]| Edit {
        before: REVOKE,
        ..edit(sql, true, active, &audit)
    };
    vec![
        edit(REVOKE, true, false, &["token.revoke"]),
        of_revoked("delete from revoked_token where id = {token}", true, ["token.unrevoke"]),
        of_revoked(
            "update revoked_token set id = gen_random_uuid() where id = {token}",
            true,
            ["token.revoke"],
        ),
        of_revoked(
            "insert into revoked_token values ({token}, now(), now())
             on conflict (id) do update set revoked_at = now() + interval '1 minute'",
            false,
            ["token.revoke"],
        ),
        of_revoked("truncate revoked_token", true, ["revocation.truncate"]),
    ]
}

fn of_the_installation() -> Vec<Edit> {
    let ending_all = |sql, audit: &[&'static str]| Edit {
        after: "update installation set not_before = null",
        ..edit(sql, true, false, audit)
    };
    vec![
        ending_all(
            "update installation set not_before = now() + interval '1 hour'",
            &["installation.update"],
        ),
        ending_all(
            "insert into installation select * from installation
             on conflict (singleton) do update set not_before = now() + interval '1 hour'",
            &["installation.update"],
        ),
        ending_all(
            "with gone as (delete from installation returning tag_key)
             select set_config('jeton_tests.key', encode(tag_key, 'hex'), false) from gone;
             insert into installation (tag_key, created_at, not_before)
             values (decode(current_setting('jeton_tests.key'), 'hex'), now(),
                     now() + interval '1 hour')",
            &["installation.delete", "installation.create"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_written_in_postgres_is_true_at_once_and_audited() {
    let edits = [of_clients(), of_secrets(), of_tokens(), of_revocations(), of_the_installation()];
    let edits: Vec<_> = edits.into_iter().flatten().collect();
    for session in SESSIONS {
        Scene::new(Kind::Postgres).await.try_all(session, &edits).await;
    }
}

/// These end the resource server as well, so each has a node of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_truncated_is_empty_to_running_nodes_at_once() {
    let edits = [
        edit("truncate client_secret", false, false, &["secret.truncate"]),
        edit("truncate client cascade", false, false, &["client.truncate", "secret.truncate"]),
        edit("truncate installation", false, false, &["installation.truncate"]),
    ];
    for session in SESSIONS {
        for edit in &edits {
            Scene::new(Kind::Postgres).await.try_edit(0, session, edit).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_merged_or_copied_is_true_at_once_and_audited() {
    for session in SESSIONS {
        let scene = Scene::new(Kind::Postgres).await;
        let mut admin = PgConnection::connect(&scene.node.database.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(session)).execute(&mut admin).await.unwrap();
        let version = "select current_setting('server_version_num')::bigint";
        if scene.node.database.number(version).await >= 150_000 {
            let merges = [
                edit(
                    "merge into client using (values ({client})) as asked (id)
                     on client.id = asked.id when matched then update set state = 'disabled'",
                    false,
                    false,
                    &["client.update"],
                ),
                edit(
                    "merge into client_secret using (values ({secret})) as asked (id)
                     on client_secret.id = asked.id when matched then delete",
                    false,
                    false,
                    &["secret.delete"],
                ),
                edit(
                    "merge into access_token using (values ({token})) as asked (id)
                     on access_token.id = asked.id when matched then delete",
                    true,
                    false,
                    &["token.delete"],
                ),
                edit(
                    "merge into revoked_token using (values ({token})) as asked (id)
                     on revoked_token.id = asked.id when not matched then
                         insert values (asked.id, now(), now() + interval '1 hour')",
                    true,
                    false,
                    &["token.revoke"],
                ),
            ];
            scene.try_all(session, &merges).await;
        }

        let known = scene.client("copied").await;
        scene.cache(&known, true).await;
        let row = format!("{}\t2026-01-01\t2026-01-02\n", known.token_id);
        let mut copy = admin.copy_in_raw("copy revoked_token from stdin").await.unwrap();
        copy.send(row.as_bytes()).await.unwrap();
        copy.finish().await.unwrap();
        scene.node.database.heard().await;
        assert!(!scene.is_active(&known).await);
        assert_eq!(scene.trail().await.last().unwrap(), "token.revoke");
    }
}

/// It would make every issue wait for the one before it.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_a_node_issues_are_neither_announced_nor_audited() {
    let scene = Scene::new(Kind::Postgres).await;
    let known = scene.client("orders").await;
    let (noted, written) = (scene.trail().await.len(), scene.last_change().await);
    for _ in 0..5 {
        scene.node.issue(&known.owner).await.unwrap();
    }
    // The name of its session is set in the URL of its database.
    let inserted = "insert into access_token
                    select overlay(id::text placing '00000000' from 29)::uuid, digest, client,
                           secret, scopes, audiences, issued_at, expires_at
                    from access_token, (select set_config('jeton.actor', 'jeton', true)) as actor
                    where id = {token}";
    scene.write("set application_name = 'else'; ", inserted, &known).await;
    assert_eq!((scene.trail().await.len(), scene.last_change().await), (noted, written));
}
