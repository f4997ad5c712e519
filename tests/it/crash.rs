//! What a node has acknowledged survives its sudden death, and that of its connections.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use jeton::pb::v1::{
    ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
    RevokeTokenRequest, issue_token_request::Grant, token_service_client::TokenServiceClient,
};
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{Served, run_json},
    node::issue_request,
};

const CALLERS: usize = 6;

/// What callers were told. Only what was acknowledged stands here.
#[derive(Default)]
struct Told {
    issued: Vec<String>,
    revoked: Vec<String>,
}

/// Issues, and revokes every third token, until the node is gone.
async fn issue_and_revoke(
    grpc: SocketAddr,
    authentication: ClientAuthentication,
    told: Arc<Mutex<Told>>,
) {
    let mut client = TokenServiceClient::connect(format!("http://{grpc}")).await.unwrap();
    for round in 0.. {
        let asked = IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client_authentication: Some(authentication.clone()),
            ..Default::default()
        };
        let Ok(issued) = client.issue_token(asked).await else { return };
        let token = issued.into_inner().access_token;
        if round % 3 != 2 {
            told.lock().unwrap().issued.push(token);
            continue;
        }
        // What becomes of a token whose revocation is not acknowledged is unknown.
        let asked = RevokeTokenRequest {
            token: token.clone(),
            client_authentication: Some(authentication.clone()),
            ..Default::default()
        };
        if client.revoke_token(asked).await.is_err() {
            return;
        }
        told.lock().unwrap().revoked.push(token);
    }
}

async fn is_active(
    client: &mut TokenServiceClient<Channel>,
    authentication: &ClientAuthentication,
    token: &str,
) -> bool {
    let asked = IntrospectTokenRequest {
        token: token.to_owned(),
        client_authentication: Some(authentication.clone()),
        ..Default::default()
    };
    client.introspect_token(asked).await.unwrap().into_inner().active
}

/// I1, I2, M-01.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_in_the_middle_of_issuing_has_lost_nothing() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let created = run_json(&["client", "create", "--client-id", "orders"], &database);
        let authentication = ClientAuthentication {
            client_id: "orders".to_owned(),
            client_secret: created["client_secret"].as_str().unwrap().to_owned(),
        };
        let told = Arc::new(Mutex::new(Told::default()));
        for round in 0..3 {
            let before = told.lock().unwrap().issued.len();
            let mut served = Served::start(&database, &[]);
            let mut callers = JoinSet::new();
            for _ in 0..CALLERS {
                let told = Arc::clone(&told);
                callers.spawn(issue_and_revoke(served.grpc, authentication.clone(), told));
            }
            // The moment of the kill is wherever the callers then are.
            while told.lock().unwrap().issued.len() < before + 15 + 7 * round {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            served.child.kill().unwrap();
            served.child.wait().unwrap();
            callers.join_all().await;
        }
        let served = Served::start(&database, &[]);
        let mut client =
            TokenServiceClient::connect(format!("http://{}", served.grpc)).await.unwrap();
        let told = std::mem::take(&mut *told.lock().unwrap());
        assert!(!told.revoked.is_empty(), "{kind:?}");
        for token in &told.issued {
            assert!(is_active(&mut client, &authentication, token).await, "lost on {kind:?}");
        }
        for token in &told.revoked {
            assert!(!is_active(&mut client, &authentication, token).await, "back on {kind:?}");
        }
    }
}

/// M-02: the connections of a node are cut again and again, and nobody is told a lie.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_cost_errors_and_no_truth() {
    let database = Database::new(Kind::Postgres).await;
    let url = database.url.clone();
    let node = TestNode::on(database, TestNodeOptions::default()).await;
    let caller = node.client("orders").await;
    let living = node.issue(&caller).await.unwrap().access_token;
    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let mut acknowledged = Vec::new();
    for _ in 0..10 {
        let mut calls = JoinSet::new();
        for _ in 0..CALLERS {
            let (mut client, asked) = (node.grpc.clone(), issue_request(&caller));
            calls.spawn(async move { client.issue_token(asked).await });
        }
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .execute(&mut admin)
        .await
        .unwrap();
        match node.introspect(&caller, &living).await {
            Ok(answer) => assert!(answer.active, "a living token reads as inactive"),
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
        for outcome in calls.join_all().await {
            match outcome {
                Ok(issued) => acknowledged.push(issued.into_inner().access_token),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
        }
    }
    while node.introspect(&caller, &living).await.is_err() {}
    for token in &acknowledged {
        assert!(node.introspect(&caller, token).await.unwrap().active);
    }
}

/// A file that was removed takes writes as before, and nobody will ever read them.
#[tokio::test]
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
