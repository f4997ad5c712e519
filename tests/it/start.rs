//! How a node comes up, why it does not, and how it ends.

use std::{
    process::Output,
    time::{Duration, Instant},
};

use jeton::{
    pb::v1::token_service_client::TokenServiceClient,
    server::{Limits, Node},
    store::PostgresStore,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{Served, complaint, free_port, jeton, run},
    node::node_options,
};

fn serve(arguments: &[&str], database: &Database) -> Output {
    let ports = ["--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"];
    run(&[&["serve"], arguments, &ports[..]].concat(), database)
}

#[tokio::test]
async fn nodes_that_start_at_once_migrate_an_empty_database_once() {
    let database = Database::new(Kind::Postgres).await;
    let nodes = std::thread::scope(|scope| {
        let starting: Vec<_> =
            (0..3).map(|_| scope.spawn(|| Served::start(&database, &[]))).collect();
        starting.into_iter().map(|node| node.join().unwrap()).collect::<Vec<_>>()
    });
    let migrated = nodes.iter().filter(|node| node.said.contains("migrated the schema")).count();
    assert!((1..=3).contains(&migrated));
    let created = run(&["client", "create", "--client-id", "orders", "--json"], &database);
    assert!(created.status.success());
    // The key of the installation is one: what one node issues, the others know.
    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(&database.url).await.unwrap();
    let keys: i64 = sqlx::query_scalar("select count(*) from installation")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(keys, 1);
}

#[tokio::test]
async fn a_schema_of_a_later_version_is_refused_and_one_that_is_missing_too() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let refused = complaint(&serve(&["--no-migrate"], &database));
        assert!(refused.contains("`jeton migrate`"), "{refused}");
        assert!(run(&["migrate"], &database).status.success());
        assert!(run(&["migrate"], &database).status.success(), "again is no error");

        database
            .execute(
                "insert into _sqlx_migrations
                     (version, description, success, checksum, execution_time)
                 values (9999, 'of a later version', true, '', 0)",
            )
            .await;
        for arguments in [&["serve"][..], &["migrate"], &["client", "list"]] {
            let refused = complaint(&run(arguments, &database));
            assert!(refused.contains("version 9999"), "{refused}");
            assert!(refused.contains("run the version of jeton"), "{refused}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_start_is_said_in_one_line() {
    let database = Database::new(Kind::Postgres).await;
    let embedded = Database::new(Kind::Sqlite).await;
    let stranger = database.url.replace("postgres@", "nosuchuser@");
    let nowhere = format!("postgres://jeton@{}/jeton", free_port());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let garbage = embedded.dir.path().join("garbage.pem");
    std::fs::write(&garbage, "no certificate").unwrap();
    let garbage = garbage.to_str().unwrap();
    let file = embedded.dir.path().join("jeton.toml");
    std::fs::write(&file, "hash_quue = 3").unwrap();
    let rows: [(&[&str], &[&str]); 9] = [
        (&["--database-url", &stranger], &["refuses the connection", "nosuchuser"]),
        (&["--database-url", &nowhere, "--start-timeout-seconds", "1"], &["within 1", "refused"]),
        (&["--database-url", "mysql://root@localhost/x"], &["postgres://user:password@host"]),
        (&["--http-addr", &taken], &["cannot listen on", &taken, "in use"]),
        (&["--tls-cert", garbage, "--tls-key", garbage], &["garbage.pem"]),
        (&["--tls-cert", "/nowhere.pem", "--tls-key", garbage], &["/nowhere.pem"]),
        (&["--tls-cert", garbage], &["--tls-key"]),
        // Checklist 10: never in clear beyond this machine by mistake.
        (&["--grpc-addr", "0.0.0.0:0"], &["travel in clear", "--behind-tls-proxy"]),
        (&["--config", file.to_str().unwrap()], &["hash_quue", "hash_queue", "line 1"]),
    ];
    for (arguments, expected) in rows {
        let directory = ["--data-dir", embedded.dir.path().to_str().unwrap()];
        let ports = ["--grpc-addr", "--http-addr"].into_iter().filter(|flag| *flag != arguments[0]);
        let ports = ports.flat_map(|flag| [flag, "127.0.0.1:0"]);
        let output = jeton().arg("serve").args(arguments).args(directory).args(ports).output();
        let said = complaint(&output.unwrap());
        for part in expected {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}

async fn health(url: String) -> HealthClient<Channel> {
    HealthClient::new(Channel::from_shared(url).unwrap().connect().await.unwrap())
}

async fn status(health: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let asked = HealthCheckRequest { service: service.to_owned() };
    health.check(asked).await.unwrap().into_inner().status()
}

/// A balancer sees a node that waits for its database, and callers are told to come back.
#[tokio::test]
async fn a_node_says_that_it_does_not_serve_until_its_database_is_there() {
    let nobody = free_port();
    let url = format!("postgres://jeton@{nobody}/jeton");
    let store = PostgresStore::at(&url, 4, Duration::from_millis(200)).unwrap();
    let mut options = node_options(std::sync::Arc::new(store), &TestNodeOptions::default());
    options.grpc_addr = free_port();
    options.start_timeout = Duration::from_secs(30);
    let grpc = format!("http://{}", options.grpc_addr);
    let starting = tokio::spawn(Node::start(options));
    while TokenServiceClient::connect(grpc.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut health = health(grpc.clone()).await;
    for service in ["", "jeton.v1.TokenService"] {
        assert_eq!(status(&mut health, service).await, ServingStatus::NotServing);
    }
    let mut client = TokenServiceClient::connect(grpc).await.unwrap();
    let refused = client.issue_token(jeton::pb::v1::IssueTokenRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unavailable);
    starting.abort();
}

#[tokio::test]
async fn a_drain_says_so_lets_requests_finish_and_refuses_new_connections() {
    let limits = Limits {
        pre_stop: Duration::from_millis(300),
        drain_timeout: Duration::from_secs(10),
        ..Limits::default()
    };
    let options = TestNodeOptions { limits, ..TestNodeOptions::default() };
    let TestNode { node, grpc, registry: _, database: _database, .. } =
        TestNode::start_with(Kind::Sqlite, options).await;
    let address = node.grpc_addr();
    let mut health = health(format!("http://{address}")).await;
    assert_eq!(status(&mut health, "").await, ServingStatus::Serving);

    // A request whose body is still on its way.
    let mut open = TcpStream::connect(node.http_addr()).await.unwrap();
    let head = "POST /oauth2/token HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\
                content-type: application/x-www-form-urlencoded\r\n\r\ngrant";
    open.write_all(head.as_bytes()).await.unwrap();

    let draining = tokio::spawn(node.drain());
    while status(&mut health, "jeton.v1.TokenService").await == ServingStatus::Serving {}
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    open.write_all(b"=x&a").await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut open, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    drop((health, grpc));
    assert!(draining.await.unwrap(), "nothing was cut");
}

fn signal(served: &Served, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(served.child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn sigterm_ends_with_status_0_and_a_second_signal_ends_at_once() {
    let database = Database::new(Kind::Sqlite).await;
    let mut served = Served::start(&database, &[]);
    signal(&served, Signal::TERM);
    assert!(served.child.wait().unwrap().success());

    // The pre-stop wait would hold this one for a minute.
    let mut served = Served::start(&database, &["--pre-stop-seconds", "60"]);
    let mut health = health(format!("http://{}", served.grpc)).await;
    signal(&served, Signal::TERM);
    while status(&mut health, "").await == ServingStatus::Serving {}
    let began = Instant::now();
    signal(&served, Signal::INT);
    let ended = served.child.wait().unwrap();
    assert!(!ended.success() && began.elapsed() < Duration::from_secs(30), "{ended}");
}
