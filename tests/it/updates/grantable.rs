//! What administrators may give, as operators limit it in the database and in files.

use serde_json::json;

use crate::support::{
    Database, Kind,
    binary::{complaint, run, run_json},
};

const CREATE: &str = "client create --client-id pipeline --scope jeton:write \
                      --audience urn:jeton:administration --token-lifetime 15m \
                      --grantable-scope orders.* --grantable-scope ping \
                      --grantable-audience https://orders.test/*";

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_limits_what_an_administrator_gives() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        run_json(&words(CREATE), &database);
        let shown = run_json(&["client", "show", "pipeline"], &database);
        assert_eq!(shown["grantable_scopes"], json!(["orders.*", "ping"]), "{kind:?}");
        assert_eq!(shown["grantable_audiences"], json!(["https://orders.test/*"]), "{kind:?}");

        let update = "client update pipeline --add-grantable-scope stock.* \
                      --remove-grantable-scope ping \
                      --remove-grantable-audience https://orders.test/*";
        let done = run_json(&words(update), &database);
        let expected = json!([
            {
                "field": "grantable_scopes",
                "before": ["orders.*", "ping"],
                "after": ["orders.*", "stock.*"],
            },
            {
                "field": "grantable_audiences",
                "before": ["https://orders.test/*"],
                "after": [],
            },
        ]);
        assert_eq!(done["changes"], expected, "{kind:?}");
        let show = run(&["client", "show", "pipeline"], &database);
        let text = String::from_utf8_lossy(&show.stdout);
        assert!(text.contains("orders.* stock.*") && text.contains("all"), "{text}");

        let list = run_json(&words("audit list --client pipeline --last 1"), &database);
        let detail = &list[0]["detail"];
        let expected = json!([["orders.*", "ping"], ["orders.*", "stock.*"]]);
        assert_eq!(detail["grantable_scopes"], expected, "{kind:?}: {list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_would_not_hold_is_refused() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        run_json(&words(CREATE), &database);
        run_json(&words("client create --client-id plain --scope a --audience b"), &database);
        for (arguments, told) in [
            ("client update plain --grantable-scope a", "limit an administrator"),
            ("client update pipeline --grantable-scope *", "no asterisk elsewhere"),
            ("client update pipeline --grantable-scope jeton:read", "name other scopes"),
            ("client update pipeline --grantable-audience https://*", "no asterisk elsewhere"),
            ("client update pipeline --remove-grantable-scope orders", "does not have orders"),
        ] {
            let refused = run(&words(arguments), &database);
            assert!(!refused.status.success(), "{arguments}");
            assert!(complaint(&refused).contains(told), "{}", complaint(&refused));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_has_the_limits_and_applies_to_the_same() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        run_json(&words(CREATE), &database);
        let exported = run(&["export"], &database);
        let text = String::from_utf8(exported.stdout).unwrap();
        assert!(text.contains(r#"grantable_scopes = ["orders.*", "ping"]"#), "{text}");
        let file = database.dir.path().join("all.toml");
        std::fs::write(&file, &text).unwrap();
        let file = file.display().to_string();
        let plan = run(&["apply", file.as_str(), "--plan"], &database);
        assert_eq!(plan.status.code(), Some(0), "{}", complaint(&plan));
    }
}
