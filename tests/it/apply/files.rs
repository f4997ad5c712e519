//! Files that are refused: each with its place, and before anything is changed.

use super::*;

/// The end of a file, where the fault is in it, and a part of the message.
type Row<'a> = (&'a str, &'a str, &'a str);

const TOML_FAULTS: [Row<'static>; 17] = [
    ("[client.b]\nscope = [\"a\"]", "4:1", "`client.b.scope`; did you mean `scopes`?"),
    ("[clients.b]", "3:2", "did you mean `client`?"),
    ("[client.b]\nname = \"a\"\nname = \"b\"", "5:1", ""),
    ("[client.b]\n[client.b]", "4:", ""),
    ("[client.b]\nname = 7", "4:8", "must be a text in quotes, and not a number"),
    ("[client.b]\nscopes = \"a\"", "4:10", "must be a list of texts, and not a text"),
    ("[client.b]\nscopes = [\"a\", 1.5]", "4:16", "and not a fraction"),
    ("[client.b]\nscopes = [\"a b\"]", "4:11", "a scope is"),
    ("[client.b]\nseveral_audiences = \"yes\"", "4:21", "must be true or false"),
    ("[client.b]\ntoken_lifetime = \"1w\"", "4:18", "a duration is"),
    ("[client.b]\nname = \"a\\u202eb\"", "4:8", "a control character"),
    ("[client.b]\nname = \"a\u{202e}b\"", "4:10", "U+202E"),
    ("[client.\"b c\"]", "3:9", "a client id is"),
    ("[client.b]\ndefault_scopes = [\"a\"]", "3:9", "must be one of the client's scopes"),
    ("[client.b]\nstate = \"disabled\"", "4:1", "jeton client disable"),
    ("[[client.b.secret]]\nlabel = \"x\"", "3:", "jeton client add-secret"),
    ("[client.b]\nlabels = { \"jeton/set\" = \"x\" }", "4:", "`set` at the top"),
];

const YAML_FAULTS: [Row<'static>; 9] = [
    ("client:\n  b:\n    scope: [a]", "5:5", "did you mean `scopes`?"),
    ("client:\n  b: {}\n  b: {}", "5:3", "is there twice"),
    ("client:\n  b:\n    name: [a]", "5:11", "must be a text in quotes, and not a list"),
    ("client:\n  b:\n    name: ~", "5:11", "and not no value"),
    ("client:\n  b: &x {}\n  c: *x", "4:", "anchors are not supported"),
    ("client:\n  b:\n    name: !!str a", "5:", "tags are not supported"),
    ("client:\n  b: {}\n---\nclient: {}", "5:", "second document"),
    ("client:\n  b: [", "", ""),
    ("client:\n  b:\n    several_audiences: no", "5:24", "must be true or false"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_told_with_its_place_and_nothing_is_applied() {
    let world = World::new(Kind::Sqlite).await;
    let good = world.file("good.toml", "format = 1\n[client.good]\n");
    let toml = TOML_FAULTS.map(|row| ("toml", "format = 1\nset = \"s\"\n", row));
    let yaml = YAML_FAULTS.map(|row| ("yaml", "format: 1\nset: s\n", row));
    for (ending, head, (text, place, why)) in toml.into_iter().chain(yaml) {
        let file = world.file(&format!("bad.{ending}"), &format!("{head}{text}\n"));
        let (said, status) = world.refused(&[&good, &file]);
        assert_eq!(status, 2, "{text}: {said}");
        assert!(said.contains(&format!("bad.{ending}:{place}")), "{text}: {said}");
        assert!(said.contains(why), "{text}: {said}");
    }
    assert_eq!(world.clients().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_yaml_might_take_for_something_else_stays_a_text() {
    let world = World::new(Kind::Sqlite).await;
    let text = "format: 1\nclient:\n  no:\n    name: 1.10\n    owner: on\n    note: 2027-01-01\n";
    world.applied(&[&world.file("a.yml", text)]);
    let record = world.record("no").await;
    assert_eq!(record.client.name, "1.10");
    assert_eq!((record.about.owner.as_str(), record.about.note.as_str()), ("on", "2027-01-01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_declared_once_over_all_files() {
    let world = World::new(Kind::Sqlite).await;
    let first = world.file("a.toml", "format = 1\n[client.orders]\n");
    let second = world.file("b.yaml", "format: 1\nclient:\n  orders: {}\n");
    let (why, status) = world.refused(&[&first, &second]);
    assert_eq!(status, 2);
    assert!(why.contains("b.yaml:3:3") && why.contains("a.toml:2:9"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_file_is_refused_and_never_repeated() {
    let world = World::new(Kind::Sqlite).await;
    let created =
        world.registry.create_client(new_client("orders"), NewSecret::default()).await.unwrap();
    let secret = created.1.expose().to_owned();
    let file = world.file("a.toml", &format!("format = 1\n[client.b]\nnote = \"{secret}\"\n"));
    let output = world.apply(&[&file, "--yes"]);
    let why = complaint(&output);
    assert!(why.contains("a.toml:3:9: there is a secret"), "{why}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&secret[4..40]));
    assert_eq!(world.clients().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_of_clients_is_refused() {
    let world = World::new(Kind::Sqlite).await;
    let rows = [
        ("a.json", "{}", "must end with .toml"),
        ("a.toml", "", "must say `format`"),
        ("b.toml", "format = 2", "reads format 1"),
        ("c.toml", "format = 1\nset = \"\"", "a set has a name"),
        ("a.plan", "plan = 1\njeton = \"0.0.1\"", "make the plan again"),
        ("b.plan", "format = 1", "there is no key `format`"),
    ];
    for (name, text, why) in rows {
        let (said, _) = world.refused(&[&world.file(name, text)]);
        assert!(said.contains(why), "{name}: {said}");
    }
    let (said, status) = world.refused(&["nowhere.toml"]);
    assert!(said.contains("nowhere.toml cannot be read") && status == 1, "{said}");
    let unasked = world.apply(&[&world.file("d.toml", "format = 1\n[client.b]\n")]);
    assert_eq!(unasked.status.code(), Some(2), "without a terminal it needs --yes");
    assert_eq!(world.clients().await, 0);
}
