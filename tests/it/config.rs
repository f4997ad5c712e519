//! Every knob, by the binary itself: from the environment, at both ends of its range and beyond.

use std::{collections::BTreeMap, fs, process::Command};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton, run_json},
    http::post_form,
};

/// `jeton` without any variable of ours.
fn bare() -> Command {
    let mut command = jeton();
    for name in ["JETON_GRPC_ADDR", "JETON_HTTP_ADDR", "JETON_PROBE_ADDR"] {
        command.env_remove(name);
    }
    command
}

fn variable(knob: &str) -> String {
    format!("JETON_{}", knob.to_uppercase())
}

/// What `jeton config` shows with these variables.
fn shown(variables: &BTreeMap<String, u64>) -> Value {
    let mut command = bare();
    command.args(["config", "--json"]);
    command.envs(variables.iter().map(|(knob, value)| (variable(knob), value.to_string())));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Why a value is refused, if it is.
fn refused(knob: &str, value: &str) -> Option<String> {
    let output = bare().arg("config").env(variable(knob), value).output().unwrap();
    (!output.status.success()).then(|| complaint(&output))
}

/// The range of each knob that is a number, by what is said of one that is none.
fn ranges() -> BTreeMap<String, [u64; 2]> {
    let knobs = shown(&BTreeMap::new());
    let range = |knob: &String| {
        let told = refused(knob, "x")?;
        let (_, range) = told.split_once("a whole number from ")?;
        let numbers = range
            .split(' ')
            .step_by(2)
            .take(2)
            .map(|number| number.lines().next().unwrap_or_default().parse().unwrap());
        Some((knob.clone(), numbers.collect::<Vec<u64>>().try_into().unwrap()))
    };
    let ranges: BTreeMap<_, _> = knobs.as_object().unwrap().keys().filter_map(range).collect();
    assert!(ranges.len() >= 28, "{ranges:?}");
    ranges
}

#[test]
fn each_variable_takes_its_range_and_nothing_beside_it() {
    let ranges = ranges();
    for end in [0, 1] {
        let values: BTreeMap<_, _> =
            ranges.iter().map(|(knob, range)| (knob.clone(), range[end])).collect();
        let shown = shown(&values);
        for (knob, value) in &values {
            assert_eq!(shown[knob]["value"], value.to_string(), "{knob}");
            assert_eq!(shown[knob]["source"], "environment", "{knob}");
        }
    }
    for (knob, [min, max]) in &ranges {
        let beyond = [i128::from(*min) - 1, i128::from(*max) + 1, u64::MAX.into()];
        for value in beyond.map(|value| value.to_string()) {
            let told = refused(knob, &value).unwrap_or_else(|| panic!("{knob} takes {value}"));
            assert!(told.contains(&variable(knob)), "{told}");
            assert!(told.contains(&format!("a whole number from {min} to {max}")), "{told}");
        }
    }
}

/// A file with all knobs that are numbers at one end of their ranges, but for these.
fn file_of(end: usize, others: &[(&str, u64)]) -> tempfile::TempPath {
    let mut values = ranges();
    values.extend(others.iter().map(|(knob, value)| ((*knob).to_owned(), [*value; 2])));
    let lines = values.iter().map(|(knob, range)| format!("{knob} = {}\n", range[end]));
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    fs::write(&path, lines.collect::<String>()).unwrap();
    path
}

async fn answers(node: &Served, database: &Database) -> u16 {
    let created = run_json(&["client", "create", "--client-id", "orders"], database);
    let secret = created["client_secret"].as_str().unwrap();
    let form = "grant_type=client_credentials";
    post_form(node.http, "/oauth2/token", "orders", secret, form).await.status.as_u16()
}

/// Threads that hash are apart: 256 of them at 64 MiB each are more than a machine of tests has.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_every_knob_at_its_maximum_answers() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        for few in [("hash_threads", 1), ("argon2_memory_kib", 7_168)] {
            let file = file_of(1, &[few, ("argon2_passes", 5), ("pre_stop_seconds", 0)]);
            let node = Served::start(&database, &["--config", file.to_str().unwrap()]);
            if few.0 == "hash_threads" {
                assert_eq!(answers(&node, &database).await, 200, "{kind:?}");
            }
            node.signal(Signal::TERM);
            let said = node.until("stopped");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}

/// Within a millisecond nothing can be answered, but each answer says so. Three knobs are longer,
/// or there would be no node and no connection to ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_every_knob_at_its_minimum_does_not_panic() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let longer = [
            ("start_timeout_seconds", 30),
            ("handshake_timeout_ms", 5_000),
            ("database_wait_ms", 2_000),
            // The least memory needs the most passes.
            ("argon2_passes", 5),
        ];
        let file = file_of(0, &longer);
        let node = Served::start(&database, &["--config", file.to_str().unwrap()]);
        let status = answers(&node, &database).await;
        assert!([200, 408, 429, 503].contains(&status), "{kind:?}: {status}");
        node.signal(Signal::TERM);
        let said = node.until("stopped");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// The flags of a help text.
fn flags(command: &str) -> Vec<String> {
    let output = bare().args([command, "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    let words = help.lines().map(str::trim_start).filter_map(|line| {
        let line =
            line.split_once(", ").filter(|(short, _)| short.len() == 2).map_or(line, |l| l.1);
        line.split([' ', '[']).next().filter(|word| word.starts_with("--"))
    });
    words.map(str::to_owned).collect()
}

#[test]
fn a_shim_lists_what_it_uses_and_nothing_else() {
    let used = "--upstream --upstream-ca --upstream-cert --upstream-key --trusted-proxy \
                --proxy-protocol --http-addr --probe-addr --issuer --tls-cert --tls-key \
                --tls-self-signed --tls-self-signed-name --behind-tls-proxy --tls-client-ca \
                --tls-client-crl \
                --tls-client-required --trusted-network --data-dir --max-connections \
                --max-open-requests --max-streams --handshake-timeout-ms \
                --idle-timeout-seconds --max-connection-age-seconds --ping-interval-seconds \
                --workers --max-requests --request-timeout-ms --body-timeout-ms --max-body-bytes \
                --max-header-bytes --max-failures-per-second --pre-stop-seconds \
                --drain-timeout-seconds --log --log-format --config --timeout --help";
    let mut used: Vec<_> = used.split_whitespace().collect();
    if cfg!(feature = "otel") {
        used.push("--otlp-endpoint");
    }
    let mut listed = flags("shim");
    used.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, used);
    let output = bare().args(["shim", "--upstream", "https://h:1", "--hash-queue", "9"]).output();
    assert!(complaint(&output.unwrap()).contains("--hash-queue"));
    assert!(flags("serve").len() > 45);
}

#[test]
fn an_empty_variable_is_none_and_a_misspelt_one_is_told_with_the_nearest_name() {
    let output = bare()
        .args(["config", "--json"])
        .env("JETON_HASH_QUEUE", "")
        .env("JETON_LOG_FORMAT", "")
        .env("JETON_CONFIG", "")
        .env("JETON_TIMEOUT", "")
        .env("JETON_GRPC_ADR", "127.0.0.1:1")
        .env("JETON_CLIENT_SECRET", "canary")
        .env("JETON_UPSTREAM", "http://h:1")
        .env("JETON_PORT_8080_TCP_ADDR", "10.0.0.1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["hash_queue"]["source"], "default");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("JETON_GRPC_ADR") && told.contains("mean JETON_GRPC_ADDR?"), "{told}");
}

/// A command is not stopped by a knob that it does not have, unless the file is wrong for all.
#[test]
fn a_command_takes_its_own_knobs_from_a_file_and_a_variable_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jeton.toml");
    let place = folder.path().join("elsewhere").display().to_string();
    fs::write(&file, format!("hash_queue = 7\ndata_dir = '{place}'")).unwrap();
    let list =
        |command: &mut Command| complaint(&command.args(["client", "list"]).output().unwrap());
    let told = list(bare().env("JETON_CONFIG", &file).env("JETON_HASH_QUEUE", "abc"));
    assert!(told.contains(&place), "{told}");
    fs::write(&file, "hash_queue = 0").unwrap();
    let told = list(bare().env("JETON_CONFIG", &file));
    assert!(told.contains("jeton.toml") && told.contains("hash_queue = 0"), "{told}");
}

/// The table in the documentation is that of the binary.
#[test]
fn every_knob_stands_in_the_documentation_with_its_default_and_range() {
    let documented = fs::read_to_string("docs/configuration.md").unwrap();
    let (ranges, knobs) = (ranges(), shown(&BTreeMap::new()));
    for (knob, shown) in knobs.as_object().unwrap() {
        let row = documented.lines().find(|line| line.starts_with(&format!("| `{knob}` |")));
        let row = row.unwrap_or_else(|| panic!("{knob} is not in docs/configuration.md"));
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let default = shown["value"].as_str().unwrap();
        assert!(default.is_empty() || cells[2] == default, "{row}: {default}");
        let range = ranges.get(knob).map(|[min, max]| format!("{min} to {max}"));
        assert_eq!(cells[3], range.unwrap_or_default(), "{row}");
    }
}
