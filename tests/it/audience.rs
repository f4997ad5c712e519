//! A token is for one audience unless its client may have several and names them, and a resource
//! server sees its own audience alone.

use std::{collections::BTreeSet, fs, path::Path};

use jeton::{
    domain::{Audience, ClientId},
    pb::v1::{IssueTokenRequest, IssueTokenResponse},
    registry::{NewClient, NewSecret},
};
use serde_json::json;
use sqlx::{
    Connection, PgConnection, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions,
};
use tonic::{Code, Status};

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{Served, run, run_json},
    everything,
    http::post_form,
    node::{Credentials, audiences, issue_request, new_client},
};

const A: &str = "https://a.test";
const B: &str = "https://b.test";

/// A client of these audiences.
fn of(client_id: &str, names: &[&str], default: Option<&str>, several: bool) -> NewClient {
    NewClient {
        audiences: audiences(names),
        default_audience: default.map(|name| Audience::parse(name).unwrap()),
        several_audiences: several,
        ..new_client(client_id)
    }
}

async fn issue(
    node: &TestNode,
    caller: &Credentials,
    resources: &[&str],
) -> Result<IssueTokenResponse, Status> {
    let resources = resources.iter().copied().map(str::to_owned).collect();
    let request = IssueTokenRequest { resources, ..issue_request(caller) };
    let issued = node.grpc.clone().issue_token(request).await?.into_inner();
    everything::note_secrets_in(&issued.access_token);
    Ok(issued)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_the_default_audience_or_the_only_one_or_those_that_are_named() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let rows: [(NewClient, &[&str], &[&str]); 7] = [
            (of("none", &[], None, false), &[], &[]),
            (of("only", &[A], None, false), &[], &[A]),
            (of("default", &[A, B], Some(B), false), &[], &[B]),
            (of("named", &[A, B], Some(B), false), &[A], &[A]),
            (of("one-named", &[A, B], None, true), &[A], &[A]),
            (of("both-named", &[A, B], Some(B), true), &[B, A], &[A, B]),
            (of("several-by-default", &[A, B], Some(A), true), &[], &[A]),
        ];
        for (new, asked, expected) in rows {
            let client = node.register(new).await;
            let issued = issue(&node, &client, asked).await.unwrap();
            let told = node.introspect(&client, &issued.access_token).await.unwrap();
            assert!(told.active, "{kind:?}: {}", client.id());
            assert_eq!(told.audiences, expected, "{kind:?}: {}", client.id());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_for_no_one_audience_is_refused_and_told_what_to_send() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let open = node.register(of("open", &[A, B], None, true)).await;
        let one = node.register(of("one", &[A, B], Some(A), false)).await;
        let empty = node.register(of("empty", &[], None, true)).await;
        let rows: [(&Credentials, &[&str], &str); 4] = [
            (&open, &[], "send one of them as resource: https://a.test https://b.test"),
            (&one, &[A, B], "request one token for each resource"),
            (&open, &[A, "https://c.test"], "a requested resource is not registered"),
            (&empty, &[A], "a requested resource is not registered"),
        ];
        for (client, asked, why) in rows {
            let refused = issue(&node, client, asked).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{kind:?}: {}", client.id());
            assert!(refused.message().contains(why), "{kind:?}: {}", refused.message());
            let mut form = "grant_type=client_credentials".to_owned();
            for name in asked {
                form.extend(["&resource=", name]);
            }
            let (http, id, secret) = (node.node.http_addr(), client.id(), client.secret());
            let answer = post_form(http, "/oauth2/token", id, secret, &form).await;
            assert_eq!(answer.status, 400);
            assert_eq!(answer.json()["error"], "invalid_target");
            let said = answer.json()["error_description"].to_string();
            assert!(said.contains(why), "{kind:?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_server_sees_its_own_audience_alone() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let owner = node.register(of("owner", &[A, B, "https://c.test"], None, true)).await;
        let token = issue(&node, &owner, &[A, B]).await.unwrap().access_token;
        let serving = |name, served: &[&str]| {
            let serves = audiences(served);
            NewClient { audiences: BTreeSet::new(), serves, ..new_client(name) }
        };
        let rows: [(&str, &[&str], &[&str]); 5] = [
            ("a", &[A], &[A]),
            ("b", &[B], &[B]),
            ("both", &[A, B, "https://d.test"], &[A, B]),
            ("other", &["https://c.test"], &[]),
            ("nobody", &[], &[]),
        ];
        for (name, serves, seen) in rows {
            let server = node.register(serving(name, serves)).await;
            let told = node.introspect(&server, &token).await.unwrap();
            assert_eq!(told.active, !seen.is_empty(), "{kind:?}: {name}");
            assert_eq!(told.audiences, seen, "{kind:?}: {name}");
            if told.active {
                assert_eq!(told.scopes, ["read", "write"]);
            }
        }
        assert_eq!(node.introspect(&owner, &token).await.unwrap().audiences, [A, B]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_is_no_audience_of_the_client_is_refused_when_it_is_written() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        node.register(of("orders", &[A, B], Some(A), false)).await;
        let list = |names: &str| match kind {
            Kind::Postgres => format!("'{{{}}}'", names.replace(' ', ",")),
            Kind::Sqlite => format!("'{names}'"),
        };
        for wrong in [
            "default_audience = 'https://c.test'".to_owned(),
            "default_audience = 'https://a.tes'".to_owned(),
            "default_audience = ''".to_owned(),
            "default_audience = 'https://a.test https://b.test'".to_owned(),
            format!("audiences = {}", list(B)),
            format!("audiences = {}", list("")),
        ] {
            let refused = node.database.refuses(&format!("update client set {wrong}")).await;
            let rule = "client_default_audience_is_registered";
            assert!(refused.contains(rule), "{kind:?}: {wrong}: {refused}");
        }
        for right in [
            format!("audiences = {}, default_audience = 'https://b.test'", list(B)),
            format!("audiences = {}, default_audience = null", list("")),
        ] {
            node.database.execute(&format!("update client set {right}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_register_and_show_the_default_audience() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let create = |id: &str, more: &[&str]| {
            let client = ["client", "create", "--client-id", id, "--audience", A, "--audience", B];
            let output = run(&[&client[..], more].concat(), &database);
            everything::note_secrets_in(&String::from_utf8_lossy(&output.stdout));
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        let said = create("open", &[]);
        assert!(said.contains("Client open has several audiences and no default"), "{said}");
        let said = create("closed", &["--default-audience", B, "--several-audiences"]);
        assert!(!said.contains("no default"), "{said}");
        for (id, default, several, shown) in [
            ("open", json!(null), false, ["none: each request must name one", "one"]),
            ("closed", json!(B), true, [B, "several, if the request names them"]),
        ] {
            let object = run_json(&["client", "show", id], &database);
            assert_eq!(object["default_audience"], default, "{object}");
            assert_eq!(object["several_audiences"], several, "{object}");
            let text = run(&["client", "show", id], &database);
            let text = String::from_utf8(text.stdout).unwrap();
            let has = |name: &str, value: &str| {
                text.lines()
                    .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.trim() == value))
            };
            assert!(has("default audience ", shown[0]), "{text}");
            assert!(has("audiences of a token ", shown[1]), "{text}");
        }
    }
}

/// A database as the version before left it, with a client of several audiences and one of one.
async fn of_the_version_before(kind: Kind) -> Database {
    let database = Database::new(kind).await;
    let before = tempfile::tempdir().unwrap();
    let folder = if kind == Kind::Postgres { "postgres" } else { "sqlite" };
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
    for migration in fs::read_dir(all).unwrap().flatten() {
        let name = migration.file_name();
        if name.to_str().unwrap() < "0013" {
            fs::copy(migration.path(), before.path().join(name)).unwrap();
        }
    }
    let migrator = Migrator::new(before.path()).await.unwrap();
    match kind {
        Kind::Postgres => {
            let mut connection = PgConnection::connect(&database.url).await.unwrap();
            migrator.run(&mut connection).await.unwrap();
        }
        Kind::Sqlite => {
            let file = database.dir.path().join("jeton.db");
            let file = SqliteConnectOptions::new().filename(file).create_if_missing(true);
            let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
            migrator.run(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }
    let insert = insert_of_the_version_before(kind);
    database.execute_all(&insert("several", "https://a.test https://b.test")).await;
    database.execute_all(&insert("one", A)).await;
    database
}

/// How the version before registers a client.
fn insert_of_the_version_before(kind: Kind) -> impl Fn(&str, &str) -> String {
    let (id, now) = match kind {
        Kind::Postgres => ("gen_random_uuid()", "now()"),
        Kind::Sqlite => ("randomblob(16)", "0"),
    };
    move |name, names| {
        let names = match kind {
            Kind::Postgres => format!("'{{{}}}'", names.replace(' ', ",")),
            Kind::Sqlite => format!("'{names}'"),
        };
        format!(
            "insert into client (id, client_id, audiences, created_at)
             values ({id}, '{name}', {names}, {now})"
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_names_the_clients_that_must_name_an_audience_from_then_on() {
    for kind in Kind::BOTH {
        let database = of_the_version_before(kind).await;
        let migrated = run_json(&["migrate"], &database);
        assert!(migrated["from"].as_i64() < Some(13) && migrated["to"].as_i64() >= Some(13));
        assert_eq!(migrated["must_name_audience"], json!(["several"]), "{kind:?}");
        let again = run_json(&["migrate"], &database);
        assert_eq!(again["must_name_audience"], json!([]), "{kind:?}");
        // A command of the version before goes on, and its client has no default either.
        let insert = insert_of_the_version_before(kind);
        database.execute_all(&insert("later", "https://a.test https://b.test")).await;
        let later = run_json(&["client", "show", "later"], &database);
        assert_eq!(later["default_audience"], json!(null));
        assert_eq!(later["several_audiences"], json!(false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_says_how_to_give_a_default_and_a_node_that_migrates_warns() {
    for kind in Kind::BOTH {
        let database = of_the_version_before(kind).await;
        let output = run(&["migrate"], &database);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.ends_with("\nseveral\n") && said.contains("set default_audience"), "{said}");

        let database = of_the_version_before(kind).await;
        let said = Served::start(&database, &[]).end();
        assert!(said.contains("several audiences and no default"), "{said}");
        assert!(said.contains("clients=\"several\""), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_version_before_gets_tokens_once_it_has_a_default() {
    for kind in Kind::BOTH {
        let database = of_the_version_before(kind).await;
        let node = TestNode::on(database, TestNodeOptions::default()).await;
        let client_id = ClientId::parse("several").unwrap();
        let added = node.registry.add_secret(&client_id, NewSecret::default()).await;
        let (_, secret) = added.unwrap();
        everything::note_secrets_in(secret.expose());
        let client = node.registry.record(&client_id).await.unwrap().client;
        let caller = Credentials { client, secret };
        let refused = issue(&node, &caller, &[]).await.unwrap_err();
        assert!(refused.message().contains("no default"), "{kind:?}: {}", refused.message());
        let set = "update client set default_audience = 'https://b.test' \
                   where client_id = 'several'";
        node.database.execute(set).await;
        let token = issue(&node, &caller, &[]).await.unwrap().access_token;
        assert_eq!(node.introspect(&caller, &token).await.unwrap().audiences, [B], "{kind:?}");
    }
}
