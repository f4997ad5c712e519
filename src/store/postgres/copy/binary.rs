//! The binary format of COPY: a header, then rows of values with their lengths, then an end. It
//! needs no escapes, and moments and bytes cross unchanged.

use crate::store::{
    postgres::moment::Moment,
    row::{BadCell, Cell, Cells},
};

/// Start of the data: signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// End of the data, in place of the number of values of a row.
pub(super) const END: [u8; 2] = (-1_i16).to_be_bytes();

/// Length of a null.
const NULL: i32 = -1;

/// The type `text` in the catalog of Postgres.
const TEXT: u32 = 25;

/// Type of a column on Postgres.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Uuid,
    Text,
    /// `text[]`
    Texts,
    /// `integer`
    Small,
    /// `bigint`
    Integer,
    /// `boolean`
    Flag,
    /// `timestamptz`
    Moment,
    /// `bytea`
    Bytes,
}

/// Appends a row with these columns.
pub(super) fn push_row(
    data: &mut Vec<u8>,
    row: &impl Cells,
    columns: &[(&'static str, Kind)],
) -> Cell<()> {
    data.extend(i16::try_from(columns.len()).unwrap_or(i16::MAX).to_be_bytes());
    for &(column, kind) in columns {
        push(data, value(row, column, kind)?.as_deref());
    }
    Ok(())
}

fn value(row: &impl Cells, column: &'static str, kind: Kind) -> Cell<Option<Vec<u8>>> {
    Ok(match kind {
        Kind::Uuid => row.maybe_uuid(column)?.map(|id| id.as_bytes().to_vec()),
        Kind::Text => row.maybe_text(column)?.map(String::into_bytes),
        Kind::Texts => row.maybe_texts(column)?.map(|members| array(&members)),
        Kind::Small => {
            let number = row.maybe_integer(column)?.map(i32::try_from).transpose();
            let number = number.map_err(|error| BadCell::new(column, error.to_string()))?;
            number.map(|number| number.to_be_bytes().to_vec())
        }
        Kind::Integer => row.maybe_integer(column)?.map(|number| number.to_be_bytes().to_vec()),
        Kind::Flag => row.maybe_flag(column)?.map(|flag| vec![u8::from(flag)]),
        Kind::Moment => row
            .maybe_moment(column)?
            .map(|moment| Moment(moment).to_postgres().to_be_bytes().to_vec()),
        Kind::Bytes => row.maybe_bytes(column)?,
    })
}

/// Appends a value with its length.
fn push(data: &mut Vec<u8>, value: Option<&[u8]>) {
    data.extend(value.map_or(NULL, |value| length(value.len())).to_be_bytes());
    data.extend(value.unwrap_or_default());
}

/// A list of texts: dimensions, no nulls, type; then size and lower bound, and the members.
fn array(members: &[String]) -> Vec<u8> {
    let dimensions = i32::from(!members.is_empty());
    let mut data = [dimensions.to_be_bytes(), 0_i32.to_be_bytes(), TEXT.to_be_bytes()].concat();
    if !members.is_empty() {
        data.extend([length(members.len()).to_be_bytes(), 1_i32.to_be_bytes()].concat());
    }
    for member in members {
        push(&mut data, Some(member.as_bytes()));
    }
    data
}

/// SQLite stores no value of 2 GiB.
fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}
