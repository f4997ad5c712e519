//! A secret that somebody found, and of which nothing but its text is known.

use std::{
    fs,
    io::Write,
    process::{Output, Stdio},
};

use jeton::{
    domain::{ClientSecret, ClientState, OsRandom, TagKey},
    registry::NewSecret,
    store::Retirement,
};
use serde_json::{Value, json};

use crate::support::{
    Database, Kind, TestNode,
    binary::{jeton, run_json},
    everything,
    node::Credentials,
};

/// Runs `jeton secret …` with this text on standard input.
fn secret(arguments: &[&str], text: &[u8], database: &Database) -> Output {
    let mut command = jeton();
    command.arg("secret").args(arguments).args(database.flags());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // The command may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(text);
    child.wait_with_output().unwrap()
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

async fn is_active(node: &TestNode, caller: &Credentials, token: &str) -> bool {
    node.introspect(caller, token).await.unwrap().active
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_which_only_the_text_is_known_ends_with_its_tokens_alone() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let (leaked, other) = (node.client("leaked").await, node.client("other").await);
        let server = node.resource_server("api").await;
        let id = &leaked.client.client_id;
        let added = node.registry.add_secret(id, NewSecret::default()).await;
        let second = Credentials { client: leaked.client.clone(), secret: added.unwrap().1 };
        let mut ended = Vec::new();
        for _ in 0..3 {
            ended.push(node.issue(&leaked).await.unwrap().access_token);
        }
        node.revoke(&leaked, &ended[0]).await.unwrap();
        let kept = [node.issue(&second).await.unwrap(), node.issue(&other).await.unwrap()];

        let text = format!("INFO connected password={} ok\n", leaked.secret());
        let burned = secret(&["burn", "--json"], text.as_bytes(), &node.database);
        assert!(burned.status.success(), "{kind:?}: {burned:?}");
        assert_eq!(
            answer(&burned)["secrets"],
            json!([{
                "secret_id": leaked.secret.id().0,
                "client_id": "leaked",
                "state_before": "live",
                "scopes": ["read", "write"],
                "audiences": ["https://api.test"],
                "tokens_ended": 2,
                "live_secrets_left": 1,
            }]),
            "{kind:?}"
        );
        node.issue(&leaked).await.unwrap_err();
        for token in &ended {
            assert!(!is_active(&node, &server, token).await, "{kind:?}");
        }
        for token in &kept {
            assert!(is_active(&node, &server, &token.access_token).await, "{kind:?}");
        }

        // Once more: it is leaked already, and nothing else happens.
        let again = secret(&["burn", "--json"], text.as_bytes(), &node.database);
        let again = answer(&again)["secrets"][0].clone();
        assert_eq!((&again["state_before"], &again["tokens_ended"]), (&json!("leaked"), &json!(0)));
        assert!(!said(&burned).contains(&leaked.secret()[20..]), "{burned:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_live_secret_ends_only_if_somebody_says_so() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let client = node.client("orders").await;
        let text = client.secret().as_bytes();
        let refused = secret(&["burn"], text, &node.database);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let why = said(&refused);
        assert!(why.contains("the last live secret") && why.contains("of client orders"), "{why}");
        assert!(why.contains("nothing was changed") && why.contains("--yes"), "{why}");
        node.issue(&client).await.unwrap();
        // Nor do all of several at once.
        let id = &client.client.client_id;
        let other = node.registry.add_secret(id, NewSecret::default()).await.unwrap().1;
        everything::note_secrets_in(other.expose());
        let both = format!("{}\n{}\n", client.secret(), other.expose());
        let refused = secret(&["burn"], both.as_bytes(), &node.database);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let burned = secret(&["burn"], other.expose().as_bytes(), &node.database);
        assert!(burned.status.success(), "{burned:?}");

        let burned = secret(&["burn", "--yes"], text, &node.database);
        assert!(burned.status.success(), "{burned:?}");
        assert!(said(&burned).contains("Client orders has no live secret left"), "{burned:?}");
        node.issue(&client).await.unwrap_err();

        node.registry.delete_client(&client.client.client_id).await.unwrap();
        let gone = secret(&["burn"], text, &node.database);
        assert!(gone.status.success() && said(&gone).contains("was deleted before"), "{gone:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_without_a_secret_of_this_installation_burns_nothing() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let client = node.client("orders").await;
        let token = node.issue(&client).await.unwrap().access_token;
        let foreign = ClientSecret::generate(&OsRandom, &TagKey::from_bytes([7; 32])).unwrap();
        let mut changed = client.secret().to_owned();
        changed.replace_range(40..41, if &changed[40..41] == "A" { "B" } else { "A" });
        for (text, why) in [
            ("nothing", "there is no secret of this installation"),
            (foreign.expose(), "made elsewhere, or with a tag key that is retired: 1."),
            (&changed, "made elsewhere, or with a tag key that is retired: 1."),
            (&client.secret()[..78], "complete and not encoded"),
            (&token, "Tokens in the text: 1."),
        ] {
            let refused = secret(&["burn", "--yes"], text.as_bytes(), &node.database);
            assert_eq!(refused.status.code(), Some(4), "{kind:?}: {refused:?}");
            assert!(said(&refused).contains(why), "{kind:?}: {refused:?}");
        }
        node.issue(&client).await.unwrap();
        assert!(is_active(&node, &client, &token).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_names_owners_and_states_and_shows_no_text() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let (live, retired) = (node.client("live").await, node.client("retired").await);
        let (dead, disabled) = (node.client("dead").await, node.client("disabled").await);
        let [active, revoked] =
            [node.issue(&live).await.unwrap(), node.issue(&live).await.unwrap()];
        node.revoke(&live, &revoked.access_token).await.unwrap();
        let retirement = Retirement::Retired;
        let id = &retired.client.client_id;
        node.registry.retire_secret(id, retired.secret.id(), retirement).await.unwrap();
        node.registry.delete_client(&dead.client.client_id).await.unwrap();
        let state = ClientState::Disabled;
        node.registry.set_client_state(&disabled.client.client_id, state).await.unwrap();
        let foreign = ClientSecret::generate(&OsRandom, &TagKey::from_bytes([7; 32])).unwrap();

        let texts = [
            live.secret(),
            &active.access_token,
            &revoked.access_token,
            retired.secret(),
            dead.secret(),
            disabled.secret(),
        ];
        let mut text = texts.join("\n\u{0}+ ").into_bytes();
        text.extend_from_slice(b"\xff\xfe");
        text.extend_from_slice(foreign.expose().as_bytes());
        text.extend_from_slice(live.secret().as_bytes());
        // Not beside the database, in which no secret may be found.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        fs::write(&file, &text).unwrap();
        let path = file.to_str().unwrap();
        let by_file = secret(&["scan", path, "--json"], b"", &node.database);
        assert_eq!(by_file.status.code(), Some(3), "{by_file:?}");
        let expected = [
            ("secret", "live", json!("live"), json!("active"), 2),
            ("token", "active", json!("live"), json!("active"), 1),
            ("token", "inactive", json!("live"), json!("active"), 1),
            ("secret", "retired", json!("retired"), json!("active"), 1),
            ("secret", "deleted", json!(null), json!(null), 1),
            ("secret", "live", json!("disabled"), json!("disabled"), 1),
        ];
        let found = answer(&by_file);
        assert_eq!(found["made_elsewhere"], 1, "{kind:?}");
        for (number, row) in found["found"].as_array().unwrap().iter().enumerate() {
            let (what, state, client_id, client_state, places) = &expected[number];
            assert_eq!((&row["what"], &row["state"]), (&json!(what), &json!(state)), "{row}");
            assert_eq!((&row["client_id"], &row["client_state"]), (client_id, client_state));
            assert_eq!(row["places"], *places, "{row}");
            assert_eq!(row["found_in"], format!("{path}:{}", number + 1), "{row}");
        }
        assert_eq!(found["found"].as_array().unwrap().len(), expected.len());

        let by_input = secret(&["scan"], &text, &node.database);
        assert_eq!(by_input.status.code(), Some(3), "{by_input:?}");
        for output in [&by_file, &by_input] {
            for text in texts {
                assert!(!said(output).contains(&text[20..60]), "{output:?}");
            }
        }
        let nothing = secret(&["scan"], b"jts_ nothing", &node.database);
        assert!(nothing.status.success(), "{nothing:?}");
        let missing = secret(&["scan", "/nowhere"], b"", &node.database);
        assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    }
}

/// A table and a word for people.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_scan_finds_is_a_table() {
    let database = Database::ready(Kind::Sqlite).await;
    let created = run_json(&["client", "create", "--client-id", "orders"], &database);
    let text = created["client_secret"].as_str().unwrap();
    let scanned = secret(&["scan"], text.as_bytes(), &database);
    let table = String::from_utf8(scanned.stdout).unwrap();
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0][..4], ["what", "state", "client_id", "client"]);
    assert_eq!(rows[1][..6], ["secret", "live", "orders", "active", "-:1", "1"]);
}

/// The rules for scanners find what an installation makes, and no part of something longer.
#[test]
fn the_published_rules_for_scanners_find_secrets_and_tokens() {
    let rules = include_str!("../../packaging/secret-scanning/gitleaks.toml");
    let rules: toml::Table = rules.parse().unwrap();
    let rules: Vec<_> = rules["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let keyword = rule["keywords"][0].as_str().unwrap().to_owned();
            (keyword, regex::Regex::new(rule["regex"].as_str().unwrap()).unwrap())
        })
        .collect();
    let formats = include_str!("../../docs/formats.md");
    let vector = |kind: &str| {
        let begin = formats.find(&format!("`{kind}AAAA")).unwrap() + 1;
        formats[begin..begin + 79].to_owned()
    };
    let key = TagKey::from_bytes([9; 32]);
    for (kind, rule) in rules {
        let mut texts = vec![vector(&kind)];
        for _ in 0..100 {
            let secret = ClientSecret::generate(&OsRandom, &key).unwrap();
            texts.push(format!("{kind}{}", &secret.expose()[4..]));
        }
        for text in texts {
            for around in [text.clone(), format!("\"{text}\""), format!("password={text}\n")] {
                let found = rule.captures(&around).unwrap();
                assert_eq!(&found[1], text, "{around}");
            }
            for other in [format!("{text}A"), format!("x{text}"), text[..78].to_owned()] {
                assert!(!rule.is_match(&other), "{other}");
            }
        }
    }
}
