//! How a node comes up, why it does not, and how it ends.

use std::{
    io::{Read, Write},
    process::Output,
    time::Duration,
};

use jeton::{
    net::Limits,
    node::Node,
    pb::v1::token_service_client::TokenServiceClient,
    store::{PostgresOptions, PostgresStore},
};
use rustix::process::Signal;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{Served, complaint, free_port, jeton, run, run_json},
    http::{FORM, basic, post_form},
    node::node_options,
    proxy::Proxy,
    tls::{Files, write_key},
};

fn serve(arguments: &[&str], database: &Database) -> Output {
    let ports = ["--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"];
    run(&[&["serve"], arguments, &ports[..]].concat(), database)
}

async fn count(database: &Database, rows: &str) -> i64 {
    let statement = AssertSqlSafe(format!("select count(*) from {rows}"));
    match database.kind {
        Kind::Postgres => {
            let mut connection = PgConnection::connect(&database.url).await.unwrap();
            sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
        }
        Kind::Sqlite => {
            let file = SqliteConnectOptions::new().filename(database.dir.path().join("jeton.db"));
            let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
            sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
        }
    }
}

/// On the embedded database too, though it is for one node: a start that meets another, for one
/// because a supervisor was hasty, must not spoil anything.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_migrate_an_empty_database_once() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let nodes = std::thread::scope(|scope| {
            let starting: Vec<_> =
                (0..3).map(|_| scope.spawn(|| Served::start(&database, &[]))).collect();
            starting.into_iter().map(|node| node.join().unwrap()).collect::<Vec<_>>()
        });
        let migrated = nodes.iter().filter(|node| node.said.contains("migrated the schema"));
        assert!(migrated.count() >= 1, "{kind:?}");
        let folder = format!("migrations/{}", format!("{kind:?}").to_lowercase());
        let migrations = std::fs::read_dir(folder).unwrap().count();
        let applied = count(&database, "_sqlx_migrations where success").await;
        assert_eq!(usize::try_from(applied).unwrap(), migrations, "{kind:?}");
        // The key of the installation is one: what one node issues, the others know.
        assert_eq!(count(&database, "installation").await, 1, "{kind:?}");
        let created = run_json(&["client", "create", "--client-id", "orders"], &database);
        let secret = created["client_secret"].as_str().unwrap();
        let form = "grant_type=client_credentials";
        let issued = post_form(nodes[0].http, "/oauth2/token", "orders", secret, form).await;
        let form = format!("token={}", issued.json()["access_token"].as_str().unwrap());
        for node in &nodes {
            let seen = post_form(node.http, "/oauth2/introspect", "orders", secret, &form).await;
            assert_eq!(seen.json()["active"], true, "{kind:?}");
        }
        Served::start(&database, &["--no-migrate"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
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

/// A database that refuses everyone in these words. A real one that trusts its own machine, as a
/// private one does, takes every password.
fn refusing(code: &str, words: &str) -> String {
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{words}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    let refusal = [b"E", &length[..], fields.as_bytes()].concat();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url =
        format!("postgres://jeton:wrong@{}/x?sslmode=disable", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut startup = [0; 1024];
            let _ = stream.read(&mut startup).and_then(|_| stream.write_all(&refusal));
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_start_is_said_in_one_line() {
    let database = Database::new(Kind::Postgres).await;
    let embedded = Database::new(Kind::Sqlite).await;
    let stranger = format!("{}&user=nosuchuser", database.url);
    let nothing = format!("{}&dbname=nosuchdatabase", database.url);
    let mend = "--database-url";
    let nowhere = format!("postgres://jeton@{}/jeton", free_port());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let garbage = embedded.dir.path().join("garbage.pem");
    write_key(&garbage, "no certificate");
    let garbage = garbage.to_str().unwrap();
    let file = embedded.dir.path().join("jeton.toml");
    std::fs::write(&file, "hash_quue = 3").unwrap();
    let files = Files::new();
    let cert = files.path("cert.pem");
    let cert = cert.to_str().unwrap();
    let other = files.path("other.pem");
    write_key(&other, &files.authority.issue().1);
    let other = other.to_str().unwrap();
    let wrong = refusing("28P01", "password authentication failed for user \"jeton\"");
    // Waiting does not mend these: after a wait they would say so in other words.
    let wait = ["--start-timeout-seconds", "60"];
    let rows: [(&[&str], &[&str]); 15] = [
        (&["--database-url", &wrong, wait[0], wait[1]], &["password authentication", mend]),
        (&["--database-url", &stranger, wait[0], wait[1]], &["nosuchuser", mend]),
        (&["--database-url", &nothing, wait[0], wait[1]], &["nosuchdatabase", mend]),
        (&["--database-url", &nowhere, "--start-timeout-seconds", "1"], &["within 1", "refused"]),
        (&["--database-url", "mysql://root@localhost/x"], &["postgres://user:password@host"]),
        (&["--grpc-addr", &taken], &["cannot listen on", &taken, "gRPC", "--grpc-addr", "in use"]),
        (&["--http-addr", &taken], &["cannot listen on", &taken, "--http-addr", "in use"]),
        (&["--tls-cert", garbage, "--tls-key", garbage], &["garbage.pem"]),
        (&["--tls-cert", "/nowhere.pem", "--tls-key", garbage], &["/nowhere.pem"]),
        (&["--tls-cert", cert, "--tls-key", garbage], &["garbage.pem", "private key"]),
        (&["--tls-cert", cert, "--tls-key", "/nowhere.pem"], &["/nowhere.pem"]),
        (&["--tls-cert", cert, "--tls-key", other], &["certificate", "key"]),
        (&["--tls-cert", garbage], &["--tls-key"]),
        // 10: never in clear beyond this machine by mistake.
        (&["--grpc-addr", "0.0.0.0:0"], &["without verified TLS", "--behind-tls-proxy"]),
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
#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_that_it_does_not_serve_until_its_database_is_there() {
    let nobody = free_port();
    let url = format!("postgres://jeton@{nobody}/jeton");
    let store =
        PostgresStore::at(&url, 4, PostgresOptions::waiting(Duration::from_millis(200))).unwrap();
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

/// Its database takes connections and closes them, and then it does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_serves_as_soon_as_its_database_answers() {
    let database = Database::new(Kind::Postgres).await;
    let proxy = Proxy::before(&database.url).await;
    proxy.refuse(true);
    let store =
        PostgresStore::at(&proxy.url, 4, PostgresOptions::waiting(Duration::from_millis(500)))
            .unwrap();
    let mut options = node_options(std::sync::Arc::new(store), &TestNodeOptions::default());
    (options.grpc_addr, options.start_timeout) = (free_port(), Duration::from_mins(1));
    let grpc = format!("http://{}", options.grpc_addr);
    let starting = tokio::spawn(Node::start(options));
    while TokenServiceClient::connect(grpc.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut health = health(grpc).await;
    let asked = HealthCheckRequest { service: "jeton.v1.TokenService".to_owned() };
    let mut watch = health.watch(asked).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    proxy.refuse(false);
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(status(&mut health, "").await, ServingStatus::Serving);
    drop((watch, health));
    assert!(starting.await.unwrap().unwrap().drain().await);
}

#[tokio::test(flavor = "multi_thread")]
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
    open.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    drop((health, grpc));
    assert!(draining.await.unwrap(), "nothing was cut");
}

/// From outside, with a request whose body is still on its way when the signal comes.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_an_open_request_finish_and_ends_with_status_0() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let created = run_json(&["client", "create", "--client-id", "orders"], &database);
        let secret = created["client_secret"].as_str().unwrap();
        let mut served = Served::start(&database, &["--pre-stop-seconds", "1"]);
        let mut health = health(format!("http://{}", served.grpc)).await;
        let asked = HealthCheckRequest { service: String::new() };
        let mut watch = health.watch(asked).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        let mut open = TcpStream::connect(served.http).await.unwrap();
        let form = "grant_type=client_credentials";
        let head = format!(
            "POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\n\
             authorization: {}\r\ncontent-length: {}\r\n\r\n",
            basic("orders", secret),
            form.len()
        );
        open.write_all(head.as_bytes()).await.unwrap();
        open.write_all(&form.as_bytes()[..5]).await.unwrap();
        // It has begun to read the request: what came later on the same listener was answered.
        post_form(served.http, "/oauth2/token", "orders", secret, form).await;

        served.signal(Signal::TERM);
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        for address in [served.grpc, served.http] {
            while TcpStream::connect(address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        open.write_all(&form.as_bytes()[5..]).await.unwrap();
        let mut answer = String::new();
        open.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let issued: serde_json::Value = serde_json::from_str(body).unwrap();
        drop((watch, health));
        assert_eq!(served.ended(Duration::from_secs(30)).await.code(), Some(0));

        let again = Served::start(&database, &[]);
        let form = format!("token={}", issued["access_token"].as_str().unwrap());
        let seen = post_form(again.http, "/oauth2/introspect", "orders", secret, &form).await;
        assert_eq!(seen.json()["active"], true, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait_for_the_first_one_to_end() {
    let database = Database::new(Kind::Sqlite).await;
    // The pre-stop wait would hold this one for a day.
    let mut served = Served::start(&database, &["--pre-stop-seconds", "86400"]);
    served.signal(Signal::TERM);
    served.until("draining");
    served.signal(Signal::INT);
    assert_eq!(served.ended(Duration::from_secs(30)).await.code(), Some(1));
}

/// Who did not ask for a port of the administration listener is not refused for one.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_a_machine_needs_no_flag_for_its_administration() {
    let mut addresses = Vec::new();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let database = Database::new(Kind::Sqlite).await;
        let mut command = jeton();
        let served = Served::start_as(command.env_remove("JETON_PROBE_ADDR"), &database, &[]);
        let (_, after) = served.said.rsplit_once("probes=").unwrap();
        addresses.push(after.split_whitespace().next().unwrap().to_owned());
        nodes.push((served, database));
    }
    assert_ne!(addresses[0], addresses[1]);
}
