//! Plans in files: applied to exactly the clients that they were made for.

use jeton::domain::Etag;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_does_later_what_it_said() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let more =
            (0..9).map(|number| format!("[client.c{number}]\n")).collect::<Vec<_>>().concat();
        let file = world.file("a.toml", &format!("{TOML}{more}"));
        world.applied(&[&file]);
        let kept = more.replace("[client.c8]\n", "[client.new]\nname = \"New\"\n");
        world.file("a.toml", &(TOML.replace("Order service", "Orders") + &kept));
        let plan = world.path("a.plan").display().to_string();
        let output = world.apply(&[&file, "--prune", "--plan-out", &plan]);
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(world.record("orders").await.client.name, "Order service");
        let again = world.apply(&[&file, "--plan-out", &plan]);
        assert_eq!(again.status.code(), Some(6), "an earlier plan is not overwritten");

        // The file may have changed since: the plan is what was looked at.
        world.file("a.toml", "format = 1\n");
        let output = world.apply(&[&plan]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(world.record("orders").await.client.name, "Orders");
        let new = world.record("new").await;
        assert_eq!(
            (new.client.name.as_str(), new.about.labels.set_name()),
            ("New", Some("payments"))
        );
        assert!(!world.is_active("c8").await);
        let (why, status) = world.refused(&[&plan]);
        assert!(status == 6 && why.contains("new (exists by now)"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_refused_as_a_whole_if_a_client_was_changed_meanwhile() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let file = world.file("a.toml", TOML);
        world.applied(&[&file]);
        world.file("a.toml", &TOML.replace("15m", "5m").replace("600", "700"));
        let plan = world.path("a.plan").display().to_string();
        world.apply(&[&file, "--plan-out", &plan]);
        world.database.execute("update client set owner = 'bob' where client_id = 'stock'").await;

        let (why, status) = world.refused(&[&plan]);
        assert_eq!(status, 6);
        assert!(why.contains("stock (owner)") && !why.contains("orders"), "{why}");
        assert_eq!(world.record("orders").await.client.token_lifetime.seconds(), 900);
        world.registry.delete_client(&id("stock")).await.unwrap();
        let (why, _) = world.refused(&[&plan]);
        assert!(why.contains("stock (does not exist any more)"), "{why}");
    }
}

/// A plan is a file that anybody may write.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_prunes_nothing_that_prune_would_keep() {
    let world = World::new(Kind::Sqlite).await;
    let file = world.file("a.toml", TOML);
    world.applied(&[&file]);
    world.client(new_client("free")).await;
    for (client_id, action, why) in [
        ("free", "prune", "it belongs to no set"),
        ("orders", "delete", "it was not disabled long enough"),
    ] {
        let etag = Etag::of(&world.record(client_id).await);
        let plan = format!(
            "plan = 1\njeton = '{}'\n[change.{client_id}]\naction = '{action}'\netag = '{etag}'\n",
            env!("CARGO_PKG_VERSION")
        );
        let (said, status) = world.refused(&[&world.file("a.plan", &plan)]);
        assert!(status == 6 && said.contains(why), "{said}");
        assert!(world.is_active(client_id).await);
    }
}
