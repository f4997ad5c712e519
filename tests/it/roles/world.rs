//! A database with the roles of `jeton migrate --print-roles`, to which each of them can connect.

use std::sync::atomic::{AtomicU32, Ordering};

use jeton::store::RolePrefix;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Database, Kind, database::admin};

/// Those that the script makes, one that has no grants at all, and one that is a member of
/// `service`.
pub(super) const ROLES: [&str; 6] =
    ["owner", "service", "operator", "reader", "stranger", "member"];

const PASSWORD: &str = "not-a-secret";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Records a token of nobody for these audiences.
pub(super) fn recording(audiences: &str, lifetime: &str) -> String {
    format!(
        "insert into access_token
             (id, digest, client, secret, scopes, audiences, issued_at, expires_at)
         values ((lpad(to_hex((extract(epoch from now()) * 1000)::bigint), 12, '0')
                      || '70008000000000000000')::uuid,
                 sha256('x'), gen_random_uuid(), gen_random_uuid(), '{{}}', '{{{audiences}}}',
                 now(), now() + interval '{lifetime}')"
    )
}

pub(super) struct World {
    /// As superuser.
    pub(super) database: Database,
    pub(super) roles: Roles,
}

/// The roles of a database. They belong to the whole server, so that they are removed when the
/// database is gone.
pub(super) struct Roles {
    prefix: String,
    /// Whether the server outlives the test.
    stays: bool,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::on(Database::new(Kind::Postgres).await, true).await
    }

    /// On an empty database of a server that goes away with the test.
    pub(super) async fn alone(database: Database) -> Self {
        Self::on(database, false).await
    }

    async fn on(database: Database, stays: bool) -> Self {
        database.migrated().await.close().await;
        let world = Self { database, roles: Roles::new(stays) };
        world.database.execute_all(&world.roles.script()).await;
        let stranger = world.roles.name("stranger");
        world.database.execute_all(&format!("create role {stranger} login")).await;
        let (member, service) = (world.roles.name("member"), world.roles.name("service"));
        world.database.execute_all(&format!("create role {member} login in role {service}")).await;
        for role in ROLES {
            let name = world.roles.name(role);
            let password = format!("alter role {name} password '{PASSWORD}'");
            world.database.execute_all(&password).await;
        }
        world
    }

    /// The same database for whoever logs in as this role.
    pub(super) fn of(&self, role: &str) -> Database {
        Database::at(self.roles.url(&self.database.url, role))
    }

    pub(super) async fn connect(&self, role: &str) -> PgConnection {
        PgConnection::connect(&self.of(role).url).await.unwrap()
    }

    /// The SQLSTATE with which one of these statements is refused to a role, or none. Nothing of
    /// it stays: what waits for the commit is run, and then all is rolled back.
    pub(super) async fn refusal(&self, role: &str, statements: &str) -> Option<String> {
        let mut connection = self.connect(role).await;
        let tried = format!("begin; {statements}; set constraints all immediate; rollback");
        let tried = sqlx::raw_sql(AssertSqlSafe(tried)).execute(&mut connection).await;
        let refused = tried.err()?;
        let database = refused.as_database_error().unwrap_or_else(|| panic!("{refused}"));
        Some(database.code().unwrap_or_default().into_owned())
    }

    /// One value, as superuser.
    pub(super) async fn ask<T>(&self, query: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let mut connection = PgConnection::connect(&self.database.url).await.unwrap();
        let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
        query.fetch_one(&mut connection).await.unwrap()
    }
}

impl Roles {
    /// Names that nobody else has, of roles that are still to be made.
    pub(super) fn new(stays: bool) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { prefix: format!("jt{}_{number}_", std::process::id()), stays }
    }

    /// What `jeton migrate --print-roles` prints.
    pub(super) fn script(&self) -> String {
        RolePrefix::parse(&self.prefix).unwrap().roles_sql()
    }

    pub(super) fn name(&self, role: &str) -> String {
        format!("{}{role}", self.prefix)
    }

    /// The URL with the user and password of a role.
    pub(super) fn url(&self, url: &str, role: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{scheme}://{}:{PASSWORD}@{host}/{path}", self.name(role))
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        if !self.stays {
            return;
        }
        let statements = ROLES.map(|role| format!("drop role if exists {}", self.name(role)));
        // A test may be within a runtime, which must not be blocked from itself.
        let dropped = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                for statement in statements {
                    admin(statement).await;
                }
            });
        });
        let _ = dropped.join();
    }
}
