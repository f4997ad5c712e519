//! Which database a command works on: never one that it made itself where somebody named the wrong
//! place, and the right one also while another process is making it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, Stdio},
};

use jeton::net::tls::{PemFiles, Tls};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton, run, run_json},
};

/// Commands that look or change, and must not make a database.
const COMMANDS: [&[&str]; 8] = [
    &["client", "list"],
    &["client", "show", "orders"],
    &["client", "create", "--client-id", "orders"],
    &["client", "disable", "--yes", "orders"],
    &["client", "delete", "--yes", "orders"],
    &["client", "add-secret", "orders"],
    &["audit", "list"],
    &["audit", "verify"],
];

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_the_wrong_place_makes_no_database_and_says_how_to_name_one() {
    let folder = tempfile::tempdir().unwrap();
    let empty = Database::new(Kind::Postgres).await;
    for command in COMMANDS {
        let output = jeton().args(command).current_dir(folder.path()).output().unwrap();
        let refused = complaint(&output);
        let place = folder.path().join("jeton-data/jeton.db").display().to_string();
        for part in [&*place, "there is no Jeton database here", "--data-dir", "`jeton migrate`"] {
            assert!(refused.contains(part), "{part} in {refused}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{command:?}");

        let refused = complaint(&run(command, &empty));
        for part in ["there is no Jeton database here", "--database-url", "`jeton migrate`"] {
            assert!(refused.contains(part), "{part} in {refused}");
        }
    }
    let mut admin = PgConnection::connect(&empty.url).await.unwrap();
    let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut admin).await.unwrap();
    assert_eq!(tables, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_somebody_else_is_left_as_it_is() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let theirs = "create table client (name text)";
        match kind {
            Kind::Postgres => database.execute_all(theirs).await,
            Kind::Sqlite => {
                let file = format!("sqlite:{}/jeton.db?mode=rwc", database.dir.path().display());
                let mut file = SqliteConnection::connect(&file).await.unwrap();
                sqlx::query(AssertSqlSafe(theirs)).execute(&mut file).await.unwrap();
            }
        }
        let refused = complaint(&run(&["migrate"], &database));
        assert!(refused.contains("tables that Jeton did not make"), "{refused}");
        assert!(database.refuses("select * from _sqlx_migrations").await.contains("_sqlx"));
    }
}

/// The mend is a grant, and neither the password nor a line of the source code of Postgres.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_is_told_so() {
    let database = Database::ready(Kind::Postgres).await;
    let role = format!("without_rights_{}", std::process::id());
    database.execute(&format!("create role {role} login")).await;
    let url = format!("{}&user={role}", database.url);
    let listed = jeton().args(["client", "list", "--database-url", &url]).output().unwrap();
    database.execute(&format!("drop role {role}")).await;
    let refused = complaint(&listed);
    assert!(refused.contains("lacks a privilege"), "{refused}");
    assert!(refused.contains("permission denied for table"), "{refused}");
    assert!(!refused.contains("at line") && !refused.contains("password"), "{refused}");
}

/// Whoever runs a command sees on which database, and never its password.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_changes_something_and_a_node_name_their_database() {
    for kind in Kind::BOTH {
        let mut database = Database::ready(kind).await;
        database.url = database.url.replace("postgres@", "postgres:canary@");
        let place = match kind {
            Kind::Postgres => database.url.replace("canary", "[redacted]"),
            Kind::Sqlite => database.dir.path().join("jeton.db").display().to_string(),
        };
        for command in [COMMANDS[2], &["client", "disable", "--yes", "orders"], &["migrate"]] {
            let output = run(command, &database);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            assert!(said.contains(&format!("Database: {place}")), "{said}");
        }
        let served = Served::start(&database, &[]);
        let serving = served.said.lines().last().unwrap();
        assert!(serving.contains("serving") && serving.contains(&place), "{serving}");
        assert!(!served.said.contains("canary"));
    }
}

fn starting(database: &Database) -> Child {
    let ports = ["--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"];
    let mut command = jeton();
    command.arg("serve").args(ports).args(database.flags());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A command that comes while a node makes the schema waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_beside_a_node_that_migrates_waits_until_that_is_done() {
    for kind in Kind::BOTH {
        for _ in 0..8 {
            let database = Database::new(kind).await;
            let mut node = starting(&database);
            // From the first moment at which there is something, until the client is there.
            let mut tried = 0;
            loop {
                tried += 1;
                let output = run(&["client", "list", "--json"], &database);
                if output.status.success() {
                    break;
                }
                let said = complaint(&output);
                assert!(
                    said.contains("there is no Jeton database here"),
                    "{kind:?}, {tried}: {said}"
                );
                assert!(tried < 1_000 && node.try_wait().unwrap().is_none(), "{said}");
            }
            node.kill().unwrap();
            node.wait().unwrap();
        }
    }
}

/// The same, with somebody who is in the middle of it for sure.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_the_lock_of_migrations_and_gives_up_with_words() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        database.execute("delete from _sqlx_migrations where version > 2").await;
        let lock = Held::migrations(&database).await;
        let started = waiting(&["client", "list", "--timeout", "3"], &database);
        let refused = complaint(&started.wait_with_output().unwrap());
        assert!(refused.contains("gave up after 3 s"), "{refused}");
        assert!(refused.contains("Nothing was changed"), "{refused}");
        let obstacle = match kind {
            Kind::Postgres => "holds a lock",
            Kind::Sqlite => "another process that is migrating",
        };
        assert!(refused.contains(obstacle), "{refused}");

        let started = waiting(&["client", "list"], &database);
        drop(lock);
        let refused = complaint(&started.wait_with_output().unwrap());
        assert!(refused.contains("at version 2") && refused.contains("`jeton migrate`"));
    }
}

/// Somebody who holds the lock of migrations.
enum Held {
    Postgres(#[expect(dead_code, reason = "it holds the lock while it lives")] PgConnection),
    Sqlite(#[expect(dead_code, reason = "it holds the lock while it lives")] fs::File),
}

impl Held {
    async fn migrations(database: &Database) -> Self {
        match database.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&database.url).await.unwrap();
                let lock = "select pg_advisory_lock(7160834520119)";
                sqlx::query(lock).execute(&mut connection).await.unwrap();
                Self::Postgres(connection)
            }
            Kind::Sqlite => {
                let path = database.dir.path().join("jeton.migrate-lock");
                let file = fs::File::open(path).unwrap();
                file.lock().unwrap();
                Self::Sqlite(file)
            }
        }
    }
}

fn waiting(arguments: &[&str], database: &Database) -> Child {
    let mut command = jeton();
    command.args(arguments).args(database.flags());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A directory that was there before, as a service manager makes it, is open to others.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_data_directory_is_for_others_from_the_first_run_on() {
    let database = Database::new(Kind::Sqlite).await;
    let folder = database.dir.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let _node = Served::start(&database, &["--tls-self-signed"]);
    run_json(&["client", "create", "--client-id", "orders"], &database);
    for name in ["jeton.db", "jeton.db-wal", "jeton.db-shm", "jeton.lock", "tls/key.pem"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    // Whoever shall trust it must be able to read it.
    assert_eq!((mode(&folder.join("tls/cert.pem")), mode(&folder.join("tls"))), (0o644, 0o755));
}

/// What others put there is neither followed nor emptied.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_a_link_is_refused_and_its_target_is_left_alone() {
    let database = Database::new(Kind::Sqlite).await;
    let victim = tempfile::NamedTempFile::new().unwrap();
    fs::write(victim.path(), "precious").unwrap();
    symlink(victim.path(), database.dir.path().join("jeton.migrate-lock")).unwrap();
    let refused = complaint(&run(&["migrate"], &database));
    assert!(refused.contains("jeton.migrate-lock"), "{refused}");
    assert_eq!(fs::read_to_string(victim.path()).unwrap(), "precious");
}

/// Many at once, again and again: all of them serve, and what they leave is one pair.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_share_one_certificate_and_its_key() {
    for _ in 0..8 {
        let database = Database::new(Kind::Sqlite).await;
        let nodes = std::thread::scope(|scope| {
            let start = || Served::start(&database, &["--tls-self-signed"]);
            let starting: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            starting.into_iter().map(|node| node.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(nodes.iter().all(|node| !node.said.contains("moved an unusable")));
        let tls = database.dir.path().join("tls");
        let pair = PemFiles { cert: tls.join("cert.pem"), key: tls.join("key.pem") };
        Tls::load(pair).unwrap();
        let left = fs::read_dir(database.dir.path()).unwrap().flatten();
        let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        left.retain(|name| name.to_string_lossy().starts_with("tls"));
        left.sort();
        assert_eq!(left, ["tls", "tls.lock"]);
    }
}
