//! The place that a context names.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{
    cli::exit::Exit,
    config::{Database, DatabaseUrl},
    domain::ClientId,
};

/// Where a command works.
#[derive(Debug)]
pub(in crate::cli) enum Place {
    Node(NodePlace),
    Database(DatabasePlace),
}

/// A node, by the address of its control listener.
#[derive(Debug)]
pub(in crate::cli) struct NodePlace {
    pub(in crate::cli) url: String,
    pub(in crate::cli) tls_ca: Option<PathBuf>,
    pub(in crate::cli) administrator: Option<Administrator>,
}

/// A database to work on directly.
#[derive(Debug)]
pub(in crate::cli) enum DatabasePlace {
    Postgres {
        url: DatabaseUrl,
        password_file: Option<PathBuf>,
    },
    /// The embedded database of this data directory.
    Embedded(PathBuf),
}

impl DatabasePlace {
    /// Names this database in the flags, instead of the one that they name.
    pub(in crate::cli) fn name_in(self, database: &mut Database) {
        match self {
            Self::Postgres { url, password_file } => {
                database.database_url = Some(url);
                database.database_password_file = password_file;
            }
            Self::Embedded(directory) => {
                (database.database_url, database.database_password_file) = (None, None);
                database.directory.data_dir = directory;
            }
        }
    }
}

/// An administrator, for a node that does not know the caller otherwise.
#[derive(Debug)]
pub(in crate::cli) struct Administrator {
    pub(in crate::cli) client_id: ClientId,
    pub(in crate::cli) secret_file: PathBuf,
    /// The node that issues its token.
    pub(in crate::cli) token_server: String,
}

impl Administrator {
    /// The administrator that these values name; `None` if they are missing.
    ///
    /// # Errors
    /// If only some of them are there.
    pub(in crate::cli) fn of(
        client_id: Option<ClientId>,
        secret_file: Option<PathBuf>,
        token_server: Option<String>,
    ) -> anyhow::Result<Option<Self>> {
        match (client_id, secret_file, token_server) {
            (Some(client_id), Some(secret_file), Some(token_server)) => {
                Ok(Some(Self { client_id, secret_file, token_server }))
            }
            (None, None, None) => Ok(None),
            _ => Err(Exit::Usage.error(
                "admin_id, admin_secret_file and token_server go together: set all three, or none",
            )),
        }
    }
}

/// A context as it stands in the file. It has no `Debug`, since the URL may hold a password.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Entry {
    pub(in crate::cli) server: Option<String>,
    pub(in crate::cli) tls_ca: Option<PathBuf>,
    pub(in crate::cli) admin_id: Option<String>,
    pub(in crate::cli) admin_secret_file: Option<PathBuf>,
    pub(in crate::cli) token_server: Option<String>,
    pub(in crate::cli) database_url: Option<String>,
    pub(in crate::cli) database_password_file: Option<PathBuf>,
    pub(in crate::cli) data_dir: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::cli) protected: bool,
}

impl Entry {
    /// The one place that the entry names. Paths are relative to the `folder` of the file.
    ///
    /// # Errors
    /// If it names none or several, or if what it says of the place is incomplete.
    pub(in crate::cli) fn place(&self, folder: &Path) -> anyhow::Result<Place> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| folder.join(path));
        let is_of_a_node = self.tls_ca.is_some()
            || self.admin_id.is_some()
            || self.admin_secret_file.is_some()
            || self.token_server.is_some();
        match (&self.server, &self.database_url, &self.data_dir) {
            (Some(url), None, None) if self.database_password_file.is_none() => {
                let url = match url.strip_prefix("unix:") {
                    Some(path) => format!("unix:{}", folder.join(path).display()),
                    None => url.clone(),
                };
                let client_id = self.admin_id.as_deref().map(ClientId::parse).transpose();
                let administrator = Administrator::of(
                    client_id.context("admin_id")?,
                    path(&self.admin_secret_file),
                    self.token_server.clone(),
                )?;
                Ok(Place::Node(NodePlace { url, tls_ca: path(&self.tls_ca), administrator }))
            }
            (None, Some(url), None) if !is_of_a_node => {
                Ok(Place::Database(DatabasePlace::Postgres {
                    url: DatabaseUrl::from(url.clone()),
                    password_file: path(&self.database_password_file),
                }))
            }
            (None, None, Some(directory))
                if !is_of_a_node && self.database_password_file.is_none() =>
            {
                Ok(Place::Database(DatabasePlace::Embedded(folder.join(directory))))
            }
            _ => Err(Exit::Usage.error(
                "must name one place: server with tls_ca, admin_id, admin_secret_file and \
                 token_server; or database_url with database_password_file; or data_dir",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Place, String> {
        let entry: Entry = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        entry.place(Path::new("/etc/contexts")).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_context_names_one_place_and_its_paths_are_those_of_the_file() {
        let node = "server = 'https://jeton.test:50052'\ntls_ca = 'ca.pem'\nadmin_id = 'ops'\n\
            admin_secret_file = '/run/ops'\ntoken_server = 'https://jeton.test:50051'";
        let Place::Node(node) = parsed(node).unwrap() else { panic!() };
        assert_eq!(node.url, "https://jeton.test:50052");
        assert_eq!(node.tls_ca.unwrap(), Path::new("/etc/contexts/ca.pem"));
        assert_eq!(node.administrator.unwrap().secret_file, Path::new("/run/ops"));
        let Place::Node(node) = parsed("server = 'unix:j.sock'").unwrap() else { panic!() };
        assert_eq!(node.url, "unix:/etc/contexts/j.sock");
        let embedded = parsed("data_dir = 'data'").unwrap();
        let Place::Database(DatabasePlace::Embedded(directory)) = embedded else { panic!() };
        assert_eq!(directory, Path::new("/etc/contexts/data"));
        for (text, told) in [
            ("", "must name one place"),
            ("protected = true", "must name one place"),
            ("data_dir = 'x'\nserver = 'unix:/x'", "must name one place"),
            ("data_dir = 'x'\nadmin_id = 'ops'", "must name one place"),
            ("data_dir = 'x'\ndatabase_password_file = 'y'", "must name one place"),
            ("server = 'unix:/x'\nadmin_id = 'ops'", "go together"),
            ("server = 'unix:/x'\nadmin_id = 'o p s'", "client id"),
            ("servr = 'unix:/x'", "servr"),
        ] {
            let refused = parsed(text).unwrap_err();
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }
}
