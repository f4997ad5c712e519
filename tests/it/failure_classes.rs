//! Faults that trusted systems have had, each with the test that would have found it. The ids are
//! those of `docs/failure-classes.md`, which says where the others are tested.

use std::collections::BTreeSet;

use jeton::{
    domain::{ClientSecret, OsRandom, Scope, TagKey},
    pb::{DESCRIPTORS, v1::IssueTokenRequest},
    registry::{NewClient, NewSecret},
    store::ClientFilter,
};
use prost::Message;
use prost_types::FileDescriptorSet;
use tokio::task::JoinSet;
use tonic::{Code, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use crate::support::{
    Kind, TestNode,
    http::post_form,
    node::{Credentials, issue_request, new_client},
};

/// Every text that differs from this one in one character, or is cut, or goes on.
fn neighbours(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for at in 0..text.len() {
        let other = if &text[at..=at] == "x" { "y" } else { "x" };
        found.push(format!("{}{other}{}", &text[..at], &text[at + 1..]));
        found.push(text[..at].to_owned());
        found.push(text[at + 1..].to_owned());
    }
    found.extend([format!("{text}x"), format!("{text}="), format!("{text} "), text.repeat(2)]);
    found
}

/// FC-07: what is presented is compared whole, and is of the right kind.
#[tokio::test(flavor = "multi_thread")]
async fn fc_07_nothing_but_the_very_token_is_active() {
    let node = TestNode::start(Kind::Sqlite).await;
    let client = node.client("orders").await;
    let token = node.issue(&client).await.unwrap().access_token;
    let as_token = client.secret().replace("jts_", "jta_");
    for other in neighbours(&token).into_iter().chain([as_token]) {
        if other.is_empty() {
            continue;
        }
        assert!(!node.introspect(&client, &other).await.unwrap().active, "{other}");
    }
    assert!(node.introspect(&client, &token).await.unwrap().active);
}

/// FC-16: no part and no extension of a secret authenticates.
#[tokio::test(flavor = "multi_thread")]
async fn fc_16_nothing_but_the_very_secret_authenticates() {
    let node = TestNode::start(Kind::Sqlite).await;
    let client = node.client("orders").await;
    let (http, grant) = (node.node.http_addr(), "grant_type=client_credentials");
    for other in neighbours(client.secret()) {
        let answer = post_form(http, "/oauth2/token", client.id(), &other, grant).await;
        assert_eq!(answer.status, 401, "{other}");
    }
    node.issue(&client).await.unwrap();
}

/// FC-11: whatever is asked for, what is granted is registered.
#[tokio::test(flavor = "multi_thread")]
async fn fc_11_what_is_granted_is_registered() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let scopes = ["a", "b", "ab", "A", "a.b", "a/b"];
        let client = node
            .register(NewClient {
                scopes: Scope::parse_set(["a", "ab", "a.b"]).unwrap(),
                default_scopes: Some(Scope::parse_set(["a"]).unwrap()),
                ..new_client("orders")
            })
            .await;
        let registered = BTreeSet::from(["a", "ab", "a.b"]);
        for choice in 0..1_u32 << scopes.len() {
            let asked: BTreeSet<_> = (0..scopes.len())
                .filter(|bit| choice & (1 << bit) != 0)
                .map(|bit| scopes[bit])
                .collect();
            let request = IssueTokenRequest {
                scopes: asked.iter().map(ToString::to_string).collect(),
                ..issue_request(&client)
            };
            let outcome = node.grpc.clone().issue_token(request).await;
            if asked.is_empty() {
                assert_eq!(outcome.unwrap().into_inner().scopes, ["a"]);
            } else if asked.is_subset(&registered) {
                let granted = outcome.unwrap().into_inner().scopes;
                assert_eq!(granted.iter().map(String::as_str).collect::<BTreeSet<_>>(), asked);
            } else {
                assert_eq!(outcome.unwrap_err().code(), Code::InvalidArgument, "{asked:?}");
            }
        }
    }
}

/// FC-14, I6: requests of many clients at once, and each answer is about its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fc_14_every_answer_is_about_its_own_caller() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let mut clients = Vec::new();
        for number in 0..20 {
            let scope = format!("scope-{number}");
            let new = NewClient {
                scopes: Scope::parse_set([&scope]).unwrap(),
                ..new_client(&format!("client-{number}"))
            };
            clients.push(node.register(new).await);
        }
        let mut tasks = JoinSet::new();
        for (number, client) in clients.iter().enumerate() {
            let (mut grpc, asked) = (node.grpc.clone(), issue_request(client));
            let authentication = client.message();
            tasks.spawn(async move {
                for _ in 0..50 {
                    let issued = grpc.issue_token(asked.clone()).await.unwrap().into_inner();
                    assert_eq!(issued.scopes, [format!("scope-{number}")]);
                    let asked = jeton::pb::v1::IntrospectTokenRequest {
                        token: issued.access_token,
                        client_authentication: Some(authentication.clone()),
                        ..Default::default()
                    };
                    let seen = grpc.introspect_token(asked).await.unwrap().into_inner();
                    assert_eq!(seen.client_id, format!("client-{number}"));
                }
            });
        }
        tasks.join_all().await;
    }
}

/// FC-22: secrets use the whole alphabet evenly, and none comes twice.
#[test]
fn fc_22_secrets_are_made_of_even_randomness() {
    const SECRETS: usize = 20_000;
    let key = TagKey::from_bytes([7; 32]);
    let mut seen = BTreeSet::new();
    let mut counts = [0_u32; 256];
    for _ in 0..SECRETS {
        let secret = ClientSecret::generate(&OsRandom, &key).unwrap();
        // Behind the prefix and the id stand 42 characters of randomness alone.
        let random = secret.expose()[4 + 22..4 + 64].to_owned();
        random.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
        assert!(seen.insert(random));
    }
    let used: Vec<f64> = counts.into_iter().filter(|n| *n > 0).map(f64::from).collect();
    assert_eq!(used.len(), 64);
    let expected = used.iter().sum::<f64>() / 64.0;
    let chi_square: f64 = used.iter().map(|n| (n - expected).powi(2) / expected).sum();
    // With 63 degrees of freedom, one in a hundred million even sources is above this.
    assert!(chi_square < 150.0, "{chi_square}");
}

/// FC-28: whatever operators write comes back as it was, and is never part of a statement.
#[tokio::test(flavor = "multi_thread")]
async fn fc_28_texts_are_never_part_of_a_statement() {
    let texts = [
        "'; drop table client; --",
        "\" or 1=1",
        "$1",
        "?1",
        "{a,b}",
        "\\",
        "''",
        "%_",
        "null",
        "\u{1F510} né",
        "a\\nb\\r\\t",
        "[\"a\"]",
        "$$",
        "E'\\x00'",
        ":name",
        "@p",
    ];
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        for (number, text) in texts.iter().enumerate() {
            let new =
                NewClient { name: (*text).to_owned(), ..new_client(&format!("client-{number}")) };
            let id = new.client_id.clone().unwrap();
            let label = NewSecret { label: (*text).to_owned(), expires_at: None };
            node.registry.create_client(new, label).await.unwrap();
            let (client, secrets) = node.registry.show_client(&id).await.unwrap();
            let (name, label) = (client.unwrap().client.name, &secrets[0].as_ref().unwrap().label);
            assert_eq!((name.as_str(), label.as_str()), (*text, *text));
        }
        let listed = node.registry.list_clients(&ClientFilter::default()).await.unwrap();
        assert_eq!(listed.len(), texts.len());
    }
}

/// FC-38: every method of the contract asks who is calling, those too that are added some day. The
/// exception asks for the secret that is reported.
#[tokio::test(flavor = "multi_thread")]
async fn fc_38_no_method_is_served_to_nobody() {
    let node = TestNode::start(Kind::Sqlite).await;
    let url = format!("http://{}", node.node.grpc_addr());
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let mut tried = 0;
    for file in files.iter().filter(|file| file.package().starts_with("jeton.")) {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let mut grpc = Grpc::new(channel.clone());
                grpc.ready().await.unwrap();
                let codec = ProstCodec::<(), ()>::default();
                let path = PathAndQuery::try_from(path.as_str()).unwrap();
                let answer = grpc.unary(tonic::Request::new(()), path.clone(), codec).await;
                // What is for administrators is not there at all, see `permissions.rs`.
                let expected = match (service.name(), method.name()) {
                    (_, "ReportLeakedSecret") => Code::InvalidArgument,
                    ("TokenService", _) => Code::Unauthenticated,
                    _ => Code::Unimplemented,
                };
                assert_eq!(answer.unwrap_err().code(), expected, "{path}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 3, "{tried} methods");
}

/// FC-44: one row that cannot be read fails its own client and no other.
#[tokio::test(flavor = "multi_thread")]
async fn fc_44_a_broken_row_is_the_misfortune_of_one_client() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let good = node.client("good").await;
        let list = |text: &str| match kind {
            Kind::Postgres => format!("'{{\"{text}\"}}'"),
            Kind::Sqlite => format!("'{text}'"),
        };
        let broken = list("a\u{e9}b");
        let mut failing: Vec<Credentials> = Vec::new();
        for column in ["scopes", "audiences", "serves"] {
            let client = node.client(column).await;
            let id = client.id();
            let statement = format!(
                "update client set default_scopes = {}, {column} = {broken} where client_id = '{id}'",
                list("").replace("\"\"", "")
            );
            node.database.execute(&statement).await;
            failing.push(client);
        }
        for client in &failing {
            let status = node.issue(client).await.unwrap_err();
            assert_eq!(status.code(), Code::Internal, "{kind:?} {}: {status:?}", client.id());
        }
        node.issue(&good).await.unwrap();
    }
}
