//! Secrets of deleted clients on SQLite: what becomes of them until their client comes back.

use sqlx::SqlitePool;
use uuid::Uuid;

use crate::{
    domain::{Actor, Error, SecretHash, SecretId, Timestamp},
    store::{
        FORGET_AFTER,
        sqlite::audit::{self, Statement},
    },
};

/// Erases the hashes of secrets that ended long ago, of one deleted client or of all.
pub(in crate::store::sqlite) fn forget_hashes(client: Option<Uuid>, now: Timestamp) -> Statement {
    sqlx::query(
        "update deleted_client
         set secrets = (
             select json_group_array(json(iif(
                 value ->> '$.id' in (select hex(old.id) from kept_secret as old
                                      where old.client = deleted_client.id
                                        and old.forgotten_at is null
                                        and (old.retired_at < $4 or old.burnt_at < $4
                                             or old.expires_at < $4)),
                 json_set(value, '$.hash', $2, '$.forgotten_at', $3, '$.foreign_hash',
                          iif(value ->> '$.foreign_hash' is null, null, $2)),
                 value)))
             from json_each(deleted_client.secrets))
         where ($1 is null or id = $1)
           and exists (select 1 from kept_secret as old
                       where old.client = deleted_client.id and old.forgotten_at is null
                         and (old.retired_at < $4 or old.burnt_at < $4 or old.expires_at < $4))",
    )
    .bind(client)
    .bind(SecretHash::ERASED)
    .bind(now.unix_micros())
    .bind(now.minus(FORGET_AFTER).unix_micros())
}

/// Declares a secret leaked. Returns false if no deleted client has it, or if it leaked before.
pub(in crate::store::sqlite) async fn burn(
    writer: &SqlitePool,
    id: SecretId,
    now: Timestamp,
    actor: &Actor,
) -> Result<bool, Error> {
    let note = sqlx::query(
        "insert into audit (action, client, client_id, subject, detail)
         select 'secret.update', secret.client, deleted_client.client_id, secret.id,
                iif(secret.retired_at is null,
                    json_object('burnt_at', json_array(null, $2),
                                'retired_at', json_array(null, $2)),
                    json_object('burnt_at', json_array(null, $2)))
         from kept_secret as secret join deleted_client on deleted_client.id = secret.client
         where secret.id = $1 and secret.burnt_at is null",
    )
    .bind(id.0)
    .bind(now.unix_micros());
    let burn = sqlx::query(
        "update deleted_client
         set secrets = (
             select json_group_array(json(iif(
                 value ->> '$.id' = hex($1),
                 json_set(value, '$.burnt_at', $2,
                          '$.retired_at', coalesce(value ->> '$.retired_at', $2)),
                 value)))
             from json_each(deleted_client.secrets))
         where id = (select client from kept_secret where kept_secret.id = $1)",
    )
    .bind(id.0)
    .bind(now.unix_micros());
    Ok(audit::change(writer, actor, vec![note, burn]).await? == 1)
}
