//! How something is refused: status, headers, letters, and the order of the faults (7.8, 36).

use std::{collections::BTreeSet, time::Duration};

use jeton::net::Limits;
use proptest::{
    prelude::{Strategy, any},
    strategy::ValueTree,
    test_runner::TestRunner,
};

use super::{
    ENDPOINTS, GRANT, House, INTROSPECT, METADATA, REVOKE, Row, TOKEN, assert_sound, post, typed,
    with,
};
use crate::support::{TestNodeOptions, http::basic, node::NO_CACHE};

/// A form that every endpoint takes.
const ANY: &str = "grant_type=client_credentials&token=x";

/// 36: of two faults the earlier one is told.
#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_in_a_fixed_order() {
    let house = House::new().await;
    let wrong = basic("canary", "canary");
    let by_get = |mut request: ::http::Request<Vec<u8>>| {
        *request.method_mut() = ::http::Method::GET;
        request
    };
    let long = "%zz".repeat(10_000);
    let zipped = |request| with(request, "content-encoding", "gzip");
    let text = |request| typed(request, "text/plain");
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        let of = |form: &str| post(path, form, Some(&wrong));
        let queried = |form: &str| post(&format!("{path}?token=x"), form, Some(&wrong));
        for (rule, request, status, error) in [
            ("36: path before method", by_get(post("/none", "%", None)), 404, "invalid_request"),
            ("36: method before query", by_get(queried("%zz")), 405, "invalid_request"),
            ("36: query before encoding", zipped(queried("%zz")), 400, "invalid_request"),
            ("36: encoding before type", zipped(text(of("%zz"))), 415, "invalid_request"),
            ("36: type before size", text(of(&long)), 415, "invalid_request"),
            ("36: size before decoding", of(&long), 413, "invalid_request"),
            ("36: decoding before client", of("%zz"), 400, "invalid_request"),
            ("36: repetition before client", of("token=x&token=x"), 400, "invalid_request"),
            ("36: client before grant and token", of("grant_type=x"), 401, "invalid_client"),
        ] {
            rows.push((rule, request, status, error));
        }
    }
    let server = basic(house.server.id(), house.server.secret());
    let unknown = "grant_type=canary&scope=canary&resource=canary";
    let scope_and_target = format!("{GRANT}&scope=canary&resource=https://canary.test");
    for (rule, form, authorization, error) in [
        ("36: which grant before whose", unknown, &server, "unsupported_grant_type"),
        ("36: whose grant before scope", &scope_and_target, &server, "unauthorized_client"),
        ("36: scope before resource", &scope_and_target, &house.basic(), "invalid_scope"),
    ] {
        rows.push((rule, post(TOKEN, form, Some(authorization)), 400, error));
    }
    house.check(rows).await;
}

/// 64, 66, 68, 69: every status that there is, on every endpoint, has the headers and the members
/// that are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_json_and_is_not_kept() {
    let limits = Limits { body_timeout: Duration::from_millis(300), ..Limits::default() };
    let options = TestNodeOptions { cache: NO_CACHE, limits, ..TestNodeOptions::default() };
    let house = House::with(options).await;
    let broken = house.nodes[0].client("broken").await;
    let hash = "$argon2id$v=19$m=4194304,t=100,p=1$AAAAAAAAAAA$AAAAAAAAAAA";
    let statement = format!(
        "update client_secret set hash = '{hash}'
         where client = (select id from client where client_id = 'broken')"
    );
    house.nodes[0].database.execute(&statement).await;
    let broken = basic(broken.id(), broken.secret());
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        let long = "x".repeat(20_000);
        let mut get = house.post(path, ANY);
        *get.method_mut() = ::http::Method::GET;
        for (rule, request, status, error) in [
            ("64: of success", house.post(path, ANY), 200, ""),
            ("64, 66: 400", house.post(path, ""), 400, "invalid_request"),
            ("64, 66: 401", post(path, ANY, None), 401, "invalid_client"),
            ("64, 66: 404", house.post(&format!("{path}x"), ANY), 404, "invalid_request"),
            ("64, 66: 405", get, 405, "invalid_request"),
            ("64, 66: 413", house.post(path, &long), 413, "invalid_request"),
            ("64, 66: 415", typed(house.post(path, ANY), "a/b"), 415, "invalid_request"),
            ("64, 66, 68: 500", post(path, ANY, Some(&broken)), 500, "server_error"),
        ] {
            rows.push((rule, request, status, error));
        }
    }
    house.check(rows).await;
    for wire in &house.wires {
        let not_found = wire.send(house.post(&format!("{METADATA}/x"), "")).await;
        assert_eq!(not_found.status, 404, "{}", wire.name());
        assert_sound(&not_found, "", "64, 66: beside the metadata");
    }

    // What can be told without the database is told without it.
    house.nodes[0].store.close().await;
    house.nodes[1].store.close().await;
    let id = house.client.id();
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        let away = house.post(path, ANY);
        rows.push(("64, 66, 68, 69: 503", away, 503, "temporarily_unavailable"));
        for (long_id, secret) in
            [(&*"x".repeat(129), house.client.secret()), (id, &"x".repeat(300))]
        {
            let long = post(path, ANY, Some(&basic(long_id, secret)));
            rows.push(("53: no query for what is too long", long, 401, "invalid_client"));
        }
    }
    for (path, form) in [(INTROSPECT, "token=jta_x"), (REVOKE, "token=jta_x"), (REVOKE, ANY)] {
        let asked = house.post(path, form);
        rows.push(("73, 83: never a wrong answer", asked, 503, "temporarily_unavailable"));
    }
    house.check(rows).await;
}

/// 67: whatever comes in, what goes out is JSON of the letters that RFC 6749, section 5.2, allows.
#[tokio::test(flavor = "multi_thread")]
async fn no_input_brings_a_forbidden_letter_into_an_answer() {
    let house = House::new().await;
    let mut runner = TestRunner::deterministic();
    let part = "(grant_type|scope|token|resource|client_id|a)=([a-z]{1,9}|\\PC{0,9}|%[0-9a-g]{2})";
    let form = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("&").into_bytes());
    let body = proptest::prop_oneof![3 => form, 1 => any::<Vec<u8>>()];
    let mut seen = BTreeSet::new();
    for round in 0..400 {
        let body = body.new_tree(&mut runner).unwrap().current();
        // Three endpoints and four wires have no common factor: every pair comes.
        let (path, wire) = (ENDPOINTS[round % 3], &house.wires[round % 4]);
        let answer = wire.send(house.post(path, "").map(|_| body.clone())).await;
        seen.insert(answer.status.as_u16());
        let context = format!("{} ({path}, {})", body.escape_ascii(), wire.name());
        assert_ne!(answer.status, 500, "{context}");
        assert_sound(&answer, path, &context);
    }
    assert!(seen.contains(&200) && seen.contains(&400), "{seen:?}");
}
