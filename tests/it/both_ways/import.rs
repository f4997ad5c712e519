//! `jeton import` through a node says the same as on the database, and stores the same.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use jeton::{
    domain::{ADMINISTRATION, About, Grantable, Scope, TokenLifetime},
    pb::v1::{Client, ErrorReason, ImportClientsRequest, ImportedClient, ImportedSecret},
    registry::NewClient,
};
use prost_types::Timestamp;
use serde_json::{Value, json};
use tonic::Code;

use super::{ask, masked};
use crate::support::{
    Kind,
    binary::complaint,
    control::{Controlled, administrator, why},
    http,
    node::{Credentials, audiences, new_client},
};

/// A secret of another system, and hashes of it.
const TEXT: &str = "a secret from elsewhere";
const PBKDF2: &str = "$pbkdf2-sha256$i=1000,l=32$c2FsdC1vZi1zaXh0ZWVuIQ$q0y+vG3m+1m5H95UBY8prdBj\
                      W77s6hPTw1+r3XDe3R0";
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuurv9WxoE/rc/7N6hITQQm7Q4paPVzvXG";

/// The clients that are imported from the files of each system.
const IMPORTED: [&str; 4] = ["shop@example.com", "worker", "https://api.test/v1", "reports"];

/// Files of each system, and the flags with which they are imported.
fn files(folder: &Path) -> [Vec<String>; 3] {
    let row = |client_id: &str, scope: &str, hash: &str| {
        json!({
            "id": client_id, "client_name": "from elsewhere", "client_secret": hash,
            "rotated_secrets": [BCRYPT], "grant_types": ["client_credentials"],
            "scope": scope, "audience": ["https://api.test"],
            "client_credentials_grant_access_token_lifespan": 600_000_000_000_u64,
            "owner": "team-shop", "metadata": { "team": "shop", "size": 3 },
        })
    };
    let costly = PBKDF2.replace("i=1000", "i=2000001");
    let rows = [
        row("shop@example.com", "a.read a.write b.*", PBKDF2),
        row("costly", "a.read", &costly),
        row("administrator", "jeton:write", PBKDF2),
    ];
    let realm = json!({ "clients": [
        { "clientId": "worker", "enabled": false, "serviceAccountsEnabled": true,
          "secret": TEXT, "notBefore": 1_700_000_000,
          "defaultClientScopes": ["a.read"], "optionalClientScopes": ["a.write"],
          "attributes": { "client.secret.rotated": "an earlier secret of it",
                          "client.secret.rotated.expiration.time": "32503680000" } },
        { "clientId": "https://api.test/v1", "bearerOnly": true, "secret": "" },
        { "clientId": "page", "publicClient": true },
    ] });
    let table = format!(
        "client_id,scopes,default_scopes,secret_label,secret_hash,secret_expires,labels\n\
         reports,a.read a.write,a.read,old,{BCRYPT},2990-01-01,team=a\n"
    );
    let rows = rows.map(|row| format!("{row}\n")).concat();
    let write = |from: &str, text: &str| {
        let file = folder.join(from).display().to_string();
        fs::write(&file, text).unwrap();
        ["import", "--from", from, &file].map(str::to_owned).to_vec()
    };
    let clear = vec!["--clear-secrets".to_owned()];
    [
        write("hydra", &rows),
        [write("keycloak", &realm.to_string()), clear].concat(),
        write("csv", &table),
    ]
}

/// The flags for a node, and for an administrator.
fn flags(at: &Controlled, caller: &Credentials, folder: &Path) -> Vec<String> {
    let file = folder.join(caller.id());
    fs::write(&file, caller.secret()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let control = format!("http://{}", at.node.node.control_addr().unwrap());
    let tokens = format!("http://{}", at.node.node.grpc_addr());
    let file = file.display().to_string();
    let caller = ["--admin-id", caller.id(), "--admin-secret-file", &file];
    let nodes = ["--server", &control, "--token-server", &tokens];
    [nodes, caller].concat().into_iter().map(str::to_owned).collect()
}

/// A client as it is shown, without what differs from one database to the other. Secrets that were
/// made together have no order.
fn shown(client_id: &str, place: &[String]) -> Value {
    let output = ask(&["client", "show", client_id, "--json"], place);
    let mut shown: Value = serde_json::from_str(&masked(&output, client_id, "nowhere")).unwrap();
    let secrets = shown["secrets"].as_array_mut().unwrap_or_else(|| panic!("{output:?}"));
    secrets.sort_by_key(ToString::to_string);
    shown
}

/// The status of a token request.
async fn issues(at: &Controlled, client_id: &str, secret: &str) -> u16 {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let (id, secret) = (encoded(client_id), encoded(secret));
    let (address, form) = (at.node.node.http_addr(), "grant_type=client_credentials");
    let answer = http::post_form(address, "/oauth2/token", &id, &secret, form).await;
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_prints_and_stores_the_same_both_ways() {
    for kind in Kind::BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (other, at) = (Controlled::start(kind).await, Controlled::start(kind).await);
        let (direct, through) = (other.node.database.flags(), flags(&at, &at.ops, folder.path()));
        for file in files(folder.path()) {
            let more: [&[&str]; 5] = [&["--plan"], &["--plan", "--json"], &[], &["--json"], &[]];
            for more in more {
                let arguments = file.iter().map(String::as_str).chain(more.iter().copied());
                let arguments: Vec<_> = arguments.collect();
                let said = |place: &[String]| {
                    let output = ask(&arguments, place);
                    let told = String::from_utf8(output.stderr).unwrap();
                    // The last line names the place, and then counts.
                    let counts = told.lines().last().unwrap().rsplit_once(": ").unwrap().1;
                    let printed = String::from_utf8(output.stdout).unwrap();
                    for secret in ["$2b$", "$pbkdf2-sha256$i", "$argon2id", TEXT] {
                        assert!(!printed.contains(secret) && !told.contains(secret), "{told}");
                    }
                    (output.status.code(), printed, counts.to_owned())
                };
                assert_eq!(said(&direct), said(&through), "{kind:?} {file:?} {more:?}");
            }
        }
        for client_id in IMPORTED {
            assert_eq!(shown(client_id, &direct), shown(client_id, &through), "{kind:?}");
        }
        // Four clients and five secrets, which the administrator made, and no hash of them.
        let by = "select count(*) from audit where actor = 'client:ops'";
        assert_eq!(at.node.database.number(by).await, 9, "{kind:?}");
        let hashes = "select count(*) from audit where cast(detail as text) like '%$%'";
        assert_eq!(at.node.database.number(hashes).await, 0);

        // They go on with the secrets that they have.
        assert!(ask(&["client", "enable", "worker"], &through).status.success());
        at.node.database.heard().await;
        for client_id in ["shop@example.com", "worker", "reports"] {
            assert_eq!(issues(&at, client_id, TEXT).await, 200, "{kind:?} {client_id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_imports_what_it_may_give() {
    for kind in Kind::BOTH {
        let folder = tempfile::tempdir().unwrap();
        let at = Controlled::start(kind).await;
        let limited = NewClient {
            scopes: Scope::parse_set(["jeton:write"]).unwrap(),
            audiences: audiences(&[ADMINISTRATION]),
            token_lifetime: TokenLifetime::OF_ADMINISTRATORS,
            about: About {
                grantable: Grantable::parse(["orders.*"], ["https://orders.test/*"]).unwrap(),
                ..About::default()
            },
            ..new_client("limited")
        };
        let limited = flags(&at, &at.node.register(limited).await, folder.path());
        let file = folder.path().join("clients.csv");
        let file = file.to_str().unwrap();
        fs::write(file, "client_id,scopes\nours,orders.read\nforeign,pay.all\n").unwrap();
        let import = ["import", "--from", "csv", file, "--json"];
        let report = |arguments: &[&str]| -> Value {
            let output = ask(arguments, &limited);
            assert_eq!(output.status.code(), Some(3), "{output:?}");
            serde_json::from_slice(&output.stdout).unwrap()
        };
        // The plan says already who would be refused.
        let planned = report(&[&import[..], &["--plan"]].concat());
        assert_eq!((&planned["new"], &planned["skipped"]), (&json!(1), &json!(1)), "{planned}");
        let clients = "select count(*) from client where client_id in ('ours', 'foreign')";
        assert_eq!(at.node.database.number(clients).await, 0);
        let imported = report(&import);
        assert_eq!((&imported["imported"], &imported["skipped"]), (&json!(1), &json!(1)));
        for report in [&planned, &imported] {
            let why = report["clients"][1]["why"].as_str().unwrap();
            assert!(why.contains("pay.all") && why.contains("who is not limited"), "{why}");
        }
        assert_eq!(at.node.database.number(clients).await, 1);

        let reader = administrator(&at.node, "reader", &["jeton:read"]).await;
        let refused = ask(&import, &flags(&at, &reader, folder.path()));
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        assert!(complaint(&refused).contains("jeton:write"), "{refused:?}");
        assert_eq!(at.node.database.number(clients).await, 1);
    }
}

fn imported(client: Client, hashes: &[&str]) -> ImportedClient {
    let secret = |hash: &&str| ImportedSecret {
        secret_hash: (*hash).to_owned(),
        ..ImportedSecret::default()
    };
    ImportedClient {
        client: Some(client),
        secrets: hashes.iter().map(secret).collect(),
        ..ImportedClient::default()
    }
}

fn named(client_id: &str) -> Client {
    Client { client_id: client_id.to_owned(), ..Client::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_refuses_what_the_command_does_not_send_and_imports_the_rest() {
    use ErrorReason::{ClientIdTaken, InvalidRequest};
    let costly = BCRYPT.replace("$04$", "$14$");
    let administrator = Client {
        scopes: vec!["jeton:read".to_owned()],
        audiences: vec![ADMINISTRATION.to_owned()],
        ..named("administrator")
    };
    let never = Some(Timestamp { seconds: -1, nanos: 0 });
    let rows = [
        (imported(named("a"), &[BCRYPT, PBKDF2]), None),
        (imported(administrator, &[BCRYPT]), Some((InvalidRequest, "client.scopes"))),
        (imported(named("b"), &[&costly]), Some((InvalidRequest, "secrets.secret_hash"))),
        (imported(named("c"), &[TEXT]), Some((InvalidRequest, "secrets.secret_hash"))),
        (imported(named("d"), &[BCRYPT; 4]), Some((InvalidRequest, "secrets"))),
        (imported(named(""), &[BCRYPT]), Some((InvalidRequest, "client.client_id"))),
        (imported(named("a"), &[]), Some((ClientIdTaken, ""))),
        (imported(named("ops"), &[]), Some((ClientIdTaken, ""))),
        (
            ImportedClient { not_before_time: never, ..imported(named("e"), &[]) },
            Some((InvalidRequest, "not_before_time")),
        ),
        (ImportedClient::default(), Some((InvalidRequest, "client"))),
        (imported(named("f"), &[]), None),
    ];
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let others = "select count(*) from client where client_id <> 'ops'";
        for (validate_only, stored) in [(true, 0), (false, 2)] {
            let clients = rows.iter().map(|(client, _)| client.clone()).collect();
            let ask = at.ask(ImportClientsRequest { clients, validate_only }).await;
            let results = control.import_clients(ask).await.unwrap().into_inner().results;
            assert_eq!(results.len(), rows.len());
            for (result, (client, refused)) in results.iter().zip(&rows) {
                let failure = result.failure.as_ref();
                let told = failure.map(|failure| (failure.reason(), failure.field.as_str()));
                assert_eq!(told, *refused, "{kind:?} {client:?}");
                let message = failure.map(|failure| failure.message.as_str()).unwrap_or_default();
                assert!(!message.contains(TEXT) && !message.contains(&costly), "{message}");
            }
            assert_eq!(at.node.database.number(others).await, stored, "{kind:?}");
        }
        for size in [0, 51] {
            let clients = vec![imported(named("g"), &[]); size];
            let ask = at.ask(ImportClientsRequest { clients, validate_only: false }).await;
            let refused = control.import_clients(ask).await.unwrap_err();
            assert_eq!(why(&refused), (InvalidRequest, "clients".to_owned()), "{size}");
        }
        // Many that are nothing are refused before they take memory.
        let clients = vec![ImportedClient::default(); 1_001];
        let ask = at.ask(ImportClientsRequest { clients, validate_only: true }).await;
        assert_eq!(control.import_clients(ask).await.unwrap_err().code(), Code::InvalidArgument);
    }
}
