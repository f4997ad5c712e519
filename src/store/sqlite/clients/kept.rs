//! Deletion that can be undone, and requests that may come again, on SQLite.

use async_trait::async_trait;
use sqlx::SqlitePool;
use uuid::Uuid;

use super::{insert_client, insert_secret, kept_secrets};
use crate::{
    domain::{
        Actor, ClientId, ClientRecord, ClientState, Error, RequestKey, SecretHash, StoredSecret,
        Timestamp,
    },
    store::{
        DeletedClient, DeletionStore, EarlierRequest, RequestStore, SqliteStore, row,
        sqlite::{
            audit::{self, Statement},
            fault::fault,
            feed,
        },
    },
};

#[async_trait]
impl DeletionStore for SqliteStore {
    async fn set_state_of(
        &self,
        client_id: &ClientId,
        state: ClientState,
        read: i64,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let statement = sqlx::query(
            "update client set state = $2, version = version + 1
             where client_id = $1 and version = $3",
        )
        .bind(client_id.as_str().to_owned())
        .bind(state.as_str())
        .bind(read);
        let rows = audit::change(&self.writer, actor, vec![statement]).await?;
        feed::applied_everywhere().await;
        Ok(rows == 1)
    }

    async fn delete_version(
        &self,
        client_id: &ClientId,
        read: i64,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let is_deleted = delete_version(&self.writer, client_id, Some(read), actor).await?;
        feed::applied_everywhere().await;
        Ok(is_deleted)
    }

    async fn deleted_client(&self, client_id: &ClientId) -> Result<Option<DeletedClient>, Error> {
        let row = sqlx::query(
            "select id, client ->> '$.scopes' as scopes,
                    client ->> '$.audiences' as audiences, client ->> '$.serves' as serves,
                    client ->> '$.version' as version
             from deleted_client
             where client_id = $1 order by deleted_at desc, rowid desc limit 1",
        )
        .bind(client_id.as_str())
        .fetch_optional(&self.reader)
        .await
        .map_err(fault)?;
        Ok(row.as_ref().map(row::deleted_client).transpose()?)
    }

    async fn undelete_client(
        &self,
        deleted: &DeletedClient,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let key = deleted.key.0;
        let statements = vec![
            sqlx::query(RESTORE_CLIENT).bind(key).bind(deleted.version),
            kept_secrets::forget_hashes(Some(key), now),
            sqlx::query(RESTORE_SECRETS).bind(key).bind(now.unix_micros()),
            sqlx::query(NOTE_UNDELETION).bind(key),
            sqlx::query(FORGET).bind(key),
        ];
        let rows = audit::change(&self.writer, actor, statements).await?;
        feed::applied_everywhere().await;
        Ok(rows == 1)
    }
}

/// Makes the client $1 anew if its row had the version $2: disabled and in a new generation, so
/// that no token from before is active.
const RESTORE_CLIENT: &str = "
    insert into client (id, client_id, name, state, grant_types, scopes, default_scopes, audiences,
                        default_audience, several_audiences, serves, token_lifetime_seconds,
                        tokens_per_second, token_burst, live_tokens, labels, owner, note,
                        grantable_scopes, grantable_audiences, not_before, created_at, version,
                        generation)
    select id, client_id, client ->> '$.name', 'disabled', client ->> '$.grant_types',
           client ->> '$.scopes', client ->> '$.default_scopes', client ->> '$.audiences',
           client ->> '$.default_audience', client ->> '$.several_audiences',
           client ->> '$.serves', client ->> '$.token_lifetime_seconds',
           client ->> '$.tokens_per_second', client ->> '$.token_burst',
           client ->> '$.live_tokens', client ->> '$.labels', client ->> '$.owner',
           client ->> '$.note', coalesce(client ->> '$.grantable_scopes', ''),
           coalesce(client ->> '$.grantable_audiences', ''), client ->> '$.not_before',
           client ->> '$.created_at',
           (client ->> '$.version') + 1, (client ->> '$.generation') + 1
    from deleted_client where id = $1 and client ->> '$.version' = $2
    on conflict (client_id) do nothing";

/// Makes its secrets anew. Those that are live at the moment $2 are retired then.
const RESTORE_SECRETS: &str = "
    insert into client_secret (id, client, hash, label, created_at, expires_at, retired_at,
                               burnt_at, retire_at, kept_expires_at, forgotten_at, foreign_hash,
                               is_foreign)
    select id, client, hash, label, created_at, expires_at,
           iif(burnt_at is null and (expires_at is null or expires_at > $2),
               coalesce(retired_at, $2), retired_at),
           burnt_at, retire_at, kept_expires_at, forgotten_at, foreign_hash, is_foreign
    from kept_secret where client = $1";

const NOTE_UNDELETION: &str = "
    insert into audit (action, client, client_id, detail)
    select 'client.undelete', id, client_id, '{}' from deleted_client where id = $1";

const FORGET: &str = "delete from deleted_client where id = $1";

pub(in crate::store::sqlite) async fn delete(
    writer: &SqlitePool,
    client_id: &ClientId,
    actor: &Actor,
) -> Result<bool, Error> {
    delete_version(writer, client_id, None, actor).await
}

async fn delete_version(
    writer: &SqlitePool,
    client_id: &ClientId,
    read: Option<i64>,
    actor: &Actor,
) -> Result<bool, Error> {
    let keep = sqlx::query(
        "insert into deleted_client (id, client_id, client, secrets)
         select id, client_id, shown,
                (select json_group_array(json_set(secret.shown, '$.hash', secret.hash,
                                                  '$.foreign_hash', secret.foreign_hash))
                 from audited_secret as secret where secret.client = audited_client.id)
         from audited_client
         where client_id = $1 and ($2 is null or shown ->> '$.version' = $2)
         on conflict (id) do update
         set client_id = excluded.client_id, deleted_at = excluded.deleted_at,
             client = excluded.client, secrets = excluded.secrets",
    )
    .bind(client_id.as_str().to_owned())
    .bind(read);
    let delete =
        sqlx::query("delete from client where client_id = $1").bind(client_id.as_str().to_owned());
    Ok(audit::change(writer, actor, vec![keep, delete]).await? == 1)
}

#[async_trait]
impl RequestStore for SqliteStore {
    async fn find_request(&self, id: Uuid, actor: &Actor) -> Result<Option<EarlierRequest>, Error> {
        let row = sqlx::query(
            "select request.digest, request.secret, client.client_id
             from request left join client on client.id = request.client
             where request.actor = $1 and request.request_id = $2",
        )
        .bind(actor.as_str())
        .bind(id)
        .fetch_optional(&self.reader)
        .await
        .map_err(fault)?;
        Ok(row.as_ref().map(row::earlier_request).transpose()?)
    }

    async fn create_client_once(
        &self,
        record: &ClientRecord,
        secret: &StoredSecret,
        request: &RequestKey,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let statements = vec![
            insert_client(record, Some((request, actor))),
            insert_secret(secret, Some((request, actor))),
            note(request, secret, actor),
        ];
        Ok(audit::change(&self.writer, actor, statements).await? == 1)
    }

    async fn add_secret_once(
        &self,
        secret: &StoredSecret,
        request: &RequestKey,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let statements =
            vec![insert_secret(secret, Some((request, actor))), note(request, secret, actor)];
        Ok(audit::change(&self.writer, actor, statements).await? == 1)
    }

    async fn remint_secret(
        &self,
        request: Uuid,
        hash: &SecretHash,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let replace = sqlx::query(
            "update client_secret
             set hash = $3,
                 created_at = max(created_at, coalesce((select tag_key_since + 1
                                                        from installation), created_at))
             where (id, client) = (select request.secret, request.client from request
                                   where actor = $1 and request_id = $2)
               and retired_at is null and burnt_at is null and retire_at is null
               and not is_foreign
               and (expires_at is null or expires_at > $4)
               and not exists (select 1 from secret_use where secret_use.secret = client_secret.id
                               and (uses > 0 or first_used_at is not null))",
        )
        .bind(actor.as_str().to_owned())
        .bind(request)
        .bind(hash.as_str().to_owned())
        .bind(now.unix_micros());
        let note = sqlx::query(
            "insert into audit (action, client, client_id, subject, detail)
             select 'secret.remint', client.id, client.client_id, request.secret, '{}'
             from request join client on client.id = request.client
             where request.actor = $1 and request.request_id = $2",
        )
        .bind(actor.as_str().to_owned())
        .bind(request);
        let rows = audit::change(&self.writer, actor, vec![replace, note]).await?;
        feed::applied_everywhere().await;
        Ok(rows == 1)
    }
}

/// Notes a request that made this secret.
fn note(request: &RequestKey, secret: &StoredSecret, actor: &Actor) -> Statement {
    sqlx::query(
        "insert into request (actor, request_id, digest, client, secret)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(actor.as_str().to_owned())
    .bind(request.id())
    .bind(request.digest().to_vec())
    .bind(secret.client.0)
    .bind(secret.id.0)
}
