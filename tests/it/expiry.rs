//! Client secrets end after a year unless somebody says otherwise, and nobody is surprised by it.

use std::{sync::Arc, time::Duration};

use jeton::{
    domain::{Clock, SystemClock},
    registry::NewSecret,
};
use serde_json::Value;

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{Served, complaint, jeton, run, run_json},
    http::get,
};

const DAY: Duration = Duration::from_hours(24);

/// Days from now until the moment in a JSON value, rounded; `None` for null.
fn days_until(moment: &Value) -> Option<i64> {
    let text = moment.as_str()?;
    let format = &time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::parse(text, format).unwrap();
    let hours = (moment.unix_timestamp() - SystemClock.now().unix_seconds() + 1_800) / 3_600;
    Some(hours / 24)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_ends_after_a_year_unless_a_command_or_the_policy_says_otherwise() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let create = |id: &str, more: &[&str]| {
            let arguments = [&["client", "create", "--client-id", id], more].concat();
            days_until(&run_json(&arguments, &database)["secret_expires_at"])
        };
        assert_eq!(create("a", &[]), Some(365), "{kind:?}");
        assert_eq!(create("b", &["--secret-expires-in", "never"]), None);
        assert_eq!(create("c", &["--secret-expires-in", "172800"]), Some(2));
        assert_eq!(create("d", &["--secret-lifetime-days", "90"]), Some(90));
        assert_eq!(create("e", &["--secret-lifetime-days", "never"]), None);
        let added = run_json(&["client", "add-secret", "b"], &database);
        assert_eq!(days_until(&added["secret_expires_at"]), Some(365), "{kind:?}");
        let added = run_json(&["client", "add-secret", "a", "--expires-in", "never"], &database);
        assert_eq!(added["secret_expires_at"], Value::Null);
        let refused = run(&["client", "add-secret", "a", "--expires-in", "soon"], &database);
        assert!(complaint(&refused).contains("or never"), "{refused:?}");

        let listed = run_json(&["client", "list"], &database);
        let of = |at: usize| &listed[at]["live_secrets"];
        assert_eq!((&of(0)["count"], &of(0)["never_expire"]), (&2.into(), &1.into()), "{listed}");
        assert_eq!(days_until(&of(0)["first_expires_at"]), Some(365));
        assert_eq!(days_until(&of(2)["first_expires_at"]), Some(2));
        assert_eq!((&of(4)["never_expire"], &of(4)["first_expires_at"]), (&1.into(), &Value::Null));
        let table = run(&["client", "list"], &database).stdout;
        let table = String::from_utf8(table).unwrap();
        assert!(table.contains("1 of 2 never"), "{table}");
        let said = run(&["client", "create", "--client-id", "f"], &database);
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(said.contains("It is refused from "), "{said}");
    }
}

/// A secret that was there before the policy stays as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_of_secrets_that_end_soon_and_of_those_that_have_ended() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let node = TestNode::on(database.shared(), TestNodeOptions::default()).await;
        let client = node.client("orders").await;
        let now = SystemClock.now();
        let ends = [now.plus(DAY), now.plus(DAY * 29), now.plus(DAY * 31), now.minus(DAY / 2)];
        for expires_at in ends.into_iter().chain([now.minus(DAY * 2)]) {
            let new = NewSecret { label: String::new(), expires_at: Some(expires_at) };
            node.registry.add_secret(&client.client.client_id, new).await.unwrap();
        }
        let store = Arc::clone(&node.store);
        let (from, until) = (now.minus(DAY), now.plus(DAY * 30));
        let found = store.ending_secrets(from, None, until, 2).await.unwrap();
        let found: Vec<_> = found.iter().flatten().map(|secret| secret.expires_at).collect();
        assert_eq!(found, [ends[3], ends[0]], "{kind:?}");
        node.node.drain().await;

        let served = Served::start(&database, &[]);
        let said = served.until("client secrets end");
        let line = said.lines().last().unwrap();
        for part in ["WARN", "expiring_within_30_days=2", "expired_within_1_day=1", "orders"] {
            assert!(line.contains(part), "{kind:?}: {line}");
        }
        let page = get(served.probes(), "/metrics").await;
        let page = String::from_utf8(page.body.to_vec()).unwrap();
        for metric in ["jeton_secrets_expiring 2", "jeton_secrets_expired 1"] {
            assert!(page.lines().any(|line| line == metric), "{kind:?}: {page}");
        }
    }
}

/// The password is not in an argument, which every user of the machine can read.
#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_the_database_comes_from_a_file_that_only_its_owner_can_read() {
    use std::{fs, os::unix::fs::PermissionsExt};

    let database = Database::ready(Kind::Postgres).await;
    let file = database.dir.path().join("password");
    fs::write(&file, "p@ss w%rd?&\n").unwrap();
    let list = |mode: u32, url: &str| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = jeton();
        command.args(["client", "list", "--database-password-file"]).arg(&file);
        command.args(["--database-url", url]).output().unwrap()
    };
    let listed = list(0o600, &database.url);
    assert!(listed.status.success(), "{listed:?}");
    assert!(!String::from_utf8_lossy(&listed.stderr).contains("p@ss"), "{listed:?}");
    let exposed = complaint(&list(0o644, &database.url));
    assert!(exposed.contains("--database-password-file") && exposed.contains("chmod 600"));
    let separator = if database.url.contains('?') { '&' } else { '?' };
    let twice = format!("{}{separator}password=canary", database.url);
    assert!(complaint(&list(0o600, &twice)).contains("given twice"));

    // What connects receives it: a server that is only a listener sees it in no argument of ours.
    let backup = database.dir.path().join("backup");
    let mut command = jeton();
    command.args(["backup", backup.to_str().unwrap(), "--database-url", &database.url]);
    let saved = command.arg("--database-password-file").arg(&file).output().unwrap();
    assert!(saved.status.success(), "{saved:?}");
}
