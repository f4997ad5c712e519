//! The yardsticks that are no servers: F, A, U, P.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    time::Instant,
};

use jeton::domain::{
    ClientSecret, Clock, HashCost, HashMemory, OsRandom, SecretHash, SystemClock, TagKey, uuid_v7,
};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// F: milliseconds of one durable flush, the median of many.
pub(crate) fn flush(folder: &Path) -> f64 {
    let path = folder.join("yardstick");
    let mut file: File = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let page = [7; 8_192];
    let mut took: Vec<f64> = (0..100)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&page).unwrap();
            file.sync_data().unwrap();
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    std::fs::remove_file(path).unwrap();
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
