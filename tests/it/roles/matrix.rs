//! Every role × everything that one of them may do, or that none may.

mod schema;

use std::fmt::Write;

use jeton::domain::ADMINISTRATION;

use self::schema::{DATABASE, KEEPING, TRAIL};
use super::world::{World, recording};
use crate::support::{TestNode, TestNodeOptions};

/// Refused for want of a right, or by a trigger whoever asks, and for no other reason.
const REFUSALS: [&str; 2] = ["42501", "P0001"];

/// The columns of the table. The owner is no column: what it owns it may do.
const ROLES: [&str; 4] = ["service", "operator", "reader", "stranger"];

/// A secret that was imported and never used.
const IMPORTED: &str = "00000000-0000-4000-8000-000000000001";

const NOBODY: &[&str] = &[];
const SERVICE: &[&str] = &["service"];
const OPERATOR: &[&str] = &["operator"];
const CHANGERS: &[&str] = &["service", "operator"];
const PEOPLE: &[&str] = &["operator", "reader"];
const ALL_THREE: &[&str] = &["service", "operator", "reader"];
const EVERYBODY: &[&str] = &ROLES;

/// What is tried, for whom it must work, and the statements. For all others the database must refuse
/// them.
type Act = (&'static str, &'static [&'static str], &'static str);

const READING: &[Act] = &[
    ("read clients", ALL_THREE, "select * from client"),
    ("read the hash of a secret", SERVICE, "select hash from client_secret"),
    ("read an imported hash", SERVICE, "select foreign_hash from client_secret"),
    ("read all else of secrets", ALL_THREE, "select label, burnt_at from client_secret"),
    (
        "read the keys of the tags",
        CHANGERS,
        "select tag_key, next_tag_key, previous_tag_key from installation",
    ),
    ("read the digest of a token", SERVICE, "select digest from access_token"),
    ("read all else of tokens", ALL_THREE, "select id, client, expires_at from access_token"),
    ("read revocations", ALL_THREE, "select * from revoked_token"),
    ("read the change feed", ALL_THREE, "select * from change"),
    (
        "see how far nodes are",
        ALL_THREE,
        "select handle, applied, renewals, lease_until, lease_ms from node",
    ),
    ("read the id of a node", NOBODY, "select id from node"),
    ("read the uses of secrets", PEOPLE, "select * from secret_use, secret_source"),
    (
        "read how far the evidence goes",
        PEOPLE,
        "select recorder from node; select * from evidence, evidence_gap",
    ),
    ("read the audit trail", PEOPLE, "select * from audit"),
    ("read its marks", ALL_THREE, "select seq, hash from audit"),
    ("read the version of the schema", ALL_THREE, "select version from _sqlx_migrations"),
];

const CLIENTS: &[Act] = &[
    (
        "make a client",
        OPERATOR,
        "insert into client (id, client_id) values (gen_random_uuid(), 'x')",
    ),
    ("disable a client", OPERATOR, "update client set state = 'disabled'"),
    (
        "change scopes",
        OPERATOR,
        "update client set scopes = '{a}', default_scopes = '{a}', version = version + 1",
    ),
    (
        "change audiences",
        OPERATOR,
        "update client set audiences = '{a}', default_audience = 'a', several_audiences = true",
    ),
    (
        "note something of a client",
        OPERATOR,
        "update client set labels = '{team=a}', owner = 'x', note = 'x'",
    ),
    (
        "limit what a client may give",
        OPERATOR,
        "update client set grantable_scopes = '{}', grantable_audiences = '{}'",
    ),
    ("revoke all tokens of a client", OPERATOR, "update client set not_before = now()"),
    ("take that back", NOBODY, "update client set not_before = null where client_id = 'bounded'"),
    ("revoke them by generation", OPERATOR, "update client set generation = generation + 1"),
    (
        "take back a generation",
        NOBODY,
        "update client set generation = generation - 1 where client_id = 'bounded'",
    ),
    (
        "take some of that back",
        NOBODY,
        "update client set not_before = not_before - interval '1 s' where client_id = 'bounded'",
    ),
    ("change the id of a client", NOBODY, "update client set id = gen_random_uuid()"),
    ("delete a client", OPERATOR, "select delete_client('orders')"),
    ("take the deletion of a client back", OPERATOR, "select undelete_client('DELETED')"),
    ("take that deletion back", OPERATOR, "select undelete_client('DELETED', 1)"),
    ("read one secret of a deleted client", SERVICE, "select kept_secret(gen_random_uuid())"),
    ("declare one leaked", OPERATOR, "select burn_kept_secret(gen_random_uuid())"),
    ("read the hashes of a deleted client", NOBODY, "select secrets from deleted_client"),
    ("delete clients by hand", NOBODY, "delete from client"),
    ("keep all from reading clients", NOBODY, "lock table client in access exclusive mode"),
    ("keep all from writing clients", NOBODY, "lock table client in share mode"),
    ("truncate clients", NOBODY, "truncate client cascade"),
    (
        "bring a deleted client back",
        NOBODY,
        "insert into client (id, client_id) select 'DELETED', 'again'",
    ),
    (
        "the same in one statement",
        NOBODY,
        "do $$ declare gone uuid := (select id from client where client_id = 'orders');
         begin
             perform delete_client('orders');
             insert into client (id, client_id) values (gone, 'again');
         end $$",
    ),
    (
        "bring a deleted secret back",
        NOBODY,
        "insert into client_secret (id, client, hash)
         select 'ENDED', id, '$argon2id$' from client where client_id = 'orders'",
    ),
    (
        "add a secret",
        OPERATOR,
        "insert into client_secret (id, client, hash)
         select gen_random_uuid(), id, '$argon2id$' from client",
    ),
    ("retire a secret", OPERATOR, "update client_secret set retired_at = now()"),
    (
        "retire a secret later",
        OPERATOR,
        "update client_secret set retire_at = now(), expires_at = now(), kept_expires_at = null",
    ),
    ("declare a secret leaked", OPERATOR, "update client_secret set burnt_at = now()"),
    ("declare a reported secret leaked", SERVICE, "select burn_secret(id) from client_secret"),
    (
        "declare a leaked secret sound",
        NOBODY,
        "update client_secret set burnt_at = null where burnt_at is not null",
    ),
    ("replace the hash of a secret", NOBODY, "update client_secret set hash = '$argon2id$'"),
    ("say that a hash was erased", NOBODY, "update client_secret set forgotten_at = now()"),
    (
        "note a request, and replace the hash of its secret while it is unused",
        OPERATOR,
        "insert into request (actor, request_id, digest, client, secret)
         select 'a', id, sha256('x'), client, id from client_secret;
         select remint_secret('a', id, '$argon2id$') from client_secret",
    ),
    (
        "say when a request came",
        NOBODY,
        "insert into request select 'a', id, sha256('x'), client, id, now() from client_secret",
    ),
    ("replace an imported hash", NOBODY, "update client_secret set foreign_hash = null"),
    (
        "replace an unused imported hash",
        SERVICE,
        "do $$ begin
             if not replace_foreign_hash('IMPORTED', '$2a$', '$argon2id$') then
                 raise exception 'it was not replaced';
             end if;
         end $$",
    ),
    (
        "replace it again",
        NOBODY,
        "do $$ begin
             perform replace_foreign_hash('IMPORTED', '$2a$', '$argon2id$');
             if not replace_foreign_hash('IMPORTED', '$argon2id$', '$argon2id$2') then
                 raise exception 'it was not replaced';
             end if;
         end $$",
    ),
    ("give a secret to another client", NOBODY, "update client_secret set client = id"),
    ("delete a secret", NOBODY, "delete from client_secret"),
    ("change the installation", NOBODY, "update installation set not_before = null"),
    ("replace the key of the tags", NOBODY, "update installation set tag_key = tag_key"),
    ("offer a key of the tags", OPERATOR, "select offer_tag_key(sha256('x'))"),
    ("adopt it", OPERATOR, "select adopt_tag_key()"),
    ("retire the previous one", OPERATOR, "select retire_tag_key()"),
    ("revoke all tokens", OPERATOR, "select revoke_all_tokens()"),
    ("record a recovery", OPERATOR, "select record_recovery('orders')"),
    ("delete the installation", NOBODY, "delete from installation"),
];

const TOKENS: &[Act] = &[
    ("record a token", SERVICE, "ANY TOKEN"),
    ("record one for administration", NOBODY, "ADMINISTRATION"),
    ("record one that is also for it", NOBODY, "BOTH AUDIENCES"),
    (
        "record one in a partition",
        NOBODY,
        "do $$ begin execute (select format('insert into %s select * from access_token',
                 min(inhrelid)::regclass)
             from pg_inherits where inhparent = 'access_token'::regclass); end $$",
    ),
    ("prolong a token", NOBODY, "update access_token set expires_at = expires_at + interval '1 s'"),
    ("delete a token", NOBODY, "delete from access_token"),
    ("truncate tokens", NOBODY, "truncate access_token"),
    (
        "revoke a token",
        CHANGERS,
        "insert into revoked_token (id, revoked_at, keep_until)
         values (gen_random_uuid(), now(), now() + interval '1 day')
         on conflict on constraint revoked_token_pk do nothing",
    ),
    ("revoke tokens", SERVICE, "select revoke_tokens(array(select id from access_token))"),
    ("take a revocation back", NOBODY, "delete from revoked_token"),
    ("let a revocation be forgotten", NOBODY, "update revoked_token set keep_until = now()"),
    ("truncate revocations", NOBODY, "truncate revoked_token"),
];

const FEED: &[Act] = &[
    ("write the feed", NOBODY, "insert into change (kind) values ('everything')"),
    ("write it through announce", NOBODY, "select announce('everything', null)"),
    ("delete changes", NOBODY, "delete from change"),
    ("alter changes", NOBODY, "update change set kind = 'everything', subject = null"),
    ("truncate changes", NOBODY, "truncate change"),
    ("hold up the feed", NOBODY, "lock table change in exclusive mode"),
    (
        "take the lock of its order",
        NOBODY,
        "lock table installation in share update exclusive mode",
    ),
    ("move its numbers", NOBODY, "select setval('change_id_seq', 1)"),
    ("join the feed as a node", SERVICE, "select join_feed(2000, 11)"),
    ("join it as a node of before", SERVICE, "select join_feed(2000)"),
    (
        "speak for one's own node",
        SERVICE,
        "select renew_lease(node_id, place, true) from join_feed(2000)",
    ),
    ("give one's own lease back", SERVICE, "select leave_feed(gen_random_uuid())"),
    ("ask for the primary", ALL_THREE, "select require_lease(null, null)"),
    (
        "end a lease that is over",
        CHANGERS,
        "select end_lease(handle, renewals, lease_until) from node",
    ),
    (
        "end a lease by the id of its node",
        NOBODY,
        "select expire_lease(gen_random_uuid(), 0, now())",
    ),
    ("speak for another node", NOBODY, "update node set applied = 1000000"),
    ("give another one's lease back", NOBODY, "delete from node"),
    (
        "add a node beside the feed",
        NOBODY,
        "insert into node (id, applied, lease_until) values (gen_random_uuid(), 0, now())",
    ),
    ("wake the nodes", EVERYBODY, "notify jeton_change"),
];

const EVIDENCE: &[Act] = &[
    ("count uses as a node", SERVICE, "select join_feed(2000, 15, begin_evidence(30000))"),
    (
        "add uses of secrets",
        SERVICE,
        "select record_secret_uses(array[id], array[now()], array[now()], array['10.0.0.1'],
                                   array[1], array[0], array[now()], array['10.0.0.1']),
                record_secret_sources(array[id], array['10.0.0.1'], array[now()], array[now()],
                                      array[1])
         from client_secret",
    ),
    (
        "speak of one's own uses",
        SERVICE,
        "select mark_evidence(id, now(), 30000, now()), end_evidence(id)
         from begin_evidence(30000) as id",
    ),
    ("forget uses of deleted secrets", SERVICE, "select forget_secret_uses()"),
    ("erase hashes of ended secrets", SERVICE, "select forget_secret_hashes(now())"),
    ("forget what was kept and is old", SERVICE, "select forget_kept_rows()"),
    ("take uses back", NOBODY, "update secret_use set last_used_at = null"),
    ("write uses by hand", NOBODY, "insert into secret_use (secret) values (gen_random_uuid())"),
    ("delete uses", NOBODY, "delete from secret_use"),
    ("hide a source", NOBODY, "delete from secret_source"),
    ("close a gap", NOBODY, "delete from evidence_gap"),
    ("shorten a gap", NOBODY, "update evidence_gap set until = since"),
    ("vouch for another node", NOBODY, "update evidence set flushed_at = now()"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_it_needs_and_nothing_else() {
    let world = World::new().await;
    let deleted = furnish(&world).await;
    let groups = [READING, CLIENTS, TOKENS, FEED, EVIDENCE, TRAIL, KEEPING, DATABASE];
    let mut table = format!("{:<34}", "");
    for role in ROLES {
        write!(table, " {role:<9}").unwrap();
    }
    let mut wrong = Vec::new();
    for (what, allowed, statements) in groups.into_iter().flatten() {
        write!(table, "\n{what:<34}").unwrap();
        let statements = statements
            .replace("OWNER", &world.roles.name("owner"))
            .replace("DELETED", &deleted.0)
            .replace("ENDED", &deleted.1)
            .replace("IMPORTED", IMPORTED)
            .replace("ANY TOKEN", &recording("", "1 hour"))
            .replace("ADMINISTRATION", &recording(ADMINISTRATION, "15 minutes"))
            .replace("BOTH AUDIENCES", &recording("urn:jeton:administration,a", "15 minutes"));
        for role in ROLES {
            let refusal = world.refusal(role, &statements).await;
            let mark = if refusal.is_none() { "yes" } else { "-" };
            write!(table, " {mark:<9}").unwrap();
            let is_refused = refusal.as_deref().is_some_and(|code| REFUSALS.contains(&code));
            if is_refused == allowed.contains(&role) || is_refused != refusal.is_some() {
                wrong.push(format!("{role}: {what}: {refusal:?}"));
            }
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Something of everything that can be touched. Returns the ids of a client and of a secret that
/// were deleted.
async fn furnish(world: &World) -> (String, String) {
    let node = TestNode::on(world.database.shared(), TestNodeOptions::default()).await;
    let orders = node.client("orders").await;
    node.client("bounded").await;
    let gone = node.client("gone").await;
    node.registry.delete_client(&gone.client.client_id).await.unwrap();
    let token = node.issue(&orders).await.unwrap().access_token;
    node.revoke(&orders, &token).await.unwrap();
    node.issue(&orders).await.unwrap();
    world
        .database
        .execute_all(
            "update client set not_before = now() where client_id = 'bounded';
             update client_secret set burnt_at = now()
                 from client where client.id = client and client_id = 'bounded';
             update client set generation = 1 where client_id = 'bounded';
             insert into client_secret (id, client, hash, label)
                 select gen_random_uuid(), id, '$argon2id$', 'ended' from client
                 where client_id = 'orders'",
        )
        .await;
    let ended = world.ask("select id::text from client_secret where label = 'ended'").await;
    world.database.execute_all("delete from client_secret where label = 'ended'").await;
    let imported = format!(
        "insert into client_secret (id, client, hash, foreign_hash, is_foreign)
             select '{IMPORTED}'::uuid, id, '$argon2id$foreign', '$2a$', true from client
             where client_id = 'bounded'"
    );
    world.database.execute_all(&imported).await;
    node.node.drain().await;
    world.database.execute_all("select join_feed(4000)").await;
    (gone.client.key.0.to_string(), ended)
}
