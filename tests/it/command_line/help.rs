//! Help, completions, man pages, and the table of exit statuses.

use std::fs;

use super::stdout;
use crate::support::binary::{complaint, free_port, jeton};

/// All commands, each as its arguments.
fn commands(path: &[String]) -> Vec<Vec<String>> {
    let help = stdout(&jeton().args(path).arg("-h").output().unwrap());
    let mut found = vec![path.to_vec()];
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in listed.take_while(|line| line.starts_with("  ")) {
        let name = line.split_whitespace().next().unwrap();
        if !line.starts_with("   ") && name != "help" {
            found.extend(commands(&[path, &[name.to_owned()]].concat()));
        }
    }
    found
}

#[test]
fn help_is_at_most_a_hundred_columns_wide_and_long_lists_of_flags_have_headings() {
    let commands = commands(&[]);
    assert!(commands.len() > 30, "{commands:?}");
    for command in &commands {
        for flag in ["-h", "--help"] {
            let help = stdout(&jeton().args(command).arg(flag).output().unwrap());
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{command:?} {flag}: {line}");
            }
        }
    }
    let help = stdout(&jeton().args(["serve", "--help"]).output().unwrap());
    for heading in ["Listeners:", "TLS:", "Database:", "Log:", "All commands:"] {
        assert!(help.lines().any(|line| line == heading), "{heading} in {help}");
    }
}

#[test]
fn the_exit_statuses_are_in_the_help_and_in_the_documentation() {
    let help = stdout(&jeton().arg("--help").output().unwrap());
    let document = include_str!("../../../docs/commands.md");
    let rows = help.lines().skip_while(|line| *line != "Exit status:").skip(1);
    let rows: Vec<_> = rows.take_while(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), 9, "{help}");
    for row in rows {
        let (number, meaning) = row.trim().split_once("  ").unwrap();
        let row = format!("| {number} | {meaning} |");
        assert!(document.contains(&row), "{row} in docs/commands.md");
    }
}

#[test]
fn a_node_that_is_away_and_a_wrong_argument_have_their_own_status() {
    let away = format!("http://{}", free_port());
    let issue = ["token", "issue", "--client-id", "orders", "--server", &away];
    let output = jeton().args(issue).env("JETON_CLIENT_SECRET", "jts_x").output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(jeton().args(["client", "shw"]).output().unwrap().status.code(), Some(2));
    let none = jeton().args(["audit", "list", "--last", "0"]).output().unwrap();
    assert!(complaint(&none).contains("1..=1000000"), "{none:?}");
}

#[test]
fn completions_and_man_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&jeton().args(["completions", shell]).output().unwrap());
        for word in ["retire-secret", "tag-key", "database-url"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("man1");
    let written = jeton().arg("man").arg(&directory).output().unwrap();
    assert!(written.status.success(), "{written:?}");
    for command in commands(&[]) {
        let name = [&["jeton".to_owned()], &command[..]].concat().join("-") + ".1";
        let page = fs::read_to_string(directory.join(&name)).unwrap();
        assert!(page.contains(".SH NAME") && !page.contains("$HOME"), "{name}");
    }
}
