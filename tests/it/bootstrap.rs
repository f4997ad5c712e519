//! `jeton bootstrap`: the first administrator, and recovery if its secret was lost.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output};

use jeton::{
    domain::{ClientId, ClientSecret},
    pb::v1::GetInstallationRequest,
    store::ClientFilter,
};

use crate::support::{
    Database, Kind, TestNode,
    binary::{complaint, run, run_json},
    control::{bearer, channel, options},
    everything,
    node::Credentials,
};

fn bootstrap(database: &Database, client_id: &str, out: &Path, more: &[&str]) -> Output {
    let out = out.to_str().unwrap();
    let arguments = ["bootstrap", "--client-id", client_id, "--out", out];
    run(&[&arguments[..], more].concat(), database)
}

/// The secret in a file that only its owner can read.
fn secret_in(path: &Path) -> ClientSecret {
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(path).unwrap();
    everything::note_secrets_in(&text);
    ClientSecret::parse(text.strip_suffix('\n').unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_is_made_once_and_another_only_to_recover() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let made = bootstrap(&database, "ops", &first, &[]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let secret = secret_in(&first);
        let said = String::from_utf8(made.stdout).unwrap();
        assert!(!said.contains(secret.expose()) && said.contains("jeton token issue"), "{said}");

        // It works.
        let node = TestNode::on(database.shared(), options()).await;
        let ops = ClientId::parse("ops").unwrap();
        let client = node.registry.record(&ops).await.unwrap().client;
        let caller = Credentials { client, secret };
        let token = node.issue(&caller).await.unwrap().access_token;
        let mut control =
            jeton::pb::v1::client_service_client::ClientServiceClient::new(channel(&node));
        control.get_installation(bearer(&token, GetInstallationRequest {})).await.unwrap();

        // A second one is refused, without a file and without a client.
        let refused = bootstrap(&database, "mallory", &second, &[]);
        assert_eq!(refused.status.code(), Some(6));
        assert!(complaint(&refused).contains("client ops is an administrator already"));
        // A file is never overwritten, whatever is asked.
        let in_use = bootstrap(&database, "mallory", &first, &["--recover", "--yes"]);
        assert_eq!(in_use.status.code(), Some(6));
        assert!(complaint(&in_use).contains("exists already"));
        // Recovery is never a matter of course.
        let unasked = bootstrap(&database, "mallory", &second, &["--recover"]);
        assert_eq!(unasked.status.code(), Some(2));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(node.registry.list_clients(&ClientFilter::default()).await.unwrap().len(), 1);

        let recovered = bootstrap(&database, "rescue", &second, &["--recover", "--yes"]);
        let log = String::from_utf8_lossy(&recovered.stderr).into_owned();
        assert!(recovered.status.success() && log.contains("ERROR"), "{log}");
        let secret = secret_in(&second);
        assert!(!log.contains(secret.expose()));
        let trail = run_json(&["audit", "list", "--client", "rescue"], &database);
        let actions = trail.as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap());
        let actions: Vec<_> = actions.collect();
        assert_eq!(actions, ["client.create", "secret.create", "bootstrap.recover"]);
        assert!(run(&["audit", "verify"], &database).status.success());
    }
}

/// A disabled administrator can do nothing, so that it keeps nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_administrator_is_none() {
    let database = Database::ready(Kind::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    assert!(bootstrap(&database, "ops", &folder.path().join("a"), &[]).status.success());
    secret_in(&folder.path().join("a"));
    assert!(run(&["client", "disable", "--yes", "ops"], &database).status.success());
    let out = folder.path().join("b");
    let made = bootstrap(&database, "other", &out, &["--json"]);
    secret_in(&out);
    let shown: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(shown["client_id"], "other");
    assert_eq!(shown["secret_file"], out.to_str().unwrap());
    assert_eq!(shown["recovered"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_if_its_secret_cannot_be_kept() {
    let database = Database::ready(Kind::Sqlite).await;
    let refused = bootstrap(&database, "ops", Path::new("/nowhere/ops"), &[]);
    assert!(complaint(&refused).contains("nothing was changed"));
    let listed = run_json(&["client", "list"], &database);
    assert_eq!(listed.as_array().unwrap().len(), 0);
}
