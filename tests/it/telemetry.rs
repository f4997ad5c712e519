//! What a node tells those who look after it: lines, metrics, probes.

mod lines;
mod process;
mod stalled;

use std::time::Duration;

use ::http::Request;
use jeton::net::Limits;

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    http::{get, post_form, send},
};

async fn scrape(node: &TestNode) -> String {
    let request = Request::get("/metrics").header("accept", "application/openmetrics-text");
    let answer = send(node.node.probe_addr(), request.body(Vec::new()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// The value of a metric, by its name and labels as they are written.
fn value<'a>(page: &'a str, metric: &str) -> &'a str {
    let line = page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {metric} in {page}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_tell_what_happened_and_name_nobody() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let client = node.client("canary-client").await;
        let token = node.issue(&client).await.unwrap().access_token;
        let http = node.node.http_addr();
        let form = "grant_type=client_credentials";
        let post =
            async |path, secret, form| post_form(http, path, client.id(), secret, form).await;
        assert_eq!(post("/oauth2/token", client.secret(), form).await.status, 200);
        let unknown = "grant_type=client_credentials&scope=canary-scope";
        assert_eq!(post("/oauth2/token", client.secret(), unknown).await.status, 400);
        assert_eq!(post("/oauth2/token", "canary-secret", form).await.status, 401);
        assert_eq!(post("/canary-path", client.secret(), form).await.status, 404);
        assert!(node.introspect(&client, &token).await.unwrap().active);
        assert!(!node.introspect(&client, "jta_canary").await.unwrap().active);

        let page = scrape(&node).await;
        let requests = [
            (r#"listener="grpc",rpc="IssueToken",outcome="OK""#, "1"),
            (r#"listener="http",rpc="IssueToken",outcome="OK""#, "1"),
            (r#"listener="http",rpc="IssueToken",outcome="INVALID_SCOPE""#, "1"),
            (r#"listener="http",rpc="IssueToken",outcome="INVALID_CLIENT""#, "1"),
            (r#"listener="http",rpc="unknown",outcome="INVALID_REQUEST""#, "1"),
            (r#"listener="grpc",rpc="IntrospectToken",outcome="OK""#, "2"),
        ];
        for (labels, count) in requests {
            assert_eq!(
                value(&page, &format!("jeton_requests_total{{{labels}}}")),
                count,
                "{labels}"
            );
        }
        for (metric, expected) in [
            (r#"jeton_introspections_total{active="true"}"#, "1"),
            (r#"jeton_introspections_total{active="false"}"#, "1"),
            (r#"jeton_secret_checks_total{cached="false"}"#, "1"),
            (r#"jeton_secret_checks_total{cached="true"}"#, "4"),
            ("jeton_hash_duration_seconds_count", "1"),
            (r#"jeton_hash_queue_depth{lane="issue"}"#, "0.0"),
            (r#"jeton_shed_total{cause="hash_queue"}"#, "0"),
            (r#"jeton_connections{listener="grpc"}"#, "1"),
            (r#"jeton_build_info{version="0.1.0"}"#, "1"),
            (r#"jeton_request_duration_seconds_count{listener="http",rpc="IssueToken"}"#, "3"),
        ] {
            assert_eq!(value(&page, metric), expected, "{kind:?} {metric}");
        }
        assert_ne!(value(&page, r#"jeton_database_connections_max{lane="inspect"}"#), "0.0");
        assert!(!page.contains("canary"), "{page}");
    }
}

/// The metrics, with those that tasks of their own add when they have run once.
async fn full_page(node: &TestNode) -> String {
    let awaited = ["jeton_upkeep_rounds", "jeton_database_check", "jeton_database_bytes"];
    loop {
        let page = scrape(node).await;
        if awaited.iter().all(|metric| page.contains(metric)) {
            return page;
        }
    }
}

/// The tools that do not ask for OpenMetrics read its samples under the names of the older format.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_wish_the_metrics_come_in_the_text_format() {
    let node = TestNode::start(Kind::Sqlite).await;
    let openmetrics = full_page(&node).await;
    let answer = get(node.node.probe_addr(), "/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    let types = |page: &str| page.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(types(&page), types(&openmetrics));
    assert!(page.contains("\n# TYPE jeton_upkeep_rounds_total counter\n"), "{page}");
    assert!(page.contains("\n# TYPE jeton_build_info gauge\n"), "{page}");
    assert!(!page.contains("# EOF") && !page.contains(" info\n"), "{page}");
}

/// A name that changes must change where people look for it.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_the_manual_and_the_dashboard_name_is_there() {
    let node = TestNode::start(Kind::Postgres).await;
    let client = node.client("orders").await;
    node.issue(&client).await.unwrap();
    let page = full_page(&node).await;
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut known: Vec<_> = types.filter_map(|line| line.split(' ').next()).collect();
    // Only a shim has it: listeners/handshakes.rs.
    known.push("jeton_upstream_failures");
    for text in
        [include_str!("../../docs/operations.md"), include_str!("../../dashboards/grafana.json")]
    {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // Roles of the database have names of that kind as well.
        let roles = ["jeton_owner", "jeton_service", "jeton_operator", "jeton_reader"];
        for word in words.filter(|word| word.starts_with("jeton_") && !roles.contains(word)) {
            let name = ["_total", "_bucket", "_info"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .unwrap_or(word);
            assert!(known.contains(&name), "{word} is none of {known:?}");
        }
    }

    // A panel that groups by a label that is not there shows one line for all.
    let dashboard = include_str!("../../dashboards/grafana.json");
    let groups = dashboard.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let legends = dashboard.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    for label in groups.flat_map(|group| group.split(", ")).chain(legends) {
        // Those that Prometheus itself adds.
        let is_added = ["instance", "job", "le"].contains(&label);
        let is_there =
            page.contains(&format!("{{{label}=\"")) || page.contains(&format!(",{label}=\""));
        assert!(is_added || is_there, "no metric has the label {label}");
    }
}

/// How many series there are does not depend on what callers send.
#[tokio::test(flavor = "multi_thread")]
async fn what_callers_invent_makes_no_series() {
    let node = TestNode::start(Kind::Sqlite).await;
    let client = node.client("orders").await;
    let mut known = None;
    for round in 0..20 {
        let path = format!("/canary/{round}");
        let http = node.node.http_addr();
        post_form(http, &path, &format!("c{round}"), "x", "a=b").await;
        post_form(http, "/oauth2/token", &format!("c{round}"), "x", &format!("scope=s{round}"))
            .await;
        let method = Request::builder().method(&*format!("CANARY{round}")).uri("/oauth2/token");
        send(http, method.body(Vec::new()).unwrap()).await;
        node.issue(&client).await.unwrap();
        let series = scrape(&node).await.lines().count();
        assert_eq!(*known.get_or_insert(series), series, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_tell_a_node_that_starts_serves_drains_and_has_lost_its_database() {
    let limits = Limits { pre_stop: Duration::from_millis(300), ..Limits::default() };
    let options = TestNodeOptions { limits, ..TestNodeOptions::default() };
    let node = TestNode::start_with(Kind::Sqlite, options).await;
    let probes = node.node.probe_addr();
    let ready = async || get(probes, "/readyz").await.status.as_u16();
    assert_eq!(ready().await, 200);
    assert_eq!(get(probes, "/oauth2/token").await.status, 404);

    node.store.close().await;
    let lost = async {
        while ready().await == 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), lost).await.expect("it stays ready");
    let answer = get(probes, "/readyz").await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.body),
        (503, &b"the database does not answer\n"[..])
    );
    assert_eq!(get(probes, "/livez").await.status, 200, "a restart would not bring it back");

    let draining = tokio::spawn(node.node.drain());
    while get(probes, "/readyz").await.body != "starting or draining\n" {}
    assert_eq!(get(probes, "/livez").await.status, 200);
    draining.await.unwrap();
}
