//! Connections that lead beyond this machine: each is refused without verified TLS, unless the
//! network is trusted. 192.0.2.0/24 belongs to nobody (RFC 5737).

use std::{fs, process::Output};

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton},
};

const PLAIN: &str = "http://192.0.2.1:50051";
const UNVERIFIED: &str = "postgres://jeton:canary@192.0.2.1/jeton?sslmode=require";
const IN_CLEAR: &str = "postgres://jeton:canary@192.0.2.1/jeton?sslmode=disable";

/// Commands with a link that is not protected, and the setting that names it.
const EXPOSED: [(&[&str], &str); 14] = [
    (&["shim", "--upstream", PLAIN], "--upstream"),
    (&["token", "issue", "--client-id", "a", "--server", PLAIN], "--server"),
    (&["token", "introspect", "--client-id", "a", "--server", PLAIN], "--server"),
    (&["token", "revoke", "--client-id", "a", "--server", PLAIN], "--server"),
    (&["bench", "issue", "--server", PLAIN], "--server"),
    (&["bench", "issue", "--http", PLAIN], "--http"),
    (&["serve", "--database-url", UNVERIFIED], "--database-url"),
    (&["serve", "--database-url", IN_CLEAR], "--database-url"),
    (&["migrate", "--database-url", UNVERIFIED], "--database-url"),
    (&["client", "list", "--database-url", UNVERIFIED], "--database-url"),
    (&["audit", "verify", "--database-url", IN_CLEAR], "--database-url"),
    (&["backup", "a.backup", "--database-url", UNVERIFIED], "--database-url"),
    (&["serve", "--issuer", "http://tokens.test"], "--issuer"),
    (&["shim", "--upstream", "http://[::1]:1", "--issuer", "http://tokens.test"], "--issuer"),
];

/// Runs a command that must end by itself, in an empty folder.
fn run(arguments: &[&str], more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "jta_x\n").unwrap();
    let mut command = jeton();
    command.args(arguments).args(more).current_dir(folder.path());
    command.env("JETON_CLIENT_SECRET", "jts_canary").env("JETON_TOKEN", "jta_canary");
    command.output().unwrap()
}

#[test]
fn a_link_beyond_this_machine_without_verified_tls_is_refused_with_the_mend() {
    for (arguments, setting) in EXPOSED {
        let said = complaint(&run(arguments, &[]));
        for part in [setting, "without verified TLS", "--trusted-network"] {
            assert!(said.contains(part), "{arguments:?}: {part} in {said}");
        }
        assert!(!said.contains("canary"), "{said}");
    }
    let all = ["serve", "--http-addr", "0.0.0.0:0", "--behind-tls-proxy"];
    let said = complaint(&run(&all, &["--trusted-network=false", "--issuer", "http://a.test"]));
    assert!(said.contains("--issuer"), "{said}");
    let said = complaint(&run(&["serve", "--http-addr", "192.0.2.1:1", "--behind-tls-proxy"], &[]));
    assert!(said.contains("--issuer"), "the default issuer is http as well: {said}");
}

/// The flag is heard: what follows is another error, since nobody answers there.
#[test]
fn on_a_trusted_network_every_link_is_tried() {
    let ways: [(&[&str], &str); 4] = [
        (&["token", "issue", "--client-id", "a", "--server", PLAIN], "no node answers"),
        (&["bench", "issue", "--server", PLAIN], "no node answers"),
        (&["client", "list", "--database-url", UNVERIFIED, "--timeout", "1"], "the database"),
        (&["migrate", "--database-url", IN_CLEAR, "--timeout", "1"], "192.0.2.1"),
    ];
    for (arguments, expected) in ways {
        let said = complaint(&run(arguments, &["--trusted-network"]));
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(!said.contains("without verified TLS"), "{said}");
    }
    let shim = ["--upstream", PLAIN, "--issuer", "http://tokens.test", "--trusted-network"];
    Served::shim(&shim);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_on_this_machine_need_no_tls() {
    let database = Database::new(Kind::Postgres).await;
    let node = Served::start(&database, &["--issuer", "http://localhost:8080"]);
    Served::shim(&["--upstream", &format!("http://{}", node.grpc)]);
    Served::shim(&["--upstream", &format!("http://localhost:{}", node.grpc.port())]);
    Served::shim(&["--upstream", "https://192.0.2.1:50051"]);
}
