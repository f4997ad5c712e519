//! `--prune`: what it disables, and what it refuses to.

use jeton::domain::{About, Labels, Scope, TokenLifetime};

use super::*;
use crate::support::node::audiences;

/// A file of a set with so many clients.
fn of(set: &str, clients: usize) -> String {
    let clients = (0..clients).map(|number| format!("[client.{set}-{number}]\n"));
    format!("format = 1\nset = \"{set}\"\n") + &clients.collect::<String>()
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_disables_what_no_file_declares_and_only_in_the_set() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        world.client(new_client("free")).await;
        world.applied(&[&world.file("a.toml", &of("a", 10)), &world.file("b.toml", &of("b", 1))]);
        let file = world.file("a.toml", &of("a", 9));

        let output = world.apply(&[&file, "--yes"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("In set a but in no file: a-9."));
        assert!(world.is_active("a-9").await, "without --prune nothing is disabled");

        let (plan, status) = world.planned(&[&file, "--prune"]);
        assert_eq!((status, &plan["changes"][0]["action"]), (3, &json!("prune")));
        let output = world.apply(&[&file, "--prune", "--yes"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("jeton client enable a-9"), "{said}");
        assert!(!world.is_active("a-9").await);
        for client in ["a-0", "b-0", "free"] {
            assert!(world.is_active(client).await, "{client}");
        }
        assert_eq!(world.planned(&[&file, "--prune"]).1, 0, "it is done once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_is_refused_beyond_its_limits_and_names_the_clients() {
    let world = World::new(Kind::Sqlite).await;
    let file = world.file("a.toml", &of("a", 12));
    world.applied(&[&file]);
    let rows = [
        (10, &["--prune"][..], "would disable 2 of 12", "a-10, a-11"),
        (10, &["--prune", "--prune-limit", "1"], "the limit is 1", "add --prune-limit 2"),
        (0, &["--prune", "--prune-limit", "99"], "declare no client", "--allow-empty"),
        (0, &["--prune", "--allow-empty"], "would disable 12 of 12", "a-0, a-1"),
    ];
    for (clients, flags, why, names) in rows {
        world.file("a.toml", &of("a", clients));
        let (said, status) = world.refused(&[&[&*file][..], flags].concat());
        assert!(said.contains(why) && said.contains(names), "{said}");
        assert_eq!(status, 6);
    }
    let active = "select count(*) from client where state = 'active'";
    assert_eq!(world.database.number(active).await, 12);
    world.applied(&[&file, "--prune", "--allow-empty", "--prune-limit", "12"]);
    assert_eq!(world.database.number(active).await, 0);
    let (said, _) = world.refused(&[&world.file("b.toml", "format = 1\n"), "--prune"]);
    assert!(said.contains("--prune needs a set"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_never_pruned() {
    let world = World::new(Kind::Sqlite).await;
    let mut admin = new_client("ops");
    admin.scopes = Scope::parse_set(["jeton:read"]).unwrap();
    admin.audiences = audiences(&["urn:jeton:administration"]);
    admin.token_lifetime = TokenLifetime::OF_ADMINISTRATORS;
    let labels = Labels::parse(["jeton/set=a"]).unwrap();
    admin.about = About { labels, ..About::default() };
    world.client(admin).await;
    let file = world.file("a.toml", &of("a", 0));
    let flags = [&*file, "--prune", "--allow-empty", "--prune-limit", "9", "--yes"];
    let output = world.apply(&flags);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("ops. Administrators are never"), "{said}");
    assert!(world.is_active("ops").await);
}
