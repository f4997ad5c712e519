//! The error contract: each reason of `error_reason.proto`, provoked over both faces, on both
//! databases.

use ::http::HeaderMap;
use jeton::{
    domain::{ClientState, HashCost, QuotaMode, TokenLifetime},
    pb::v1::{ErrorReason, IssueTokenRequest, issue_token_request::Grant},
    registry::{NewClient, NewSecret},
    store::Retirement,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    http::{Answer, basic, post_form},
    node::{Credentials, NO_CACHE, issue_request, new_client, quota},
};

/// What callers see of a reason.
struct Row {
    reason: &'static str,
    code: Code,
    status: u16,
    error: &'static str,
    /// The header that only this status has, and how its value begins.
    header: Option<(&'static str, &'static str)>,
}

const CHALLENGE: Option<(&str, &str)> = Some(("www-authenticate", "Basic realm="));
const WAIT: Option<(&str, &str)> = Some(("retry-after", ""));

#[rustfmt::skip]
const CONTRACT: [Row; 10] = [
    Row { reason: "INVALID_REQUEST", code: Code::InvalidArgument, status: 400, error: "invalid_request", header: None },
    Row { reason: "INVALID_CLIENT", code: Code::Unauthenticated, status: 401, error: "invalid_client", header: CHALLENGE },
    Row { reason: "UNAUTHORIZED_CLIENT", code: Code::PermissionDenied, status: 400, error: "unauthorized_client", header: None },
    Row { reason: "UNSUPPORTED_GRANT_TYPE", code: Code::InvalidArgument, status: 400, error: "unsupported_grant_type", header: None },
    Row { reason: "INVALID_SCOPE", code: Code::InvalidArgument, status: 400, error: "invalid_scope", header: None },
    Row { reason: "INVALID_TARGET", code: Code::InvalidArgument, status: 400, error: "invalid_target", header: None },
    Row { reason: "TOO_MANY_REQUESTS", code: Code::ResourceExhausted, status: 429, error: "temporarily_unavailable", header: WAIT },
    Row { reason: "UNAVAILABLE", code: Code::Unavailable, status: 503, error: "temporarily_unavailable", header: WAIT },
    Row { reason: "QUOTA_EXCEEDED", code: Code::ResourceExhausted, status: 429, error: "temporarily_unavailable", header: WAIT },
    Row { reason: "INTERNAL", code: Code::Internal, status: 500, error: "server_error", header: None },
];

/// What administrators see of the reasons of `ClientService`, which is not served over HTTP.
const ADMINISTRATION: [(&str, Code, &str); 15] = [
    ("INVALID_TOKEN", Code::Unauthenticated, "invalid_token"),
    ("NOT_PERMITTED", Code::PermissionDenied, "insufficient_scope"),
    ("GRANT_NOT_PERMITTED", Code::PermissionDenied, "insufficient_scope"),
    ("CLIENT_NOT_FOUND", Code::NotFound, "invalid_request"),
    ("SECRET_NOT_FOUND", Code::NotFound, "invalid_request"),
    ("CLIENT_ID_TAKEN", Code::AlreadyExists, "invalid_request"),
    ("LAST_LIVE_SECRET", Code::FailedPrecondition, "invalid_request"),
    ("UNREADABLE_ROW", Code::FailedPrecondition, "invalid_request"),
    ("ETAG_MISMATCH", Code::Aborted, "invalid_request"),
    ("SECRET_IN_USE", Code::FailedPrecondition, "invalid_request"),
    ("SECRET_ENDED", Code::FailedPrecondition, "invalid_request"),
    ("TOKEN_NOT_FOUND", Code::NotFound, "invalid_request"),
    ("TOO_MANY_SECRETS", Code::FailedPrecondition, "invalid_request"),
    ("ALREADY_DELIVERED", Code::FailedPrecondition, "invalid_request"),
    ("REQUEST_ID_REUSED", Code::InvalidArgument, "invalid_request"),
];

impl Row {
    fn of(reason: &str) -> &'static Self {
        CONTRACT.iter().find(|row| row.reason == reason).unwrap()
    }

    /// A text that stands in every malformed request and must come back in none.
    const CANARY: &'static str = "canary";

    fn check_grpc(&self, status: &Status) {
        assert_eq!(status.code(), self.code, "{}: {status:?}", self.reason);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((&*info.domain, &*info.reason), ("jeton", self.reason));
        assert_eq!(info.metadata["oauth_error"], self.error, "{}", self.reason);
        let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert_eq!(wait.is_some(), self.header == WAIT, "{}", self.reason);
        assert!(!format!("{status:?}").contains(Self::CANARY), "{status:?}");
    }

    fn check_http(&self, answer: &Answer) {
        let (body, status) = (answer.json(), answer.status.as_u16());
        assert_eq!((status, &body["error"]), (self.status, &json!(self.error)), "{}", self.reason);
        let members = body.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(members, ["error", "error_description"], "{}", self.reason);
        assert_eq!(answer.header("content-type"), "application/json", "{}", self.reason);
        assert_eq!(answer.header("cache-control"), "no-store", "{}", self.reason);
        assert_eq!(answer.header("pragma"), "no-cache", "{}", self.reason);
        for (name, begins) in [CHALLENGE, WAIT].into_iter().flatten() {
            let expected = self.header.is_some_and(|(own, _)| own == name);
            let value = answer.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(value.is_some_and(|value| value.starts_with(begins)), expected, "{name}");
        }
        if self.header == WAIT {
            let seconds: u32 = answer.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&seconds));
        }
        assert!(!String::from_utf8_lossy(&answer.body).contains(Self::CANARY));
    }
}

/// The same request over both faces.
async fn check(node: &TestNode, reason: &str, caller: &Credentials, asked: &IssueTokenRequest) {
    let row = Row::of(reason);
    row.check_grpc(&node.grpc.clone().issue_token(asked.clone()).await.unwrap_err());
    let grant_type = match &asked.grant {
        Some(Grant::ClientCredentials(_)) => "grant_type=client_credentials",
        Some(Grant::OtherGrantType(other)) => &format!("grant_type={other}"),
        None => "",
    };
    let scope = asked.scopes.join("+");
    let resources = asked.resources.iter().map(|resource| format!("&resource={resource}"));
    let form = format!("{grant_type}&scope={scope}{}", resources.collect::<String>());
    let http = node.node.http_addr();
    let answer = post_form(http, "/oauth2/token", caller.id(), caller.secret(), &form).await;
    row.check_http(&answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_of_a_bad_request_has_its_code_status_and_headers() {
    for kind in Kind::BOTH {
        let options = TestNodeOptions { cache: NO_CACHE, ..TestNodeOptions::default() };
        let node = TestNode::start_with(kind, options).await;
        let client = node.client("orders").await;
        let server = node.resource_server("api").await;
        let good = issue_request(&client);
        let other = |name: &str| Some(Grant::OtherGrantType(name.to_owned()));
        let list = |text: &str| vec![text.to_owned()];
        let rows = [
            ("INVALID_REQUEST", IssueTokenRequest { grant: None, ..good.clone() }),
            ("UNSUPPORTED_GRANT_TYPE", {
                IssueTokenRequest { grant: other("canary"), ..good.clone() }
            }),
            ("INVALID_SCOPE", IssueTokenRequest { scopes: list("canary"), ..good.clone() }),
            ("INVALID_TARGET", {
                IssueTokenRequest { resources: list("https://canary.test"), ..good.clone() }
            }),
        ];
        for (reason, asked) in &rows {
            check(&node, reason, &client, asked).await;
        }
        check(&node, "UNAUTHORIZED_CLIENT", &server, &issue_request(&server)).await;
        let stranger = Credentials { secret: node.client("other").await.secret, ..client };
        check(&node, "INVALID_CLIENT", &stranger, &issue_request(&stranger)).await;

        // A stored hash that nobody can read is that client's misfortune alone.
        let broken = node.client("broken").await;
        let hash = "$argon2id$v=19$m=4194304,t=100,p=1$AAAAAAAAAAA$AAAAAAAAAAA";
        let statement = format!(
            "update client_secret set hash = '{hash}'
             where client = (select id from client where client_id = 'broken')"
        );
        node.database.execute(&statement).await;
        check(&node, "INTERNAL", &broken, &issue_request(&broken)).await;
        assert!(node.issue(&server).await.is_err() && node.introspect(&server, "x").await.is_ok());

        // Without its database a node says so, of every request.
        node.store.close().await;
        check_away(&node, &server, "jta_x").await;
    }
}

/// Every call of every caller, over both faces, while the database cannot be used. The token in it
/// lives: that it reads as inactive would be a lie.
async fn check_away(node: &TestNode, caller: &Credentials, token: &str) {
    check(node, "UNAVAILABLE", caller, &issue_request(caller)).await;
    let row = Row::of("UNAVAILABLE");
    row.check_grpc(&node.introspect(caller, token).await.unwrap_err());
    row.check_grpc(&node.revoke(caller, token).await.unwrap_err());
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let (http, form) = (node.node.http_addr(), format!("token={token}"));
        row.check_http(&post_form(http, path, caller.id(), caller.secret(), &form).await);
    }
}

/// A database that runs and does not let us in is as far away as one that does not run.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_closed_renamed_or_dropped_is_away_and_is_found_again() {
    let options = TestNodeOptions { cache: NO_CACHE, ..TestNodeOptions::default() };
    let node = TestNode::start_with(Kind::Postgres, options).await;
    let caller = node.client("orders").await;
    let token = node.issue(&caller).await.unwrap().access_token;
    let options: PgConnectOptions = node.database.url.parse().unwrap();
    let name = options.get_database().unwrap().to_owned();
    let mut admin = PgConnection::connect_with(&options.database("postgres")).await.unwrap();
    let mut run = async |statement: String| {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
    };
    let cut = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = ";
    let cut = format!("{cut}'{name}'");
    for (away, back) in [
        (
            vec![format!("alter database {name} allow_connections false"), cut.clone()],
            format!("alter database {name} allow_connections true"),
        ),
        (
            vec![
                format!("alter database {name} allow_connections false"),
                cut.clone(),
                format!("alter database {name} rename to {name}_away"),
                format!("alter database {name}_away allow_connections true"),
            ],
            format!("alter database {name}_away rename to {name}"),
        ),
    ] {
        for statement in away {
            run(statement).await;
        }
        check_away(&node, &caller, &token).await;
        run(back).await;
        while node.issue(&caller).await.is_err() {}
        assert!(node.introspect(&caller, &token).await.unwrap().active);
    }
    run(format!("drop database {name} with (force)")).await;
    check_away(&node, &caller, &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_hash_queue_says_come_back_and_nothing_else_is_refused() {
    let slow = HashCost { memory_kib: 65_536, passes: 2, lanes: 1 };
    let options = TestNodeOptions { hash_queue: 1, hash_cost: slow, ..TestNodeOptions::default() };
    let node = TestNode::start_with(Kind::Sqlite, options).await;
    let mut clients = Vec::new();
    for number in 0..6 {
        clients.push(node.client(&format!("client-{number}")).await);
    }
    let row = Row::of("TOO_MANY_REQUESTS");
    let (mut calls, mut posts) = (JoinSet::new(), JoinSet::new());
    for client in &clients {
        let (mut grpc, asked) = (node.grpc.clone(), issue_request(client));
        calls.spawn(async move { grpc.issue_token(asked).await });
        let (http, id) = (node.node.http_addr(), client.id().to_owned());
        let secret = client.secret().to_owned();
        posts.spawn(async move {
            post_form(http, "/oauth2/token", &id, &secret, "grant_type=client_credentials").await
        });
    }
    let (mut refused, mut issued) = (0, 0);
    while let Some(outcome) = calls.join_next().await {
        match outcome.unwrap() {
            Ok(_) => issued += 1,
            Err(status) => {
                row.check_grpc(&status);
                refused += 1;
            }
        }
    }
    while let Some(answer) = posts.join_next().await {
        let answer = answer.unwrap();
        if answer.status == 200 {
            issued += 1;
        } else {
            row.check_http(&answer);
            refused += 1;
        }
    }
    assert!(refused > 0 && issued > 0 && refused + issued == 12, "{refused} and {issued}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_used_up_its_quota_is_told_when_to_come_back() {
    for kind in Kind::BOTH {
        let quota = quota(QuotaMode::Enforce, 1, 1_000, 1);
        let node =
            TestNode::start_with(kind, TestNodeOptions { quota, ..Default::default() }).await;
        let lifetime = TokenLifetime::from_seconds(30).unwrap();
        let client = NewClient { token_lifetime: lifetime, ..new_client("orders") };
        let client = node.register(client).await;
        node.issue(&client).await.unwrap();
        check(&node, "QUOTA_EXCEEDED", &client, &issue_request(&client)).await;
    }
}

/// What an answer says, without what differs between any two.
fn bytes(answer: &Answer) -> (u16, HeaderMap, Vec<u8>) {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    headers.remove("x-request-id");
    (answer.status.as_u16(), headers, answer.body.to_vec())
}

fn details(status: &Status) -> (Code, String, Vec<u8>) {
    (status.code(), status.message().to_owned(), status.details().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_authenticate_is_told_the_same_bytes() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let known = node.client("known").await;
        let other = node.client("other").await;
        let disabled = node.client("disabled").await;
        let disabled_id = &disabled.client.client_id;
        node.registry.set_client_state(disabled_id, ClientState::Disabled).await.unwrap();
        let retired = node.client("retired").await;
        let (retired_id, secret) = (&retired.client.client_id, retired.secret.id());
        node.registry.retire_secret(retired_id, secret, Retirement::Retired).await.unwrap();
        let past = NewSecret { label: String::new(), expires_at: Some(known.client.created_at) };
        let (expired, secret) =
            node.registry.create_client(new_client("expired"), past).await.unwrap();
        let expired = Credentials { client: expired, secret };
        let deleted = node.register(NewClient { ..new_client("deleted") }).await;
        node.registry.delete_client(&deleted.client.client_id).await.unwrap();

        let (own, foreign) = (known.secret(), other.secret());
        let flipped = own.replace(&own[20..21], if &own[20..21] == "A" { "B" } else { "A" });
        let pairs = [
            ("known", foreign),
            ("unknown", foreign),
            (deleted.id(), deleted.secret()),
            (disabled.id(), disabled.secret()),
            (retired.id(), retired.secret()),
            (expired.id(), expired.secret()),
            ("known", flipped.as_str()),
            ("known", &own[..own.len() - 1]),
            ("known", "hunter2"),
            ("no such id!", own),
        ];
        let (mut answers, mut statuses) = (Vec::new(), Vec::new());
        for (client_id, secret) in pairs {
            let (http, form) = (node.node.http_addr(), "grant_type=client_credentials");
            for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
                let form = if path.ends_with("token") { form } else { "token=x" };
                answers.push(bytes(&post_form(http, path, client_id, secret, form).await));
            }
            let mut asked = tonic::Request::new(IssueTokenRequest {
                client_authentication: None,
                ..issue_request(&known)
            });
            let value = basic(client_id, secret).parse().unwrap();
            asked.metadata_mut().insert("authorization", value);
            statuses.push(details(&node.grpc.clone().issue_token(asked).await.unwrap_err()));
        }
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:#?}");
        assert!(statuses.iter().all(|status| status == &statuses[0]), "{statuses:#?}");
        assert_eq!(answers[0].0, 401);
        node.issue(&known).await.unwrap();
    }
}

/// The proto is the manual: what it says of a reason is what the table above says.
#[test]
fn the_comments_of_the_contract_say_what_the_table_says() {
    let proto = include_str!("../../proto/jeton/v1/error_reason.proto");
    let mut named = 0;
    for number in 1.. {
        let Ok(reason) = ErrorReason::try_from(number) else { break };
        let name = reason.reason();
        let of_administration = ADMINISTRATION.iter().find(|row| row.0 == name);
        let (code, status, error) = match of_administration {
            Some((_, code, error)) => (*code, None, *error),
            None => (Row::of(name).code, Some(Row::of(name).status), Row::of(name).error),
        };
        let end = proto.find(&format!("  {} = ", reason.as_str_name())).unwrap();
        let start = proto[..end].rfind("\n\n").unwrap();
        let comment = proto[start..end].replace("\n  //", "");
        let code = format!("{code:?}").chars().fold(String::new(), |name, letter| {
            let gap = if letter.is_uppercase() && !name.is_empty() { "_" } else { "" };
            format!("{name}{gap}{}", letter.to_ascii_uppercase())
        });
        let http = status.map(|status| format!("HTTP {status}")).unwrap_or_default();
        for part in [&*format!("gRPC {code}"), &*http, error] {
            assert!(comment.contains(part), "{part} in {comment}");
        }
        assert_eq!(comment.contains("HTTP"), status.is_some(), "{comment}");
        named += 1;
    }
    assert_eq!(named, CONTRACT.len() + ADMINISTRATION.len());
}
