//! The yardsticks that are no servers: C, A, U, P; and what is measured without one.

use std::{
    net::IpAddr,
    process,
    time::{Duration, Instant},
};

use jeton::{
    credentials::Uses,
    domain::{
        ClientSecret, Clock, HashCost, HashMemory, OsRandom, SecretHash, SecretId, SystemClock,
        TagKey, uuid_v4, uuid_v7,
    },
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

/// C: milliseconds of one insert and its commit by the driver that a node uses, the median of what
/// so many callers see, each with a connection of its own.
pub(crate) async fn commit(url: &str, callers: usize) -> f64 {
    const LASTS: Duration = Duration::from_secs(2);
    drop(Statements::on(url).await);
    let mut inserting = JoinSet::new();
    for _ in 0..callers {
        let mut connection = PgConnection::connect(url).await.unwrap();
        inserting.spawn(async move {
            let (began, mut took) = (Instant::now(), Vec::new());
            while began.elapsed() < LASTS {
                let id = uuid_v7(SystemClock.now(), &OsRandom).unwrap();
                let began = Instant::now();
                sqlx::query(
                    "insert into yardstick
                     values ($1, $2, $1, $1, '{read}', '{api}', now(), now())",
                )
                .bind(id)
                .bind(vec![7_u8; 32])
                .execute(&mut connection)
                .await
                .unwrap();
                took.push(began.elapsed().as_secs_f64() * 1e3);
            }
            took
        });
    }
    let mut took = inserting.join_all().await.concat();
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}

/// A: milliseconds of one hash on a thread that does nothing else.
pub(crate) fn argon2() -> f64 {
    const HASHES: u32 = 40;
    let key = TagKey::from_bytes([1; 32]);
    let secret = ClientSecret::generate(&OsRandom, &key).unwrap();
    let mut memory = HashMemory::for_cost(HashCost::DEFAULT);
    let began = Instant::now();
    for _ in 0..HASHES {
        SecretHash::compute(&secret, HashCost::DEFAULT, &OsRandom, &mut memory).unwrap();
    }
    began.elapsed().as_secs_f64() * 1e3 / f64::from(HASHES)
}

/// Microseconds of CPU that a request takes for the evidence of use: one count, of a caller among a
/// hundred, each of which calls from three addresses.
pub(crate) fn count_use() -> f64 {
    const USES: usize = 4_000_000;
    let secrets: Vec<_> = (0..100).map(|_| SecretId(uuid_v4(&OsRandom).unwrap())).collect();
    let sources = [1, 2, 3].map(|last| Some(IpAddr::from([10, 0, 0, last])));
    let calls = secrets.iter().cycle().zip(sources.into_iter().cycle()).take(USES);
    let (uses, now) = (Uses::default(), SystemClock.now());
    let before = crate::rows::cpu_micros(process::id());
    for (secret, source) in calls {
        uses.count(*secret, source, now);
    }
    (crate::rows::cpu_micros(process::id()) - before) / USES as f64
}

/// A connection to Postgres, and a table for its statements.
pub(crate) struct Statements {
    connection: PgConnection,
    backend: u32,
}

impl Statements {
    pub(crate) async fn on(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let make = "create table if not exists yardstick (id uuid primary key, digest bytea,
                    client uuid, secret uuid, scopes text[], audiences text[],
                    issued_at timestamptz, expires_at timestamptz)";
        sqlx::raw_sql(make).execute(&mut connection).await.unwrap();
        let backend: i32 =
            sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
        Self { connection, backend: backend.try_into().unwrap() }
    }

    /// U: microseconds of Postgres' CPU for a token, 64 in one statement.
    pub(crate) async fn insert(&mut self) -> f64 {
        const STATEMENTS: usize = 200;
        let before = crate::rows::cpu_micros(self.backend);
        for _ in 0..STATEMENTS {
            let ids: Vec<Uuid> =
                (0..64).map(|_| uuid_v7(SystemClock.now(), &OsRandom).unwrap()).collect();
            sqlx::query(
                "insert into yardstick select id, digest, id, id, '{read}', '{api}', now(), now()
                 from unnest($1::uuid[], $2::bytea[]) as t (id, digest)",
            )
            .bind(ids)
            .bind(vec![[7_u8; 32].to_vec(); 64])
            .execute(&mut self.connection)
            .await
            .unwrap();
        }
        let spent = crate::rows::cpu_micros(self.backend) - before;
        spent / (STATEMENTS * 64) as f64
    }

    /// P: microseconds of Postgres' CPU for a row, found by its primary key.
    pub(crate) async fn select(&mut self) -> f64 {
        const STATEMENTS: usize = 3_000;
        let id: Uuid = sqlx::query_scalar("select id from yardstick limit 1")
            .fetch_one(&mut self.connection)
            .await
            .unwrap();
        let before = crate::rows::cpu_micros(self.backend);
        for _ in 0..STATEMENTS {
            sqlx::query("select * from yardstick where id = $1")
                .bind(id)
                .fetch_one(&mut self.connection)
                .await
                .unwrap();
        }
        (crate::rows::cpu_micros(self.backend) - before) / STATEMENTS as f64
    }
}
