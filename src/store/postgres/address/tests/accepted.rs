//! Accepted addresses, and the connection options that result from them.

use std::path::Path;

use super::{Variables, details, hosts, read};

#[test]
fn hosts_and_ports_are_read_as_libpq_reads_them() {
    let rows: [(&str, &[&str]); 27] = [
        ("postgres://u:p@localhost/d", &["localhost:5432"]),
        ("postgresql://u:p@localhost/d", &["localhost:5432"]),
        ("postgres://localhost", &["localhost:5432"]),
        ("postgres://localhost?dbname=d", &["localhost:5432"]),
        ("postgres://u:p@h1:5432,h2:5433/d?sslmode=disable", &["h1:5432", "h2:5433"]),
        ("postgres://u:p@h1,h2/d?sslmode=disable", &["h1:5432", "h2:5432"]),
        ("postgres://u:p@h1:6000,h2/d?sslmode=disable", &["h1:6000", "h2:5432"]),
        ("postgres://u:p@h1,h2/d?port=7&sslmode=disable", &["h1:7", "h2:7"]),
        ("postgres://u:p@h1,h2/d?port=7,8&sslmode=disable", &["h1:7", "h2:8"]),
        ("postgres://u:p@h1,h2/d?port=7,&sslmode=disable", &["h1:7", "h2:5432"]),
        ("postgres://u:p@[::1]:6000/d", &["::1:6000"]),
        ("postgres://u:p@[::1]/d", &["::1:5432"]),
        ("postgres://[::1]:6000/d", &["::1:6000"]),
        ("postgres://u:p@localhost,[::1]:6000/d", &["localhost:5432", "::1:6000"]),
        ("postgres://[fe80::1%25eth0]/d?sslmode=disable", &["fe80::1%eth0:5432"]),
        ("postgres://%2Frun%2Fpg:5433/d", &["/run/pg:5433"]),
        ("postgres://u:p@%2Frun%2Fpg,localhost:6/d", &["/run/pg:5432", "localhost:6"]),
        ("postgres:///d?host=/run/postgresql&port=5433", &["/run/postgresql:5433"]),
        ("postgres:///d?host=a,b&port=1,2&sslmode=disable", &["a:1", "b:2"]),
        ("postgres:///d?host=::1", &["::1:5432"]),
        ("postgres:///d?hostaddr=127.0.0.1", &["127.0.0.1:5432"]),
        ("postgres:///d?hostaddr=127.0.0.1,::1&port=7", &["127.0.0.1:7", "::1:7"]),
        ("postgres:///d?host=db.test&hostaddr=127.0.0.1", &["127.0.0.1:5432"]),
        ("postgres:///d?host=localhost,b&hostaddr=,::1", &["localhost:5432", "::1:5432"]),
        ("postgres://u@wrong/d?host=localhost", &["localhost:5432"]),
        ("postgres://u@wrong:7/d?host=localhost", &["localhost:7"]),
        ("postgres://u@localhost/d?port=&port=8", &["localhost:8"]),
    ];
    for (url, expected) in rows {
        let address = read(url, &[], None).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(hosts(&address), expected, "{url}");
    }
}

#[test]
fn without_a_host_the_usual_sockets_are_tried_and_then_this_machine() {
    for url in ["postgres:///d?port=1", "postgres://u:p@:1/d", "postgres://,/d?port=1"] {
        let found = hosts(&read(url, &[], None).unwrap());
        // No server listens on this port.
        assert!(found.iter().all(|host| host == "localhost:1"), "{url}: {found:?}");
    }
}

/// Each row has a URL and a part of the resulting connection options.
#[test]
fn parameters_become_what_the_driver_is_given() {
    let rows = [
        ("postgres://u:p%40%2F%3F%25w@localhost/d", r#"password: Some("p@/?%w")"#),
        ("postgres://u:a:b,c[#@localhost/d", r#"password: Some("a:b,c[#")"#),
        ("postgres://u:a+b@localhost/d", r#"password: Some("a+b")"#),
        ("postgres://u:p@localhost/d?password=q%26+1", r#"password: Some("q&+1")"#),
        ("postgres://u%40s:p@localhost/d", r#"username: "u@s""#),
        ("postgres://u:p@localhost/d?user=v", r#"username: "v""#),
        ("postgres://u:p@localhost/my%20data", r#"database: Some("my data")"#),
        ("postgres://u:p@localhost/d?dbname=e", r#"database: Some("e")"#),
        ("postgres://localhost/d", r#"application_name: Some("jeton")"#),
        ("postgres://localhost/d?application_name=a%40b", r#"application_name: Some("a@b")"#),
        ("postgres://localhost/d?application_name=a@b", r#"application_name: Some("a@b")"#),
        ("postgres://localhost/d?statement-cache-capacity=7", "statement_cache_capacity: 7"),
        ("postgres://localhost/d?%64bname=e", r#"database: Some("e")"#),
        (
            "postgres://localhost/d?options=-c%20search_path=a&options=--Work-Mem%3D5MB%20-cb.c=d",
            r#"options: Some("-c search_path=a -c work_mem=5MB -c b.c=d")"#,
        ),
        (
            r"postgres://localhost/d?options=-c%20search_path=a\,\%20b",
            r#"options: Some("-c search_path=a,\\ b")"#,
        ),
        (
            "postgres://localhost/d?options[search_path]=a&options[synchronous_commit]=on",
            r#"options: Some("-c search_path=a -c synchronous_commit=on")"#,
        ),
        (
            "postgres://localhost/d?options=-csynchronous_commit=remote_apply",
            r#"options: Some("-c synchronous_commit=remote_apply")"#,
        ),
        ("postgres://localhost/d?&sslmode=disable&", "ssl_mode: Disable"),
    ];
    for (url, expected) in rows {
        let address = read(url, &[], None).unwrap_or_else(|error| panic!("{url}: {error}"));
        let details = details(&address);
        assert!(details.iter().all(|host| host.contains(expected)), "{url}: {details:?}");
    }
}

#[test]
fn tls_is_what_was_asked_for_and_sockets_need_none() {
    let rows: [(&str, &[&str]); 15] = [
        ("postgres://localhost/d", &["Prefer"]),
        ("postgres://LocalHost/d?sslmode=prefer", &["Prefer"]),
        ("postgres://127.8.9.1/d?sslmode=allow", &["Prefer"]),
        ("postgres://[::1]/d", &["Prefer"]),
        ("postgres://[::ffff:127.0.0.1]/d", &["Prefer"]),
        ("postgres:///d?host=db.test&hostaddr=::1", &["Prefer"]),
        ("postgres://db.test/d?sslmode=disable", &["Disable"]),
        ("postgres://db.test/d?sslmode=require", &["Require"]),
        ("postgres://db.test/d?ssl-mode=REQUIRE", &["Require"]),
        ("postgres://db.test/d?ssl=true", &["Require"]),
        ("postgres:///d?host=/run/pg", &["Disable"]),
        ("postgres:///d?host=/run/pg&sslmode=verify-full", &["Disable"]),
        ("postgres:///d?host=/run/pg&sslmode=require&sslrootcert=/nowhere", &["Disable"]),
        ("postgres:///d?host=/run/pg,db.test&sslmode=require", &["Disable", "Require"]),
        // Explicitly disabled, so the file is not read.
        ("postgres://db.test/d?sslmode=disable&sslrootcert=/nowhere", &["Disable"]),
    ];
    for (url, expected) in rows {
        let address = read(url, &[], None).unwrap_or_else(|error| panic!("{url}: {error}"));
        let modes = address.hosts().iter().map(|host| format!("{:?}", host.get_ssl_mode()));
        assert_eq!(modes.collect::<Vec<_>>(), expected, "{url}");
    }
}

#[test]
fn the_primary_can_be_asked_for() {
    for query in [
        "target_session_attrs=any",
        "target_session_attrs=read-write",
        "target_session_attrs=primary",
        "target_session_attrs=read-write&channel_binding=prefer",
        "channel_binding=disable",
    ] {
        let address = read(&format!("postgres://localhost,[::1]:6000/d?{query}"), &[], None);
        assert_eq!(hosts(&address.unwrap()), ["localhost:5432", "::1:6000"], "{query}");
    }
}

#[test]
fn the_environment_fills_in_what_the_url_leaves_open() {
    let rows: [(&str, Variables<'_>, &str); 12] = [
        ("postgres:///d", &[("PGHOST", "localhost"), ("PGPORT", "7")], r#"host: "localhost""#),
        ("postgres://localhost/d", &[("PGPORT", "7")], "port: 7"),
        ("postgres://localhost:8/d", &[("PGPORT", "7")], "port: 8"),
        ("postgres://localhost/d", &[("PGHOSTADDR", "10.1.1.1")], r#"host: "localhost""#),
        ("postgres:///d?hostaddr=::1", &[("PGHOST", "elsewhere")], r#"host: "::1""#),
        ("postgres:///", &[("PGHOST", "/run/pg"), ("PGDATABASE", "e")], r#"database: Some("e")"#),
        ("postgres://localhost", &[("PGUSER", "v")], r#"username: "v""#),
        ("postgres://u@localhost", &[("PGPASSWORD", "q")], r#"password: Some("q")"#),
        ("postgres://u:@localhost", &[("PGPASSWORD", "q")], r#"password: Some("q")"#),
        ("postgres://u:p@localhost", &[("PGPASSWORD", "q")], r#"password: Some("p")"#),
        ("postgres://db.test", &[("PGSSLMODE", "require")], "ssl_mode: Require"),
        ("postgres://localhost", &[("PGAPPNAME", "a")], r#"application_name: Some("a")"#),
    ];
    for (url, variables, expected) in rows {
        let address = read(url, variables, None).unwrap_or_else(|error| panic!("{url}: {error}"));
        let details = details(&address);
        assert!(details.iter().all(|host| host.contains(expected)), "{url}: {details:?}");
    }
    let both = [("PGHOST", "a,b"), ("PGPORT", "1,2"), ("PGSSLMODE", "disable")];
    assert_eq!(hosts(&read("postgres://", &both, None).unwrap()), ["a:1", "b:2"]);
    let target = [("PGTARGETSESSIONATTRS", "primary")];
    read("postgres://localhost", &target, None).unwrap();
    let target = [("PGTARGETSESSIONATTRS", "standby")];
    assert!(read("postgres://localhost", &target, None).is_err());
}

/// Such variables may be set for other programs, and require nothing that the connection lacks.
#[test]
fn variables_that_demand_nothing_are_left_alone() {
    for variable in [
        ("PGCONNECT_TIMEOUT", "10"),
        ("PGTZ", "CET"),
        ("PGGSSENCMODE", "prefer"),
        ("PGCHANNELBINDING", "prefer"),
        ("PGSSLMINPROTOCOLVERSION", "TLSv1.2"),
        ("PGSERVICE", ""),
        ("PGOPTIONS", "-c search_path=a"),
    ] {
        assert!(read("postgres://localhost/d", &[variable], None).is_ok(), "{variable:?}");
    }
}

#[test]
fn an_address_is_printed_without_its_password() {
    let url = "postgres://canary:canary@localhost,[::1]:7/d?password=canary";
    let shown = format!("{:?}", read(url, &[], Some(Path::new("/nowhere"))).unwrap());
    assert_eq!(shown, "Address { hosts: 2, .. }");
}
