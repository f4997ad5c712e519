//! Whether ten million tokens on disk are felt: two databases on one server, one of them filled,
//! and a node on each, asked in turns.

use sqlx::{Connection, PgConnection};

use crate::{
    load::{Seen, Target},
    postgres,
    process::Process,
    rows::start_node,
};

const MILLIONS: usize = 10;
const ROUNDS: usize = 5;

/// A million tokens of the last six hours that live for a day; nobody knows their secrets.
const FILL: &str = "
    insert into access_token
        (id, digest, client, secret, scopes, audiences, issued_at, expires_at)
    select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0')
                || '7' || substr(chance, 1, 3) || '8' || substr(chance, 4, 15))::uuid,
           sha256(chance::bytea), client, client, '{read}', '{https://api.test}',
           moment, moment + interval '1 day'
    from (select now() - random() * interval '6 hours' as moment,
                 md5(random()::text) as chance, gen_random_uuid() as client
          from generate_series(1, 1000000)) as made";

struct Side {
    node: Target,
    _process: Process,
}

impl Side {
    async fn start(database: &str) -> (Self, PgConnection) {
        let url = postgres::url(database);
        let mut server = PgConnection::connect(&postgres::url("postgres")).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {database}")))
            .execute(&mut server)
            .await
            .unwrap();
        let (node, process) = start_node(&["--database-url".to_owned(), url.clone()], &[]);
        let connection = PgConnection::connect(&url).await.unwrap();
        (Self { node, _process: process }, connection)
    }

    fn ask(&self) -> [Seen; 2] {
        let misses = ["--tokens", "40000"];
        [self.node.load("issue", &["--seconds", "4"]), self.node.load("misses", &misses)]
    }
}

/// The ratios of each round: the filled database to the other one.
pub(crate) async fn measure() -> Vec<(&'static str, f64)> {
    let (fresh, _) = Side::start("fresh").await;
    let (grown, mut connection) = Side::start("grown").await;
    for million in 1..=MILLIONS {
        eprintln!("tokens on disk: {million} of {MILLIONS} million …");
        sqlx::query(FILL).execute(&mut connection).await.unwrap();
    }
    // What comes once, after so many at once, is not what is asked here.
    for statement in ["vacuum (analyze) access_token", "checkpoint"] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS} …", round + 1);
        let ([issue, misses], [issue_grown, misses_grown]) = (fresh.ask(), grown.ask());
        let ratio = |name: &str, of: &Seen, to: &Seen| of.get(name) / to.get(name);
        ratios.push(("11a", ratio("requests_per_second", &issue_grown, &issue)));
        ratios.push(("11b", ratio("p99_ms", &issue_grown, &issue)));
        ratios.push(("11c", ratio("requests_per_second", &misses_grown, &misses)));
        ratios.push(("11d", ratio("p99_ms", &misses_grown, &misses)));
    }
    ratios
}
