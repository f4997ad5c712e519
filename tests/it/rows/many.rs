//! Rows that cannot be read among many others: in a shared statement, and in a list of many pages.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use jeton::{
    domain::{
        About, ClientRecord, SecretHash, SecretId, StoredCredential, StoredSecret, Timestamp,
        TokenText,
    },
    pb::v1::{IntrospectTokenRequest, token_service_client::TokenServiceClient},
    store::{ClientFilter, UnreadableRow},
};
use tokio::task::JoinSet;
use tonic::Code;

use super::world::{Editor, uuid};
use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    node::{NO_CACHE, operator},
};

/// What no value of a moment used to hold: it ended every look-up that it was part of.
const ENDLESS: [(Kind, &str); 2] =
    [(Kind::Postgres, "'infinity'"), (Kind::Sqlite, "9223372036854775807")];

const TOKENS: usize = 400;

/// S-06.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_token_among_four_hundred_fails_alone() {
    for (kind, endless) in ENDLESS {
        let database = Database::new(kind).await;
        let store = database.migrated().await;
        Editor::of(&database).await.loosen().await;
        drop(store);
        let options = TestNodeOptions { cache: NO_CACHE, ..TestNodeOptions::default() };
        let node = TestNode::on(database, options).await;
        let (good, bad) = (node.client("good").await, node.client("bad").await);
        let owners = [&bad].into_iter().chain(std::iter::repeat_n(&good, TOKENS - 1));
        let issued = join_all(owners.map(|owner| node.issue(owner))).await;
        let tokens: Vec<_> =
            issued.into_iter().map(|issued| issued.unwrap().access_token).collect();
        let mut editor = Editor::of(&node.database).await;
        let victim = uuid(kind, bad.client.key.0);
        let edit =
            format!("update access_token set expires_at = {endless} where client = {victim}");
        assert_eq!(editor.run(&edit).await.unwrap(), 1);

        // In one statement.
        let ids: Vec<_> =
            tokens.iter().map(|token| TokenText::parse(token).unwrap().id()).collect();
        let found = node.store.find_tokens(&ids).await.unwrap();
        assert_eq!(found.len(), TOKENS, "{kind:?}");
        for (id, found) in found {
            assert_eq!(found.is_err(), id == ids[0], "{kind:?}: {found:?}");
            if let Err(fault) = found {
                let fault = format!("{fault:?}");
                assert!(fault.contains("UnreadableRow") && fault.contains("expires_at"), "{fault}");
            }
        }

        // And by callers who come at once, on connections of their own.
        let server = node.resource_server("server").await;
        let mut asking = JoinSet::new();
        for (number, some) in tokens.chunks(TOKENS / 8).enumerate() {
            let address = format!("http://{}", node.node.grpc_addr());
            let grpc = TokenServiceClient::connect(address).await.unwrap();
            for (place, token) in some.iter().enumerate() {
                let (mut grpc, is_bad) = (grpc.clone(), number == 0 && place == 0);
                let request = IntrospectTokenRequest {
                    token: token.clone(),
                    token_type_hint: String::new(),
                    client_authentication: Some(server.message()),
                };
                asking.spawn(async move { (is_bad, grpc.introspect_token(request).await) });
            }
        }
        let mut answered = 0;
        for (is_bad, answer) in asking.join_all().await {
            if is_bad {
                assert_eq!(answer.unwrap_err().code(), Code::Internal, "{kind:?}");
            } else {
                assert!(answer.unwrap().into_inner().active, "{kind:?}");
                answered += 1;
            }
        }
        assert_eq!(answered, TOKENS - 1);
    }
}

/// More rows than a page holds whose names are no text, or no client ids: the list goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_over_pages_of_rows_that_cannot_be_read() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let store = database.migrated().await;
        Editor::of(&database).await.loosen().await;
        drop(store);
        let node = TestNode::on(database, TestNodeOptions::default()).await;
        let mut good = BTreeSet::new();
        for name in ["A", "a", "b", "~"] {
            good.insert(node.client(name).await.client.client_id.to_string());
        }
        let mut editor = Editor::of(&node.database).await;
        let (numbers, id, at) = match kind {
            Kind::Postgres => ("generate_series(1, 1100) as n", "gen_random_uuid()", "now()"),
            Kind::Sqlite => ("(select value as n from json_each(?))", "randomblob(16)", "0"),
        };
        let numbers = numbers.replace('?', &format!("'{:?}'", (1..=1100).collect::<Vec<_>>()));
        let odd = ["null", "'a b' || n", "'a$' || n"];
        // On SQLite a text may hold any bytes.
        let bytes = ["cast(unhex('ff') || n as text)"];
        let names = odd.iter().chain(bytes.iter().filter(|_| kind == Kind::Sqlite));
        let mut written = good.len();
        for name in names {
            let insert = format!(
                "insert into client (id, client_id, created_at) select {id}, {name}, {at}
                 from {numbers}"
            );
            written += usize::try_from(editor.run(&insert).await.unwrap()).unwrap();
        }
        let listed = node.registry.list_clients(&ClientFilter::default()).await.unwrap();
        let ids: BTreeSet<_> = listed
            .iter()
            .map(|record| match record {
                Ok(record) => Some(record.client.key.0),
                Err(row) => row.id,
            })
            .collect();
        assert_eq!((listed.len(), ids.len()), (written, written), "{kind:?}");
        let readable: BTreeSet<_> =
            listed.iter().flatten().map(|record| record.client.client_id.to_string()).collect();
        assert_eq!(readable, good, "{kind:?}");
        let odd = |row: &UnreadableRow| &*row.column == "client_id" && row.table == "client";
        assert!(listed.iter().filter_map(|client| client.as_ref().err()).all(odd), "{kind:?}");
    }
}

/// What lies beyond every moment is so in the database as well, and reads back as it was.
#[tokio::test(flavor = "multi_thread")]
async fn the_ends_of_time_are_kept() {
    for (kind, as_written) in
        [(Kind::Postgres, "-infinity"), (Kind::Sqlite, "-9223372036854775808")]
    {
        let node = TestNode::start(kind).await;
        let mut client = node.client("orders").await.client;
        node.registry.delete_client(&client.client_id).await.unwrap();
        (client.not_before, client.created_at) = (Some(Timestamp::MAX), Timestamp::MIN);
        let secret = StoredSecret {
            id: SecretId(client.key.0),
            client: client.key,
            hash: SecretHash::from_stored("$argon2id$".to_owned()),
            label: String::new(),
            created_at: Timestamp::MIN,
            expires_at: Some(Timestamp::MIN),
            retired_at: None,
            leaked_at: None,
            retiring: None,
            forgotten_at: None,
        };
        let record = ClientRecord { client: client.clone(), about: About::default() };
        node.store.create_client(&record, &secret, &operator()).await.unwrap();
        let found =
            node.store.find_client(&client.client_id, Some(secret.id.into())).await.unwrap();
        let found = found.unwrap();
        assert_eq!(*found.client, client, "{kind:?}");
        let StoredCredential::Secret(found) = &*found.credential.unwrap();
        assert_eq!((found.created_at, found.expires_at), (secret.created_at, secret.expires_at));
        let mut editor = Editor::of(&node.database).await;
        let written = format!(
            "update client set name = 'found'
             where cast(created_at as text) = '{as_written}'
                and cast(not_before as text) = '{}'",
            if kind == Kind::Postgres { "infinity" } else { "9223372036854775807" },
        );
        assert_eq!(editor.run(&written).await.unwrap(), 1, "{kind:?}");
    }
}

/// A name that somebody wrote in another encoding, which a shell of SQLite lets through: the client
/// is the only one that suffers. Its row in the trail is sealed, with what can be read of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_another_encoding_does_not_stop_the_trail() {
    let node = TestNode::start(Kind::Sqlite).await;
    let (good, bad) = (node.client("good").await, node.client("bad").await);
    let token = node.issue(&good).await.unwrap().access_token;
    node.database
        .execute("update client set name = cast(x'636166e9' as text) where client_id = 'bad'")
        .await;
    assert_eq!(node.issue(&bad).await.unwrap_err().code(), Code::Internal);
    node.revoke(&good, &token).await.unwrap();
    assert!(!node.introspect(&good, &token).await.unwrap().active);
    let entries = node.store.audit_after(0, 100).await.unwrap();
    let entries: Vec<_> = entries.into_iter().map(Result::unwrap).collect();
    let edit = entries.iter().find(|entry| entry.action == "client.update").unwrap();
    assert!(edit.detail.contains("caf\u{fffd}") && edit.hash.is_some(), "{edit:?}");
    assert!(edit.actor.is_none(), "{edit:?}");
    super::verify(node.store.as_ref()).await.unwrap();
    // It can be put right through Jeton.
    node.registry.delete_client(&bad.client.client_id).await.unwrap();
    super::verify(node.store.as_ref()).await.unwrap();
}
