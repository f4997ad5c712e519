//! How a body becomes parameters, and which of them count (7.3, 7.4).

use super::{ENDPOINTS, GRANT, House, INTROSPECT, Row, TOKEN, said};
use crate::support::{http::basic, node::new_client};
use jeton::{domain::Scope, registry::NewClient};

/// Those that some endpoint reads.
const KNOWN: [&str; 9] = [
    "grant_type",
    "scope",
    "resource",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "token",
    "token_type_hint",
];

/// 22–30: what a form is not, and what it is but does not mean what somebody hoped.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_decoded_strictly() {
    let house = House::new().await;
    let mut rows: Vec<Row> = Vec::new();
    for (rule, form, error) in [
        ("22: no digits", "grant_type=%zz", "invalid_request"),
        ("22: no digits in a name", "%=x", "invalid_request"),
        ("22: half of them", "scope=%4", "invalid_request"),
        ("22: of what nobody reads", "foo=%", "invalid_request"),
        ("23: a byte that begins nothing", "scope=%ff", "invalid_request"),
        ("23: overlong", "scope=%c0%80", "invalid_request"),
        ("23: a surrogate", "scope=%ed%a0%80", "invalid_request"),
        ("24: NUL", "scope=canary%00", "invalid_request"),
        ("24: a line break", "grant_type=client_credentials%0a", "invalid_request"),
        ("25: a semicolon", "grant_type=client_credentials;scope=read", "unsupported_grant_type"),
        (
            "27: one name in two spellings",
            "%67rant_type=client_credentials&grant_type=client_credentials",
            "invalid_request",
        ),
        ("28: a mark", "\u{feff}grant_type=client_credentials", "invalid_request"),
        ("28: a mark, encoded", "%EF%BB%BFgrant_type=client_credentials", "invalid_request"),
        ("29: an array", "grant_type[]=client_credentials", "invalid_request"),
        ("29: JSON", r#"{"grant_type":"client_credentials"}"#, "invalid_request"),
    ] {
        rows.push((rule, house.post(TOKEN, form), 400, error));
    }
    for (rule, form) in [
        ("21: a plus is a space", "grant_type=client_credentials&scope=read+write"),
        ("21: an encoded space", "grant_type=client_credentials&scope=read%20write"),
        ("21: of RFC 6749", "grant_type=client_credentials&foo=+%25%26%2B%C2%A3%E2%82%AC"),
        ("26: signs and no names", "grant_type=client_credentials&a=b=c&=x&y&&"),
        ("27: spelled in full", "%67rant_type=client%5fcredentials"),
        ("29: an array beside it", "grant_type=client_credentials&scope[]=canary&scope[a]=b"),
    ] {
        rows.push((rule, house.post(TOKEN, form), 200, ""));
    }
    let raw = [GRANT.as_bytes(), b"&scope=\xff"].concat();
    let raw = house.post(TOKEN, "").map(|_| raw);
    rows.push(("23: a raw byte that begins nothing", raw, 400, "invalid_request"));
    for token in ["+%25%26%2B%C2%A3%E2%82%AC", "a=b=c", "a;b", "%EF%BB%BF"] {
        let asked = house.post(INTROSPECT, &format!("token={token}"));
        rows.push(("21, 25, 26: a token of such letters is one that nobody has", asked, 200, ""));
    }
    house.check(rows).await;
}

/// 21: a plus that is meant is encoded.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_plus_is_a_plus() {
    let house = House::new().await;
    let scopes = Scope::parse_set(["a+b", "a", "b"]).unwrap();
    let plus = house.nodes[0].register(NewClient { scopes, ..new_client("plus") }).await;
    let authorization = basic(plus.id(), plus.secret());
    for wire in &house.wires {
        for (scope, granted) in [("a%2Bb", "a+b"), ("a+b", "a b"), ("b%20a%2bb", "a+b b")] {
            let form = format!("{GRANT}&scope={scope}");
            let issued = wire.send(super::post(TOKEN, &form, Some(&authorization))).await;
            assert_eq!(issued.json()["scope"], granted, "{scope} over {}", wire.name());
        }
    }
}

/// 24, 30, 32: of each parameter, whichever endpoint it is sent to.
#[tokio::test(flavor = "multi_thread")]
async fn each_known_parameter_is_single_and_plain() {
    let house = House::new().await;
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        for (name, control) in KNOWN.into_iter().zip(["%00", "%0A", "%7f", "%1B"].iter().cycle()) {
            let request = house.post(path, &format!("{name}=canary{control}"));
            rows.push(("24: a control character", request, 400, "invalid_request"));
            if name == "resource" {
                continue;
            }
            for twice in [
                format!("{name}=canary&{name}=canary"),
                format!("{name}=&{name}=canary"),
                format!("{name}=canary&x=y&%{:x}{}", name.as_bytes()[0], &name[1..]),
            ] {
                let request = house.post(path, &twice);
                rows.push(("32: twice", request, 400, "invalid_request"));
            }
        }
    }
    let empty = KNOWN.map(|name| format!("&{name}=")).concat();
    for (rule, form, status, error) in [
        ("30: a grant type without a value", "grant_type=", 400, "invalid_request"),
        ("30: a name alone", "grant_type", 400, "invalid_request"),
        ("30: all the others", &format!("{GRANT}{}", empty.replace("&grant_type=", "")), 200, ""),
    ] {
        rows.push((rule, house.post(TOKEN, form), status, error));
    }
    let no_secret = format!("{GRANT}&client_id={}&client_secret=", house.client.id());
    let no_secret = super::post(TOKEN, &no_secret, None);
    rows.push(("30: no secret", no_secret, 401, "invalid_client"));
    rows.push(("30: no token", house.post(INTROSPECT, "token="), 400, "invalid_request"));
    house.check(rows).await;
}

/// 31–34: what is ignored, what may repeat, and which grants there are.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_are_ignored_and_unknown_grants_are_not() {
    let house = House::new().await;
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        for more in ["&foo=bar&redirect_uri=x&username=x&password=y", "&foo=1&foo=2", "&Scope=x"] {
            let request = house.post(path, &format!("{GRANT}&token=x{more}"));
            rows.push(("31, 32: unknown, and unknown twice", request, 200, ""));
        }
    }
    let api = "resource=https://api.test";
    for (rule, form, error) in [
        ("34: no grant", "scope=read", "invalid_request"),
        ("34: an unknown grant", "grant_type=canary", "unsupported_grant_type"),
        ("34: another case", "grant_type=Client_Credentials", "unsupported_grant_type"),
        ("34: a space too many", "grant_type=client_credentials+", "unsupported_grant_type"),
        ("34: of other clients", "grant_type=password", "unsupported_grant_type"),
        ("33: one of them unknown", &format!("{GRANT}&{api}&{api}/no"), "invalid_target"),
        ("92: unknown", &format!("{GRANT}&resource=https://canary.test"), "invalid_target"),
        ("92: with a fragment", &format!("{GRANT}&{api}%23top"), "invalid_target"),
        ("92: not absolute", &format!("{GRANT}&resource=api"), "invalid_target"),
    ] {
        rows.push((rule, house.post(TOKEN, form), 400, error));
    }
    for (rule, form) in [
        ("33: twice", format!("{GRANT}&{api}&{api}")),
        ("33: once empty", format!("{GRANT}&resource=&{api}")),
        ("33: audience is none of ours", format!("{GRANT}&audience=a&audience=b")),
        ("92: registered", format!("{GRANT}&{api}")),
    ] {
        rows.push((rule, house.post(TOKEN, &form), 200, ""));
    }
    house.check(rows).await;
}

/// 20: what is no form is refused by each endpoint in the same bytes.
#[tokio::test(flavor = "multi_thread")]
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
        for wire in &house.wires {
            let mut answers = Vec::new();
            for path in ENDPOINTS {
                let answer = wire.send(house.post(path, "").map(|_| form.to_vec())).await;
                super::assert_sound(&answer, path, &wire.name());
                assert_eq!(answer.status, 400, "{path} {:?}", answer.body);
                assert_eq!(answer.json()["error"], "invalid_request");
                answers.push(said(&answer));
            }
            assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
        }
    }
}
