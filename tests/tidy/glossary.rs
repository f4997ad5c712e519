//! One name for each thing: that of the glossary in ARCHITECTURE.md.

use super::{File, files, numbered, report, sources};

/// Words that were used for a thing of the glossary, and its name.
const REPLACED: [(&str, &str); 12] = [
    ("knob", "setting"),
    ("knobs", "settings"),
    ("whoever", "the noun: caller, client, operator, peer"),
    ("whomever", "the noun: caller, client, operator, peer"),
    ("remembered", "cached"),
    ("remembers", "caches"),
    ("brake", "read throttle"),
    ("brakes", "read throttles"),
    ("burnt", "leaked"),
    ("faces", "transports"),
    ("passenger", "waiter"),
    ("flights", "look-ups in flight"),
];

fn architecture() -> File {
    files("", "md").into_iter().find(|file| file.path == "ARCHITECTURE.md").expect("it is there")
}

/// The terms, each with the files where it is.
fn terms(text: &str) -> Vec<(usize, &str, Vec<&str>)> {
    let rows = numbered(text).skip_while(|(_, line)| *line != "## Glossary").skip(1);
    let rows = rows.take_while(|(_, line)| !line.starts_with("## "));
    let rows = rows.filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| Term "));
    rows.map(|(number, line)| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let places = cells[2].split('`').skip(1).step_by(2);
        (number, cells[0], places.filter(|place| place.contains(".rs")).collect())
    })
    .collect()
}

#[test]
fn every_term_of_the_glossary_is_where_it_says() {
    let (architecture, sources) = (architecture(), sources());
    let terms = terms(&architecture.text);
    assert!(terms.len() >= 25, "{} terms", terms.len());
    let mut offences = Vec::new();
    for (line, term, places) in terms {
        for place in places {
            let name = place.strip_prefix("domain/").unwrap_or(place);
            let is_there = sources.iter().any(|file| {
                file.path == format!("src/{place}")
                    || file.path == format!("crates/jeton-domain/src/{name}")
                    || file.path.starts_with("src/") && file.path.ends_with(&format!("/{place}"))
            });
            if !is_there {
                offences.push(architecture.at(line, &format!("{term}: there is no {place}")));
            }
        }
    }
    report(&offences);
}

/// Comments, help texts and documents; names of tests and columns are older.
#[test]
fn nobody_uses_a_word_that_the_glossary_has_replaced() {
    let documents = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"];
    let documents = files("", "md").into_iter().filter(|file| {
        documents.contains(&file.path.as_str())
            || file.path.starts_with("docs/") && !file.path.starts_with("docs/decisions/")
    });
    let mut offences = Vec::new();
    for file in sources().into_iter().chain(files("proto", "proto")).chain(documents) {
        for (line, text) in numbered(&file.text) {
            let words = text.split(|c: char| !c.is_alphanumeric() && !"_-".contains(c));
            for word in words.map(str::to_lowercase) {
                if let Some((_, name)) = REPLACED.iter().find(|(old, _)| *old == word) {
                    offences.push(file.at(line, &format!("`{word}`: say {name}")));
                }
            }
        }
    }
    report(&offences);
}
