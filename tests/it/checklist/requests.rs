//! What is asked: method, path, body, parameters, client authentication (7.1 to 7.6).

use ::http::{Method, Request, header};

use super::{ENDPOINTS, GRANT, House, INTROSPECT, REVOKE, TOKEN, typed, with};
use crate::support::http::{FORM, basic};

/// 7.1
#[tokio::test]
async fn only_post_to_the_exact_path_with_nothing_in_the_query_is_served() {
    let house = House::new().await;
    let mut rows = Vec::new();
    for path in ENDPOINTS {
        let names = ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "post", "PROPFIND"];
        for name in names {
            let mut request = house.post(path, GRANT);
            *request.method_mut() = Method::from_bytes(name.as_bytes()).unwrap();
            rows.push(("1, 3, 4: method", request, 405, "invalid_request"));
        }
        for parameter in [
            "grant_type=x",
            "client_id=x",
            "client_secret=canary",
            "token=canary",
            "scope=x",
            "%74oken=canary",
            "a=b&client_assertion=canary",
        ] {
            let request = house.post(&format!("{path}?{parameter}"), GRANT);
            rows.push(("5: parameters in the URI", request, 400, "invalid_request"));
        }
        for suffix in ["/", "%2f", "x"] {
            let request = house.post(&format!("{path}{suffix}"), GRANT);
            rows.push(("6: spelling of the path", request, 404, "invalid_request"));
        }
    }
    for path in ["/", "/OAUTH2/token", "/oauth2//token", "/oauth2/%74oken", "/oauth2"] {
        rows.push(("6: spelling of the path", house.post(path, GRANT), 404, "invalid_request"));
    }
    rows.push(("5: other parameters", house.post("/oauth2/token?foo=bar", GRANT), 200, ""));
    house.check(rows).await;

    for wire in &house.wires {
        let mut request = house.post(TOKEN, "");
        *request.method_mut() = Method::HEAD;
        let answer = wire.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (405, 0), "2: HEAD");
        assert_eq!(answer.header("allow"), "POST");

        // 8: what a caller writes into Host changes nothing that others read.
        let request = Request::get("/.well-known/oauth-authorization-server")
            .header(header::HOST, "evil.test")
            .header("x-forwarded-host", "evil.test")
            .body(Vec::new())
            .unwrap();
        let answer = wire.send(request).await;
        assert!(!String::from_utf8_lossy(&answer.body).contains("evil"), "{answer:?}");
    }
}

/// 7.2
#[tokio::test]
async fn only_a_form_of_bounded_size_is_read() {
    let house = House::new().await;
    let post = |content_type: &str| typed(house.post(TOKEN, GRANT), content_type);
    let mut rows = Vec::new();
    for spelling in [
        FORM,
        "Application/X-WWW-Form-URLEncoded",
        "application/x-www-form-urlencoded;\
        charset=UTF-8",
        "application/x-www-form-urlencoded; charset=\"utf-8\"",
    ] {
        rows.push(("11: the type, spelled", post(spelling), 200, ""));
    }
    for spelling in ["utf-16", "iso-8859-1"] {
        let request = post(&format!("{FORM}; charset={spelling}"));
        rows.push(("12: another charset", request, 400, "invalid_request"));
    }
    for other in [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencodedxyz",
        "",
    ] {
        rows.push(("13: another type", post(other), 415, "invalid_request"));
    }
    let mut missing = house.post(TOKEN, GRANT);
    missing.headers_mut().remove(header::CONTENT_TYPE);
    rows.push(("13: no type", missing, 415, "invalid_request"));
    let twice = with(house.post(TOKEN, GRANT), "content-type", FORM);
    rows.push(("14: two types", twice, 400, "invalid_request"));
    rows.push(("15: no body", house.post(TOKEN, ""), 400, "invalid_request"));
    rows.push(("15: no body and nobody", house.bare(TOKEN, "", None), 401, "invalid_client"));
    let zipped = with(house.post(TOKEN, GRANT), "content-encoding", "gzip");
    rows.push(("17: compressed", zipped, 415, "invalid_request"));
    for path in ENDPOINTS {
        let long = format!("{GRANT}&foo={}", "x".repeat(17_000));
        rows.push(("16: too long", house.post(path, &long), 413, "invalid_request"));
        let longer = "&".repeat(65_536);
        rows.push(("16: too long", house.post(path, &longer), 413, "invalid_request"));
        let many = "a=b&".repeat(1_000);
        rows.push(("19: too many", house.post(path, &many), 400, "invalid_request"));
    }
    house.check(rows).await;
}

/// 7.3, 7.4
#[tokio::test]
async fn a_form_is_decoded_strictly_and_its_parameters_are_single() {
    let house = House::new().await;
    let mut rows = Vec::new();
    for (rule, form, error) in [
        ("22", "grant_type=%zz", "invalid_request"),
        ("22", "%=x", "invalid_request"),
        ("22", "scope=%4", "invalid_request"),
        ("23", "scope=%ff", "invalid_request"),
        ("23", "scope=%c0%80", "invalid_request"),
        ("23", "scope=%ed%a0%80", "invalid_request"),
        ("24", "scope=canary%00", "invalid_request"),
        ("24", "grant_type=client_credentials%0a", "invalid_request"),
        ("25", "grant_type=client_credentials;scope=read", "unsupported_grant_type"),
        ("27", "%67rant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("28", "\u{feff}grant_type=client_credentials", "invalid_request"),
        ("29", "grant_type[]=client_credentials", "invalid_request"),
        ("30", "grant_type=", "invalid_request"),
        ("32", "grant_type=client_credentials&scope=read&scope=read", "invalid_request"),
        ("32", "grant_type=client_credentials&scope=&scope=read", "invalid_request"),
        ("32", "token=a&token=b&grant_type=client_credentials", "invalid_request"),
        ("34", "scope=read", "invalid_request"),
        ("34", "grant_type=canary", "unsupported_grant_type"),
        ("34", "grant_type=Client_Credentials", "unsupported_grant_type"),
        ("34", "grant_type=client_credentials+", "unsupported_grant_type"),
        ("56", "grant_type=client_credentials&scope=+read", "invalid_scope"),
        ("56", "grant_type=client_credentials&scope=read++write", "invalid_scope"),
        ("56", "grant_type=client_credentials&scope=re%22ad", "invalid_scope"),
        ("57", "grant_type=client_credentials&scope=READ", "invalid_scope"),
        ("59", "grant_type=client_credentials&scope=read+canary", "invalid_scope"),
        ("92", "grant_type=client_credentials&resource=https://canary.test", "invalid_target"),
    ] {
        rows.push((rule, house.post(TOKEN, form), 400, error));
    }
    for (rule, form) in [
        ("21", "grant_type=client_credentials&scope=read%20write"),
        ("26", "grant_type=client_credentials&a=b=c&=x&y"),
        ("27", "%67rant_type=client%5fcredentials"),
        ("30", "grant_type=client_credentials&scope=&client_secret=&client_id="),
        ("31", "grant_type=client_credentials&foo=bar&redirect_uri=x&username=x&password=y"),
        ("32", "grant_type=client_credentials&foo=1&foo=2"),
        ("33", "grant_type=client_credentials&resource=https://api.test&resource=https://api.test"),
        ("57", "grant_type=client_credentials&scope=write+read+write"),
    ] {
        rows.push((rule, house.post(TOKEN, form), 200, ""));
    }
    let raw = [GRANT.as_bytes(), b"&scope=\xff"].concat();
    rows.push(("23", house.post(TOKEN, "").map(|_| raw.clone()), 400, "invalid_request"));
    let many = (0..65).map(|n| format!("s{n}")).collect::<Vec<_>>().join("+");
    rows.push(("60", house.post(TOKEN, &format!("{GRANT}&scope={many}")), 400, "invalid_scope"));
    house.check(rows).await;
}

/// 7.5
#[tokio::test]
async fn a_client_authenticates_in_one_way_and_in_any_spelling_of_it() {
    let house = House::new().await;
    let (id, secret) = (house.client.id(), house.client.secret());
    let good = house.basic();
    let pair = good.strip_prefix("Basic ").unwrap();
    let encoded = basic(&id.replace('o', "%6F"), &secret.replace('_', "%5f"));
    let body = format!("{GRANT}&client_id={id}&client_secret={secret}");
    let mut rows = Vec::new();
    for (rule, form, header) in [
        ("37: in the body", body.as_str(), None),
        ("38: form-encoded halves", GRANT, Some(encoded.as_str())),
        ("42: the same id in the body", &format!("{GRANT}&client_id={id}"), Some(&*good)),
        ("43: case of the scheme", GRANT, Some(&format!("bASIC {pair}"))),
        ("43: spaces after it", GRANT, Some(&format!("Basic   {pair}"))),
        ("44: without padding", GRANT, Some(good.trim_end_matches('='))),
    ] {
        rows.push((rule, house.bare(TOKEN, form, header), 200, ""));
    }
    let other = format!("{GRANT}&client_id=canary");
    for (rule, form, header) in [
        ("42: two methods", body.as_str(), Some(good.as_str())),
        ("42: another id in the body", &other, Some(&*good)),
    ] {
        rows.push((rule, house.bare(TOKEN, form, header), 400, "invalid_request"));
    }
    let two = with(house.post(TOKEN, GRANT), "authorization", &good);
    rows.push(("46: two headers", two, 400, "invalid_request"));
    let long = basic(&"x".repeat(129), secret);
    for (rule, form, header) in [
        ("40: nobody", GRANT, None),
        ("41: an id alone", &*format!("{GRANT}&client_id={id}"), None),
        ("44: no base64", GRANT, Some("Basic !!!")),
        ("44: no colon", GRANT, Some("Basic b3JkZXJz")),
        ("44: a bad percent", GRANT, Some(&*basic("orders%", secret))),
        ("45: no secret", GRANT, Some(&*basic(id, ""))),
        ("45: no id", GRANT, Some(&*basic("", secret))),
        ("46: joined by a comma", GRANT, Some(&*format!("{good}, {good}"))),
        ("47: another scheme", GRANT, Some("Bearer canary")),
        ("53: a long id", GRANT, Some(&*long)),
        ("53: a long secret", GRANT, Some(&*basic(id, &"x".repeat(300)))),
        ("54: another spelling", GRANT, Some(&*basic("ORDERS", secret))),
    ] {
        rows.push((rule, house.bare(TOKEN, form, header), 401, "invalid_client"));
    }
    for path in [INTROSPECT, REVOKE] {
        rows.push(("70, 80", house.bare(path, "token=x", None), 401, "invalid_client"));
    }
    house.check(rows).await;
}

/// 36: of two faults the earlier one is told.
#[tokio::test]
async fn faults_are_told_in_a_fixed_order() {
    let house = House::new().await;
    let wrong = basic("canary", "canary");
    let mut get = house.bare("/oauth2/token?token=x", "%zz", Some(&wrong));
    *get.method_mut() = Method::GET;
    let untyped = |form: &str| typed(house.bare(TOKEN, form, Some(&wrong)), "text/plain");
    let long = "%zz".repeat(10_000);
    let unknown = format!("grant_type=canary&scope=canary&client_id={}", house.client.id());
    let server = basic(house.server.id(), house.server.secret());
    house
        .check(vec![
            ("method before query", get, 405, "invalid_request"),
            ("type before size", untyped(&long), 415, "invalid_request"),
            ("size before decoding", house.bare(TOKEN, &long, None), 413, "invalid_request"),
            (
                "decoding before client",
                house.bare(TOKEN, "%zz", Some(&wrong)),
                400,
                "invalid_request",
            ),
            (
                "client before grant",
                house.bare(TOKEN, "grant_type=x", Some(&wrong)),
                401,
                "invalid_client",
            ),
            ("grant before scope", house.post(TOKEN, &unknown), 400, "unsupported_grant_type"),
            (
                "grant allowed before scope",
                house.bare(TOKEN, &format!("{GRANT}&scope=canary"), Some(&server)),
                400,
                "unauthorized_client",
            ),
        ])
        .await;
}
