//! `jeton bench` against running nodes. What it measures is not looked at: only that it measures.

use std::fs;

use serde_json::Value;

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, run, run_json},
};

fn bench(database: &Database, served: &Served, profile: &str, more: &[&str]) -> Value {
    let (url, pid) = (format!("http://{}", served.grpc), served.child.id().to_string());
    let mut arguments = vec!["bench", profile, "--server", &url, "--seconds", "1"];
    arguments.extend(["--connections", "1", "--in-flight", "4", "--server-pid", &pid]);
    arguments.extend(more);
    run_json(&arguments, database)
}

#[tokio::test]
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
                _ => {}
            }
            for figure in ["requests_per_second", "p99_ms", "server_cpu_us", "server_memory_mib"] {
                assert!(report[figure].as_f64().unwrap() > 0.0, "{figure}: {report}");
            }
            assert!(report["postgres_cpu_us"].is_null(), "nobody said where it is");
        }
        assert_eq!(run_json(&["client", "list"], &database), Value::Array(vec![]));
    }
}

#[tokio::test]
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
