//! Migrations read as text, as far as the rules need it.

use super::rust::tokens;

/// A table, or a column of it, where a migration makes it.
pub(crate) struct Definition {
    pub(crate) line: usize,
    pub(crate) table: String,
    pub(crate) column: Option<String>,
}

type Words = Vec<(usize, String)>;

/// The words of each statement, without comments and texts.
fn statements(sql: &str) -> Vec<Words> {
    let mut code = String::new();
    let mut in_text = false;
    for line in sql.lines() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            if !in_text && rest.starts_with("--") {
                break;
            }
            in_text ^= first == '\'';
            code.push(if in_text || first == '\'' { ' ' } else { first.to_ascii_lowercase() });
            rest = &rest[first.len_utf8()..];
        }
        code.push('\n');
    }
    let words = tokens(&code);
    let statements = words.split(|(_, word)| *word == ";");
    statements
        .map(|words| words.iter().map(|(line, word)| (*line, (*word).to_owned())).collect())
        .collect()
}

/// Each `create table` and `alter table … add` with the line and name of the table, and the parts
/// between its outer commas.
fn tables(sql: &str) -> Vec<(bool, usize, String, Vec<Words>)> {
    let mut found = Vec::new();
    for words in statements(sql) {
        let word = |index: usize| words.get(index).map_or("", |(_, word)| word.as_str());
        let is_new = word(0) == "create";
        let Some(table) = (1..3).find(|index| word(*index) == "table") else { continue };
        let aside = |index: &usize| !matches!(word(*index), "if" | "not" | "exists" | "only");
        let Some(name) = (table + 1..words.len()).find(aside) else { continue };
        if !matches!(word(0), "create" | "alter") || (is_new && word(name + 1) != "(") {
            continue;
        }
        let mut depth = 0;
        let mut parts = vec![Words::new()];
        for (line, word) in &words[name + 1 + usize::from(is_new)..] {
            depth += i32::from(word == "(") - i32::from(word == ")");
            if depth < 0 {
                break;
            }
            if depth == 0 && word == "," {
                parts.push(Words::new());
            } else if let Some(part) = parts.last_mut() {
                part.push((*line, word.clone()));
            }
        }
        if !is_new {
            parts.retain(|part| part.first().is_some_and(|(_, word)| word == "add"));
            for part in &mut parts {
                let aside = ["add", "column", "if", "not", "exists"];
                let skipped = part.iter().take_while(|(_, word)| aside.contains(&&**word)).count();
                part.drain(..skipped);
            }
        }
        parts.retain(|part| !part.is_empty());
        found.push((is_new, words[0].0, words[name].1.clone(), parts));
    }
    found
}

pub(crate) fn definitions(sql: &str) -> Vec<Definition> {
    let constraints = ["constraint", "primary", "unique", "check", "foreign", "exclude", "like"];
    let mut found = Vec::new();
    for (is_new, line, table, parts) in tables(sql) {
        if is_new {
            found.push(Definition { line, table: table.clone(), column: None });
        }
        let columns = parts.iter().map(|part| &part[0]);
        for (line, name) in columns.filter(|(_, name)| !constraints.contains(&&**name)) {
            found.push(Definition {
                line: *line,
                table: table.clone(),
                column: Some(name.clone()),
            });
        }
    }
    found
}

/// The lines of the constraints that the database would have to name.
pub(crate) fn unnamed_constraints(sql: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for part in tables(sql).into_iter().flat_map(|(.., parts)| parts) {
        let word = |index: usize| part.get(index).map_or("", |(_, word)| word.as_str());
        if word(0) == "constraint" {
            continue;
        }
        for (index, (line, name)) in part.iter().enumerate() {
            let is_one = ["check", "unique", "primary", "references", "exclude"].contains(&&**name);
            if is_one && (index < 2 || word(index - 2) != "constraint") {
                found.push(*line);
            }
        }
    }
    found
}

/// What has a comment in Postgres: `table client`, `column client.id`.
pub(crate) fn comments_on(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    for words in statements(sql) {
        let words = words.iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>();
        if let ["comment", "on", kind, name @ .., "is"] = &words[..] {
            found.push(format!("{kind} {}", name.concat()));
        }
    }
    found
}
