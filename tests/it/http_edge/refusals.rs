//! What all endpoints refuse in the same words: forms, headers, queries.

use std::collections::BTreeSet;

use ::http::{HeaderMap, Request, header};
use proptest::{
    prelude::{Strategy, any},
    strategy::ValueTree,
    test_runner::TestRunner,
};
use serde_json::Value;

use super::{ENDPOINTS, GRANT, House};
use crate::support::{
    http::{Answer, FORM, basic, send},
    wire::Wire,
};

/// 20, 22–24, 30, 32: what is no form is refused by each endpoint in the same bytes.
#[tokio::test]
async fn all_endpoints_read_forms_by_one_parser() {
    let house = House::new().await;
    let known = format!("client_id={}&client_id=", house.client.id());
    let many = "a&".repeat(64);
    for form in [
        b"canary=%".as_slice(),
        b"can%4ry=1",
        b"canary=\xff",
        b"canary=%ed%a0%80",
        b"canary%c0%80",
        b"token=canary%00&grant_type=client_credentials",
        b"token=canary&grant_type=a%0d%0aSet-Cookie:%20canary",
        b"token=canary&grant_type=a&%74oken=canary",
        b"token=canary&grant_type=a&token=",
        known.as_bytes(),
        many.as_bytes(),
    ] {
        for wire in Wire::both(house.address(), None) {
            let mut bodies = Vec::new();
            for path in ENDPOINTS {
                let request = Request::post(path)
                    .header(header::CONTENT_TYPE, FORM)
                    .header(header::AUTHORIZATION, house.basic());
                let answer = wire.send(request.body(form.to_vec()).unwrap()).await;
                let text = String::from_utf8(answer.body.to_vec()).unwrap();
                assert_eq!(answer.status, 400, "{path} {text}");
                assert!(text.starts_with(r#"{"error":"invalid_request","#), "{text}");
                assert!(!text.contains("canary") && !text.contains("ookie"), "{text}");
                bodies.push(text);
            }
            assert!(bodies.iter().all(|body| body == &bodies[0]), "{bodies:?}");
        }
    }
}

/// 38, 44–49: whatever is wrong with the header, all are told one thing, and challenged once.
#[tokio::test]
async fn a_header_that_does_not_authenticate_is_challenged_in_the_same_bytes() {
    let house = House::new().await;
    let (id, secret) = (house.client.id(), house.client.secret());
    let good = house.basic();
    let pair = good.strip_prefix("Basic ").unwrap();
    let long = format!("Basic {}", "A".repeat(8_000));
    let mut rows: Vec<Vec<u8>> = [
        &basic(id, &format!("{secret}:")),
        &basic(id, &format!(":{secret}")),
        &basic("", ""),
        &basic(id, &format!("{secret} ")),
        &basic(id, &format!("{secret}+")),
        &basic(id, &format!("{secret}%00")),
        &basic(&format!("{id}%3A"), secret),
        &basic(id, &secret.to_uppercase()),
        "Basic",
        "Basic ",
        "Basic Og==",
        "Basic b3JkZXJz_-",
        &format!("Basic {pair}?"),
        &format!("Basic{pair}"),
        &format!("Basic\t{pair}"),
        &format!("Basic realm=x, {pair}"),
        &format!("Negotiate {pair}"),
        &format!("Bearer {pair}"),
        "canary",
        &long,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    rows.push(b"Basic \xff\xfe".to_vec());
    rows.push("Basic caf\u{e9}".as_bytes().to_vec());
    let mut first: Option<(HeaderMap, Vec<u8>)> = None;
    for value in rows {
        for path in ENDPOINTS {
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, FORM)
                .header(header::AUTHORIZATION, value.as_slice());
            let request = request.body(format!("{GRANT}&token=x").into_bytes()).unwrap();
            let Answer { status, mut headers, body } = send(house.address(), request).await;
            let context = format!("{path} {}", value.escape_ascii());
            assert_eq!(status, 401, "{context}");
            headers.remove("date");
            headers.remove("x-request-id");
            let challenges = headers.get_all("www-authenticate").iter().collect::<Vec<_>>();
            assert_eq!(challenges, [r#"Basic realm="jeton", charset="UTF-8""#], "{context}");
            let answer = (headers, body.to_vec());
            assert_eq!(first.get_or_insert(answer.clone()), &answer, "{context}");
        }
    }
}

/// 42, 46: two ways of saying who one is are refused, also where both are right.
#[tokio::test]
async fn nobody_authenticates_twice() {
    let house = House::new().await;
    let (good, secret) = (house.basic(), house.client.secret());
    let in_body = format!("&client_id={}&client_secret={secret}", house.client.id());
    let rows: [(&[&str], &str); 6] = [
        (&[&good, &good], ""),
        (&[&good, "Bearer x"], ""),
        (&["Bearer x", &good], ""),
        (&[&good], &in_body),
        (&["Bearer x"], &in_body),
        (&[&good], "&client_id=other"),
    ];
    for (values, more) in rows {
        for path in ENDPOINTS {
            let mut request = Request::post(path).header(header::CONTENT_TYPE, FORM);
            for value in values {
                request = request.header(header::AUTHORIZATION, *value);
            }
            let request = request.body(format!("{GRANT}&token=x{more}").into_bytes()).unwrap();
            for wire in Wire::both(house.address(), None) {
                let answer = wire.send(request.clone()).await;
                assert_eq!(answer.status, 400, "{values:?} {more}");
                assert_eq!(answer.json()["error"], "invalid_request", "{values:?} {more}");
            }
        }
    }
}

/// 5: nothing in the URI is used, not even a whole and right grant.
#[tokio::test]
async fn a_grant_in_the_query_is_refused_with_a_body_and_without() {
    let house = House::new().await;
    let (id, secret) = (house.client.id(), house.client.secret());
    let whole = format!("{GRANT}&client_id={id}&client_secret={secret}&token=x");
    for body in ["", &whole] {
        for path in ENDPOINTS {
            let request = Request::post(format!("{path}?{whole}"));
            let request = request.header(header::CONTENT_TYPE, FORM).body(body.into()).unwrap();
            for wire in Wire::both(house.address(), None) {
                let answer = wire.send(request.clone()).await;
                assert_eq!(answer.status, 400, "{path}");
                let text = answer.json()["error_description"].to_string();
                assert!(text.contains("body") && !text.contains(secret), "{text}");
            }
        }
    }
}

/// 79: whatever form of answer is asked for, it is JSON, and not packed.
#[tokio::test]
async fn an_answer_is_json_whatever_is_accepted() {
    let house = House::new().await;
    for accept in ["application/token-introspection+jwt", "text/html", "", "*/*;q=0"] {
        let request = Request::post("/oauth2/introspect")
            .header(header::CONTENT_TYPE, FORM)
            .header(header::AUTHORIZATION, house.basic())
            .header(header::ACCEPT, accept)
            .header(header::ACCEPT_ENCODING, "gzip, br");
        let answer = send(house.address(), request.body(b"token=x".to_vec()).unwrap()).await;
        assert_eq!(answer.header("content-type"), "application/json", "{accept}");
        assert!(answer.headers.get("content-encoding").is_none(), "{accept}");
        assert_eq!(answer.body, r#"{"active":false}"#, "{accept}");
    }
}

/// 67: whatever comes in, what goes out is JSON of the letters that RFC 6749, section 5.2, allows.
#[tokio::test]
async fn no_input_brings_a_forbidden_letter_into_an_answer() {
    let house = House::new().await;
    let mut runner = TestRunner::deterministic();
    let part = "(grant_type|scope|token|resource|client_id|a)=([a-z]{1,9}|\\PC{0,9}|%[0-9a-g]{2})";
    let form = proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("&").into_bytes());
    let body = proptest::prop_oneof![3 => form, 1 => any::<Vec<u8>>()];
    let mut seen = BTreeSet::new();
    for round in 0..300 {
        let body = body.new_tree(&mut runner).unwrap().current();
        let path = ENDPOINTS[round % ENDPOINTS.len()];
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, FORM)
            .header(header::AUTHORIZATION, house.basic());
        let answer = send(house.address(), request.body(body.clone()).unwrap()).await;
        seen.insert(answer.status.as_u16());
        assert_ne!(answer.status, 500, "{}", body.escape_ascii());
        if answer.status == 200 {
            continue;
        }
        for (name, value) in answer.json().as_object().unwrap() {
            let Value::String(text) = value else { panic!("{name} is {value}") };
            let allowed = |b| matches!(b, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
            assert!(text.bytes().all(allowed), "{text} for {}", body.escape_ascii());
        }
    }
    assert!(seen.contains(&200) && seen.contains(&400), "{seen:?}");
}
