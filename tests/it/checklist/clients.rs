//! Who is asking: one method, many spellings, and one answer to all who fail (7.5, 7.14).

use std::time::Duration;

use ::http::{HeaderMap, Request, header};
use jeton::{
    domain::{ClientState, Clock, SystemClock},
    registry::NewSecret,
    store::Retirement,
};

use super::{ENDPOINTS, GRANT, House, Row, TOKEN, assert_sound, post, said, with};
use crate::support::{
    http::{Answer, FORM, basic},
    node::{Credentials, new_client},
};

/// A form that every endpoint takes.
const ANY: &str = "grant_type=client_credentials&token=x";

/// 37–39, 42–44
#[tokio::test(flavor = "multi_thread")]
async fn a_client_authenticates_in_one_way_and_in_any_spelling_of_it() {
    let house = House::new().await;
    let (id, secret) = (house.client.id(), house.client.secret());
    let good = house.basic();
    let pair = good.strip_prefix("Basic ").unwrap();
    let encoded = basic(&id.replace('o', "%6F"), &secret.replace('_', "%5f"));
    let body = format!("{ANY}&client_id={id}&client_secret={secret}");
    let spelled = format!("{ANY}&client_id=%6frders&client_secret={}", secret.replace('_', "%5F"));
    let rows: [(&str, &str, Option<&str>); 10] = [
        ("37: in the header", ANY, Some(&good)),
        ("37: in the body", &body, None),
        ("38: form-encoded halves", ANY, Some(&encoded)),
        ("38, 39: encoded in the body", &spelled, None),
        ("42: the same id in the body", &format!("{ANY}&client_id={id}"), Some(&good)),
        ("42: no secret in the body", &format!("{ANY}&client_secret="), Some(&good)),
        ("43: case of the scheme", ANY, Some(&format!("bASIC {pair}"))),
        ("43: spaces after it", ANY, Some(&format!("BASIC   {pair}"))),
        ("44: without padding", ANY, Some(good.trim_end_matches('='))),
        ("44: with padding", ANY, Some(&good)),
    ];
    let rows = rows.into_iter().flat_map(|(rule, form, header)| {
        ENDPOINTS.map(|path| -> Row { (rule, post(path, form, header), 200, "") })
    });
    house.check(rows).await;
}

/// 42, 46, 99: two ways of saying who one is are refused, also where both are right.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_authenticates_twice() {
    let house = House::new().await;
    let (good, secret) = (house.basic(), house.client.secret());
    let in_body = format!("&client_id={}&client_secret={secret}", house.client.id());
    let assertion = "&client_assertion=canary&client_assertion_type=canary";
    let joined = format!("{good}, {good}");
    let tight = format!("{good},Bearer canary");
    let rows: [(&str, &[&str], &str); 12] = [
        ("46: two headers", &[&good, &good], ""),
        ("46: the second empty", &[&good, ""], ""),
        ("46: joined by a comma", &[&joined], ""),
        ("46: joined without a space", &[&tight], ""),
        ("42: header and secret", &[&good], &in_body),
        ("42: header and secret alone", &[&good], "&client_secret=canary"),
        ("42: another id", &[&good], "&client_id=other"),
        ("42: header and assertion", &[&good], assertion),
        ("42: secret and assertion", &[], &format!("{in_body}{assertion}")),
        ("99: a token and a secret", &["Bearer canary"], &in_body),
        ("99: a client and a token", &[&good, "Bearer canary"], ""),
        ("99: a token and a client", &["Bearer canary", &good], ""),
    ];
    let rows = rows.into_iter().flat_map(|(rule, values, more)| {
        ENDPOINTS.map(|path| -> Row {
            let request = post(path, &format!("{ANY}{more}"), None);
            let add = |request, value: &&str| with(request, "authorization", value);
            (rule, values.iter().fold(request, add), 400, "invalid_request")
        })
    });
    house.check(rows.collect::<Vec<_>>()).await;
}

/// 38, 40, 41, 44, 45, 47–49, 53, 54, 98: what cannot be a client of ours is told one thing,
/// wherever it stood and whatever was wrong. It is challenged once, unless it stood in the body.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_does_not_authenticate_is_challenged_in_the_same_bytes() {
    let house = House::new().await;
    let (id, secret) = (house.client.id(), house.client.secret());
    let pair = house.basic().strip_prefix("Basic ").unwrap().to_owned();
    let none = || None::<Vec<u8>>;
    let header = |text: &str| Some(text.as_bytes().to_vec());
    let pair_of = |id: &str, secret: &str| header(&basic(id, secret));
    let rows: Vec<(&str, Option<Vec<u8>>, String)> = vec![
        ("40: nobody", none(), String::new()),
        ("41: an id alone", none(), format!("&client_id={id}")),
        ("41: a secret alone", none(), format!("&client_secret={secret}")),
        ("40: an assertion", none(), "&client_assertion=x&client_assertion_type=y".into()),
        ("38: a colon more", pair_of(id, &format!("{secret}:")), String::new()),
        ("38: a colon before", pair_of(id, &format!(":{secret}")), String::new()),
        ("38: a colon in the id", pair_of(&format!("{id}%3A"), secret), String::new()),
        ("39: encoded twice", pair_of("%256Frders", secret), String::new()),
        ("39: of the oauth2 crate", header(CRATE), String::new()),
        ("44: no base64", header("Basic !!!"), String::new()),
        ("44: for URLs", header("Basic b3JkZXJz_-"), String::new()),
        ("44: no colon", header("Basic b3JkZXJz"), String::new()),
        ("44: something behind", header(&format!("Basic {pair}?")), String::new()),
        ("44: a bad percent", pair_of("orders%", secret), String::new()),
        ("44: not text", Some(b"Basic \xff\xfe".to_vec()), String::new()),
        ("44: text within not text", pair_of(id, "caf\u{e9}"), String::new()),
        ("44: NUL", pair_of(id, &format!("{secret}%00")), String::new()),
        ("44: a space", pair_of(id, &format!("{secret} ")), String::new()),
        ("44: longer than is read", header(&format!("Basic {}", "A".repeat(8_000))), String::new()),
        ("45: no secret", pair_of(id, ""), String::new()),
        ("45: no id", pair_of("", secret), String::new()),
        ("45: neither", header("Basic Og=="), String::new()),
        ("47: the scheme alone", header("Basic"), String::new()),
        ("47: and a space", header("Basic "), String::new()),
        ("47: no space", header(&format!("Basic{pair}")), String::new()),
        ("47: a tab", header(&format!("Basic\t{pair}")), String::new()),
        ("47: another scheme", header(&format!("Negotiate {pair}")), String::new()),
        ("47: no scheme", header("canary"), String::new()),
        ("47: empty", header(""), String::new()),
        ("98: a token", header("Bearer canary"), String::new()),
        ("98: a token, in another case", header("bearer canary"), String::new()),
        ("98: no token", header("Bearer"), String::new()),
        ("98: a token in the body", none(), "&access_token=canary".into()),
        ("53: a long id", pair_of(&"x".repeat(129), secret), String::new()),
        ("53: a long secret", pair_of(id, &"x".repeat(300)), String::new()),
        ("53: a long secret in the body", none(), format!("&client_id={id}&client_secret={LONG}")),
        ("54: in braces", pair_of(&format!("{{{id}}}"), secret), String::new()),
        ("54: with a space", pair_of(&format!(" {id}"), secret), String::new()),
        ("54: as a URN", pair_of(&format!("urn:uuid:{id}"), secret), String::new()),
    ];
    for wire in &house.wires {
        let mut first = None;
        for (rule, value, more) in &rows {
            for path in ENDPOINTS {
                let mut request = Request::post(path).header(header::CONTENT_TYPE, FORM);
                if let Some(value) = value {
                    request = request.header(header::AUTHORIZATION, value.as_slice());
                }
                let request = request.body(format!("{ANY}{more}").into_bytes()).unwrap();
                let answer = wire.send(request).await;
                let context = format!("{rule} ({path}, {})", wire.name());
                assert_eq!(answer.status, 401, "{context}");
                assert_sound(&answer, path, &context);
                assert_eq!(answer.json()["error"], "invalid_client", "{context}");
                let is_challenged = answer.headers.contains_key("www-authenticate");
                assert_ne!(is_challenged, is_in_body(value.as_ref(), more), "48: {context}");
                let answer = unchallenged(&answer);
                assert_eq!(first.get_or_insert(answer.clone()), &answer, "{context}");
            }
        }
        let other_case = post(TOKEN, GRANT, Some(&basic(&id.to_uppercase(), secret)));
        assert_eq!(first, Some(unchallenged(&wire.send(other_case).await)), "54: upper case");
    }
}

/// Whether a request without this header has its credentials in the body.
fn is_in_body(header: Option<&Vec<u8>>, body: &str) -> bool {
    header.is_none() && body.contains("client_")
}

/// What an answer says beside its challenge.
fn unchallenged(answer: &Answer) -> (u16, HeaderMap, Vec<u8>) {
    let (status, mut headers, body) = said(answer);
    headers.remove("www-authenticate");
    (status, headers, body)
}

/// `id with space+plus` and `s:e%c€`, as the `oauth2` crate writes them.
const CRATE: &str = "Basic aWQrd2l0aCtzcGFjZSUyQnBsdXM6cyUzQWUlMjVjJUUyJTgyJUFD";
const LONG: &str = "jts_0123456789012345678901234567890123456789012345678901234567890123456789\
                    0123456789012345678901234567890123456789012345678901234567890123456789";

/// 50: of a client that is there no more than of one that never was; how long it takes is measured
/// by `cargo bench --bench overload`.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_which_clients_there_are() {
    let house = House::new().await;
    let node = &house.nodes[0];
    for (number, wire) in house.wires.iter().enumerate() {
        let name = |kind: &str| format!("{kind}-{number}");
        let known = node.client(&name("known")).await;
        let disabled = node.client(&name("disabled")).await;
        let (id, state) = (&disabled.client.client_id, ClientState::Disabled);
        node.registry.set_client_state(id, state).await.unwrap();
        let retired = node.client(&name("retired")).await;
        let (id, secret) = (&retired.client.client_id, retired.secret.id());
        node.registry.retire_secret(id, secret, Retirement::Retired).await.unwrap();
        let past = NewSecret { label: String::new(), expires_at: Some(known.client.created_at) };
        let new = new_client(&name("expired"));
        let (expired, secret) = node.registry.create_client(new, past).await.unwrap();
        let expired = Credentials { client: expired, secret };
        let deleted = node.client(&name("deleted")).await;
        node.registry.delete_client(&deleted.client.client_id).await.unwrap();
        let mut first = None;
        for (client_id, secret) in [
            (known.id(), house.client.secret()),
            (&name("unknown"), house.client.secret()),
            (known.id(), "hunter2"),
            (disabled.id(), disabled.secret()),
            (retired.id(), retired.secret()),
            (expired.id(), expired.secret()),
            (deleted.id(), deleted.secret()),
        ] {
            for path in ENDPOINTS {
                let answer = wire.send(post(path, ANY, Some(&basic(client_id, secret)))).await;
                assert_sound(&answer, path, client_id);
                let answer = said(&answer);
                assert_eq!(answer.0, 401, "{client_id} over {}", wire.name());
                assert_eq!(first.get_or_insert(answer.clone()), &answer, "{client_id}");
            }
        }
        let authorization = basic(known.id(), known.secret());
        assert_eq!(wire.send(post(TOKEN, GRANT, Some(&authorization))).await.status, 200);
    }
}

/// 51, 69: who guesses waits, and the client itself does not, even at the same address.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_for_each_client_and_secret() {
    let house = House::new().await;
    for (number, wire) in house.wires.iter().enumerate() {
        let client = house.nodes[0].client(&format!("client-{number}")).await;
        let right = basic(client.id(), client.secret());
        let wrong = basic(client.id(), house.client.secret());
        let elsewhere = super::Wire { from: "127.0.0.2".parse().unwrap(), ..wire.clone() };
        let mut statuses = Vec::new();
        // The first waits are short, and may be over before the next attempt on a busy machine.
        while statuses.last() != Some(&429) && statuses.len() < 20 {
            let path = ENDPOINTS[statuses.len() % 3];
            let answer = elsewhere.send(post(path, ANY, Some(&wrong))).await;
            assert_sound(&answer, path, &wire.name());
            statuses.push(answer.status.as_u16());
            if answer.status == 429 {
                assert_eq!(answer.json()["error"], "temporarily_unavailable");
            }
        }
        assert_eq!(statuses[..5], [401; 5], "{statuses:?} {}", wire.name());
        assert_eq!(statuses.last(), Some(&429), "{statuses:?} {}", wire.name());
        assert_eq!(elsewhere.send(post(TOKEN, GRANT, Some(&right))).await.status, 200, "{number}");
        assert_eq!(wire.send(post(TOKEN, GRANT, Some(&right))).await.status, 200, "{number}");
    }
}

/// 55: two secrets, each with its own end.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_two_secrets_while_it_changes_them() {
    let house = House::new().await;
    let node = &house.nodes[0];
    for (number, wire) in house.wires.iter().enumerate() {
        let client = node.client(&format!("client-{number}")).await;
        let name = &client.client.client_id;
        let end = SystemClock.now().plus(Duration::from_hours(1));
        let new = NewSecret { label: "second".into(), expires_at: Some(end) };
        let (_, second) = node.registry.add_secret(name, new).await.unwrap();
        let status = async |secret: &str| {
            wire.send(post(TOKEN, GRANT, Some(&basic(name.as_str(), secret)))).await.status.as_u16()
        };
        let both = (status(client.secret()).await, status(second.expose()).await);
        assert_eq!(both, (200, 200), "{}", wire.name());
        let first = client.secret.id();
        node.registry.retire_secret(name, first, Retirement::Retired).await.unwrap();
        let both = (status(client.secret()).await, status(second.expose()).await);
        assert_eq!(both, (401, 200), "{}", wire.name());
    }
}

/// 98: what is sent as a token beside the credentials of a client is a parameter that nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_query_or_the_body_is_no_credential() {
    let house = House::new().await;
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        let query = format!("{path}?access_token=canary");
        rows.push(("98: in the query, ignored", house.post(&query, ANY), 200, ""));
        rows.push(("98: in the query alone", post(&query, ANY, None), 401, "invalid_client"));
        let body = format!("{ANY}&access_token=canary");
        rows.push(("98: in the body, ignored", house.post(path, &body), 200, ""));
    }
    house.check(rows).await;
}
