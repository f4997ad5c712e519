//! Refused addresses and their messages.

use super::{Variables, read};

/// Asserts that each message contains the expected parts. Values contain the word `canary`, and no
/// message does.
fn assert_refused(rows: &[(&str, Variables<'_>, &[&str])]) {
    for (url, variables, expected) in rows {
        let refused = match read(url, variables, None) {
            Ok(address) => panic!("{url} is accepted: {address:?}"),
            Err(refused) => refused,
        };
        for shown in [refused.to_string(), format!("{refused:?}")] {
            assert!(!shown.contains("canary"), "{url}: {shown}");
        }
        let message = refused.to_string();
        for part in *expected {
            assert!(message.contains(part), "{url}: {part} in {message}");
        }
    }
}

#[test]
fn what_is_no_address_is_told_how_one_reads() {
    assert_refused(&[
        ("mysql://u:canary@h/d", &[], &["postgres://user:password@host"]),
        ("u:canary@h", &[], &["postgres://user:password@host"]),
        ("", &[], &["postgres://user:password@host"]),
        ("postgres:u:canary@h", &[], &["postgres://user:password@host"]),
        ("POSTGRES://u:canary@h", &[], &["postgres://user:password@host"]),
    ]);
}

#[test]
fn a_password_that_is_not_encoded_is_told_to_be() {
    for password in [
        "can@ary",
        "canary/1",
        "canary/1@2",
        "1/canary",
        "1/canary@2",
        "canary?1",
        "canary?a=b",
        "1?canary",
        "a?sslmode=canary",
    ] {
        let url = format!("postgres://u:{password}@h:5432/d?sslmode=disable");
        assert_refused(&[(&url, &[], &["percent-encode", "%40"])]);
    }
    assert_refused(&[
        ("postgres://u@s:canary@h/d", &[], &["percent-encode", "%40"]),
        ("postgres://u:1?canary=x@h/d", &[], &["percent-encode", "%40"]),
        ("postgres://u:a@b?canary=x@h/d", &[], &["percent-encode", "%40"]),
        ("postgres://u:canary%@h/d", &[], &["`password`", "%25"]),
        ("postgres://u:canary%4@h/d", &[], &["`password`", "%25"]),
        ("postgres://u:canary%+4@h/d", &[], &["`password`", "%25"]),
        ("postgres://u:canary%00@h/d", &[], &["`password`", "NUL"]),
        ("postgres://u:canary%ff@h/d", &[], &["`password`", "UTF-8"]),
        ("postgres://%zz:canary@h/d", &[], &["`user`"]),
        ("postgres://u:canary@h%/d", &[], &["`host`"]),
        ("postgres://u:canary@h/%", &[], &["`dbname`"]),
        ("postgres://h/d?password=canary%", &[], &["`password`", "%25"]),
        ("postgres://h/d?password=can&ary", &[], &["has no `=`", "%26"]),
        ("postgres://h/d?password=1&canary=x", &[], &["not shown", "%26"]),
        ("postgres://h/d?Password=canary", &[], &["`Password`"]),
        ("postgres://h/d?can%26ary=1", &[], &["not shown"]),
    ]);
}

#[test]
fn hosts_that_cannot_be_meant_are_refused() {
    assert_refused(&[
        ("postgres://u:canary@[/d", &[], &["`host`", "[::1]"]),
        ("postgres://u:canary@[]/d", &[], &["`host`", "[::1]"]),
        ("postgres://u:canary@[::1]5432/d", &[], &["`host`", "[::1]"]),
        ("postgres://u:canary@::1/d", &[], &["`port`", "[::1]"]),
        ("postgres://u:canary@h:canary/d", &[], &["`port`", "65535"]),
        ("postgres://u:canary@h:0/d", &[], &["`port`"]),
        ("postgres://u:canary@h:65536/d", &[], &["`port`"]),
        ("postgres://u:canary@h:%2B7/d", &[], &["`port`"]),
        ("postgres://u:canary@a,b,c/d?port=1,2", &[], &["`port`", "one for each"]),
        ("postgres://a:1,b:2/d?host=canary", &[], &["`port`", "one for each"]),
        ("postgres://a,b/d?hostaddr=127.0.0.1", &[], &["`hostaddr`", "`host`"]),
        ("postgres://a/d?hostaddr=::1,::1", &[], &["`host`", "`hostaddr`"]),
        ("postgres://a/d?hostaddr=canary", &[], &["`hostaddr`", "IPv4"]),
        ("postgres:///d?hostaddr=[::1]", &[], &["`hostaddr`", "brackets"]),
        ("postgres:///d?hostaddr=127.0.0.1%251", &[], &["`hostaddr`"]),
        ("postgres:///d?host=[::1]", &[], &["`host`", "brackets"]),
        ("postgres:///d?host=%40canary", &[], &["`host`", "socket"]),
        ("postgres:///d?host=canary%20b", &[], &["`host`"]),
        ("postgres:///d", &[("PGPORT", "canary")], &["`PGPORT`"]),
        ("postgres:///d", &[("PGHOST", "a,b"), ("PGPORT", "1,2,3")], &["`PGPORT`"]),
    ]);
}

#[test]
fn parameters_that_cannot_be_honoured_are_refused_by_name() {
    assert_refused(&[
        ("postgres://h/d?sslmod=canary", &[], &["`sslmod`", "spelling", "sslmode"]),
        ("postgres://h/d?application_name=a@b&canary=1", &[], &["not shown"]),
        ("postgres://h/d?keepalives=canary", &[], &["`keepalives`"]),
        (
            "postgres://h/d?connect_timeout=canary",
            &[],
            &["`connect_timeout`", "--database-wait-ms"],
        ),
        ("postgres://h/d?gssencmode=disable", &[], &["`gssencmode`", "remove"]),
        ("postgres://h/d?load_balance_hosts=random", &[], &["`load_balance_hosts`", "order"]),
        ("postgres://h/d?require_auth=canary", &[], &["`require_auth`"]),
        ("postgres://h/d?sslcrl=canary", &[], &["`sslcrl`"]),
        ("postgres://h/d?sslnegotiation=direct", &[], &["`sslnegotiation`"]),
        ("postgres://h/d?sslpassword=canary", &[], &["`sslpassword`"]),
        ("postgres://h/d?passfile=canary", &[], &["`passfile`", "PGPASSFILE"]),
        ("postgres://h/d?service=canary", &[], &["`service`"]),
        ("postgres://h/d?ssl=canary", &[], &["`ssl`", "sslmode"]),
        ("postgres://localhost/d?channel_binding=require", &[], &["`channel_binding`", "prefer"]),
        ("postgres://localhost/d?channel_binding=canary", &[], &["`channel_binding`"]),
        ("postgres://localhost/d?statement-cache-capacity=canary", &[], &["`statement-cache-"]),
        ("postgres://localhost/d?sslmode=canary", &[], &["`sslmode`", "verify-full"]),
        ("postgres://localhost/d?target_session_attrs=read-only", &[], &["`target_", "primary"]),
        ("postgres://localhost/d?target_session_attrs=standby", &[], &["`target_", "primary"]),
        ("postgres://localhost/d?target_session_attrs=prefer-standby", &[], &["`target_"]),
        ("postgres://localhost/d?target_session_attrs=canary", &[], &["`target_session_attrs`"]),
        ("postgres://localhost/d", &[("PGTARGETSESSIONATTRS", "standby")], &["`PGTARGET"]),
        ("postgres://localhost/d", &[("PGCHANNELBINDING", "require")], &["`PGCHANNELBINDING`"]),
        ("postgres://localhost/d", &[("PGGSSENCMODE", "require")], &["`PGGSSENCMODE`"]),
        ("postgres://localhost/d", &[("PGREQUIREAUTH", "canary")], &["`PGREQUIREAUTH`"]),
        ("postgres://localhost/d", &[("PGREQUIREPEER", "canary")], &["`PGREQUIREPEER`"]),
        ("postgres://localhost/d", &[("PGSERVICE", "canary")], &["`PGSERVICE`"]),
        ("postgres://localhost/d", &[("PGSSLCRL", "canary")], &["`PGSSLCRL`"]),
        ("postgres://localhost/d", &[("PGSSLCRLDIR", "canary")], &["`PGSSLCRLDIR`"]),
        ("postgres://localhost/d", &[("PGSSLMINPROTOCOLVERSION", "TLSv1.3")], &["`PGSSLMIN"]),
        ("postgres://localhost/d", &[("PGSSLNEGOTIATION", "direct")], &["`PGSSLNEGOTIATION`"]),
        ("postgres://localhost/d", &[("PGSSLMODE", "canary")], &["`PGSSLMODE`"]),
    ]);
}

#[test]
fn settings_that_jeton_makes_itself_are_refused_by_name() {
    let rows = [
        ("-c statement_timeout=canary", "statement_timeout"),
        ("-cstatement_timeout=canary", "statement_timeout"),
        ("--statement-timeout=canary", "statement_timeout"),
        ("-c Lock_Timeout=canary", "lock_timeout"),
        ("-c idle_in_transaction_session_timeout=1", "idle_in_transaction_session_timeout"),
        ("-c search_path=a -c transaction_timeout=1", "transaction_timeout"),
        ("-c default_transaction_isolation=canary", "default_transaction_isolation"),
        ("-c session_replication_role=replica", "session_replication_role"),
        ("-c jeton.actor=canary", "jeton.*"),
        ("-c application_name=canary", "application_name"),
        ("-c synchronous_commit=off", "synchronous_commit"),
        ("-c synchronous_commit=local", "synchronous_commit"),
        ("-c synchronous_commit=canary", "synchronous_commit"),
        ("-c canary", "-c search_path=jeton"),
        ("-c", "-c search_path=jeton"),
        ("canary", "-c search_path=jeton"),
        ("-d canary", "-c search_path=jeton"),
        ("-c can+ary=1", "-c search_path=jeton"),
        ("-c a=can\\\tary", "-c search_path=jeton"),
    ];
    for (options, expected) in rows {
        let url = format!("postgres://localhost/d?options={}", options.replace(' ', "%20"));
        assert_refused(&[
            (&url, &[], &["`options`", expected]),
            ("postgres://localhost/d", &[("PGOPTIONS", options)], &["`PGOPTIONS`", expected]),
        ]);
    }
    let url = "postgres://localhost/d?options[statement_timeout]=canary";
    assert_refused(&[(url, &[], &["`options`", "`statement_timeout`"])]);
}
