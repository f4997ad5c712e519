//! `jeton secret …` on texts that hold secrets and tokens.

use std::{
    fs,
    process::{ExitStatus, Output},
};

use jeton::{
    config::DatabaseUrl,
    domain::{ClientSecret, OsRandom, TagKey},
    pb::v1::{BurnSecretRequest, ErrorReason, FindSecretRequest},
    registry::NewSecret,
};

use super::{Secured, ask, masked};
use crate::support::{
    Kind,
    binary::complaint,
    control::{ALL, Controlled, administrator, why},
    everything,
    node::Credentials,
};

/// Runs `jeton secret …` on a file with this text.
fn secret(at: &Secured, arguments: &[&str], text: &str, place: &[String]) -> Output {
    let file = at.folder.path().join("found.log");
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    ask(&[&["secret"][..], arguments, &[&*file]].concat(), place)
}

/// The exit status, standard output, and standard error without its first line, which says where
/// the command works.
fn told(output: &Output, name: &str, place: &str) -> (Option<i32>, String, String) {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    let said =
        Output { status: ExitStatus::default(), stdout: said.into_bytes(), stderr: Vec::new() };
    (output.status.code(), masked(output, name, place), masked(&said, name, place))
}

/// A secret of another installation, and one of which a letter was changed.
fn not_made_here(secret: &str) -> [String; 2] {
    let foreign = ClientSecret::generate(&OsRandom, &TagKey::from_bytes([7; 32])).unwrap();
    let mut altered = secret.to_owned();
    altered.replace_range(40..41, if &secret[40..41] == "A" { "B" } else { "A" });
    [foreign.expose().to_owned(), altered]
}

/// A token of a client; `None` if the node issues none.
fn issued(at: &Secured, client: &Credentials) -> Option<String> {
    let _ = at.flags(client);
    let file = at.folder.path().join(client.id()).display().to_string();
    let arguments = ["token", "issue", "--client-id", client.id(), "--secret-file", &file];
    let arguments = [&arguments[..], &["--token-only"]].concat();
    let output = ask(&arguments, &Secured::server(&at.tokens(), &at.ca));
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

fn database_place(at: &Secured, kind: Kind) -> String {
    let database = &at.node.database;
    match kind {
        Kind::Sqlite => database.dir.path().join("jeton.db").display().to_string(),
        Kind::Postgres => DatabaseUrl::from(database.url.clone()).redacted(),
    }
}

/// What commands tell about the secrets of a client with this name, until it has none.
async fn story(
    at: &Secured,
    name: &str,
    flags: &[String],
    place: &str,
) -> Vec<(Option<i32>, String, String)> {
    let client = at.node.client(name).await;
    let added = at.node.registry.add_secret(&client.client.client_id, NewSecret::default()).await;
    let added = added.unwrap().1;
    everything::note_secrets_in(added.expose());
    let token = issued(at, &client).unwrap();
    let gone = at.node.client(&format!("{name}-2")).await;
    at.node.registry.delete_client(&gone.client.client_id).await.unwrap();
    let [foreign, altered] = not_made_here(client.secret());

    let (first, second) = (client.secret(), added.expose());
    let within = format!("INFO login\nurl=https://x:{first}@host&token={token} {altered}\n");
    let all = format!("{first}\n{second}\n{}", gone.secret());
    let commands: [(&[&str], &str, i32); 15] = [
        (&["burn", "--yes"], "nothing", 4),
        (&["burn", "--yes"], &foreign, 4),
        (&["burn", "--yes"], &altered, 4),
        (&["burn", "--yes"], &token, 4),
        (&["scan"], &within, 3),
        // All live secrets of the client at once.
        (&["burn"], &all, 2),
        (&["burn", "--json"], &within, 0),
        // It is leaked already.
        (&["burn"], first, 0),
        (&["scan", "--json"], &within, 3),
        // The last live one.
        (&["burn"], second, 2),
        (&["burn", "--yes"], &all, 0),
        (&["burn", "--json"], gone.secret(), 0),
        (&["burn"], gone.secret(), 0),
        (&["scan"], &all, 3),
        (&["scan"], &foreign, 0),
    ];
    let mut story = Vec::new();
    for (arguments, text, status) in commands {
        let output = secret(at, arguments, text, flags);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
        let both = [&output.stdout[..], &output.stderr].concat();
        let both = String::from_utf8_lossy(&both);
        for secret in [first, second, &*token, &*foreign] {
            assert!(!both.contains(&secret[20..]), "{arguments:?}: {both}");
        }
        story.push(told(&output, name, place));
    }
    assert_eq!(issued(at, &client), None);
    story
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_told_the_same_on_the_database_and_through_a_node() {
    for kind in Kind::BOTH {
        let at = Secured::start(kind).await;
        let remote = at.flags(&administrator(&at.node, "ops", &ALL).await);
        let place = database_place(&at, kind);
        let direct = story(&at, "direct", &at.node.database.flags(), &place).await;
        let through = story(&at, "remote", &remote, &at.control()).await;
        for (direct, through) in direct.iter().zip(&through) {
            assert_eq!(direct, through, "{kind:?}");
        }
        let (_, burnt, _) = &through[6];
        assert!(burnt.contains(r#""tokens_ended": 1"#), "{kind:?}: {burnt}");
        let (_, gone, _) = &through[12];
        assert!(gone.contains("was deleted before, with its client"), "{kind:?}: {gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_reads_scans_and_does_not_burn() {
    for kind in Kind::BOTH {
        let at = Secured::start(kind).await;
        let reader = at.flags(&administrator(&at.node, "reader", &["jeton:read"]).await);
        let (orders, stock) = (at.node.client("orders").await, at.node.client("stock").await);
        at.node
            .registry
            .retire_secret(
                &stock.client.client_id,
                stock.secret.id(),
                jeton::store::Retirement::Retired,
            )
            .await
            .unwrap();
        let token = issued(&at, &orders).unwrap();
        // Many in one text, and the same ones in several files.
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{}\n{token}\n{}\n", orders.secret(), stock.secret()).repeat(20);
        let files = ["a.log", "b.log"].map(|name| folder.path().join(name).display().to_string());
        for file in &files {
            fs::write(file, &text).unwrap();
        }
        for command in [&["secret", "scan"][..], &["secret", "scan", "--json"]] {
            let command = [command, &[&*files[0], &*files[1]]].concat();
            let (direct, through) =
                (ask(&command, &at.node.database.flags()), ask(&command, &reader));
            assert_eq!((direct.status.code(), through.status.code()), (Some(3), Some(3)));
            assert_eq!(direct.stdout, through.stdout, "{kind:?}");
            assert!(!through.stdout.is_empty(), "{through:?}");
        }

        let refused = secret(&at, &["burn", "--yes"], orders.secret(), &reader);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        assert!(complaint(&refused).contains("jeton:security"), "{refused:?}");
        issued(&at, &orders).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_validated_changes_nothing() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        let mut control = at.control.clone();
        let client = at.node.client("orders").await;
        let text = client.secret().to_owned();
        let burn = |validate_only| BurnSecretRequest {
            client_secret: text.clone(),
            validate_only,
            ..Default::default()
        };
        let checked = control.burn_secret(at.ask(burn(true)).await).await.unwrap().into_inner();
        assert_eq!((&*checked.client_id, checked.live_secrets_left), ("orders", 0), "{kind:?}");
        assert_eq!(checked.tokens_ended, None);
        at.node.issue(&client).await.unwrap();

        let burnt = control.burn_secret(at.ask(burn(false)).await).await.unwrap().into_inner();
        assert_eq!(burnt.tokens_ended, Some(1), "{kind:?}");
        let again = control.burn_secret(at.ask(burn(false)).await).await.unwrap().into_inner();
        assert_eq!(again.tokens_ended, Some(0), "{kind:?}");

        let find = |client_secret: &str, secret_id: &str| FindSecretRequest {
            client_secret: client_secret.to_owned(),
            secret_id: secret_id.to_owned(),
        };
        for (request, field) in [
            (find("", ""), "secret_id"),
            (find(&text, "x"), "secret_id"),
            (find(&text[..78], ""), "client_secret"),
        ] {
            let refused = control.find_secret(at.ask(request).await).await.unwrap_err();
            assert_eq!(why(&refused), (ErrorReason::InvalidRequest, field.to_owned()), "{kind:?}");
        }
        let [foreign, altered] = not_made_here(&text);
        for text in [foreign, altered] {
            let told = control.find_secret(at.ask(find(&text, "")).await).await.unwrap();
            let told = told.into_inner();
            assert!(!told.made_here && !told.exists && told.client_id.is_empty(), "{told:?}");
        }
    }
}
