//! `jeton bench` against running nodes. What it measures is not looked at: only that it measures.

use std::fs;

use serde_json::Value;

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, run, run_json},
};

fn bench(database: &Database, served: &Served, profile: &str, more: &[&str]) -> Value {
    let (url, pid) = (format!("http://{}", served.grpc), served.child.id().to_string());
    // Profiles that use something up end when it is used up.
    let seconds = if ["cold", "misses", "revoke"].contains(&profile) { "60" } else { "1" };
    let mut arguments = vec!["bench", profile, "--server", &url, "--seconds", seconds];
    arguments.extend(["--connections", "1", "--in-flight", "4", "--server-pid", &pid]);
    arguments.extend(more);
    run_json(&arguments, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_profile_asks_what_it_says_over_both_faces_and_leaves_no_client_behind() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let served = Served::start(&database, &[]);
        let http = format!("http://{}", served.http);
        for (profile, more, code) in [
            ("issue", vec!["--clients", "2"], "OK"),
            ("introspect", vec!["--http", &http], "OK"),
            ("mixed", vec![], "OK"),
            ("cold", vec!["--clients", "3"], "OK"),
            ("misses", vec!["--tokens", "50"], "OK"),
            ("revoke", vec!["--tokens", "8"], "OK"),
            ("revoke", vec!["--tokens", "8", "--http", &http], "OK"),
            ("bad-secrets", vec![], "Unauthenticated"),
            ("bad-secrets", vec!["--http", &http], "401"),
        ] {
            let report = bench(&database, &served, profile, &more);
            let requests = report["requests"].as_u64().unwrap();
            assert!(requests > 0, "{kind:?}, {profile}: {report}");
            assert!(report["answers"][code].as_u64().unwrap() > 0, "{kind:?}, {profile}: {report}");
            let failed = report["failed"].as_u64().unwrap();
            assert_eq!(failed > 0, code != "OK", "{kind:?}, {profile}: {report}");
            match profile {
                "cold" => assert_eq!(requests, 3),
                "misses" => assert_eq!(requests, 50),
                "revoke" => assert_eq!(requests, 8),
                _ => {}
            }
            for figure in ["requests_per_second", "p99_ms", "server_cpu_us", "server_memory_mib"] {
                assert!(report[figure].as_f64().unwrap() > 0.0, "{figure}: {report}");
            }
            // The server is found by itself, and the embedded database has none.
            let postgres = report["postgres_cpu_us"].as_f64();
            assert_eq!(postgres.is_some(), kind == Kind::Postgres, "{report}");
        }
        let revoked = revocations(&database).await;
        assert_eq!(revoked, 16, "{kind:?}: each token of the profile `revoke`, once");
        assert_eq!(run_json(&["client", "list"], &database), Value::Array(vec![]));
    }
}

async fn revocations(database: &Database) -> usize {
    let trail = database.store().audit_after(0, 10_000).await.unwrap();
    let revokes =
        trail.into_iter().filter(|entry| entry.as_ref().unwrap().action == "token.revoke");
    revokes.count()
}

/// The text of a report has its figures in the order in which they are read, and another run of the
/// same profile is put beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_compared_with_an_earlier_one_of_its_profile() {
    let database = Database::new(Kind::Sqlite).await;
    let served = Served::start(&database, &[]);
    let url = format!("http://{}", served.grpc);
    let bench = |more: &[&str]| {
        let mut arguments = vec!["bench", "issue", "--server", &url, "--seconds", "1"];
        arguments.extend(more);
        run(&arguments, &database)
    };
    let earlier = bench(&["--json"]);
    let text = String::from_utf8(earlier.stdout).unwrap();
    let order = ["version", "profile", "callers", "requests", "answers", "p50_ms", "server_cpu_us"];
    let places: Vec<_> =
        order.iter().map(|name| text.find(&format!("\"{name}\"")).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");

    let file = database.dir.path().join("before.json");
    let path = file.to_str().unwrap();
    fs::write(&file, &text).unwrap();
    let compared = String::from_utf8(bench(&["--compare", path]).stdout).unwrap();
    for text in ["before", "now", "ratio", "requests per second"] {
        assert!(compared.contains(text), "{text}: {compared}");
    }
    let callers = compared.lines().find(|line| line.contains("callers")).unwrap();
    assert!(callers.split_whitespace().eq(["callers", "64", "64", "1.00"]), "{callers}");

    for (report, says) in [
        (
            text.replace("\"issue\"", "\"revoke\""),
            "is of the profile revoke, and this run is of issue",
        ),
        (text.replace("\"version\": 1", "\"version\": 9"), "not a report of version 1"),
        ("{}".to_owned(), "not a report of version 1"),
        ("requests: 5".to_owned(), "is not a report"),
    ] {
        fs::write(&file, report).unwrap();
        let said = complaint(&bench(&["--compare", path]));
        assert!(said.contains(says) && said.contains("jeton bench issue --json"), "{said}");
    }
    let said = complaint(&bench(&["--compare", "/nowhere.json"]));
    assert!(said.contains("/nowhere.json cannot be read"), "{said}");
    assert_eq!(run_json(&["client", "list"], &database), Value::Array(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_is_drawn_and_mistakes_leave_nothing_behind() {
    let database = Database::new(Kind::Sqlite).await;
    let served = Served::start(&database, &[]);
    let file = database.dir.path().join("latencies.svg");
    bench(&database, &served, "issue", &["--svg", file.to_str().unwrap()]);
    let svg = fs::read_to_string(&file).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("polyline"), "{svg}");

    let url = format!("http://{}", served.grpc);
    let https = format!("https://{}", served.http);
    for (arguments, text) in [
        (vec!["bench", "issue", "--server", "http://127.0.0.1:1"], "no node answers"),
        (vec!["bench", "issue", "--server", &url, "--http", &https], "http://HOST:PORT"),
    ] {
        let said = complaint(&run(&arguments, &database));
        assert!(said.contains(text), "{said}");
    }
    assert_eq!(run_json(&["client", "list"], &database), Value::Array(vec![]));
}
