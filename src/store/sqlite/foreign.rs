//! Clients and secrets of other systems on SQLite.

use async_trait::async_trait;
use sqlx::SqlitePool;

use super::{
    SqliteStore,
    audit::{self, Statement},
    clients::insert_client,
    fault::fault,
};
use crate::{
    domain::{Actor, ClientId, Error, SecretHash, SecretId, StoredSecret, Timestamp},
    store::{
        Creation, ForeignClient, ForeignStore, FoundClient,
        columns::{client_columns, secret_columns},
        foreign::NO_HASH,
        row,
    },
};

#[async_trait]
impl ForeignStore for SqliteStore {
    async fn has_foreign_secrets(&self) -> Result<bool, Error> {
        let any = sqlx::query_scalar(
            "select exists (select 1 from client_secret where foreign_hash is not null)",
        );
        any.fetch_one(&self.reader).await.map_err(fault)
    }

    async fn find_foreign(
        &self,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<Vec<FoundClient>, Error> {
        let rows = sqlx::query(concat!(
            "select ",
            client_columns!(),
            ", ",
            secret_columns!("secret.foreign_hash"),
            " from client left join client_secret as secret
                  on secret.client = client.id and secret.foreign_hash is not null
                     and secret.retired_at is null and secret.burnt_at is null
                     and (secret.expires_at is null or secret.expires_at > $2)
             where client.client_id = $1
             order by secret.created_at desc, secret.id limit 3"
        ))
        .bind(client_id.as_str())
        .bind(now.unix_micros())
        .fetch_all(&self.reader)
        .await
        .map_err(fault)?;
        Ok(rows.iter().map(row::found_client).collect::<Result<_, _>>()?)
    }

    async fn replace_foreign_hash(
        &self,
        secret: SecretId,
        from: &SecretHash,
        to: &SecretHash,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let statement = sqlx::query(
            "update client_secret set foreign_hash = $3 where id = $1 and foreign_hash = $2",
        )
        .bind(secret.0)
        .bind(from.as_str().to_owned())
        .bind(to.as_str().to_owned());
        Ok(audit::change(&self.writer, actor, vec![statement]).await? == 1)
    }

    async fn import_clients(
        &self,
        clients: &[ForeignClient],
        actor: &Actor,
    ) -> Result<Vec<Creation>, Error> {
        import(&self.writer, clients, actor).await
    }
}

/// Runs to completion even if the caller goes away, as [`audit::change`] does.
async fn import(
    writer: &SqlitePool,
    clients: &[ForeignClient],
    actor: &Actor,
) -> Result<Vec<Creation>, Error> {
    let (writer, actor) = (writer.clone(), actor.clone());
    let statements = |client: &ForeignClient| {
        let secrets = client.secrets.iter().map(insert_secret).collect::<Vec<_>>();
        (insert_client(&client.record, None), secrets)
    };
    let clients: Vec<_> = clients.iter().map(statements).collect();
    let imported = tokio::spawn(async move {
        let mut transaction = writer.begin_with("begin immediate").await?;
        audit::seal(&mut transaction, None).await?;
        let mut creations = Vec::with_capacity(clients.len());
        for (client, secrets) in clients {
            if client.execute(&mut *transaction).await?.rows_affected() == 0 {
                creations.push(Creation::ClientIdTaken);
                continue;
            }
            for secret in secrets {
                secret.execute(&mut *transaction).await?;
            }
            creations.push(Creation::Created);
        }
        audit::seal(&mut transaction, Some(&actor)).await?;
        transaction.commit().await?;
        Ok(creations)
    });
    let imported = imported.await;
    imported.map_err(|_| Error::internal("an import did not run to completion"))?.map_err(fault)
}

fn insert_secret(secret: &StoredSecret) -> Statement {
    sqlx::query(
        "insert into client_secret (id, client, hash, foreign_hash, is_foreign, label, created_at,
                                    expires_at)
         values ($1, $2, $3, $4, true, $5, $6, $7)",
    )
    .bind(secret.id.0)
    .bind(secret.client.0)
    .bind(NO_HASH)
    .bind(secret.hash.as_str().to_owned())
    .bind(secret.label.clone())
    .bind(secret.created_at.unix_micros())
    .bind(secret.expires_at.map(Timestamp::unix_micros))
}
