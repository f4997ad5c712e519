//! `--prune`: what it disables, and what it refuses to.

use std::time::Duration;

use jeton::{
    domain::{About, Labels, Scope, TokenLifetime},
    registry::ClientUpdate,
};

use super::*;
use crate::support::{
    TestNode, TestNodeOptions,
    node::{Credentials, audiences},
};

/// A file of a set with so many clients.
fn of(set: &str, clients: usize) -> String {
    let clients = (0..clients).map(|number| format!("[client.{set}-{number}]\n"));
    format!("format = 1\nset = \"{set}\"\n") + &clients.collect::<String>()
}

fn in_set_a() -> About {
    About { labels: Labels::parse(["jeton/set=a"]).unwrap(), ..About::default() }
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
    admin.about = in_set_a();
    world.client(admin).await;
    let file = world.file("a.toml", &of("a", 0));
    let flags = [&*file, "--prune", "--allow-empty", "--prune-limit", "9", "--yes"];
    let output = world.apply(&flags);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("ops. Administrators are never"), "{said}");
    assert!(world.is_active("ops").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_used_or_may_be_is_pruned_only_on_request() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let file = world.file("a.toml", &of("a", 0));
        let flags = [&*file, "--prune", "--allow-empty", "--prune-limit", "9"];
        let member = |name| NewClient { about: in_set_a(), ..new_client(name) };
        world.client(member("early")).await;
        let interval = Duration::from_millis(200);
        let options = TestNodeOptions { secret_use_interval: interval, ..Default::default() };
        let node = TestNode::on(world.database.shared(), options).await;
        world.client(member("idle")).await;
        let created = world.registry.create_client(member("busy"), NewSecret::default()).await;
        let (client, secret) = created.unwrap();
        node.issue(&Credentials { client, secret }).await.unwrap();

        let (said, status) = world.refused(&flags);
        assert!(status == 6 && said.contains("were used within 7 days: busy"), "{said}");
        world.registry.delete_client(&id("busy")).await.unwrap();
        // Nothing was counted when its secret was made.
        let (said, status) = world.refused(&flags);
        assert!(status == 6 && said.contains("not known"), "{said}");
        assert!(said.contains("within 7 days: early"), "{said}");
        assert!(world.is_active("idle").await);

        world.applied(&[&flags[..], &["--prune-used"]].concat());
        world.registry.set_client_state(&id("idle"), ClientState::Active).await.unwrap();
        world.applied(&flags);
        assert!(!world.is_active("early").await && !world.is_active("idle").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pruned_client_is_deleted_unless_it_is_enabled_or_declared_again() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let file = world.file("a.toml", &of("a", 5));
        let prune = [&*file, "--prune", "--prune-limit", "9"];
        world.applied(&[&file]);
        world.file("a.toml", &of("a", 1));
        world.applied(&[&prune[..], &["--delete-after", "0"]].concat());
        assert_eq!(world.clients().await, 5);
        world.registry.set_client_state(&id("a-1"), ClientState::Active).await.unwrap();
        // Of this one nobody can say when it may be deleted.
        let labels = Some(Labels::parse(["jeton/set=a", "jeton/delete-after=1d"]).unwrap());
        let age = ClientUpdate { labels, ..ClientUpdate::default() };
        world.registry.update_client(&id("a-3"), &age, None).await.unwrap();
        world.file("a.toml", &(of("a", 1) + "[client.a-2]\n"));

        let output = world.apply(&[&file, "--plan"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("declares them: a-4. --prune deletes them."), "{said}");
        let plan = world.path("a.plan").display().to_string();
        let output = world.apply(&[&prune[..], &["--plan-out", &plan]].concat());
        let shown = String::from_utf8_lossy(&output.stdout);
        for line in ["~ a-2", "- a-1", "x a-4"] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        let output = world.apply(&[&plan]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 disabled, 1 deleted."), "{said}");

        assert_eq!(world.clients().await, 4);
        assert!(!world.is_active("a-1").await && !world.is_active("a-2").await);
        let due = |record: ClientRecord| record.about.labels.get("jeton/delete-after").is_some();
        assert!(due(world.record("a-1").await) && !due(world.record("a-2").await));
        assert_eq!(world.planned(&prune).1, 0, "the others are not due yet");
    }
}
