//! A shim passes on the source of its caller, and the node believes a shim that it trusts.

use super::{Attack, CHEAP, COLD, PAUSE, Secrets, Way, ask, logged_source, status};
use crate::support::{
    binary::{Served, complaint, jeton},
    tls::Files,
};

/// The shim connects from 127.0.0.1.
const TRUSTED: [&str; 2] = ["--trusted-proxy", "127.0.0.1"];
const CALLER: &str = "127.0.0.5";

#[tokio::test(flavor = "multi_thread")]
async fn the_right_secret_succeeds_through_a_shim_beside_an_old_one() {
    let secrets = Secrets::new().await;
    for (cache, more) in [("warm", &[][..]), ("cold", &COLD)] {
        for trust in [&[][..], &TRUSTED] {
            let node = secrets.serve(&[&CHEAP, more, trust]);
            let shim = Served::shim(&["--upstream", &format!("http://{}", node.grpc)]);
            let sources = [CALLER.to_owned(), "127.0.0.6".to_owned()];
            let attack = Attack::begin(Way::Direct, &sources, shim.http, &secrets.old, PAUSE);
            attack.has_failed(20).await;
            for attempt in 0..100 {
                let head = ask(Way::Direct, CALLER, shim.http, "victim", &secrets.right).await;
                assert_eq!(status(&head), 200, "{cache}, {trust:?}, {attempt}: {head}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_logs_the_caller_of_a_shim_that_it_trusts() {
    let secrets = Secrets::new().await;
    for (trust, expected) in [(&TRUSTED[..], CALLER), (&[], "127.0.0.1")] {
        let node = secrets.serve(&[&CHEAP, trust]);
        let shim = Served::shim(&["--upstream", &format!("http://{}", node.grpc)]);
        let head = ask(Way::Direct, CALLER, shim.http, "victim", &secrets.old).await;
        assert_eq!(status(&head), 401, "{head}");
        assert_eq!(logged_source(&node), expected);
    }
}

/// The certificate is of the authority for clients in any case; only its name makes a difference.
#[tokio::test(flavor = "multi_thread")]
async fn a_shim_is_trusted_by_the_name_in_its_certificate() {
    let secrets = Secrets::new().await;
    let files = Files::new();
    let [cert, key, ca] =
        ["cert.pem", "key.pem", "ca.pem"].map(|name| files.path(name).to_str().unwrap().to_owned());
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &ca];
    let identity = ["--upstream-cert", &cert, "--upstream-key", &key];
    for (name, identity, expected) in [
        ("cert:localhost", &identity[..], CALLER),
        ("cert:other.example", &identity, "127.0.0.1"),
        ("cert:localhost", &[], "127.0.0.1"),
    ] {
        let node = secrets.serve(&[&CHEAP, &tls, &["--trusted-proxy", name]]);
        let upstream = format!("https://localhost:{}", node.grpc.port());
        let flags = ["--upstream", &upstream, "--upstream-ca", &ca];
        let shim = Served::shim(&[&flags[..], identity].concat());
        let head = ask(Way::Direct, CALLER, shim.http, "victim", &secrets.old).await;
        assert_eq!(status(&head), 401, "{head}");
        assert_eq!(logged_source(&node), expected, "{name}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused_with_the_mend() {
    let upstream = ["--upstream", "http://127.0.0.1:1"];
    let identity = ["--upstream-cert", "a.pem", "--upstream-key", "b.pem"];
    let secure = ["--upstream", "https://127.0.0.1:1"];
    let rows: [(&[&str], &str); 7] = [
        (&["serve", "--trusted-proxy", "cert:a.example"], "requires --tls-client-ca"),
        (&["serve", "--trusted-proxy", "0.0.0.0/0"], "claim any source"),
        (&["serve", "--trusted-proxy", "10.1.0.1/16"], "write 10.1.0.0/16"),
        (&["serve", "--proxy-protocol", "proxy.example"], "such as 192.0.2.7"),
        (&[&["shim"], &upstream[..], &identity].concat(), "requires an https:// --upstream"),
        (&[&["shim"], &secure[..], &identity[..2]].concat(), "--upstream-key"),
        (&[&["shim"], &secure[..], &identity].concat(), "b.pem"),
    ];
    for (arguments, told) in rows {
        let said = complaint(&jeton().args(arguments).output().unwrap());
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
}
