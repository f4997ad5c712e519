//! Contexts: places to work in, by name.

mod commands;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton, run_json},
};

/// A home with a file of contexts of this mode.
fn home(text: &str, mode: u32) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), text, mode);
    home
}

/// A home in this folder with a context `prod`, in which no command works by itself.
pub(crate) fn home_in(folder: &Path) -> PathBuf {
    let home = folder.join("config");
    write(&home, "[prod]\ndata_dir = '/nowhere'\n", 0o600);
    home
}

fn write(home: &Path, text: &str, mode: u32) {
    let folder = home.join("jeton");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("contexts.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
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
    let rows: [(&str, u32, Vec<&str>, i32, &str); 7] = [
        (good, 0o600, list("prood"), 2, "did you mean prod?"),
        (good, 0o600, list("staging"), 2, "it has prod, test"),
        (good, 0o644, list("prod"), 1, "chmod 600"),
        (good, 0o600, list("prod"), 7, "no node answers"),
        (good, 0o600, list("test"), 4, "jeton/data/jeton.db"),
        ("[prod]\nservr = 'x'\n", 0o600, list("prod"), 2, "line 2"),
        (good, 0o600, [list("prod"), vec!["--server", "unix:/x"]].concat(), 2, "--context"),
    ];
    for (text, mode, arguments, status, told) in rows {
        let home = home(text, mode);
        let refused = ask(home.path(), &arguments);
        let complaint = complaint(&refused);
        assert!(complaint.contains(told), "{arguments:?}: {complaint}");
        assert_eq!(refused.status.code(), Some(status), "{arguments:?}: {complaint}");
    }
    let none = tempfile::tempdir().unwrap();
    let refused = complaint(&ask(none.path(), &list("prod")));
    assert!(refused.contains("contexts.toml: does not exist"), "{refused}");
}

/// Three databases that do not exist, each with a context, and a node.
const PLACES: &str = "[a]\ndata_dir = '/srv/a'\n[b]\ndata_dir = '/srv/b'\n\
    [c]\ndata_dir = '/srv/c'\nprotected = true\n[node]\nserver = 'unix:/srv/node.sock'\n";

#[test]
fn what_is_nearer_to_the_command_says_where_it_works() {
    type Row = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);
    const VARIABLE: &str = "JETON_CONTEXT";
    let c = "current = 'c'\n";
    let rows: [(Row, &str); 9] = [
        (("", &[], &[]), "jeton-data/jeton.db\n"),
        ((c, &[], &[]), "/srv/c/jeton.db (context c, protected)"),
        (("", &[], &[(VARIABLE, "b")]), "/srv/b/jeton.db (context b)"),
        ((c, &[], &[(VARIABLE, "b")]), "/srv/b/jeton.db (context b)"),
        ((c, &[], &[(VARIABLE, "")]), "/srv/c/jeton.db (context c, protected)"),
        ((c, &["--data-dir", "/srv/d"], &[(VARIABLE, "b")]), "/srv/d/jeton.db\n"),
        ((c, &[], &[(VARIABLE, "b"), ("JETON_DATA_DIR", "/srv/d")]), "/srv/d/jeton.db\n"),
        // The default is the same place as one that is named, and still it is not named.
        ((c, &["--data-dir", "jeton-data"], &[]), "jeton-data/jeton.db\n"),
        (("current = 'node'\n", &["--data-dir", "/srv/d"], &[]), "/srv/d/jeton.db\n"),
    ];
    for ((current, flags, variables), place) in rows {
        let home = home(&format!("{current}{PLACES}"), 0o600);
        // One command with a flag for contexts, and one without.
        for command in [["client", "list"], ["audit", "verify"]] {
            let mut asked = jeton();
            asked.args(command).args(flags).envs(variables.iter().copied());
            let output = asked.env("XDG_CONFIG_HOME", home.path()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.starts_with("Database: "), "{command:?} {flags:?}: {said}");
            assert!(said.contains(place), "{command:?} {flags:?} {variables:?}: {said}");
            assert_eq!(output.status.code(), Some(4), "{said}");
        }
        let config = home.path().join("jeton.toml");
        fs::write(&config, "data_dir = '/srv/e'\n").unwrap();
        let config = config.display().to_string();
        let of_file = ask(home.path(), &["audit", "verify", "--config", &config]);
        let said = String::from_utf8_lossy(&of_file.stderr);
        assert!(said.contains("/srv/e/jeton.db\n"), "{said}");
        let flag = ask(home.path(), &["client", "list", "--context", "a"]);
        let said = String::from_utf8_lossy(&flag.stderr);
        assert!(said.contains("/srv/a/jeton.db (context a)"), "{said}");
    }
}

#[test]
fn a_command_for_databases_is_refused_in_the_context_of_a_node_or_of_nothing() {
    for (current, told) in [
        ("current = 'node'\n", "--database-url or --data-dir"),
        ("current = 'gone'\n", "there is no context gone"),
    ] {
        let home = home(&format!("{current}{PLACES}"), 0o600);
        for command in [&["migrate"][..], &["doctor"], &["tag-key", "show"], &["audit", "verify"]] {
            let refused = ask(home.path(), command);
            assert!(complaint(&refused).contains(told), "{command:?}: {refused:?}");
            assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_for_databases_asks_for_the_name_of_a_protected_context() {
    let database = Database::ready(Kind::Sqlite).await;
    run_json(&["tag-key", "rotate"], &database);
    let place = database.dir.path().display();
    let home =
        home(&format!("current = 'prod'\n[prod]\ndata_dir = '{place}'\nprotected = true\n"), 0o600);
    let by_habit = ask_at_terminal(home.path(), "tag-key retire", "yes\n");
    assert!(!by_habit.status.success(), "{by_habit:?}");
    let shown = || run_json(&["tag-key", "show"], &database);
    assert_eq!(shown()["previous_accepted"], true);
    let by_name = ask_at_terminal(home.path(), "tag-key retire", "prod\n");
    assert!(by_name.status.success(), "{by_name:?}");
    assert_eq!(shown()["previous_accepted"], false);
}
