//! `jeton context …`: what it writes, what it leaves as it is, and what it refuses.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};

use super::{ask, home, jeton};
use crate::support::binary::complaint;

fn file(home: &Path) -> PathBuf {
    home.join("jeton/contexts.toml")
}

fn text(home: &Path) -> String {
    fs::read_to_string(file(home)).unwrap()
}

/// Runs `jeton context` with this line of arguments, which must succeed. Returns what it prints.
fn context(home: &Path, line: &str) -> String {
    let output = ask(home, &["context"].into_iter().chain(line.split(' ')).collect::<Vec<_>>());
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn listed(home: &Path) -> Value {
    let list: Value = serde_json::from_str(&context(home, "list --json")).unwrap();
    list["contexts"].clone()
}

#[test]
fn contexts_are_added_listed_used_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert_eq!(listed(home), json!([]));
    context(home, "add local --data-dir /srv/a");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file(home)), 0o600);
    assert_eq!(mode(&home.join("jeton")), 0o700);
    context(home, "add eu.prod-1_a --server unix:/run/j.sock --protected");
    context(home, "add pg --database-url postgres://u@localhost/d");
    let used = context(home, "use eu.prod-1_a");
    assert!(used.contains("node unix:/run/j.sock"), "{used}");
    let row = |name: &str, kind: &str, place: &str, is_prod: bool| {
        json!({ "name": name, "kind": kind, "place": place, "protected": is_prod,
                "current": is_prod })
    };
    assert_eq!(
        listed(home),
        json!([
            row("eu.prod-1_a", "node", "unix:/run/j.sock", true),
            row("local", "database", "/srv/a/jeton.db", false),
            row("pg", "database", "postgres://u@localhost/d", false),
        ])
    );
    let table = context(home, "list");
    assert!(table.contains("eu.prod-1_a\tyes\tnode\tyes\tunix:/run/j.sock"), "{table}");
    // One that is replaced stays protected, and the current one goes with its section.
    context(home, "add eu.prod-1_a --server unix:/run/k.sock --replace");
    assert_eq!(listed(home)[0], row("eu.prod-1_a", "node", "unix:/run/k.sock", true));
    let removed = ask(home, &["context", "remove", "eu.prod-1_a"]);
    let said = String::from_utf8_lossy(&removed.stderr);
    assert!(said.contains("It was the current context"), "{removed:?}");
    assert_eq!(listed(home).as_array().unwrap().len(), 2);
    assert!(!text(home).contains("current"), "{}", text(home));
    context(home, "use local");
    context(home, "use --none");
    assert!(!text(home).contains("current"), "{}", text(home));
}

#[test]
fn a_change_keeps_the_comments_and_the_order_of_the_file() {
    let written = "# mine\n\n# asks\n[prod] # live\nserver = 'unix:/p'\n\n# for tests\n\
        [test]\ndata_dir = '/x'\n";
    let home = home(written, 0o600);
    let home = home.path();
    context(home, "add new --data-dir /n");
    assert_eq!(text(home), format!("{written}\n[new]\ndata_dir = \"/n\"\n"));
    context(home, "use prod");
    assert!(text(home).starts_with("current = \"prod\"\n\n# mine\n"), "{}", text(home));
    context(home, "add prod --server unix:/q --replace");
    let replaced = written.replace(" # live\nserver = 'unix:/p'", "\nserver = \"unix:/q\"");
    assert!(text(home).contains(&replaced), "{}", text(home));
    context(home, "remove prod");
    let left = "# mine\n\n# for tests\n[test]\ndata_dir = '/x'\n\n[new]\ndata_dir = \"/n\"\n";
    assert!(text(home).ends_with(left), "{}", text(home));
    // A link to the file of another place stays a link.
    let moved = home.join("moved.toml");
    fs::rename(file(home), &moved).unwrap();
    std::os::unix::fs::symlink(&moved, file(home)).unwrap();
    context(home, "add linked --data-dir /l");
    assert!(fs::symlink_metadata(file(home)).unwrap().is_symlink());
    assert!(fs::read_to_string(moved).unwrap().contains("[linked]"));
}

#[test]
fn contexts_added_at_the_same_time_are_all_there() {
    let home = tempfile::tempdir().unwrap();
    let add = |number: u32| {
        let arguments = ["context", "add", &format!("c{number}"), "--data-dir", "/x"];
        let mut command = jeton();
        command.args(arguments).env("XDG_CONFIG_HOME", home.path()).stdout(Stdio::null());
        command.spawn().unwrap()
    };
    let added: Vec<_> = (0..8).map(add).collect();
    for mut child in added {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(listed(home.path()).as_array().unwrap().len(), 8);
}

#[test]
fn a_context_that_could_not_be_used_is_not_added() {
    let written = "[prod]\nserver = 'unix:/p'\n";
    for (arguments, status, told) in [
        ("add prod --data-dir /x", 6, "--replace"),
        ("add a/b --data-dir /x", 2, "begins with a letter or a digit"),
        ("add .a --data-dir /x", 2, "begins with a letter or a digit"),
        ("add ü --data-dir /x", 2, "begins with a letter or a digit"),
        ("add current --data-dir /x", 2, "current context"),
        ("add new", 2, "must name one place"),
        ("add new --data-dir /x --server unix:/x", 2, "must name one place"),
        ("add new --server unix:/x --admin-id ops", 2, "go together"),
        ("add new --server db.test:50052", 1, "https://HOST:PORT"),
        ("add new --server http://db.test:50052", 1, "https://"),
        ("add new --server https://db.test:50052 --tls-ca /nowhere.pem", 1, "/nowhere.pem"),
        (
            "add new --server unix:/x --admin-id ops --admin-secret-file /nowhere \
             --token-server http://127.0.0.1:1",
            1,
            "/nowhere",
        ),
        ("add new --database-url postgres://u:canary@localhost/d", 2, "--database-password-file"),
        ("add new --database-url postgres://u@db.test/d", 1, "sslmode=verify-full"),
        (
            "add new --database-url postgres://u@localhost/d --database-password-file /nowhere",
            1,
            "/nowhere",
        ),
        ("use prood", 2, "did you mean prod?"),
        ("remove staging", 2, "it has prod"),
        ("use", 2, "NAME"),
    ] {
        let home = home(written, 0o600);
        let arguments: Vec<_> = ["context"].into_iter().chain(arguments.split(' ')).collect();
        let refused = ask(home.path(), &arguments);
        let complaint = complaint(&refused);
        assert!(complaint.contains(told), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("canary"), "{complaint}");
        assert_eq!(refused.status.code(), Some(status), "{arguments:?}: {complaint}");
        assert_eq!(text(home.path()), written, "{arguments:?}");
    }
    // A form that the command does not write is left to its author.
    let inline = "prod = { data_dir = '/x' }\n";
    let home = home(inline, 0o600);
    let refused = complaint(&ask(home.path(), &["context", "remove", "prod"]));
    assert!(refused.contains("edit it yourself"), "{refused}");
    assert_eq!(text(home.path()), inline);
}

#[test]
fn a_file_that_others_could_change_is_neither_used_nor_changed() {
    let written = "[prod]\ndata_dir = '/x'\n";
    let commands = [
        &["context", "list"][..],
        &["context", "add", "new", "--data-dir", "/n"],
        &["client", "list", "--context", "prod"],
        // It might have a current context.
        &["audit", "list"],
    ];
    for command in commands {
        let refuse = |home: &Path, told: &str| {
            let refused = ask(home, command);
            assert!(complaint(&refused).contains(told), "{command:?}: {refused:?}");
            assert_eq!(text(home), written);
        };
        refuse(home(written, 0o644).path(), "chmod 600");
        let open = home(written, 0o600);
        let folder = open.path().join("jeton");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        refuse(open.path(), "chmod 700");
        if rustix::process::geteuid().is_root() {
            let foreign = home(written, 0o600);
            chown(file(foreign.path()), Some(1234), None).unwrap();
            refuse(foreign.path(), "belongs to user 1234");
        }
    }
}
