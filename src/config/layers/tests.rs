//! Tests of the precedence of sources, and of each setting at both ends of its range.

use clap::FromArgMatches;

use super::*;
use crate::{
    config::{Connections, OutOfRange, ShimConfig},
    domain::HashCost,
};

/// Loads these flags with this file beneath them, and returns the configuration and the sources.
fn load(flags: &[&str], file: &str) -> anyhow::Result<(Config, Vec<Setting>)> {
    let file = File::parse(file)?;
    let arguments = [&["jeton"], flags].concat();
    let matches = file.beneath(command::<Config>()).try_get_matches_from(arguments)?;
    let config = Config::from_arg_matches(&matches)?;
    config.tls.check()?;
    Ok((config, file.settings(&matches)))
}

fn refused(file: &str) -> String {
    format!("{:#}", load(&[], file).unwrap_err())
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = "http_addr = '127.0.0.1:2'\ngrpc_addr = '127.0.0.1:3'\nhash_queue = 9\n\
                no_listen = true\ndatabase_url = 'postgres://u:p@h/d'";
    let (config, settings) = load(&["--http-addr", "127.0.0.1:1"], file).unwrap();
    assert_eq!(config.http.http_addr.port(), 1);
    assert_eq!(config.grpc.grpc_addr.port(), 3);
    assert_eq!(config.hash_pool.hash_queue.get(), 9);
    assert!(config.upkeep.no_listen);
    assert_eq!(config.connections.max_connections.get(), 1_024);
    assert_eq!(config.database.database_url.unwrap().expose(), "postgres://u:p@h/d");
    for (name, value, source) in [
        ("http_addr", "127.0.0.1:1", "flag"),
        ("grpc_addr", "127.0.0.1:3", "file"),
        ("hash_queue", "9", "file"),
        ("no_listen", "true", "file"),
        ("database_url", "postgres://u:[redacted]@h/d", "file"),
        ("max_connections", "1024", "default"),
        ("probe_addr", "", "default"),
    ] {
        let setting = settings.iter().find(|setting| setting.name == name).unwrap();
        assert_eq!((&*setting.value, setting.source), (value, source), "{name}");
    }
}

#[test]
fn an_error_in_the_file_does_not_tell_the_password() {
    let url = "database_url = 'postgres://u:canary@h/d'";
    let rows = [
        (format!("{url} hash_queue = 9"), "line 1, column 42"),
        (format!("log = 'info'\n{url}'"), "line 2, column 41"),
        (format!("{url}\n{url}"), "line 2, column 1"),
        ("\ndatabase_url = ['postgres://u:canary@h/d']".to_owned(), "line 2, column 16"),
        ("http_addr = 'postgres://u:canary@h/d'".to_owned(), "line 1, column 13"),
        ("log_format = 'canary'".to_owned(), "line 1, column 14: log_format: must be one of text"),
    ];
    for (file, expected) in rows {
        let error = load(&[], &file).unwrap_err();
        let told = format!("{error:#} {error:?}");
        assert!(told.contains(expected) && !told.contains("canary"), "{told}");
    }
}

#[test]
fn what_a_file_says_wrong_is_refused_with_the_line_the_knob_and_the_mend() {
    let rows = [
        (
            "log = 'info'\ngrpc_adr = '127.0.0.1:3'",
            "line 2",
            "`grpc_adr`; did you mean `grpc_addr`?",
        ),
        ("zzz = 1", "line 1", "there is no setting `zzz`"),
        ("[database]\nurl = 'x'", "line 1", "there is no setting `database`"),
        ("hash_queue = 0", "line 1", "hash_queue = 0: must be a whole number from 1 to 10000"),
        ("hash_queue = 'many'", "line 1", "hash_queue: must be a whole number"),
        ("hash_queue = 1.5", "line 1", "hash_queue must be a number"),
        ("no_listen = 'perhaps'", "line 1", "no_listen: must be one of true, false"),
        ("http_addr = 'localhost'", "line 1", "as 127.0.0.1:8080"),
        ("issuer = 'https://a.example/'", "line 1", "trailing slash"),
    ];
    for (file, place, reason) in rows {
        let told = refused(file);
        assert!(told.contains(place) && told.contains(reason), "{told}");
    }
    for (flags, file) in [
        (&[][..], "tls_cert = 'a.pem'"),
        (&[], "tls_client_ca = 'a.pem'"),
        (&["--tls-self-signed"], "tls_client_required = true"),
        (&["--tls-self-signed"], "tls_cert = 'a.pem'\ntls_key = 'b.pem'"),
    ] {
        assert!(load(flags, file).is_err(), "{file}");
    }
}

/// Settings that are not numbers: name, a valid value, and an invalid value if there is one.
const TEXTS: [(&str, &str, Option<&str>); 30] = [
    ("grpc_addr", "[::1]:1", Some("localhost:1")),
    ("http_addr", "0.0.0.0:0", Some("1")),
    ("probe_addr", "127.0.0.1:9", Some("127.0.0.1")),
    ("issuer", "https://a.example", Some("a.example")),
    ("tls_cert", "a.pem", None),
    ("tls_key", "a.pem", None),
    ("tls_self_signed", "true", Some("1")),
    ("tls_self_signed_name", "node-1,192.0.2.1", Some("node 1")),
    ("behind_tls_proxy", "false", Some("yes")),
    ("trusted_network", "true", Some("1")),
    ("tls_client_ca", "a.pem", None),
    ("tls_client_crl", "a.pem", None),
    ("tls_client_required", "true", Some("")),
    ("trusted_proxy", "192.0.2.7,cert:a.example", Some("a.example")),
    ("proxy_protocol", "192.0.2.0/24", Some("cert:a.example")),
    ("database_url", "postgres://h/d", None),
    ("database_password_file", "a", None),
    ("secret_lifetime_days", "never", Some("0")),
    ("secret_lifetime_days", "365", Some("always")),
    ("control_addr", "unix:/run/jeton/control.sock", Some("unix:")),
    ("control_addr", "127.0.0.1:7000", Some("127.0.0.1")),
    ("control_addr", "none", Some("off")),
    ("data_dir", "d", None),
    ("no_listen", "true", Some("2")),
    ("no_migrate", "true", Some("2")),
    ("quota", "enforce", Some("on")),
    ("log", "info", None),
    ("log_format", "json", Some("xml")),
    #[cfg(feature = "otel")]
    ("otlp_endpoint", "http://h:4317", None),
    #[cfg(not(feature = "otel"))]
    ("log", "debug", None),
    ("log", "info,access=off", None),
];

/// Range of a setting according to its parser; `None` if the setting is not a number.
fn range(command: &Command, name: &str) -> Option<(u64, u64)> {
    let flag = format!("--{}=x", name.replace('_', "-"));
    let error = command.clone().try_get_matches_from(["jeton", &flag]).err()?;
    let range: &OutOfRange = error.source()?.downcast_ref()?;
    Some((range.min, range.max))
}

/// Iterates over clap's own list of arguments: a new number is tested automatically, and any other
/// new setting fails this test until `TEXTS` has a row for it.
#[test]
fn every_knob_has_a_range_or_a_grammar_and_flag_and_file_agree_on_it() {
    let all = command::<Config>();
    let mut numbers = 0;
    for arg in all.get_arguments() {
        let name = arg.get_id().as_str();
        let flag = |value: &str| {
            let flag = format!("--{}={value}", name.replace('_', "-"));
            all.clone().try_get_matches_from(["jeton", &flag]).map(drop)
        };
        let accepts = |value: &str, literal: &str| {
            let (by_flag, by_file) = (flag(value), File::parse(&format!("{name} = {literal}")));
            assert_eq!(by_flag.is_ok(), by_file.is_ok(), "{name} = {value}");
            if let (Err(by_flag), Err(by_file)) = (&by_flag, &by_file) {
                let (by_flag, by_file) = (reason(Some(by_flag)), format!("{by_file:#}"));
                assert!(by_file.contains(&by_flag) && by_file.contains(name), "{by_file}");
            }
            by_flag.is_ok()
        };
        let Some((min, max)) = range(&all, name) else {
            let rows: Vec<_> = TEXTS.iter().filter(|row| row.0 == name).collect();
            assert!(!rows.is_empty(), "{name} is neither a number nor in TEXTS");
            for (_, good, bad) in rows {
                assert!(accepts(good, &format!("'{good}'")), "{name} = {good}");
                assert!(bad.is_none_or(|bad| !accepts(bad, &format!("'{bad}'"))), "{name}");
            }
            continue;
        };
        numbers += 1;
        let max = i128::from(max);
        let min = i128::from(min);
        for (number, is_good) in [(min, true), (max, true), (min - 1, false), (max + 1, false)] {
            assert_eq!(accepts(&number.to_string(), &number.to_string()), is_good, "{number}");
        }
        // Small enough that adding it to the current time cannot overflow.
        assert!(max <= 31_536_000, "{name}: the maximum of any setting is a year in seconds");
        let unit = name.rsplit('_').next().unwrap_or_default();
        let told = reason(flag("x").as_ref().err());
        let spelt = match unit {
            "ms" => " milliseconds",
            "seconds" => " seconds",
            "bytes" => " bytes",
            "kib" => " KiB",
            "mib" => " MiB",
            "days" => " days",
            _ => "",
        };
        assert_eq!(told, format!("must be a whole number from {min} to {max}{spelt}"), "{name}");
    }
    assert!(numbers >= 28, "{numbers}");
}

#[test]
fn the_defaults_are_there_without_environment_and_the_same_for_all() {
    let (config, shim) = (Config::default(), ShimConfig::default());
    assert_eq!(config.argon2.cost().unwrap(), HashCost::DEFAULT);
    assert_eq!(shim.connections.max_connections, Connections::default().max_connections);
    assert_eq!(config.database.directory.data_dir, Path::new("jeton-data"));
}
