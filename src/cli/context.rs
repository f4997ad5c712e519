//! `jeton context …`: names of nodes and databases, and the one that commands work in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    administration::Site,
    arguments::Format,
    contexts::{self, Context, ContextName, Entry, Label, NodePlace, Place},
    deadline::Deadline,
    exit::Exit,
    input, output,
    table::Column,
    target,
};
use crate::{
    config::{Database, DatabaseUrl, Links},
    domain::ClientId,
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A command works in the context of --context, else where a flag, a variable or the configuration
file says (--server, --database-url, --data-dir), else in the context of JETON_CONTEXT, else in the
current one, else on the embedded database in jeton-data. Its first line says which. `jeton serve`
and `jeton dev` have no contexts.

Example:
  jeton context list")]
pub(super) enum ContextCommand {
    /// Name a node or a database
    Add(Box<Add>),
    /// List the contexts
    #[command(after_help = "\
Example:
  jeton context list --json")]
    List(Format),
    /// Work in a context from now on, unless something else names a place
    Use(Use),
    /// Remove a context; the node or the database stays as it is
    Remove(Remove),
}

#[derive(Debug, Args)]
#[command(after_help = "\
It is written to jeton/contexts.toml in XDG_CONFIG_HOME, else in ~/.config, for its owner only. Name
one place: a node, a database on Postgres, or the data directory of an embedded one.

Examples:
  jeton context add local --data-dir jeton-data
  jeton context add own-node --server unix:jeton-data/control.sock --protected")]
pub(super) struct Add {
    /// Name of the context
    #[arg(value_name = "NAME", value_parser = ContextName::parse)]
    name: ContextName,

    /// Node, by its control listener: https://HOST:PORT, or `unix:` and a path
    #[arg(id = "context_server", long = "server", value_name = "URL")]
    server: Option<String>,

    /// Certificate authorities to trust for the node, PEM
    #[arg(id = "context_tls_ca", long = "tls-ca", value_name = "FILE")]
    tls_ca: Option<PathBuf>,

    /// Administrator to act as on the node
    #[arg(id = "context_admin_id", long = "admin-id", value_name = "ID",
          value_parser = ClientId::parse)]
    admin_id: Option<ClientId>,

    /// File with the secret of the administrator
    #[arg(id = "context_admin_secret_file", long = "admin-secret-file", value_name = "FILE")]
    admin_secret_file: Option<PathBuf>,

    /// Node that issues the token of the administrator, by its address for callers
    #[arg(id = "context_token_server", long = "token-server", value_name = "URL")]
    token_server: Option<String>,

    /// Database on Postgres, by its URL without a password
    #[arg(id = "context_database_url", long = "database-url", value_name = "URL")]
    database_url: Option<DatabaseUrl>,

    /// File that holds the password for the database, and nothing else
    #[arg(id = "context_password_file", long = "database-password-file", value_name = "FILE")]
    database_password_file: Option<PathBuf>,

    /// Data directory of an embedded database
    #[arg(id = "context_data_dir", long = "data-dir", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Ask to type a name before something stops working there
    #[arg(long)]
    protected: bool,

    /// Replace the context of the same name, if there is one; a protected one stays protected
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    links: Links,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jeton context use prod
  jeton context use --none")]
pub(super) struct Use {
    /// Name of the context
    #[arg(value_name = "NAME", required_unless_present = "none", conflicts_with = "none")]
    name: Option<String>,

    /// Have no current context any more
    #[arg(long)]
    none: bool,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  jeton context remove prod")]
pub(super) struct Remove {
    /// Name of the context
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    format: Format,
}

impl ContextCommand {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.run(deadline).await,
            Self::List(format) => list(format),
            Self::Use(Use { name, none: _, format }) => choose(name, format, deadline).await,
            Self::Remove(Remove { name, format }) => {
                let was_current = contexts::remove(deadline, &name).await?;
                let told = format!("Context {name} is removed.");
                tell(format, &json!({ "name": name, "removed": true }), &told);
                if was_current {
                    output::remark("It was the current context; there is none now.");
                }
                Ok(())
            }
        }
    }
}

impl Add {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let (links, is_replacing, format) = (self.links, self.replace, self.format);
        let (name, is_protected) = (self.name.clone(), self.protected);
        let entry = self.entry()?;
        // The paths are absolute, so that no folder is needed.
        let place = entry.place(Path::new("/"))?;
        if let Place::Node(NodePlace { administrator: Some(administrator), .. }) = &place {
            let file = Some(&*administrator.secret_file);
            let _ = input::secret(administrator.client_id.as_str(), file)?;
        }
        let label = Label { name: name.0.clone(), is_protected };
        let database = Database { links, ..Database::default() };
        // Whatever would be refused at its first use is refused now.
        let site = Site::within(Context { label, place }, database)?;
        let told = format!("Context {} is {}.", name.0, site.place);
        let json = json!({ "name": name.0, "place": site.place, "protected": is_protected });
        contexts::add(deadline, name, entry, is_replacing).await?;
        tell(format, &json, &told);
        Ok(())
    }

    /// The context as it stands in the file. Paths become absolute, because they are relative to
    /// the working directory here, and to the folder of the file there.
    fn entry(self) -> anyhow::Result<Entry> {
        let path = |path: Option<PathBuf>| path.map(std::path::absolute).transpose();
        let server = self.server.map(|url| match url.strip_prefix("unix:") {
            Some(socket) => {
                let socket = std::path::absolute(socket)?;
                let socket = socket.to_str().context("the path of the socket is not UTF-8")?;
                anyhow::Ok(format!("unix:{socket}"))
            }
            None => Ok(url),
        });
        let database_url = self.database_url.as_ref();
        // The redacted URL is another one if there is a password in it.
        if database_url.is_some_and(|url| url.redacted() != url.expose()) {
            return Err(Exit::Usage.error(
                "a context keeps no password, and other users of this machine can read arguments: \
                 leave it out of --database-url, and name a file that holds it with \
                 --database-password-file",
            ));
        }
        Ok(Entry {
            server: server.transpose()?,
            tls_ca: path(self.tls_ca)?,
            admin_id: self.admin_id.map(|id| id.to_string()),
            admin_secret_file: path(self.admin_secret_file)?,
            token_server: self.token_server,
            database_url: database_url.map(|url| url.expose().to_owned()),
            database_password_file: path(self.database_password_file)?,
            data_dir: path(self.data_dir)?,
            protected: self.protected,
        })
    }
}

fn list(format: Format) -> anyhow::Result<()> {
    let (all, current) = contexts::all()?;
    let current = contexts::variable().or(current);
    let rows = all.into_iter().map(|Context { label, place }| {
        let is_current = current.as_ref() == Some(&label.name);
        let (kind, place) = told(place);
        (label, kind, place, is_current)
    });
    if format.json {
        let rows = rows.map(|(label, kind, place, is_current)| {
            json!({
                "name": label.name,
                "kind": kind,
                "place": place,
                "protected": label.is_protected,
                "current": is_current,
            })
        });
        output::json(&json!({ "contexts": rows.collect::<Vec<_>>() }));
        return Ok(());
    }
    let yes = |is_so| if is_so { "yes" } else { "no" }.to_owned();
    let rows: Vec<_> = rows
        .map(|(label, kind, place, is_current)| {
            [label.name, yes(is_current), kind.to_owned(), yes(label.is_protected), place]
        })
        .collect();
    if rows.is_empty() {
        output::remark("There are no contexts; `jeton context add` adds one.");
    } else {
        let columns = [
            Column::whole("context"),
            Column::whole("current"),
            Column::whole("kind"),
            Column::whole("protected"),
            Column::text("place"),
        ];
        output::table(columns, rows);
    }
    Ok(())
}

/// Kind and name of a place, for people. The name of a database has no password.
fn told(place: Place) -> (&'static str, String) {
    match place {
        Place::Node(node) => ("node", node.url),
        Place::Database(place) => {
            let mut database = Database::default();
            place.name_in(&mut database);
            ("database", target::place(&database))
        }
    }
}

/// Prints what was done.
fn tell(format: Format, json: &Value, told: &str) {
    if format.json { output::json(json) } else { output::say(told) }
}

async fn choose(name: Option<String>, format: Format, deadline: Deadline) -> anyhow::Result<()> {
    // One that cannot be used is refused before all commands depend on it.
    let chosen = name.as_deref().map(contexts::find).transpose()?;
    contexts::set_current(deadline, name.clone()).await?;
    let told = match chosen {
        Some(Context { label, place }) => {
            let (kind, place) = told(place);
            format!("Commands work in context {} from now on: {kind} {place}.", label.name)
        }
        None => "There is no current context any more.".to_owned(),
    };
    tell(format, &json!({ "current": name }), &told);
    if let Some(variable) = contexts::variable() {
        let variable = output::printable(&variable);
        output::remark(&format!("JETON_CONTEXT is set and goes before it: {variable}."));
    }
    Ok(())
}
