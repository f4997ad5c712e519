//! A database without its constraints, a node in a process of its own that remembers nothing, and
//! somebody who edits rows by hand.

use std::sync::Arc;

use jeton::{
    domain::{OsRandom, SystemClock},
    pb::v1::{
        IntrospectTokenRequest, RevokeTokenRequest, token_service_client::TokenServiceClient,
    },
    registry::{NewClient, NewSecret, Registry},
    store::Store,
};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection, sqlite::SqliteConnectOptions,
};
use tonic::{Status, transport::Channel};
use uuid::Uuid;

use crate::support::{
    Database, Kind,
    binary::Served,
    everything,
    node::{CHEAP, Credentials, issue_request, operator},
};

/// The tables whose rows are read, and each column of which is tried. Those of nodes and changes
/// are tried in `nodes`.
pub(super) const TABLES: [&str; 6] =
    ["client", "client_secret", "access_token", "revoked_token", "installation", "audit"];
pub(super) const OF_NODES: [&str; 2] = ["node", "change"];

/// Tables whose rows decide no request of a client: the list of migrations is read by sqlx, uses of
/// secrets, deleted clients and repeated requests for administrators, and the others by triggers and
/// functions of the schema.
pub(super) const LEFT_OUT: [&str; 10] = [
    "deleted_client",
    "request",
    "_sqlx_migrations",
    "token_partition",
    "replaced_row",
    "deleted_key",
    "secret_use",
    "secret_source",
    "evidence",
    "evidence_gap",
];

/// Those that statements of Jeton name cannot be missing: `on conflict on constraint …`.
const LOOSEN_POSTGRES: &str = "do $$ declare it record; begin
    for it in select conrelid::regclass as of_table, conname from pg_constraint
              where conrelid in (select oid from pg_class where relname in (TABLES))
                and contype in ('c', 'f', 'p', 'u')
                and conname not in ('client_client_id_is_unique', 'revoked_token_pk',
                                    'installation_pk') loop
        execute format('alter table %s drop constraint if exists %I cascade',
                       it.of_table, it.conname);
    end loop;
    for it in select attrelid::regclass as of_table, attname from pg_attribute
              where attrelid in (select oid from pg_class where relname in (TABLES))
                and attnum > 0 and attnotnull and attidentity = ''
                and not exists (select from pg_constraint where conrelid = attrelid
                                    and contype = 'p' and attnum = any (conkey)) loop
        execute format('alter table %s alter %I drop not null', it.of_table, it.attname);
    end loop;
    for it in select tgrelid::regclass as of_table, tgname from pg_trigger
              where tgfoid in ('refuse_audit_change()'::regprocedure,
                               'refuse_smaller_generation()'::regprocedure) and tgparentid = 0 loop
        execute format('drop trigger %I on %s', it.tgname, it.of_table);
    end loop;
end $$";

/// A schema is text there.
const LOOSEN_SQLITE: &str = "
    pragma writable_schema = on;
    update sqlite_schema set sql = replace(replace(replace(
            replace(sql, ' is not null', ' notnull'), ' not null', ''),
            ') strict, without', ') without'), ') strict', ')')
        where type = 'table' and name in (TABLES);
    pragma writable_schema = off;
    drop trigger audit_is_append_only;
    drop trigger client_default_scopes_are_registered;
    drop trigger client_default_scopes_stay_registered;
    drop trigger client_generation_never_goes_down;
    drop trigger installation_generation_never_goes_down;";

/// A connection of somebody who edits by hand.
pub(super) enum Editor {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Editor {
    pub(super) async fn of(database: &Database) -> Self {
        match database.kind {
            Kind::Postgres => Self::Postgres(PgConnection::connect(&database.url).await.unwrap()),
            Kind::Sqlite => {
                let file = database.dir.path().join("jeton.db");
                let options = SqliteConnectOptions::new().filename(file).foreign_keys(false);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                let ignore = "pragma ignore_check_constraints = on";
                sqlx::query(ignore).execute(&mut connection).await.unwrap();
                Self::Sqlite(connection)
            }
        }
    }

    /// Takes away what keeps odd values out. On SQLite, do it before anybody else connects.
    pub(super) async fn loosen(&mut self) {
        let tables = TABLES.iter().chain(&OF_NODES).map(|table| format!("'{table}'"));
        let tables = tables.collect::<Vec<_>>().join(", ");
        match self {
            Self::Postgres(_) => self.run(&LOOSEN_POSTGRES.replace("TABLES", &tables)).await,
            Self::Sqlite(connection) => {
                let version: i64 = sqlx::query_scalar("pragma schema_version")
                    .fetch_one(&mut *connection)
                    .await
                    .unwrap();
                let loosen = LOOSEN_SQLITE.replace("TABLES", &tables);
                // Whoever connects later reads the schema anew.
                self.run(&format!("{loosen} pragma schema_version = {};", version + 1)).await
            }
        }
        .unwrap();
    }

    /// Runs statements; how many rows they changed, or that the database refuses them.
    pub(super) async fn run(&mut self, statements: &str) -> Result<u64, sqlx::Error> {
        let statements = AssertSqlSafe(statements.to_owned());
        Ok(match self {
            Self::Postgres(connection) => {
                sqlx::raw_sql(statements).execute(connection).await?.rows_affected()
            }
            Self::Sqlite(connection) => {
                sqlx::raw_sql(statements).execute(connection).await?.rows_affected()
            }
        })
    }

    /// Takes the triggers of SQLite away that write the trail.
    pub(super) async fn drop_triggers_of_the_trail(&mut self) {
        let Self::Sqlite(connection) = self else { return };
        let triggers = "select name from sqlite_schema where type = 'trigger'
                        and (name like '%is_audited' or name like '%is_noted')";
        let triggers: Vec<String> =
            sqlx::query_scalar(triggers).fetch_all(connection).await.unwrap();
        for trigger in triggers {
            self.run(&format!("drop trigger {trigger}")).await.unwrap();
        }
    }

    /// All tables of the schema.
    pub(super) async fn tables(&mut self) -> Vec<String> {
        let (on_postgres, on_sqlite) = (
            "select relname::text from pg_class
             where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')
               and not relispartition",
            "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%'
                 escape '\\'",
        );
        match self {
            Self::Postgres(connection) => {
                sqlx::query_scalar(on_postgres).fetch_all(connection).await
            }
            Self::Sqlite(connection) => sqlx::query_scalar(on_sqlite).fetch_all(connection).await,
        }
        .unwrap()
    }

    /// The columns of a table with their types.
    pub(super) async fn columns(&mut self, table: &str) -> Vec<(String, String)> {
        let (on_postgres, on_sqlite) = (
            "select attname::text as name, format_type(atttypid, atttypmod) as type
             from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped
               and attgenerated = ''",
            "select name, lower(type) as type from pragma_table_info($1)",
        );
        match self {
            Self::Postgres(connection) => {
                let rows = sqlx::query(on_postgres).bind(table).fetch_all(connection);
                rows.await.unwrap().iter().map(|row| (row.get("name"), row.get("type"))).collect()
            }
            Self::Sqlite(connection) => {
                let rows = sqlx::query(on_sqlite).bind(table).fetch_all(connection);
                rows.await.unwrap().iter().map(|row| (row.get("name"), row.get("type"))).collect()
            }
        }
    }
}

/// A uuid in a statement.
pub(super) fn uuid(kind: Kind, id: Uuid) -> String {
    match kind {
        Kind::Postgres => format!("'{id}'"),
        Kind::Sqlite => format!("x'{}'", id.simple()),
    }
}

pub(super) struct World {
    pub(super) kind: Kind,
    pub(super) editor: Editor,
    pub(super) served: Served,
    pub(super) store: Arc<dyn Store>,
    pub(super) registry: Registry,
    grpc: TokenServiceClient<Channel>,
    /// Last, so that it goes away after everything that uses it.
    pub(super) database: Database,
}

impl World {
    /// `prepare` may write what the editor finds, while the schema is as it is made.
    pub(super) async fn new(kind: Kind, prepare: impl AsyncFn(&Registry)) -> Self {
        let database = Database::new(kind).await;
        let registry = open(database.migrated().await).await;
        prepare(&registry).await;
        drop(registry);
        let mut editor = Editor::of(&database).await;
        editor.loosen().await;
        let forgetful = ["--cache-clients", "0", "--cache-tokens-mib", "0"];
        let served = Served::start(&database, &forgetful);
        let grpc = format!("http://{}", served.grpc);
        let grpc = TokenServiceClient::connect(grpc).await.unwrap();
        let store = database.store();
        let registry = open(Arc::clone(&store)).await;
        Self { kind, editor, served, store, registry, grpc, database }
    }

    pub(super) async fn register(&self, new: NewClient) -> Credentials {
        let (client, secret) =
            self.registry.create_client(new, NewSecret::default()).await.unwrap();
        everything::note_secrets_in(secret.expose());
        Credentials { client, secret }
    }

    pub(super) async fn try_issue(&self, caller: &Credentials) -> Result<String, Status> {
        let issued = self.grpc.clone().issue_token(issue_request(caller)).await?;
        let token = issued.into_inner().access_token;
        everything::note_secrets_in(&token);
        Ok(token)
    }

    pub(super) async fn issue(&self, caller: &Credentials) -> String {
        self.try_issue(caller).await.unwrap()
    }

    pub(super) async fn introspect(
        &self,
        caller: &Credentials,
        token: &str,
    ) -> Result<bool, Status> {
        let request = IntrospectTokenRequest {
            token: token.to_owned(),
            token_type_hint: String::new(),
            client_authentication: Some(caller.message()),
        };
        Ok(self.grpc.clone().introspect_token(request).await?.into_inner().active)
    }

    pub(super) async fn revoke(&self, caller: &Credentials, token: &str) -> Result<(), Status> {
        let request = RevokeTokenRequest {
            token: token.to_owned(),
            token_type_hint: String::new(),
            client_authentication: Some(caller.message()),
        };
        self.grpc.clone().revoke_token(request).await.map(drop)
    }

    /// Whether somebody who saw the log of the node would see a panic.
    pub(super) fn end(self) {
        let said = self.served.end();
        assert!(!said.contains("panicked"), "{said}");
    }
}

async fn open(store: Arc<dyn Store>) -> Registry {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
    Registry::open(store, clock, random, CHEAP, operator()).await.unwrap()
}
