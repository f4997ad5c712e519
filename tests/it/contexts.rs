//! Contexts: places to work in, by name.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton, run_json},
};

/// A home with a file of contexts of this mode.
fn home(text: &str, mode: u32) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("jeton");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("contexts.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    home
}

fn ask(home: &Path, arguments: &[&str]) -> Output {
    jeton().args(arguments).env("XDG_CONFIG_HOME", home).output().unwrap()
}

/// Runs a command on a terminal, where somebody types this.
fn ask_at_terminal(home: &Path, arguments: &str, typed: &str) -> Output {
    let line = format!("exec \"{}\" {arguments}", env!("CARGO_BIN_EXE_jeton"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env_clear().envs(jeton().get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("XDG_CONFIG_HOME", home);
    let script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = script.spawn().expect("util-linux has `script`");
    let mut answer = child.stdin.take().unwrap();
    answer.write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(answer);
    output
}

/// A protected context that is a node, and another that is its database.
fn contexts(database: &Database) -> String {
    let directory = database.dir.path().display();
    let direct = match database.kind {
        Kind::Sqlite => format!("data_dir = '{directory}'"),
        Kind::Postgres => format!("database_url = '{}'", database.url),
    };
    format!(
        "[prod]\nserver = 'unix:{directory}/control.sock'\nprotected = true\n[copy]\n{direct}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_is_a_node_or_a_database_and_a_protected_one_asks_for_the_name() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let _node = Served::start(&database, &[]);
        run_json(&["client", "create", "--client-id", "orders"], &database);
        let home = home(&contexts(&database), 0o600);
        let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

        let copy = ask(home.path(), &["client", "list", "--context", "copy"]);
        assert!(copy.status.success() && said(&copy).contains("(context copy)"), "{copy:?}");
        let prod = jeton()
            .args(["client", "list"])
            .envs([
                ("XDG_CONFIG_HOME", home.path().as_os_str()),
                ("JETON_CONTEXT", "prod".as_ref()),
            ])
            .output()
            .unwrap();
        assert!(said(&prod).contains("(context prod, protected)"), "{prod:?}");
        assert_eq!(copy.stdout, prod.stdout);

        // Nobody is there to type the name, and nothing happens.
        let shown = || run_json(&["client", "show", "orders"], &database);
        let id = shown()["secrets"][0]["secret_id"].as_str().unwrap().to_owned();
        for command in [
            &["disable", "orders"][..],
            &["delete", "orders"],
            &["revoke-tokens", "orders"],
            &["retire-secret", "orders", &id],
        ] {
            let arguments = [&["client"], command, &["--context", "prod"]].concat();
            let refused = ask(home.path(), &arguments);
            assert_eq!(refused.status.code(), Some(2), "{refused:?}");
            assert!(complaint(&refused).contains("--yes"), "{refused:?}");
        }
        let before = shown();
        assert_eq!(before["state"], "active");
        assert_eq!(before["secrets"][0]["state"], "live");

        let disable = "client disable orders --context prod";
        let by_habit = ask_at_terminal(home.path(), disable, "yes\n");
        assert!(!by_habit.status.success(), "{by_habit:?}");
        assert_eq!(shown()["state"], "active");
        let by_name = ask_at_terminal(home.path(), disable, "orders\n");
        assert!(by_name.status.success(), "{by_name:?}");
        assert_eq!(shown()["state"], "disabled");
        let yes = ask(home.path(), &["client", "delete", "orders", "--context", "prod", "--yes"]);
        assert!(yes.status.success(), "{yes:?}");
    }
}

#[test]
fn a_mistake_about_contexts_changes_nothing_elsewhere() {
    let good = "[prod]\nserver = 'unix:/nowhere.sock'\n[test]\ndata_dir = 'data'\n";
    let list = |context: &'static str| vec!["client", "list", "--context", context];
    let rows: [(&str, u32, Vec<&str>, i32, &str); 8] = [
        (good, 0o600, list("prood"), 2, "did you mean prod?"),
        (good, 0o600, list("staging"), 2, "it has prod, test"),
        (good, 0o644, list("prod"), 1, "chmod 600"),
        (good, 0o600, list("prod"), 7, "no node answers"),
        (good, 0o600, list("test"), 4, "jeton/data/jeton.db"),
        ("[prod]\nservr = 'x'\n", 0o600, list("prod"), 2, "line 2"),
        (good, 0o600, [list("prod"), vec!["--server", "unix:/x"]].concat(), 2, "--context"),
        (good, 0o600, vec!["client", "dead", "--context", "prod"], 2, "directly on the database"),
    ];
    for (text, mode, arguments, status, told) in rows {
        let home = home(text, mode);
        let refused = ask(home.path(), &arguments);
        let complaint = complaint(&refused);
        assert!(complaint.contains(told), "{arguments:?}: {complaint}");
        assert_eq!(refused.status.code(), Some(status), "{arguments:?}: {complaint}");
    }
    // A command without contexts does not work on another database instead.
    let refused = jeton().args(["audit", "list"]).env("JETON_CONTEXT", "prod").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(complaint(&refused).contains("has no contexts"), "{refused:?}");
    let none = tempfile::tempdir().unwrap();
    let refused = complaint(&ask(none.path(), &list("prod")));
    assert!(refused.contains("contexts.toml: does not exist"), "{refused}");
}
