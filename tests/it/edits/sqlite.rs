//! Every verb on every table of SQLite, under every setting that decides what REPLACE does.

use super::{Edit, Scene, edit};
use crate::support::Kind;

/// The two pragmas of a connection: whether the secrets of a client go with its row, and whether
/// REPLACE fires the delete triggers of the rows that it deletes.
#[derive(Debug, Clone, Copy)]
struct Connection {
    foreign_keys: bool,
    recursive_triggers: bool,
}

impl Connection {
    fn pragmas(self) -> String {
        let Self { foreign_keys, recursive_triggers } = self;
        format!(
            "pragma foreign_keys = {foreign_keys}; pragma recursive_triggers = {recursive_triggers}; "
        )
    }

    /// What REPLACE is in the audit trail: an update of the row, or its end and a new row.
    fn replaced(self, update: &'static str, anew: [&'static str; 2]) -> Vec<&'static str> {
        if self.recursive_triggers { anew.to_vec() } else { vec![update] }
    }

    /// The same for a client, whose one secret may go.
    fn with_secret(self, rows: &[&'static str]) -> Vec<&'static str> {
        let mut all = if self.foreign_keys { vec!["secret.delete"] } else { Vec::new() };
        all.extend(rows);
        all
    }
}

/// The columns of a client but for its state.
macro_rules! replace_client {
    ($verb:literal, $state:literal) => {
        concat!(
            $verb,
            " into client (id, client_id, name, state, grant_types, scopes, default_scopes,
                 audiences, serves, token_lifetime_seconds, not_before, created_at, version)
             select id, client_id, name, '",
            $state,
            "', grant_types, scopes, default_scopes, audiences, serves, token_lifetime_seconds,
                 not_before, created_at, version
             from client where id = {client}"
        )
    };
}

fn of_clients(connection: Connection) -> Vec<Edit> {
    let update = ["client.update"];
    let mut disabled = connection.replaced("client.update", ["client.delete", "client.create"]);
    if connection.recursive_triggers {
        // One more update makes its version grow.
        disabled.extend(update);
    }
    let disabled = connection.with_secret(&disabled);
    let taken_over = connection.with_secret(&["client.delete", "client.update"]);
    let put_away = connection.with_secret(&["client.delete", "client.create"]);
    let with_other = "insert into client (id, client_id, created_at)
                      values (randomblob(16), {other}, 0)";
    vec![
        edit("update client set state = 'disabled' where id = {client}", false, false, &update),
        edit(
            "insert into client (id, client_id, created_at) values ({client}, {name}, 0)
             on conflict (id) do update set state = 'disabled'",
            false,
            false,
            &update,
        ),
        edit(replace_client!("insert or replace", "disabled"), false, false, &disabled),
        edit(replace_client!("replace", "disabled"), false, false, &disabled),
        edit(replace_client!("insert or ignore", "disabled"), true, true, &[]),
        Edit {
            before: with_other,
            ..edit(
                "update or replace client set client_id = {name} where client_id = {other}",
                false,
                false,
                &taken_over,
            )
        },
        edit(
            "replace into client (id, client_id, created_at) values (randomblob(16), {name}, 0)",
            false,
            false,
            &put_away,
        ),
        edit(
            "replace into client (rowid, id, client_id, created_at)
             select rowid, randomblob(16), {other}, 0 from client where id = {client}",
            false,
            false,
            &put_away,
        ),
        edit("delete from client where id = {client}", false, false, &["client.delete"]),
        edit(with_other, true, true, &["client.create"]),
    ]
}

fn of_secrets(connection: Connection) -> Vec<Edit> {
    let update = ["secret.update"];
    let burnt = connection.replaced("secret.update", ["secret.delete", "secret.create"]);
    let second = "insert into client_secret (id, client, hash, label, created_at)
                  select randomblob(16), client, replace(hash, 't=1', 't=2'), 'second', 0
                  from client_secret where id = {secret}";
    vec![
        edit(
            "update client_secret set burnt_at = 1, retired_at = 1 where id = {secret}",
            false,
            false,
            &update,
        ),
        edit(
            "insert into client_secret (id, client, hash, created_at)
             values ({secret}, {client}, '$argon2id$', 0)
             on conflict (id) do update set burnt_at = 1, retired_at = 1",
            false,
            false,
            &update,
        ),
        edit(
            "insert or replace into client_secret
                 (id, client, hash, label, created_at, expires_at, retired_at, burnt_at)
             select id, client, hash, label, created_at, expires_at, 1, 1
             from client_secret where id = {secret}",
            false,
            false,
            &burnt,
        ),
        edit(
            "insert or ignore into client_secret
                 (id, client, hash, label, created_at, expires_at, retired_at, burnt_at)
             select id, client, hash, label, created_at, expires_at, 1, 1
             from client_secret where id = {secret}",
            true,
            true,
            &[],
        ),
        edit(
            "update client_secret set client = (select id from client where client_id = 'api')
             where id = {secret}",
            false,
            true,
            &update,
        ),
        Edit {
            before: second,
            ..edit(
                "update or replace client_secret set id = {secret}
                 where client = {client} and label = 'second'",
                false,
                true,
                &["secret.delete", "secret.update"],
            )
        },
        edit("delete from client_secret where id = {secret}", false, false, &["secret.delete"]),
        edit(second, true, true, &["secret.create"]),
    ]
}

fn of_tokens(connection: Connection) -> Vec<Edit> {
    let update = ["token.update"];
    let ended = connection.replaced("token.update", ["token.delete", "token.create"]);
    vec![
        edit(
            "update access_token set expires_at = issued_at + 1 where id = {token}",
            true,
            false,
            &update,
        ),
        edit(
            "update access_token set id = randomblob(16) where id = {token}",
            true,
            false,
            &update,
        ),
        edit(
            "insert into access_token select * from access_token where id = {token}
             on conflict (id) do update set expires_at = issued_at + 1",
            true,
            false,
            &update,
        ),
        edit(
            "replace into access_token
                 (id, digest, client, secret, scopes, audiences, issued_at, expires_at)
             select id, digest, client, secret, scopes, audiences, issued_at, issued_at + 1
             from access_token where id = {token}",
            true,
            false,
            &ended,
        ),
        edit(
            "update or replace access_token set id = {token}
             where id = (select id from access_token where client = {client} and id <> {token})",
            true,
            false,
            &["token.delete", "token.update"],
        ),
        edit("delete from access_token where id = {token}", true, false, &["token.delete"]),
    ]
}

fn of_revocations(connection: Connection) -> Vec<Edit> {
    const REVOKE: &str =
        "insert into revoked_token select id, issued_at, expires_at from access_token
         where id = {token}";
    let again = connection.replaced("token.revoke", ["token.unrevoke", "token.revoke"]);
    let of_revoked = |sql, active, audit: &[&'static str]| Edit {
        before: REVOKE,
        ..edit(sql, true, active, audit)
    };
    vec![
        edit(REVOKE, true, false, &["token.revoke"]),
        edit("insert into revoked_token values ({token}, 1, 1)", true, false, &["token.revoke"]),
        of_revoked("replace into revoked_token values ({token}, 1, 1)", false, &again),
        of_revoked(
            "insert into revoked_token values ({token}, 1, 1)
             on conflict (id) do update set revoked_at = 1, keep_until = 1",
            false,
            &["token.revoke"],
        ),
        of_revoked(
            "update revoked_token set id = randomblob(16) where id = {token}",
            true,
            &["token.revoke"],
        ),
        of_revoked("delete from revoked_token where id = {token}", true, &["token.unrevoke"]),
    ]
}

fn of_the_installation(connection: Connection) -> Vec<Edit> {
    let replaced =
        connection.replaced("installation.update", ["installation.delete", "installation.create"]);
    let ending_all = |sql, audit: &[&'static str]| Edit {
        after: "update installation set not_before = null",
        ..edit(sql, true, false, audit)
    };
    vec![
        ending_all(
            "update installation
             set not_before = (select max(issued_at) from access_token) + 3600000000",
            &["installation.update"],
        ),
        ending_all(
            "replace into installation (singleton, tag_key, created_at, not_before)
             select 1, tag_key, created_at, (select max(issued_at) from access_token) + 3600000000
             from installation",
            &replaced,
        ),
        ending_all(
            "create temporary table kept as select tag_key from installation;
             delete from installation;
             insert into installation (tag_key, created_at, not_before)
             select tag_key, 0, (select max(issued_at) from access_token) + 3600000000 from kept;
             drop table kept",
            &["installation.delete", "installation.create"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_written_in_sqlite_is_true_at_once_and_audited() {
    for (foreign_keys, recursive_triggers) in
        [(true, false), (false, false), (true, true), (false, true)]
    {
        let connection = Connection { foreign_keys, recursive_triggers };
        let edits = [
            of_clients(connection),
            of_secrets(connection),
            of_tokens(connection),
            of_revocations(connection),
            of_the_installation(connection),
        ];
        let edits: Vec<_> = edits.into_iter().flatten().collect();
        Scene::new(Kind::Sqlite).await.try_all(&connection.pragmas(), &edits).await;
    }
}
