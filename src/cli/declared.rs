//! Clients that files declare, in TOML or YAML: how such files are read and written.

mod document;
mod fields;
mod file;
mod position;
mod table;
mod toml;
mod write;
mod yaml;

pub(super) use self::{
    document::{Document, Format},
    fields::Fields,
    file::Declarations,
    table::Table,
    write::{Written, entries, write_file, write_toml_table},
};
