//! Where a request goes: its method, its path, its query, the host that it names (7.1).

use ::http::{Method, Request, header};

use super::{ENDPOINTS, GRANT, House, METADATA, Row, assert_sound, post, with};

fn by(method: &str, mut request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    with(request, "origin", "https://browser.test")
}

/// 1, 3, 4: each path names its own methods, and no origin is let in.
#[tokio::test(flavor = "multi_thread")]
async fn only_post_is_served_and_a_wrong_method_is_told_the_right_ones() {
    let house = House::new().await;
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        for method in ["GET", "PUT", "DELETE", "PATCH", "PROPFIND"] {
            let request = by(method, house.post(path, GRANT));
            rows.push(("1: another method", request, 405, "invalid_request"));
        }
        let mut preflight = by("OPTIONS", Request::new(Vec::new()));
        *preflight.uri_mut() = path.parse().unwrap();
        let preflight = with(preflight, "access-control-request-method", "POST");
        rows.push(("3: a browser asks whether it may", preflight, 405, "invalid_request"));
        for method in ["post", "Post"] {
            let request = by(method, house.post(path, GRANT));
            rows.push(("4: another method by its case", request, 405, "invalid_request"));
        }
    }
    let served = with(house.post(ENDPOINTS[0], GRANT), "origin", "https://browser.test");
    rows.push(("3: no origin is let in where it succeeds", served, 200, ""));
    house.check(rows).await;
    for wire in &house.wires {
        for method in ["POST", "PUT", "OPTIONS", "get"] {
            let answer = wire.send(by(method, Request::new(Vec::new()))).await;
            assert_eq!(answer.status, 404, "1: {method} of no endpoint");
            let mut request = by(method, Request::new(Vec::new()));
            *request.uri_mut() = METADATA.parse().unwrap();
            let answer = wire.send(request).await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET,HEAD"));
        }
    }
}

/// 2: an answer to HEAD has no body, and the connection is good for another request.
#[tokio::test(flavor = "multi_thread")]
async fn head_is_refused_without_a_body() {
    let house = House::new().await;
    for wire in &house.wires {
        let mut line = wire.open().await;
        for path in ENDPOINTS {
            let answer = line.send(by("HEAD", house.post(path, ""))).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (405, 0), "{}", wire.name());
            assert_eq!((answer.header("allow"), answer.header("pragma")), ("POST", "no-cache"));
        }
        assert_eq!(line.send(house.post(ENDPOINTS[0], GRANT)).await.status, 200);
    }
}

/// 5: nothing in the URI is used, not even a whole and right grant.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_query_is_refused_or_ignored() {
    let house = House::new().await;
    let (id, secret) = (house.client.id(), house.client.secret());
    let whole = format!("{GRANT}&client_id={id}&client_secret={secret}&token=x");
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        for parameter in [
            "grant_type=x",
            "client_id=x",
            "client_secret=canary",
            "token=canary",
            "token_type_hint=x",
            "scope=x",
            "resource=x",
            "%74oken=canary",
            "a=b&client_assertion=canary",
            "client_assertion_type",
        ] {
            let request = house.post(&format!("{path}?{parameter}"), GRANT);
            rows.push(("5: a parameter in the URI", request, 400, "invalid_request"));
        }
        let target = format!("{path}?{whole}");
        for body in ["", &whole] {
            let request = post(&target, body, None);
            rows.push(("5: all parameters in the URI", request, 400, "invalid_request"));
        }
        let secret_apart = post(&format!("{path}?client_secret={secret}"), &whole, None);
        rows.push(("5: the secret in the URI", secret_apart, 400, "invalid_request"));
        let other = house.post(&format!("{path}?foo=bar&tenant=1&?"), &format!("{GRANT}&token=x"));
        rows.push(("5: other parameters in the URI", other, 200, ""));
    }
    house.check(rows).await;
    for wire in &house.wires {
        let answer = wire.send(post(&format!("{}?{whole}", ENDPOINTS[0]), "", None)).await;
        let told = answer.json()["error_description"].to_string();
        assert!(told.contains("must be in the body") && !told.contains(secret), "{told}");
    }
}

/// 6: a path that is nearly right is not right, and nobody is redirected.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_has_one_spelling() {
    let house = House::new().await;
    let mut rows: Vec<Row> = Vec::new();
    let mut odd = ["/", "/oauth2", "/oauth2/", "/OAUTH2/token", "/oauth2//token", "//oauth2/token"]
        .map(str::to_owned)
        .to_vec();
    odd.extend(["/oauth2/%74oken", "/oauth2/./token", "/a/../oauth2/token"].map(str::to_owned));
    for path in ENDPOINTS {
        let other_case = path.replace('e', "E");
        odd.extend(["/", "//", "%2f", "x", ";a=b", "%20", "%00"].map(|end| format!("{path}{end}")));
        odd.push(other_case);
    }
    for path in &odd {
        rows.push(("6: spelling of the path", house.post(path, GRANT), 404, "invalid_request"));
    }
    house.check(rows).await;
}

/// 8: what a caller writes into headers and the authority changes nothing that others read.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_says_who_we_are() {
    let house = House::new().await;
    for wire in &house.wires {
        let node = &house.nodes[usize::from(wire.tls.is_some())].node;
        for target in [METADATA.to_owned(), format!("http://evil.test{METADATA}")] {
            let request = Request::get(target)
                .header(header::HOST, "evil.test")
                .header(header::FORWARDED, "host=evil.test;proto=http")
                .header("x-forwarded-host", "evil.test")
                .body(Vec::new());
            let answer = wire.send(request.unwrap()).await;
            let text = String::from_utf8_lossy(&answer.body);
            assert!(!text.contains("evil"), "{} {text}", wire.name());
            assert_eq!(answer.json()["issuer"], node.issuer(), "{}", wire.name());
        }
        let issued = wire.send(with(house.post(ENDPOINTS[0], GRANT), "host", "evil.test")).await;
        assert_eq!(issued.status, 200);
        assert_sound(&issued, ENDPOINTS[0], "8: issued");
        let form = format!("token={}", issued.json()["access_token"].as_str().unwrap());
        let asked = with(house.post(ENDPOINTS[1], &form), "host", "evil.test");
        let seen = wire.send(asked).await.json();
        assert_eq!(seen["iss"], node.issuer(), "{}", wire.name());
    }
}
