//! What must not be found: secrets and tokens, in whatever spelling, in anything that a node
//! writes down. The nodes log all that there is, and people make mistakes with what they hold.

mod people;
pub(crate) mod search;
mod whole_suite;

use std::{path::Path, process::Command};

use jeton::pb::{
    DESCRIPTORS,
    v1::{
        AddSecretResponse, CreateClientResponse, ExplainTokenRequest, IssueTokenResponse,
        RevokeTokenRequest,
    },
};
use prost::Message;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use self::{
    people::{People, authentication, introspect, issue},
    search::{PASSWORD, assert_free_of, latin1},
};
use crate::support::{
    Database, Kind,
    binary::{Served, jeton, run_json},
};

fn create(client_id: &str, database: &Database) -> String {
    let created = run_json(&["client", "create", "--client-id", client_id], database);
    created["client_secret"].as_str().unwrap().to_owned()
}

/// Everything that a database holds, as text: its files, or what it can be asked for.
pub(crate) async fn dump(database: &Database) -> String {
    let mut dump = String::new();
    if database.kind == Kind::Postgres {
        let mut admin = PgConnection::connect(&database.url).await.unwrap();
        let tables = "select oid::regclass::text from pg_class
                      where relkind = 'r' and relnamespace = 'public'::regnamespace";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut admin).await.unwrap();
        for table in tables {
            let rows = AssertSqlSafe(format!("select t::text from {table} t"));
            let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&mut admin).await.unwrap();
            dump.push_str(&rows.join("\n"));
        }
        // Not every machine has one, nor one that goes with the server.
        if let Ok(output) = Command::new("pg_dump").args(["--dbname", &database.url]).output() {
            dump.push_str(&latin1(&output.stdout));
        }
    }
    read_files(database.dir.path(), &mut dump);
    dump
}

fn read_files(directory: &Path, found: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // A test may have put the binary there, or the file from which a client reads its secret.
        if path.is_symlink() || path.extension().is_some_and(|kind| kind == "secret") {
            continue;
        }
        if path.is_dir() {
            read_files(&path, found);
        } else if path.is_file() {
            found.push_str(&latin1(&std::fs::read(path).unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_no_answer_and_no_database_holds_a_secret_or_a_token() {
    for (kind, format) in [
        (Kind::Postgres, "text"),
        (Kind::Postgres, "json"),
        (Kind::Sqlite, "text"),
        (Kind::Sqlite, "json"),
    ] {
        let mut database = Database::ready(kind).await;
        database.url = database.url.replace("postgres@", &format!("postgres:{PASSWORD}@"));
        let secrets = [create("orders", &database), create("stock", &database)];
        let served = Served::start(&database, &["--log", "trace", "--log-format", format]);
        let mut people = People::at(served.grpc, served.http, secrets).await;
        people.work().await;
        people.make_mistakes().await;
        people.make_mistakes_in_messages().await;
        people.meet_a_fault(&database).await;

        let known = people.known();
        let dumped = dump(&database).await;
        let log = served.end();
        assert!(dumped.contains("$argon2id$") && dumped.contains("orders"), "{kind:?}");
        assert!(log.contains("TRACE") && log.contains("a request failed"), "{kind:?}");
        assert!(people.answers.contains("invalid_client"));
        let answers = &people.answers;
        for (place, found) in [("log", &log), ("database", &dumped), ("answers", answers)] {
            assert_free_of(&known, &format!("{place} ({kind:?}, {format})"), found);
        }
    }
}

/// Here the credentials pass through a client of gRPC as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_shim_holds_neither() {
    let database = Database::ready(Kind::Sqlite).await;
    let secrets = [create("orders", &database), create("stock", &database)];
    let node = Served::start(&database, &[]);
    let upstream = format!("http://{}", node.grpc);
    let shim = Served::shim(&["--upstream", &upstream, "--log", "trace"]);
    let mut people = People::at(node.grpc, shim.http, secrets).await;
    people.work().await;
    people.make_mistakes().await;
    let log = shim.end();
    assert!(log.contains("TRACE"));
    assert_free_of(&people.known(), "the log of a shim", &log);
    assert_free_of(&people.known(), "an answer of a shim", &people.answers);
}

/// `jeton dev` shows a secret and a token on standard output, for which it is there. It is a node
/// and its clients in one process, all over TLS.
#[test]
fn dev_shows_its_secret_on_standard_output_alone() {
    let directory = tempfile::tempdir().unwrap();
    for format in ["text", "json"] {
        let output = jeton()
            .args(["dev", "--exit-after-check", "--log", "trace", "--log-format", format])
            .args(["--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path())
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let after = |mark: &str| {
            let (_, rest) = shown.split_once(mark).unwrap_or_else(|| panic!("{mark}: {shown}"));
            rest[..79].to_owned()
        };
        let known = [after("curl -u dev-client:"), after(r#""access_token":""#)];
        assert!(known[0].starts_with("jts_") && known[1].starts_with("jta_"), "{known:?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("TRACE"));
        assert_free_of(&known, "the log", &log);
        let mut files = String::new();
        read_files(directory.path(), &mut files);
        assert_free_of(&known, "the data directory", &files);
    }
}

/// A field that is new to the contract is looked at here: is it a secret, and does it print?
#[test]
fn every_field_of_the_contract_that_is_a_secret_prints_as_redacted() {
    let contract = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = contract.file.iter().filter(|file| file.package() == "jeton.v1");
    let mut fields = Vec::new();
    for message in ours.flat_map(|file| &file.message_type) {
        let text = prost_types::field_descriptor_proto::Type::String;
        for field in message.field.iter().filter(|field| field.r#type() == text) {
            if ["secret", "token"].iter().any(|word| field.name().contains(word)) {
                fields.push(format!("{}.{}", message.name(), field.name()));
            }
        }
    }
    let harmless = [".token_id", ".secret_id", "page_token"];
    fields.retain(|field| {
        !field.contains(".token_type") && !harmless.iter().any(|end| field.ends_with(end))
    });
    fields.sort_unstable();
    let expected = [
        "AddSecretResponse.client_secret",
        "BurnSecretRequest.client_secret",
        "ClientAuthentication.client_secret",
        "CreateClientResponse.client_secret",
        "ExplainTokenRequest.token",
        "FindSecretRequest.client_secret",
        "ImportedSecret.secret_hash",
        "IntrospectTokenRequest.token",
        "IssueTokenResponse.access_token",
        "ReportLeakedSecretRequest.client_secret",
        "RevokeTokenRequest.token",
    ];
    assert_eq!(fields, expected);

    let (token, client_authentication) = ("canary".to_owned(), Some(authentication("canary")));
    let revoke = RevokeTokenRequest {
        token: token.clone(),
        token_type_hint: String::new(),
        client_authentication,
    };
    let explain = ExplainTokenRequest { token: token.clone(), ..ExplainTokenRequest::default() };
    let issued = IssueTokenResponse { access_token: token, ..IssueTokenResponse::default() };
    let secret = "canary".to_owned();
    let created =
        CreateClientResponse { client_secret: secret.clone(), ..CreateClientResponse::default() };
    let added = AddSecretResponse { client_secret: secret, ..AddSecretResponse::default() };
    let printed = [
        format!("{created:?} {created:#?}"),
        format!("{added:?} {added:#?}"),
        format!("{explain:?} {explain:#?}"),
        format!("{:?} {:#?}", issue("canary"), tonic::Request::new(issue("canary"))),
        format!("{issued:?} {:#?}", tonic::Response::new(issued.clone())),
        format!("{:?} {:#?}", introspect("canary", "canary"), introspect("canary", "canary")),
        format!("{revoke:?} {revoke:#?}"),
    ];
    for text in printed {
        assert!(text.contains("[redacted]") && !text.contains("canary"), "{text}");
    }
}
