//! Contexts: places to work in, each with a name, in a file of the user.

use std::{
    collections::BTreeMap,
    env, fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, ensure};
use rustix::process::geteuid;
use serde::Deserialize;

use super::Administrator;
use crate::{
    cli::exit::Exit,
    config::{DatabaseUrl, nearest},
    data_dir,
    domain::ClientId,
};

/// A place to work in, and how careful to be there.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) place: Place,
    pub(super) is_protected: bool,
}

/// Where a command works.
#[derive(Debug)]
pub(super) enum Place {
    /// Through the node with this control listener.
    Node { url: String, tls_ca: Option<PathBuf>, administrator: Option<Administrator> },
    /// On a database on Postgres.
    Postgres { url: DatabaseUrl, password_file: Option<PathBuf> },
    /// On the embedded database of this data directory.
    Embedded(PathBuf),
}

/// A context as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    server: Option<String>,
    tls_ca: Option<PathBuf>,
    admin_id: Option<String>,
    admin_secret_file: Option<PathBuf>,
    token_server: Option<String>,
    database_url: Option<String>,
    database_password_file: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    #[serde(default)]
    protected: bool,
}

/// Finds a context by its name.
///
/// # Errors
/// If there is none, or if the file is missing, is not valid, or could be changed by other users.
pub(super) fn find(name: &str) -> anyhow::Result<Context> {
    let file = file()?;
    let shown = file.display();
    let mut contexts = read(&file).with_context(|| format!("the file of contexts {shown}"))?;
    let Some(entry) = contexts.remove(name) else {
        let hint = match nearest(contexts.keys().cloned(), name) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None if contexts.is_empty() => "it has none".to_owned(),
            None => {
                let names: Vec<_> = contexts.into_keys().collect();
                format!("it has {}", names.join(", "))
            }
        };
        let name = name.escape_debug();
        let text = format!("there is no context {name} in {shown}; {hint}");
        return Err(Exit::Usage.error(text));
    };
    let (folder, is_protected) = (file.with_file_name(""), entry.protected);
    let place = place(entry, &folder).with_context(|| format!("context {name} in {shown}"))?;
    Ok(Context { place, is_protected })
}

/// The file of contexts, in the configuration directory of the user (XDG Base Directory).
fn file() -> anyhow::Result<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || folder("HOME").map(|home| home.join(".config"));
    let folder = folder("XDG_CONFIG_HOME").or_else(home);
    let folder = folder.context("no file of contexts can be found: set HOME or XDG_CONFIG_HOME")?;
    Ok(folder.join("jeton/contexts.toml"))
}

/// Reads the file, which only its owner may change: it decides where secrets are sent.
fn read(file: &Path) -> anyhow::Result<BTreeMap<String, Entry>> {
    let text = data_dir::read_private(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Exit::Usage.error("does not exist: --context names a section of it"),
        _ => anyhow!("cannot be used: {error}"),
    })?;
    let (owner, user) = (fs::metadata(file)?.uid(), geteuid().as_raw());
    ensure!(owner == user || owner == 0, "belongs to user {owner}: it must be your own");
    let text = String::from_utf8_lossy(&text);
    // The `Display` of this error would quote the whole line, which may hold a password.
    toml::from_str(&text).map_err(|error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Exit::Usage.error(format!("line {line}: {}", error.message()))
    })
}

/// The one place that an entry names. Paths are relative to the `folder` of the file.
fn place(entry: Entry, folder: &Path) -> anyhow::Result<Place> {
    let path = |path: Option<PathBuf>| path.map(|path| folder.join(path));
    let is_of_a_node = entry.tls_ca.is_some() || entry.admin_id.is_some();
    let is_of_a_node =
        is_of_a_node || entry.admin_secret_file.is_some() || entry.token_server.is_some();
    match (entry.server, entry.database_url, entry.data_dir) {
        (Some(url), None, None) if entry.database_password_file.is_none() => {
            let url = match url.strip_prefix("unix:") {
                Some(path) => format!("unix:{}", folder.join(path).display()),
                None => url,
            };
            let client_id = entry.admin_id.as_deref().map(ClientId::parse).transpose();
            let administrator = Administrator::of(
                client_id.context("admin_id")?,
                path(entry.admin_secret_file),
                entry.token_server,
            )?;
            Ok(Place::Node { url, tls_ca: path(entry.tls_ca), administrator })
        }
        (None, Some(url), None) if !is_of_a_node => Ok(Place::Postgres {
            url: DatabaseUrl::from(url),
            password_file: path(entry.database_password_file),
        }),
        (None, None, Some(directory)) if !is_of_a_node => {
            Ok(Place::Embedded(folder.join(directory)))
        }
        _ => Err(Exit::Usage.error(
            "must name one place: server with tls_ca, admin_id, admin_secret_file and \
             token_server; or database_url with database_password_file; or data_dir",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Place, String> {
        let entry = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        place(entry, Path::new("/etc/contexts")).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_context_names_one_place_and_its_paths_are_those_of_the_file() {
        let node = "server = 'https://jeton.test:50052'\ntls_ca = 'ca.pem'\nadmin_id = 'ops'\n\
            admin_secret_file = '/run/ops'\ntoken_server = 'https://jeton.test:50051'";
        let Place::Node { url, tls_ca, administrator } = parsed(node).unwrap() else { panic!() };
        assert_eq!(url, "https://jeton.test:50052");
        assert_eq!(tls_ca.unwrap(), Path::new("/etc/contexts/ca.pem"));
        assert_eq!(administrator.unwrap().secret_file, Path::new("/run/ops"));
        let Place::Node { url, .. } = parsed("server = 'unix:j.sock'").unwrap() else { panic!() };
        assert_eq!(url, "unix:/etc/contexts/j.sock");
        let Place::Embedded(directory) = parsed("data_dir = 'data'").unwrap() else { panic!() };
        assert_eq!(directory, Path::new("/etc/contexts/data"));
        for (text, told) in [
            ("", "must name one place"),
            ("protected = true", "must name one place"),
            ("data_dir = 'x'\nserver = 'unix:/x'", "must name one place"),
            ("data_dir = 'x'\nadmin_id = 'ops'", "must name one place"),
            ("server = 'unix:/x'\nadmin_id = 'ops'", "go together"),
            ("server = 'unix:/x'\nadmin_id = 'o p s'", "client id"),
            ("servr = 'unix:/x'", "servr"),
        ] {
            let refused = parsed(text).unwrap_err();
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }
}
