//! What a backup and a restore refuse, and what they leave behind: nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{
    AssertSqlSafe, Connection, SqliteConnection,
    migrate::{Migrate, Migrator},
    sqlite::SqliteConnectOptions,
};

use super::{back_up, clients};
use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton, run, run_json},
};

async fn with_client(kind: Kind) -> Database {
    let database = Database::ready(kind).await;
    run_json(&["client", "create", "--client-id", "orders"], &database);
    database
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn file_of(database: &Database) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(database.dir.path().join("jeton.db"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_for_its_owner_alone_and_replaces_nothing() {
    for kind in Kind::BOTH {
        let database = with_client(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let (file, said) = back_up(&database, folder.path());
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(said["bytes"], metadata.len());
        let before = fs::read(&file).unwrap();
        let refused = run(&["backup", file.to_str().unwrap()], &database);
        assert!(complaint(&refused).contains("already exists"), "{refused:?}");
        assert_eq!(refused.status.code(), Some(6));
        assert_eq!(fs::read(&file).unwrap(), before);
        let nowhere = folder.path().join("no/such/folder");
        let refused = complaint(&run(&["backup", nowhere.to_str().unwrap()], &database));
        assert!(refused.contains("no/such/folder"), "{refused}");
        assert_eq!(names(folder.path()), ["jeton.backup"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_refuses_a_file_that_is_no_backup_and_leaves_nothing() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let (good, _) = back_up(&with_client(kind).await, folder.path());
        let other = match kind {
            Kind::Postgres => Kind::Sqlite,
            Kind::Sqlite => Kind::Postgres,
        };
        let others = tempfile::tempdir().unwrap();
        let (of_the_other, _) = back_up(&with_client(other).await, others.path());
        let half = folder.path().join("half");
        let bytes = fs::read(&good).unwrap();
        fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
        let text = folder.path().join("text");
        fs::write(&text, "no backup\n".repeat(1_000)).unwrap();
        let empty = folder.path().join("empty");
        fs::write(&empty, "").unwrap();
        for file in [&half, &text, &empty, &of_the_other, &folder.path().join("nowhere")] {
            let refused = complaint(&run(&["restore", file.to_str().unwrap()], &database));
            assert!(refused.contains(file.to_str().unwrap()), "{refused}");
            let refused = complaint(&run(&["client", "list"], &database));
            assert!(refused.contains("there is no Jeton database here"), "{refused}");
        }
        assert!(!names(database.dir.path()).iter().any(|name| name.starts_with("restoring")));
        // It was not the place that was wrong.
        assert!(run(&["restore", good.to_str().unwrap()], &database).status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_there_or_in_use_is_not_restored_over() {
    for kind in Kind::BOTH {
        let database = with_client(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = back_up(&database, folder.path());
        let restore = ["restore", file.to_str().unwrap()];
        let refused = run(&restore, &database);
        let there = if kind == Kind::Sqlite { "already exists" } else { "is not empty" };
        assert!(complaint(&refused).contains(there), "{refused:?}");
        assert_eq!(refused.status.code(), Some(6));
        let replace = [&restore[..], &["--replace"]].concat();
        if kind == Kind::Postgres {
            assert!(complaint(&run(&replace, &database)).contains("createdb"));
            continue;
        }
        let node = Served::start(&database, &[]);
        let refused = run(&replace, &database);
        assert!(complaint(&refused).contains("stop the nodes first"), "{refused:?}");
        assert_eq!(refused.status.code(), Some(6));
        drop(node);
        // Another program, which knows nothing of our locks.
        let mut other = SqliteConnection::connect_with(&file_of(&database)).await.unwrap();
        sqlx::query("select * from client").execute(&mut other).await.unwrap();
        assert!(complaint(&run(&replace, &database)).contains("close other programs"));
        other.close().await.unwrap();
        assert_eq!(clients(&database).len(), 1, "it is as it was");
    }
}

/// What was there is kept whole, its newest rows too, and can be looked at.
#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_database_that_is_replaced_is_kept_beside() {
    let database = with_client(Kind::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = back_up(&database, folder.path());
    let mut node = Served::start(&database, &[]);
    run_json(&["client", "create", "--client-id", "late"], &database);
    // Killed: its last rows lie in the write-ahead log.
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    assert!(database.dir.path().join("jeton.db-wal").exists());
    let restored = run_json(&["restore", file.to_str().unwrap(), "--replace"], &database);
    assert_eq!(clients(&database), [("orders".to_owned(), "active".to_owned())]);
    let kept = restored["kept"].as_str().unwrap();
    assert!(restored["check"].to_string().contains(kept), "{restored}");
    let listed = jeton().args(["audit", "list", "--json", "--data-dir", kept]).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("late"));
    assert!(!names(database.dir.path()).contains(&"jeton.db-wal".to_owned()));
}

/// The log of one database would be read into the other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_its_database_does_not_get_into_the_restored_one() {
    let source = with_client(Kind::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = back_up(&source, folder.path());
    let database = with_client(Kind::Sqlite).await;
    let path = |name: &str| database.dir.path().join(name);
    let mut node = Served::start(&database, &[]);
    run_json(&["client", "create", "--client-id", "stranger"], &database);
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    fs::remove_file(path("jeton.db")).unwrap();
    assert!(fs::metadata(path("jeton.db-wal")).unwrap().len() > 0);
    assert!(run(&["restore", file.to_str().unwrap()], &database).status.success());
    assert_eq!(clients(&database), clients(&source));
    run_json(&["audit", "verify"], &database);

    // Nor is a database taken for a backup whose newest rows lie in such a log.
    fs::write(folder.path().join("jeton.backup-wal"), "rows").unwrap();
    let elsewhere = Database::new(Kind::Sqlite).await;
    let refused = complaint(&run(&["restore", file.to_str().unwrap()], &elsewhere));
    assert!(refused.contains("write-ahead log beside it"), "{refused}");
}

/// A backup of the version before, and one of a version that is not known yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_an_older_schema_is_migrated_and_one_of_a_newer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.backup");
    let file = SqliteConnectOptions::new().filename(&old).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    let migrator = Migrator::new(Path::new("migrations/sqlite")).await.unwrap();
    let table = "_sqlx_migrations";
    connection.ensure_migrations_table(table).await.unwrap();
    for migration in migrator.iter().filter(|migration| migration.version <= 2) {
        connection.apply(table, migration).await.unwrap();
    }
    let rows = "insert into installation (tag_key, created_at) values (zeroblob(32), 0);
                insert into client (id, client_id, created_at) values (zeroblob(16), 'old', 0)";
    sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let database = Database::new(Kind::Sqlite).await;
    let restored = run_json(&["restore", old.to_str().unwrap()], &database);
    assert_eq!(restored["clients"], 1);
    assert_eq!(clients(&database), [("old".to_owned(), "active".to_owned())]);
    run_json(&["audit", "verify"], &database);

    for kind in Kind::BOTH {
        let newer = with_client(kind).await;
        let (file, _) = back_up(&newer, folder.path());
        // The command refuses to save it as well; so it is made newer when it is saved.
        let later = "insert into _sqlx_migrations
                         (version, description, success, checksum, execution_time)
                     values (9999, 'of a later version', true, '', 0)";
        match kind {
            Kind::Sqlite => {
                let file = SqliteConnectOptions::new().filename(&file);
                let mut file = SqliteConnection::connect_with(&file).await.unwrap();
                sqlx::query(later).execute(&mut file).await.unwrap();
                file.close().await.unwrap();
            }
            Kind::Postgres => {
                newer.execute(later).await;
                assert!(complaint(&run(&["backup", "x"], &newer)).contains("version 9999"));
                dump(&newer, &file);
            }
        }
        let database = Database::new(kind).await;
        let refused = complaint(&run(&["restore", file.to_str().unwrap()], &database));
        assert!(refused.contains("version 9999"), "{refused}");
        assert!(
            complaint(&run(&["client", "list"], &database))
                .contains("there is no Jeton database here")
        );
        fs::remove_file(&file).unwrap();
    }
}

/// What somebody saved with `pg_dump` alone.
fn dump(database: &Database, file: &Path) {
    let program = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let program = program.map(|entry| entry.path().join("bin/pg_dump")).find(|path| path.exists());
    let program = program.unwrap_or_else(|| "pg_dump".into());
    let dumped = Command::new(program)
        .args(["--format=custom", "--file"])
        .arg(file)
        .arg(format!("--dbname={}", database.url))
        .status();
    assert!(dumped.unwrap().success());
}

fn backing_up(database: &Database, file: &Path, more: &[&str]) -> Child {
    let mut command = jeton();
    command.arg("backup").arg(file).args(more).args(database.flags());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let of_main = fs::read_to_string(path).unwrap_or_default();
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let of_others = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let all = of_others.chain([of_main]).collect::<String>();
    let mut all: Vec<u32> = all.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Held up in the middle, so that one can look: the password is where only its owner reads it, and
/// what was begun is gone after an interrupt, and after a deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_interrupted_leaves_nothing_and_never_showed_the_password() {
    let mut database = with_client(Kind::Postgres).await;
    database.url = database.url.replace("postgres@", "postgres:canary@");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jeton.backup");
    // pg_dump locks every table, and nothing else here asks for this one.
    let mut holder = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let lock = "begin; lock table node in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();

    let mut child = backing_up(&database, &file, &[]);
    let program = loop {
        let found = children(child.id()).into_iter().find(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains("--snapshot")
        });
        if let Some(program) = found {
            break program;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let of_program = |name: &str| {
        let text = fs::read(format!("/proc/{program}/{name}")).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    assert!(!of_program("cmdline").contains("canary"));
    assert!(of_program("environ").contains("PGPASSWORD=canary"));
    assert_eq!(names(folder.path()), ["jeton.backup.partial-0"]);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let refused = complaint(&child.wait_with_output().unwrap());
    assert!(refused.contains("interrupted"), "{refused}");
    assert_eq!(names(folder.path()), [""; 0]);

    let ended = backing_up(&database, &file, &["--timeout", "2"]).wait_with_output().unwrap();
    let refused = complaint(&ended);
    assert!(refused.contains("gave up after 2 s") && refused.contains("no backup was made"));
    assert!(refused.contains("holds a lock"), "{refused}");
    assert_eq!(names(folder.path()), [""; 0]);
}
