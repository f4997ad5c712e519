//! The rules of the source tree that no compiler checks: who may import whom, how long things may
//! be, and what must carry a comment. The tree is read as text, so that this needs no build of it.

#[path = "tidy/glossary.rs"]
mod glossary;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/rust.rs"]
mod rust;
#[path = "tidy/sql.rs"]
mod sql;

use std::{collections::BTreeSet, fs, path::Path};

use rust::{code_of, functions};
use sql::{Definition, comments_on, definitions, unnamed_constraints};

const MAX_FILE_LINES: usize = 300;
const MAX_TEST_FILE_LINES: usize = 400;
const MAX_FN_LINES: usize = 70;
const MAX_COLUMNS: usize = 100;

#[test]
fn nothing_is_longer_than_a_reader_holds_in_the_head() {
    let mut offences = Vec::new();
    let limits =
        [("src", MAX_FILE_LINES), ("crates", MAX_FILE_LINES), ("tests", MAX_TEST_FILE_LINES)];
    for (folder, limit) in limits {
        for file in files(folder, "rs") {
            let lines = file.text.lines().count();
            if lines > limit {
                offences.push(file.at(lines, &format!("{lines} lines of {limit}: split the file")));
            }
        }
    }
    for file in sources() {
        for (line, text) in numbered(&file.text) {
            let columns = text.chars().count();
            if columns > MAX_COLUMNS {
                let why = format!("{columns} columns of {MAX_COLUMNS}: break the line");
                offences.push(file.at(line, &why));
            }
        }
        for (line, lines) in functions(&code_of(&file.text)) {
            if lines > MAX_FN_LINES {
                let why = format!("a function of {lines} lines of {MAX_FN_LINES}: name its parts");
                offences.push(file.at(line, &why));
            }
        }
    }
    report(&offences);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = sources().into_iter().filter(|file| !file.text.starts_with("//!"));
    let why = "the file must begin with `//!` and say what it is for";
    report(&silent.map(|file| file.at(1, why)).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_half_done() {
    let mark = concat!("TO", "DO");
    let mut offences = Vec::new();
    for file in sources().into_iter().chain(files("tests", "rs")) {
        for (line, text) in numbered(&code_of(&file.text)) {
            for name in ["dbg!(", "todo!(", "unimplemented!("] {
                if text.contains(name) {
                    offences.push(file.at(line, &format!("`{name}…)` must go before it lands")));
                }
            }
        }
        for (line, text) in numbered(&file.text) {
            let is_named = |rest: &str| {
                let number = rest.strip_prefix("(#").and_then(|rest| rest.split_once("):"));
                number.is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            };
            if text.split(mark).skip(1).any(|rest| !is_named(rest)) {
                let why = format!("write `{mark}(#7): …` with the number of its issue, or do it");
                offences.push(file.at(line, &why));
            }
        }
    }
    report(&offences);
}

/// A reader that goes away makes these macros panic; `cli/output.rs` writes without them.
#[test]
fn nothing_is_printed_past_the_one_writer() {
    let mut offences = Vec::new();
    for file in sources() {
        for (line, text) in numbered(&code_of(&file.text)) {
            if ["print!(", "println!("].iter().any(|name| text.contains(name)) {
                offences
                    .push(file.at(line, "print by `cli/output.rs`, which survives a closed pipe"));
            }
        }
    }
    report(&offences);
}

#[test]
fn every_part_of_the_contract_has_a_comment() {
    let mut offences = Vec::new();
    for file in files("proto", "proto") {
        let mut above = "";
        for (line, text) in numbered(&file.text) {
            let text = text.trim();
            let first = text.split([' ', '{']).next().unwrap_or_default();
            let is_named = matches!(first, "service" | "rpc" | "message" | "enum" | "oneof");
            let is_aside =
                matches!(first, "syntax" | "option" | "reserved") || text.starts_with("//");
            let number = text.rsplit_once(" = ").map_or("", |(_, rest)| rest);
            let is_numbered = number.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            if !is_aside && (is_named || is_numbered) && !above.starts_with("//") {
                offences
                    .push(file.at(line, &format!("`{text}` wants a comment on the line above")));
            }
            above = text;
        }
    }
    report(&offences);
}

#[test]
fn every_column_has_a_comment_and_every_constraint_a_name() {
    let mut offences = Vec::new();
    let postgres = files("migrations/postgres", "sql");
    let said = postgres.iter().flat_map(|file| comments_on(&file.text)).collect::<Vec<_>>();
    for file in &postgres {
        for Definition { line, table, column, .. } in definitions(&file.text) {
            let of = column
                .map_or(format!("table {table}"), |column| format!("column {table}.{column}"));
            if !said.contains(&of) {
                offences.push(file.at(line, &format!("write `comment on {of} is '…';`")));
            }
        }
    }
    let sqlite = files("migrations/sqlite", "sql");
    for file in &sqlite {
        let lines = file.text.lines().collect::<Vec<_>>();
        for Definition { line, table, column, .. } in definitions(&file.text) {
            let above = line.checked_sub(2).map_or("", |above| lines[above].trim());
            if !above.starts_with("--") && !lines[line - 1].contains("--") {
                let what = column.unwrap_or(table);
                offences.push(file.at(line, &format!("`{what}` wants a `--` comment above it")));
            }
        }
    }
    for file in postgres.iter().chain(&sqlite) {
        for line in unnamed_constraints(&file.text) {
            let why =
                "a constraint without a name: write `constraint <what_it_promises>` before it";
            offences.push(file.at(line, why));
        }
    }
    report(&offences);
}

#[test]
fn every_rule_of_oauth_is_tried_by_its_number() {
    let named = files("tests/it", "rs")
        .iter()
        .flat_map(|file| rules::named(&file.text))
        .collect::<BTreeSet<_>>();
    let mut offences = Vec::new();
    for document in ["docs/rules.md", "docs/divergences.md"] {
        let document = files("docs", "md").into_iter().find(|file| file.path == document);
        let document = document.expect("the document has moved");
        let listed = rules::listed(&document.text);
        assert!(listed.len() > 20, "{} has no table of rules", document.path);
        for number in listed.difference(&named) {
            let why = format!("rule {number} is named by no test in tests/it");
            offences.push(document.at(1, &why));
        }
    }
    report(&offences);
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let mut offences = Vec::new();
    for file in files("", "").into_iter().filter(|file| !file.path.ends_with("lock.json")) {
        for (line, text) in numbered(&file.text) {
            for folder in [concat!("/wo", "rk/"), concat!("/ro", "ot/")] {
                let is_absolute = |(at, _): (usize, &str)| {
                    !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || ".-_".contains(c))
                };
                if text.match_indices(folder).any(is_absolute) {
                    let why = format!("`{folder}…` is there on one machine only: say it otherwise");
                    offences.push(file.at(line, &why));
                }
            }
        }
    }
    report(&offences);
}

// The tree.

struct File {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl File {
    fn at(&self, line: usize, why: &str) -> String {
        format!("{}:{line}: {why}", self.path)
    }

    /// `src/rpc/basic.rs` is `["rpc", "basic"]`.
    fn modules(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').collect()
    }
}

/// The text files below a folder whose names end with an extension, or all of them.
fn files(folder: &str, extension: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                let is_made = [".git", "target", "node_modules", "jeton-data"];
                if is_made.iter().all(|made| name != *made) {
                    folders.push(path);
                }
            } else if path.to_string_lossy().ends_with(extension)
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(root).unwrap_or(&path);
                found.push(File { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    // A rule about a folder that has moved would pass for ever.
    assert!(!found.is_empty(), "nothing to check in {folder}/");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The source of the product: that of the node, and of the crates that it is made of.
fn sources() -> Vec<File> {
    let mut sources = files("src", "rs");
    sources.extend(files("crates", "rs"));
    sources
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn report(offences: &[String]) {
    let text = offences.iter().fold(String::new(), |text, offence| text + "\n  " + offence);
    assert!(offences.is_empty(), "{} to mend:{text}", offences.len());
}
