//! The files by which others run Jeton: the unit of systemd, the image, the compose file and the
//! manifests for Kubernetes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::binary::jeton;

const UNIT: &str = "packaging/systemd/jeton.service";

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// All files that set variables of Jeton.
fn files() -> Vec<PathBuf> {
    let mut files = vec!["Containerfile".into(), "docker-compose.yml".into(), UNIT.into()];
    let manifests = fs::read_dir("packaging/kubernetes").unwrap().map(|entry| entry.unwrap());
    files.extend(manifests.map(|entry| entry.path()).filter(|path| path.is_file()));
    files
}

/// Words of a text that could be names of our variables.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("JETON_") && !word.ends_with('_'))
}

/// Those that the files use for a purpose of their own: the build reads one, and compose another.
const OF_FILES: [&str; 2] = ["JETON_COMMIT", "JETON_NAMES"];

#[test]
fn every_variable_in_the_packaging_is_one_that_jeton_knows() {
    let texts: Vec<_> = files().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let used: BTreeSet<&str> = texts.iter().flat_map(|text| variables(text)).collect();
    assert!(used.len() > 10 && OF_FILES.iter().all(|name| used.contains(name)), "{used:?}");
    let used = used.into_iter().filter(|name| !OF_FILES.contains(name));
    // Empty variables count as unset, and their names are checked all the same.
    let output = jeton().args(["token", "revoke"]).envs(used.map(|name| (name, ""))).output();
    assert!(!said(&output.unwrap()).contains("is unknown"));
    let output = jeton().args(["config"]).env("JETON_UNHEARD_OF", "").output().unwrap();
    assert!(said(&output).contains("JETON_UNHEARD_OF is unknown"), "{}", said(&output));
}

/// What the drain takes at most, by the defaults: the timeout, and two seconds for the database.
const DRAIN_SECONDS: u32 = 20 + 2;

#[test]
fn everything_that_stops_a_node_waits_for_its_drain() {
    for (file, setting, pre_stop) in [
        (UNIT, "TimeoutStopSec=", 0),
        ("docker-compose.yml", "stop_grace_period: ", 0),
        ("packaging/kubernetes/deployment.yaml", "terminationGracePeriodSeconds: ", 5),
    ] {
        let text = fs::read_to_string(file).unwrap();
        let (_, value) = text.split_once(setting).unwrap_or_else(|| panic!("no {setting} {file}"));
        let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
        assert!(digits.parse::<u32>().unwrap() > DRAIN_SECONDS + pre_stop, "{file}: {digits}");
    }
}

/// A copy of the unit that starts the binary of this test.
fn unit(directory: &Path) -> PathBuf {
    let text = fs::read_to_string(UNIT).unwrap();
    assert!(text.contains("ExecStart=/usr/local/bin/jeton serve\n"), "{text}");
    let path = directory.join("jeton.service");
    fs::write(&path, text.replace("/usr/local/bin/jeton", env!("CARGO_BIN_EXE_jeton"))).unwrap();
    path
}

/// `systemd-analyze` with a unit that it can find everything of. None where it is not installed.
#[expect(clippy::print_stdout, reason = "a test that is not run says so")]
fn analyze(arguments: &[&str]) -> Option<Output> {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("systemd-analyze");
    let found = command.args(arguments).arg(unit(directory.path())).output();
    found.inspect_err(|_| println!("not run: systemd-analyze is missing")).ok()
}

#[test]
fn the_unit_is_one_that_systemd_accepts_without_a_remark() {
    let Some(output) = analyze(&["verify", "--man=no"]) else { return };
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

/// The scale goes from 0, safe, to 10. What a node needs (sockets, the network) makes 1.5.
#[test]
fn the_unit_leaves_a_node_little_to_do_harm_with() {
    let Some(output) = analyze(&["security", "--offline=true", "--threshold=20", "--no-pager"])
    else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn only_what_the_build_reads_reaches_the_builder() {
    let list = fs::read_to_string(".dockerignore").unwrap();
    let rules: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rules[0], "*", "everything is left out that is not listed");
    let listed: BTreeSet<_> =
        rules[1..].iter().map(|rule| rule.strip_prefix('!').unwrap()).collect();
    for path in &listed {
        assert!(Path::new(path).exists(), "{path}");
    }
    for needed in ["Cargo.lock", "Cargo.toml", "build.rs", "crates", "proto", "src", "vendor"] {
        assert!(listed.contains(needed), "{needed}");
    }
    for private in [".env", ".git", "target", "jeton-data", "docs"] {
        assert!(!listed.contains(private), "{private}");
    }
}

/// A crate or benchmark without a stand-in would fail the build of the image, which no test here
/// runs.
#[test]
fn the_layer_of_the_dependencies_has_every_crate_and_benchmark() {
    let text = fs::read_to_string("Containerfile").unwrap();
    for entry in fs::read_dir("crates").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let copied = format!("COPY crates/{name}/Cargo.toml crates/{name}/\n");
        assert!(text.contains(&copied) && text.contains(&format!("crates/{name}/src/lib.rs")));
    }
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    for bench in manifest.split("[[bench]]").skip(1) {
        let name = bench.split('"').nth(1).unwrap();
        assert!(text.contains(&format!("benches/{name}.rs")), "{name}");
    }
}

/// Images come from a registry that is named, and from one release of Debian.
#[test]
fn every_image_is_named_in_full_and_of_one_release() {
    let mut images = Vec::new();
    for file in ["Containerfile", "docker-compose.yml"] {
        let text = fs::read_to_string(file).unwrap();
        let named = text.lines().filter_map(|line| {
            let line = line.trim();
            line.strip_prefix("FROM ").or_else(|| line.strip_prefix("image: ")).map(str::to_owned)
        });
        images.extend(named.filter(|image| image != "scratch" && image != "jeton"));
    }
    assert!(images.len() >= 2, "{images:?}");
    for image in images {
        let name = image.split(' ').next().unwrap();
        assert!(name.starts_with("docker.io/library/") && name.ends_with("-trixie"), "{image}");
    }
}
