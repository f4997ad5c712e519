//! Files that an address names: authorities, certificates, keys, passwords.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::{Variables, details, read};

/// Temporary folder with test files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        files.write("ca.pem", &certificate);
        files.write("two.pem", &format!("Some words\n{certificate}\n{certificate}"));
        files.write("key.pem", &key.serialize_pem());
        files.write("empty.pem", "no certificate");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        files.write("broken.pem", &format!("{certificate}{broken}"));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file that only its owner can read.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn whoever_names_an_authority_has_it_asked() {
    let files = Files::new();
    let rows = [
        ("sslmode=require&sslrootcert=CA", "VerifyCa"),
        ("sslmode=require&sslrootcert=TWO", "VerifyCa"),
        ("sslmode=verify-ca&sslrootcert=CA", "VerifyCa"),
        ("sslmode=verify-full&sslrootcert=CA", "VerifyFull"),
        ("sslmode=verify-full&ssl-root-cert=CA", "VerifyFull"),
        ("sslmode=verify-full&sslrootcert=system", "VerifyFull"),
        ("sslrootcert=system", "VerifyFull"),
        ("sslmode=require&sslcert=CA&sslkey=KEY", "Require"),
        ("sslmode=verify-ca&sslrootcert=CA&hostaddr=10.1.1.1", "VerifyCa"),
    ];
    let system = files.text("two.pem");
    for (query, mode) in rows {
        let query = query
            .replace("CA", &files.text("ca.pem"))
            .replace("TWO", &system)
            .replace("KEY", &files.text("key.pem"));
        let url = format!("postgres://u@db.test/d?{query}");
        let address = read(&url, &[("SSL_CERT_FILE", &system)], None);
        let shown = details(&address.unwrap_or_else(|error| panic!("{query}: {error}"))).join("");
        assert!(shown.contains(&format!("ssl_mode: {mode},")), "{query}: {shown}");
        for name in ["ca.pem", "two.pem", "key.pem"].map(|name| files.text(name)) {
            assert_eq!(
                shown.contains(&name),
                query.contains(&name) || name == system && query.contains("system"),
                "{query}: {shown}"
            );
        }
    }
}

/// The commands refuse an address that is not protected, unless the network is trusted.
#[test]
fn an_address_is_protected_on_this_machine_and_where_the_server_is_verified() {
    let files = Files::new();
    let protected = [
        "postgres://localhost/d",
        "postgres://127.8.9.1,[::1]/d?sslmode=disable",
        "postgres:///d?host=/run/pg,localhost&sslmode=require",
        "postgres:///d?host=db.test&hostaddr=::1",
        "postgres://db.test/d?sslmode=require&sslrootcert=CA",
        "postgres://db.test/d?sslmode=verify-ca&sslrootcert=CA",
        "postgres://localhost,db.test/d?sslmode=verify-full&sslrootcert=CA",
        "postgres://db.test/d?sslrootcert=system",
    ];
    let exposed = [
        "postgres://db.test/d",
        "postgres://db.test/d?sslmode=disable",
        "postgres://db.test/d?sslmode=allow",
        "postgres://db.test/d?sslmode=prefer",
        "postgres://db.test/d?sslmode=require",
        "postgres://db.test/d?sslmode=disable&sslrootcert=CA",
        "postgres://10.0.0.1/d",
        "postgres://[::ffff:10.0.0.1]/d",
        "postgres://127.0.0.1.db.test/d",
        "postgres://localhost,db.test/d",
        "postgres:///d?host=/run/pg,db.test",
        "postgres:///d?host=localhost&hostaddr=10.0.0.1",
    ];
    let authorities = files.text("ca.pem");
    for (urls, expected) in [(&protected[..], true), (&exposed, false)] {
        for url in urls {
            let url = url.replace("CA", &authorities);
            let address = read(&url, &[("SSL_CERT_FILE", &authorities)], None);
            assert_eq!(address.unwrap().is_protected(), expected, "{url}");
        }
    }
    let variables = [("PGHOST", "db.test"), ("PGSSLMODE", "require")];
    assert!(!read("postgres://", &variables, None).unwrap().is_protected());
}

#[test]
fn files_that_are_of_no_use_are_named_at_the_start() {
    let files = Files::new();
    let rows: [(&str, &[&str]); 16] = [
        ("sslmode=verify-full&sslrootcert=DIR/canary", &["`sslrootcert`", "No such file"]),
        ("sslmode=require&sslrootcert=DIR/canary", &["`sslrootcert`", "No such file"]),
        ("sslmode=require&sslrootcert=DIR", &["`sslrootcert`", "regular file"]),
        ("sslmode=require&sslrootcert=DIR/empty.pem", &["`sslrootcert`", "no certificate"]),
        ("sslmode=require&sslrootcert=DIR/key.pem", &["`sslrootcert`", "no certificate"]),
        ("sslmode=require&sslrootcert=DIR/broken.pem", &["`sslrootcert`", "cannot be read"]),
        ("sslmode=verify-full", &["`sslrootcert`", "sslrootcert=system"]),
        ("sslmode=verify-ca", &["`sslrootcert`"]),
        ("sslmode=require&sslrootcert=system", &["`sslrootcert`", "verify-full"]),
        ("sslmode=verify-ca&sslrootcert=system", &["`sslrootcert`", "verify-full"]),
        ("sslmode=require&sslcert=DIR/ca.pem", &["`sslcert`", "`sslkey`"]),
        ("sslmode=require&sslkey=DIR/key.pem", &["`sslkey`", "`sslcert`"]),
        ("sslmode=require&sslcert=DIR/canary&sslkey=DIR/key.pem", &["`sslcert`", "No such file"]),
        ("sslmode=require&sslcert=DIR/ca.pem&sslkey=DIR/ca.pem", &["`sslkey`", "no private key"]),
        ("hostaddr=127.0.0.1&sslrootcert=DIR/ca.pem", &["`sslrootcert`", "sslmode=verify-full"]),
        ("hostaddr=10.0.0.1&sslmode=verify-full&sslrootcert=DIR/ca.pem", &["`hostaddr`", "`host`"]),
    ];
    let directory = files.0.path().to_str().unwrap().to_owned();
    for (query, expected) in rows {
        let url = format!("postgres://u@db.test/d?{}", query.replace("DIR", &directory));
        let refused = read(&url, &[], None).unwrap_err().to_string();
        assert!(expected.iter().all(|part| refused.contains(part)), "{query}: {refused}");
        assert!(!refused.contains("canary") && !refused.contains(&directory), "{refused}");
    }
    let url = "postgres://u@db.test/d?sslmode=require";
    for (variable, value) in [("PGSSLROOTCERT", "/nowhere"), ("PGSSLCERT", "/nowhere")] {
        let refused = read(url, &[(variable, value)], None).unwrap_err().to_string();
        assert!(refused.contains(&format!("`{variable}`")), "{refused}");
    }
    // The driver also accepts a certificate in the variable itself.
    let certificate = fs::read_to_string(files.path("ca.pem")).unwrap();
    let address = read(url, &[("PGSSLROOTCERT", &certificate)], None).unwrap();
    assert!(details(&address)[0].contains("ssl_mode: VerifyCa"));
}

/// Password of each host of an address, with a password file in the home directory.
fn passwords(url: &str, variables: Variables<'_>, home: &Files) -> Vec<String> {
    let address = read(url, variables, Some(home.0.path())).unwrap();
    let password = |host: &String| {
        let (_, password) = host.split_once("password: ").unwrap();
        password.split_once(", database").unwrap().0.to_owned()
    };
    details(&address).iter().map(password).collect()
}

#[test]
fn the_password_file_is_looked_up_for_each_host() {
    let home = Files::new();
    home.write(
        ".pgpass",
        "# db.test:5432:d:u:comment\r\n\
         db.test:5432:d:u:one\r\n\
         db.test:7:*:u:t\\:w\\\\o:\n\
         malformed:line\n\
         \\:\\:1:*:d:*:three\n\
         localhost:*:d:u:four\n\
         /run/pg:*:d:u:five\n\
         *:5432:u:u:six",
    );
    let rows: [(&str, &[&str]); 12] = [
        ("postgres://u@db.test/d", &[r#"Some("one")"#]),
        ("postgres://u@db.test:7/x", &[r#"Some("t:w\\o:")"#]),
        ("postgres://u@db.test,[::1]:8/d", &[r#"Some("one")"#, r#"Some("three")"#]),
        ("postgres://u@db.test/d?hostaddr=10.1.1.1", &[r#"Some("one")"#]),
        ("postgres://u@/d?hostaddr=::1", &[r#"Some("three")"#]),
        ("postgres://u@/d?host=/tmp", &[r#"Some("four")"#]),
        ("postgres://u@/d?host=/run/pg", &[r#"Some("five")"#]),
        ("postgres://u@/d?host=/run/other", &["None"]),
        ("postgres://u@elsewhere", &[r#"Some("six")"#]),
        ("postgres://v@db.test/d", &["None"]),
        ("postgres://u@db.test/e", &["None"]),
        ("postgres://u:given@db.test/d", &[r#"Some("given")"#]),
    ];
    for (url, expected) in rows {
        assert_eq!(passwords(url, &[("PGSSLMODE", "disable")], &home), expected, "{url}");
    }
    let other = Files::new();
    other.write("pgpass", "db.test:*:*:*:other");
    let named = other.text("pgpass");
    let variables = [("PGSSLMODE", "disable"), ("PGPASSFILE", &*named)];
    assert_eq!(passwords("postgres://u@db.test/d", &variables, &home), [r#"Some("other")"#]);
    // Entries that the named file lacks are looked up in the home directory.
    assert_eq!(passwords("postgres://u@[::1]/d", &variables, &home), [r#"Some("three")"#]);
}

#[test]
fn a_password_file_that_others_can_read_is_left_out() {
    let home = Files::new();
    home.write(".pgpass", "*:*:*:*:p");
    let url = "postgres://u@localhost/d";
    assert_eq!(passwords(url, &[], &home), [r#"Some("p")"#]);
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(home.path(".pgpass"), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(passwords(url, &[], &home), ["None"], "{mode:o}");
    }
    fs::remove_file(home.path(".pgpass")).unwrap();
    fs::create_dir(home.path(".pgpass")).unwrap();
    assert_eq!(passwords(url, &[], &home), ["None"]);
}
