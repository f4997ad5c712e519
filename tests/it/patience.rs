//! Every wait of a command ends, and says what it was for.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};

use crate::support::{
    Database, Kind,
    binary::{complaint, jeton, run, run_json},
};

/// Takes the lock under which changes are put in order.
const ORDER: &str = "begin; lock table only installation in share update exclusive mode";

/// What a command may take beyond its deadline: to ask what stands in the way, and to take leave.
const LEAVE: Duration = Duration::from_secs(4);

fn started(arguments: &[&str], database: &Database) -> Child {
    let mut command = jeton();
    command.args(arguments).args(database.flags());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn with_client(kind: Kind) -> Database {
    let database = Database::ready(kind).await;
    run_json(&["client", "create", "--client-id", "orders"], &database);
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_a_lock_holds_up_ends_at_the_deadline_and_names_who_holds_it() {
    let database = with_client(Kind::Postgres).await;
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(ORDER).execute(&mut holder).await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut holder).await.unwrap();
    for command in [
        &["client", "disable", "--yes", "orders"][..],
        &["client", "delete", "--yes", "orders"],
        &["client", "add-secret", "orders"],
        &["client", "create", "--client-id", "stock"],
    ] {
        let began = Instant::now();
        let ended = started(&[command, &["--timeout", "2"]].concat(), &database);
        let output = ended.wait_with_output().unwrap();
        assert!(began.elapsed() < Duration::from_secs(2) + LEAVE, "{:?}", began.elapsed());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let refused = complaint(&output);
        for part in [&format!("session {pid} ("), "pg_terminate_backend", "jeton client "] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(refused.contains("may") && !refused.contains("Nothing was changed"), "{refused}");
    }
    // Who waits long enough is served.
    let disabling = started(&["client", "disable", "--yes", "orders"], &database);
    holder.close().await.unwrap();
    assert!(disabling.wait_with_output().unwrap().status.success());
}

/// A node that died a moment ago, or hangs, still has its lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_says_that_it_waits_for_the_lease_of_a_node() {
    let database = with_client(Kind::Postgres).await;
    database
        .execute_all(
            "insert into node (id, applied, lease_until)
             values (gen_random_uuid(), 0, clock_timestamp() + interval '4 seconds')",
        )
        .await;
    let output = run(&["client", "disable", "--yes", "orders"], &database);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("Waiting for 1 node that has not applied the change"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_beside_somebody_who_writes_to_the_file_for_ever() {
    let database = with_client(Kind::Sqlite).await;
    let _writing = database.lock_tokens().await;
    let began = Instant::now();
    let refused =
        complaint(&run(&["client", "disable", "--yes", "orders", "--timeout", "2"], &database));
    assert!(began.elapsed() < Duration::from_secs(2) + LEAVE, "{:?}", began.elapsed());
    assert!(refused.contains("gave up after 2 s") && refused.contains("jeton.db"), "{refused}");
    // Without a deadline of its own it ends as well: SQLite waits for five seconds.
    let refused = complaint(&run(&["client", "disable", "--yes", "orders"], &database));
    assert!(refused.contains("locked"), "{refused}");
    assert!(run(&["client", "show", "orders"], &database).status.success(), "reading goes on");
}

#[test]
fn a_database_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://jeton@{}/jeton?sslmode=disable", silent.local_addr().unwrap());
    for command in [&["client", "list"][..], &["audit", "verify"], &["migrate"]] {
        for limit in ["1", "20"] {
            let began = Instant::now();
            let flags = ["--database-url", &url, "--timeout", limit];
            let output = jeton().args(command).args(flags).output().unwrap();
            assert!(began.elapsed() < Duration::from_secs(2) + LEAVE);
            let refused = complaint(&output);
            assert!(refused.contains("not answer") && refused.contains(&url), "{refused}");
        }
    }
}

#[test]
fn a_node_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let rows = [
        ("issue", "may have been issued"),
        ("introspect", "Nothing was changed"),
        ("revoke", "may or may not be revoked"),
    ];
    for (command, undecided) in rows {
        let began = Instant::now();
        let output = asking(command, &server).args(["--timeout", "1"]).output().unwrap();
        let refused = complaint(&output);
        assert!(began.elapsed() < Duration::from_secs(1) + LEAVE);
        for part in ["gave up after 1 s", &server, undecided] {
            assert!(refused.contains(part), "{part} in {refused}");
        }
    }
}

fn asking(command: &str, server: &str) -> Command {
    let mut asking = jeton();
    asking.args(["token", command, "--client-id", "orders", "--server", server]);
    asking.env("JETON_CLIENT_SECRET", "jts_x").env("JETON_TOKEN", "jta_x");
    asking
}

/// Whoever has had enough presses Ctrl-C.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_a_command_that_waits() {
    let database = with_client(Kind::Postgres).await;
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(ORDER).execute(&mut holder).await.unwrap();
    let mut child = started(&["client", "disable", "--yes", "orders", "--timeout", "0"], &database);
    let blocked = "select exists (select from pg_locks join pg_database on oid = database
        where datname = current_database() and not granted)";
    while !sqlx::query_scalar::<_, bool>(blocked).fetch_one(&mut holder).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(!child.wait().unwrap().success());
}
