//! What files declare: a set, and the clients of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Context;

use super::{
    document::{Document, Format},
    fields::Fields,
    table::Table,
};
use crate::{
    cli::exit::Exit,
    domain::{ClientId, ClientRecord, Label, Malformed, SET_LABEL},
    registry::check_record,
};

/// Version of the format of these files.
pub(super) const FORMAT: i64 = 1;

/// A client that a file declares.
#[derive(Debug)]
pub(in crate::cli) struct Declared {
    /// What it is to be. Its id, state and times mean nothing.
    pub(in crate::cli) record: ClientRecord,
    /// Whether it may be taken over from another set or from none.
    pub(in crate::cli) adopts: bool,
    /// Where it is declared, as `file:line:column`.
    pub(in crate::cli) place: String,
}

/// What some files declare together.
#[derive(Debug, Default)]
pub(in crate::cli) struct Declarations {
    pub(in crate::cli) clients: BTreeMap<ClientId, Declared>,
    /// Names of the sets that the files are for.
    pub(in crate::cli) sets: BTreeSet<String>,
}

impl Declarations {
    /// Reads files and checks everything that can be checked without the database.
    ///
    /// # Errors
    /// For the first fault, with its file, line and column.
    pub(in crate::cli) fn read(files: &[impl AsRef<Path>]) -> anyhow::Result<Self> {
        let mut declarations = Self::default();
        for file in files {
            declarations.add(file.as_ref())?;
        }
        Ok(declarations)
    }

    fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        let document = Document::read(path, format_of(path)?)?;
        let file = Table::whole(&document)?;
        file.check_keys(&["format", "set", "defaults", "client"], &[])?;
        let format = file.number("format", |number| match number {
            FORMAT => Ok(()),
            _ => Err(Malformed("this version of Jeton reads format 1")),
        })?;
        if format.is_none() {
            return Err(file.refuse("the file must say `format`, which is 1"));
        }
        let set = file.text("set", set_name)?;
        let defaults = file.table("defaults")?;
        let defaults = defaults.as_ref().map(Fields::read).transpose()?.unwrap_or_default();
        for (client_id, table) in file.tables("client")? {
            self.declare(client_id, &table, &defaults, set.as_deref())?;
        }
        self.sets.extend(set);
        Ok(())
    }

    fn declare(
        &mut self,
        client_id: &str,
        table: &Table<'_>,
        defaults: &Fields,
        set: Option<&str>,
    ) -> anyhow::Result<()> {
        let client_id = ClientId::parse(client_id).map_err(|why| table.refuse(why))?;
        if let Some(first) = self.clients.get(&client_id) {
            let first = &first.place;
            return Err(table.refuse(format!("client {client_id} is declared at {first} already")));
        }
        let fields = Fields::read(table)?.over(defaults);
        let adopts = fields.adopts();
        let record = fields.record(client_id.clone(), set);
        let record = record.and_then(|record| check_record(&record).map(|()| record));
        let record = record.map_err(|why| table.refuse(format!("client {client_id}: {why}")))?;
        self.clients.insert(client_id, Declared { record, adopts, place: table.place() });
        Ok(())
    }
}

/// Parses the name of a set, which is the value of a label.
fn set_name(text: &str) -> Result<String, Malformed> {
    if text.is_empty() {
        return Err(Malformed("a set has a name; without `set` the file is for clients in no set"));
    }
    Label::parse(&format!("{SET_LABEL}={text}")).map(|_| text.to_owned())
}

fn format_of(path: &Path) -> anyhow::Result<Format> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => Ok(Format::Toml),
        Some("yaml" | "yml") => Ok(Format::Yaml),
        _ => Err(Exit::Usage.error(format!(
            "the name of {} must end with .toml, .yaml or .yml, which says what is in it, or with \
             .plan for a plan",
            path.display()
        ))),
    }
    .context("nothing was changed")
}
