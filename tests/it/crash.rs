//! What was acknowledged survives the sudden death of a node, of a command and of connections.
//!
//! Each test prints the seed that chose its moments; `CRASH_SEED` chooses them again.

mod face;

use std::{
    env,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jeton::{
    domain::{ClientId, OsRandom, Random, SystemClock},
    pb::v1::{
        ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest,
        issue_token_request::Grant, token_service_client::TokenServiceClient,
    },
    registry::{NewSecret, Registry},
    store::ClientFilter,
};
use serde_json::Value;
use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::Code;

use self::face::{Face, Outcome};
use crate::support::{
    Database, Kind, TestNode,
    binary::{Served, jeton},
    node::{CHEAP, Credentials, new_client, operator},
};

/// Of each face.
const CALLERS: usize = 4;

/// Longer than any machine needs.
const LONG: Duration = Duration::from_mins(1);

/// A sequence that a seed repeats (splitmix64).
struct Moments(u64);

impl Moments {
    /// From a new seed, or the one that shall be repeated. Returned too, to be printed.
    fn new() -> (Self, u64) {
        let seed = env::var("CRASH_SEED").ok().map_or_else(
            || {
                let mut bytes = [0; 8];
                OsRandom.fill(&mut bytes).unwrap();
                u64::from_le_bytes(bytes)
            },
            |seed| seed.parse().unwrap(),
        );
        (Self(seed), seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % bound
    }
}

/// What callers were told. What became of a call without an answer is unknown, and stands nowhere.
#[derive(Default)]
struct Told {
    issued: Vec<String>,
    revoked: Vec<String>,
    unavailable: usize,
    /// Callers shall end with the call that they are in.
    enough: bool,
}

/// Issues, and revokes every third token, until it is enough. False if the node was gone before.
async fn issue_and_revoke(
    mut face: Face,
    caller: Arc<Credentials>,
    told: Arc<Mutex<Told>>,
) -> bool {
    let mut number = 0;
    while !told.lock().unwrap().enough {
        number += 1;
        let token = match face.issue(&caller).await {
            Outcome::Done(token) => token,
            Outcome::Unavailable => {
                told.lock().unwrap().unavailable += 1;
                continue;
            }
            Outcome::Gone => return false,
        };
        if number % 3 != 0 {
            told.lock().unwrap().issued.push(token);
            continue;
        }
        match face.revoke(&caller, &token).await {
            Outcome::Done(()) => told.lock().unwrap().revoked.push(token),
            Outcome::Unavailable => told.lock().unwrap().unavailable += 1,
            Outcome::Gone => return false,
        }
    }
    true
}

async fn callers(
    served: &Served,
    caller: &Arc<Credentials>,
    told: &Arc<Mutex<Told>>,
) -> JoinSet<bool> {
    let mut callers = JoinSet::new();
    for face in Face::both(served).await {
        for _ in 0..CALLERS {
            callers.spawn(issue_and_revoke(face.clone(), Arc::clone(caller), Arc::clone(told)));
        }
    }
    callers
}

/// Waits until so many more tokens than `before` have been acknowledged.
async fn until_issued(told: &Mutex<Told>, before: usize, more: u64) {
    let more = usize::try_from(more).unwrap();
    let issued = async {
        while told.lock().unwrap().issued.len() < before + more {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, issued).await.expect("the node issues no more");
}

/// Every acknowledgement holds, whichever face is asked.
async fn assert_kept(served: &Served, caller: &Credentials, told: &Mutex<Told>, seed: u64) {
    let (issued, revoked) = {
        let told = told.lock().unwrap();
        (told.issued.clone(), told.revoked.clone())
    };
    assert!(!issued.is_empty() && !revoked.is_empty(), "seed {seed}");
    let mut faces = Face::both(served).await;
    for (tokens, expected) in [(issued, true), (revoked, false)] {
        for (number, token) in tokens.iter().enumerate() {
            let Outcome::Done(active) = faces[number % 2].is_active(caller, token).await else {
                panic!("no answer, seed {seed}");
            };
            assert_eq!(active, expected, "an acknowledgement was lost, seed {seed}");
        }
    }
}

/// A client whose secret is cheap to verify, so that more of the time goes into the database.
async fn register(database: &Database, client_id: &str) -> Arc<Credentials> {
    let store = database.migrated().await;
    let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
    let registry = Registry::open(store, clock, random, CHEAP, operator()).await;
    let registry = registry.unwrap();
    let created = registry.create_client(new_client(client_id), NewSecret::default()).await;
    let (client, secret) = created.unwrap();
    Arc::new(Credentials { client, secret })
}

/// I1, I2, M-01.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_in_the_middle_of_issuing_has_lost_nothing() {
    let (mut moments, seed) = Moments::new();
    eprintln!("CRASH_SEED={seed}");
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let caller = register(&database, "orders").await;
        let told = Arc::new(Mutex::new(Told::default()));
        for _ in 0..4 {
            let before = told.lock().unwrap().issued.len();
            let mut served = Served::start(&database, &[]);
            let callers = callers(&served, &caller, &told).await;
            until_issued(&told, before, 20 + moments.below(60)).await;
            sleep(Duration::from_micros(moments.below(5_000))).await;
            served.child.kill().unwrap();
            served.child.wait().unwrap();
            assert_eq!(callers.join_all().await, [false; 2 * CALLERS], "seed {seed}");
            let served = Served::start(&database, &[]);
            assert_kept(&served, &caller, &told, seed).await;
        }
        // Nothing was in the way of the database: all that was refused went with the node.
        assert_eq!(told.lock().unwrap().unavailable, 0, "{kind:?}, seed {seed}");
        if kind == Kind::Sqlite {
            let file = SqliteConnectOptions::new().filename(database.dir.path().join("jeton.db"));
            let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
            let check: String = sqlx::query_scalar("pragma integrity_check")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(check, "ok", "seed {seed}");
        }
    }
}

/// A client is there with its secret, or not at all; and one whose secret was shown is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_killed_leaves_a_whole_client_or_none() {
    let (mut moments, seed) = Moments::new();
    eprintln!("CRASH_SEED={seed}");
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let create = |client_id: &str| {
            let mut command = jeton();
            command.args(["client", "create", "--json", "--client-id", client_id]);
            command.args(database.flags()).stdout(Stdio::piped()).stderr(Stdio::null());
            command
        };
        assert!(create("first").output().unwrap().status.success());
        let began = Instant::now();
        assert!(create("undisturbed").output().unwrap().status.success());
        let undisturbed = u64::try_from(began.elapsed().as_micros()).unwrap();
        let mut shown = Vec::new();
        for number in 0..16 {
            let mut child = create(&format!("client{number}")).spawn().unwrap();
            // Most of these moments lie around the writing, which comes at the end.
            let moment = undisturbed / 2 + moments.below(undisturbed);
            sleep(Duration::from_micros(moment)).await;
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            if let Ok(created) = serde_json::from_slice::<Value>(&output.stdout) {
                shown.push(created);
            }
        }
        let store = database.store();
        let every = ClientFilter::default();
        for record in store.list_records(&every, None, 100).await.unwrap() {
            let client = record.unwrap().client;
            let secrets = store.list_secrets(&client.client_id).await.unwrap();
            assert_eq!(secrets.len(), 1, "{} on {kind:?}, seed {seed}", client.client_id);
        }
        let served = Served::start(&database, &[]);
        let grpc = format!("http://{}", served.grpc);
        let mut node = TokenServiceClient::connect(grpc).await.unwrap();
        for created in shown {
            let text = |member: &str| created[member].as_str().unwrap().to_owned();
            let client_id = ClientId::parse(&text("client_id")).unwrap();
            let asked = IssueTokenRequest {
                grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
                client_authentication: Some(ClientAuthentication {
                    client_id: client_id.to_string(),
                    client_secret: text("client_secret"),
                }),
                ..Default::default()
            };
            let issued = node.issue_token(asked).await;
            assert!(issued.is_ok(), "{client_id} on {kind:?}, seed {seed}: {issued:?}");
        }
    }
}

/// M-02: the connections of a node are cut again and again, and nobody is told a lie.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_cost_errors_and_no_truth() {
    let (mut moments, seed) = Moments::new();
    eprintln!("CRASH_SEED={seed}");
    let database = Database::new(Kind::Postgres).await;
    let caller = register(&database, "orders").await;
    let served = Served::start(&database, &[]);
    let mut faces = Face::both(&served).await;
    let Outcome::Done(living) = faces[0].issue(&caller).await else { panic!("not issued") };
    let told = Arc::new(Mutex::new(Told::default()));
    let callers = callers(&served, &caller, &told).await;

    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    let mut cut = 0;
    for _ in 0..40 {
        sleep(Duration::from_micros(moments.below(30_000))).await;
        cut += sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .execute(&mut admin)
        .await
        .unwrap()
        .rows_affected();
        for face in &mut faces {
            match face.is_active(&caller, &living).await {
                Outcome::Done(active) => assert!(active, "a living token is inactive, {seed}"),
                Outcome::Unavailable => (),
                Outcome::Gone => panic!("the node is gone, seed {seed}"),
            }
        }
    }
    assert!(cut >= 40, "too few connections were cut for this to mean anything");

    // It heals by itself, and those who call it over connections of their own go on.
    let before = told.lock().unwrap().issued.len();
    until_issued(&told, before, 50).await;
    told.lock().unwrap().enough = true;
    assert_eq!(callers.join_all().await, [true; 2 * CALLERS], "seed {seed}");
    assert_kept(&served, &caller, &told, seed).await;
}

/// A file that was removed takes writes as before, and nobody will ever read them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_into_a_removed_file_is_not_acknowledged() {
    let node = TestNode::start(Kind::Sqlite).await;
    let caller = node.client("orders").await;
    let token = node.issue(&caller).await.unwrap().access_token;
    std::fs::remove_file(node.database.dir.path().join("jeton.db")).unwrap();
    let statuses =
        [node.issue(&caller).await.unwrap_err(), node.revoke(&caller, &token).await.unwrap_err()];
    for status in statuses {
        assert_eq!(status.code(), Code::Unavailable);
    }
}
