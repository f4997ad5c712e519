//! Who may import whom. ARCHITECTURE.md has the same table with the reasons.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    File, files, report,
    rust::{code_of, imported_module, paths, without_test_modules},
};

/// A layer, the modules that it may import, and the crates that it must not name. `*` is every
/// module. A crate stands for its family: `tonic` is `tonic_health` too.
///
/// A layer stands above all those that it may import, so the table has no circles.
const LAYERS: [(&str, &str, &str); 21] = [
    ("main", "*", ""),
    ("lib", "*", ""),
    ("cli", "*", ""),
    ("node", "*", ""),
    ("net", "request stats telemetry config data_dir", "sqlx tonic"),
    ("oauth_http", "request pb form_encoding", "sqlx"),
    ("control", "rpc registry authority request store domain pb", "sqlx axum"),
    ("rpc", "authority request credentials stats domain pb form_encoding", "sqlx"),
    ("authority", "cache credentials request store stats domain", "tonic axum prost sqlx"),
    ("cache", "store stats domain", "tonic axum prost sqlx"),
    ("credentials", "request stats domain", "tonic axum prost sqlx"),
    ("request", "telemetry pb domain", "sqlx"),
    ("telemetry", "config store stats domain", "tonic axum sqlx"),
    ("registry", "store domain", "tonic axum prost sqlx"),
    ("config", "data_dir domain", "tonic axum sqlx"),
    ("store", "data_dir domain", "tonic axum prost"),
    ("stats", "domain", "tokio tonic axum prost sqlx"),
    ("form_encoding", "", ""),
    ("data_dir", "", "tonic axum prost sqlx"),
    // Crates of their own: `jeton-proto` and `jeton-domain`.
    ("pb", "", ""),
    ("domain", "", ""),
];

/// The code of a file of `src`, without its tests. None for a file of tests.
fn code(file: &File) -> Option<String> {
    let is_of_tests = file.modules().last() == Some(&"tests");
    (!is_of_tests).then(|| without_test_modules(&code_of(&file.text)))
}

#[test]
fn modules_import_only_what_their_layer_may() {
    let mut offences = Vec::new();
    for file in files("src", "rs") {
        let modules = file.modules();
        let Some(code) = code(&file) else { continue };
        let Some((layer, allowed, forbidden)) = LAYERS.iter().find(|row| row.0 == modules[0])
        else {
            offences.push(
                file.at(1, "this layer is new: give it a row in LAYERS, tests/tidy/layers.rs"),
            );
            continue;
        };
        for (line, path) in paths(&code) {
            if let Some(other) = imported_module(&path, &modules)
                && other != *layer
                && LAYERS.iter().any(|row| row.0 == other)
                && !allowed.split(' ').any(|name| name == "*" || name == other)
            {
                offences.push(file.at(
                    line,
                    &format!(
                        "`{layer}` must not import `{other}`: \
                    move what you need to a layer that both may see, or pass it in"
                    ),
                ));
            }
            let family = path[0].split('_').next().unwrap_or_default();
            if forbidden.split(' ').any(|name| name == family) {
                offences.push(file.at(
                    line,
                    &format!(
                        "`{layer}` must not know `{}`: \
                    keep it to the layer whose job it is",
                        path[0]
                    ),
                ));
            }
        }
    }
    offences.dedup();
    report(&offences);
}

#[test]
fn a_layer_stands_above_all_that_it_imports() {
    for (row, (layer, allowed, _)) in LAYERS.iter().enumerate() {
        for other in allowed.split(' ').filter(|name| !matches!(*name, "" | "*")) {
            let below = LAYERS.iter().position(|row| row.0 == other);
            assert!(below.is_some_and(|below| below > row), "`{layer}` stands below `{other}`");
        }
    }
}

/// A file stands for all that is below it: `hash_queue.rs` for `hash_queue/lane_queue.rs` too.
#[test]
fn no_files_of_a_layer_import_each_other_in_a_circle() {
    let mut imports: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for file in files("src", "rs") {
        let modules = file.modules();
        let ([layer, name, ..], Some(code)) = (&modules[..], code(&file)) else { continue };
        let of_file = imports.entry(((*layer).to_owned(), (*name).to_owned())).or_default();
        for (_, path) in paths(&code) {
            let supers = path.iter().take_while(|name| **name == "super").count();
            let other = match path[..] {
                ["crate", ref rest @ ..] if rest.first() == Some(layer) => rest.get(1),
                _ if supers > 0 && supers + 1 == modules.len() => path.get(supers),
                _ => None,
            };
            of_file.extend(other.filter(|other| *other != name).map(|other| (*other).to_owned()));
        }
    }
    for (layer, first) in imports.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![first.clone()]);
        while let Some(name) = next.pop() {
            for other in imports.get(&(layer.clone(), name.clone())).into_iter().flatten() {
                assert!(
                    other != first,
                    "`{layer}/{first}` imports itself by way of `{layer}/{name}`: move what both \
                     need to a file that neither of them imports back"
                );
                if seen.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
        }
    }
}

/// What a crate lacks, no file of it can use.
#[test]
fn the_values_know_no_transport_no_database_and_no_tasks() {
    for (name, forbidden) in [
        ("jeton-domain", &["tokio", "tonic", "axum", "hyper", "prost", "sqlx"][..]),
        ("jeton-proto", &["jeton", "sqlx", "axum", "argon2"]),
    ] {
        let manifests = files(&format!("crates/{name}"), "toml");
        let (_, dependencies) = manifests[0].text.split_once("[dependencies]").unwrap();
        let (dependencies, _) = dependencies.split_once("\n[").unwrap();
        for line in dependencies.lines() {
            let family = line.split(['.', ' ', '-']).next().unwrap_or_default();
            assert!(!forbidden.contains(&family), "{name} must not need {line}");
        }
    }
}
