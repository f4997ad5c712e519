//! A table of clients (RFC 4180), with a header.

use super::file::{
    Candidate, Checked, Row, Skip, audiences, blank, candidate, of_field, scopes, secret,
};
use crate::{
    cli::duration::{parse_duration, parse_moment, parse_token_lifetime},
    domain::{ForeignSecret, Labels, Malformed, SecretHash, Timestamp, parse_label, parse_name},
    registry::{ImportedProof, ImportedSecret},
};

/// The columns, each of which may be missing but the first. Members of a list are separated by
/// spaces.
const COLUMNS: [&str; 12] = [
    "client_id",
    "name",
    "scopes",
    "default_scopes",
    "audiences",
    "serves",
    "token_lifetime",
    "secret_label",
    "secret_hash",
    "secret_text",
    "secret_expires",
    "labels",
];

pub(super) fn read(text: &str, now: Timestamp) -> Result<Vec<Row>, String> {
    let mut records = records(text)?.into_iter();
    let (_, header) = records.next().ok_or("which is empty: its first line names the columns")?;
    if let Some(unknown) = header.iter().position(|name| !COLUMNS.contains(&name.as_str())) {
        return Err(format!(
            "line 1, column {}: the columns are {}",
            unknown + 1,
            COLUMNS.join(", ")
        ));
    }
    if (1..header.len()).any(|at| header[..at].contains(&header[at])) {
        return Err("line 1: a column is there twice".to_owned());
    }
    if !header.iter().any(|name| name == COLUMNS[0]) {
        return Err("line 1: the column client_id is missing".to_owned());
    }
    records
        .map(|(line, cells)| {
            if cells.len() != header.len() {
                let (found, named) = (cells.len(), header.len());
                return Err(format!("line {line}: {found} cells, where line 1 has {named}"));
            }
            let cell = |column: &str| {
                let at = header.iter().position(|name| name == column);
                at.map(|at| cells[at].as_str()).unwrap_or_default()
            };
            let client_id = cell(COLUMNS[0]).to_owned();
            Ok(Row { place: format!("line {line}"), client_id, read: read_client(cell, now) })
        })
        .collect()
}

fn read_client<'a>(cell: impl Fn(&str) -> &'a str, now: Timestamp) -> Checked<Candidate> {
    let mut record = blank(cell("client_id"))?;
    let mut remarks = Vec::new();
    let list = |column| cell(column).split_ascii_whitespace();
    let client = &mut record.client;
    client.name = parse_name(cell("name"))?;
    client.scopes = scopes(list("scopes"), "", |_| false, &mut remarks)?;
    client.default_scopes = match cell("default_scopes") {
        "" => client.scopes.clone(),
        _ => scopes(list("default_scopes"), "", |_| false, &mut remarks)?,
    };
    client.audiences = audiences("audiences", list("audiences"))?;
    client.serves = audiences("serves", list("serves"))?;
    if !client.serves.is_empty() && client.scopes.is_empty() {
        client.grants.clear();
    }
    if !cell("token_lifetime").is_empty() {
        client.token_lifetime =
            of_field("token_lifetime", parse_token_lifetime(cell("token_lifetime")))?;
    }
    record.about.labels = of_field("labels", labels(list("labels")))?;
    let secrets = read_secret(&cell, now)?.into_iter().collect();
    candidate(record, secrets, remarks)
}

/// The labels of a client, without those by which `jeton apply` knows its own clients.
fn labels<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Labels, Malformed> {
    let labels = Labels::parse(texts)?;
    if labels.iter().any(|(key, _)| key.as_str().starts_with("jeton/")) {
        return Err(Malformed("the keys that begin with jeton/ are reserved: leave the label out"));
    }
    Ok(labels)
}

fn read_secret<'a>(
    cell: &impl Fn(&str) -> &'a str,
    now: Timestamp,
) -> Checked<Option<ImportedSecret>> {
    let proof = match (cell("secret_hash"), cell("secret_text")) {
        ("", "") => return Ok(None),
        (hash, "") => {
            ImportedProof::Hash(of_field("secret_hash", SecretHash::parse_foreign(hash))?)
        }
        ("", text) => {
            ImportedProof::Text(of_field("secret_text", ForeignSecret::parse_imported(text))?)
        }
        _ => return Err(Skip("secret_hash and secret_text are both there: leave one out".into())),
    };
    let label = match cell("secret_label") {
        "" => "imported".to_owned(),
        label => of_field("secret_label", parse_label(label))?,
    };
    let expires_at = match cell("secret_expires") {
        "" => None,
        end => Some(of_field("secret_expires", expiry(end, now))?),
    };
    Ok(Some(ImportedSecret { expires_at, ..secret(&label, proof) }))
}

fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, Malformed> {
    const MOMENT: Malformed = Malformed(
        "this is not a moment that is still to come: write a date such as 2030-01-09, or a time \
         such as 2030-01-09T08:12:44Z",
    );
    if parse_duration(text).is_ok() {
        return Err(MOMENT);
    }
    parse_moment(text).ok().filter(|end| *end > now).ok_or(MOMENT)
}

/// The records, each with the line that it begins in.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let (mut records, mut cells) = (Vec::new(), Vec::new());
    let (mut line, mut began) = (1, 1);
    let mut rest = text;
    while !rest.is_empty() {
        let (cell, after) = next_cell(rest).ok_or_else(|| {
            format!("line {line}: a quote is not closed, or stands within a cell: double it")
        })?;
        line += cell.matches('\n').count();
        cells.push(cell);
        rest = match after.strip_prefix(',') {
            Some("") => {
                cells.push(String::new());
                ""
            }
            Some(next) => {
                rest = next;
                continue;
            }
            None => {
                after.strip_prefix("\r\n").or_else(|| after.strip_prefix('\n')).unwrap_or(after)
            }
        };
        line += 1;
        // A line without anything is no record.
        if cells.len() > 1 || !cells[0].is_empty() {
            records.push((began, std::mem::take(&mut cells)));
        }
        cells.clear();
        began = line;
    }
    Ok(records)
}

/// The cell that a text begins with, and what follows it: a comma, a line break, or nothing.
fn next_cell(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let is_break = text[end..].starts_with('\n') && text[..end].ends_with('\r');
        let end = if is_break { end - 1 } else { end };
        let cell = &text[..end];
        return (!cell.contains('"')).then(|| (cell.to_owned(), &text[end..]));
    };
    let mut cell = String::new();
    loop {
        let quote = rest.find('"')?;
        cell.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => break,
        }
    }
    let is_end = rest.is_empty() || [",", "\n", "\r\n"].iter().any(|end| rest.starts_with(end));
    is_end.then_some((cell, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_rfc_4180_says() {
        let read = |text: &str| records(text).unwrap();
        let row = |line, cells: &[&str]| (line, cells.iter().map(|cell| (*cell).into()).collect());
        assert_eq!(
            read("a,b\r\nc,\"d\n\"\"e\"\"\"\r\n"),
            [row(1, &["a", "b"]), row(2, &["c", "d\n\"e\""]),]
        );
        assert_eq!(read("a,\n\nb,c"), [row(1, &["a", ""]), row(3, &["b", "c"])]);
        assert_eq!(read("a,b,"), [row(1, &["a", "b", ""])]);
        assert_eq!(read("\"a\nb\",c\nd,e"), [row(1, &["a\nb", "c"]), row(3, &["d", "e"])]);
        for text in ["a,\"b", "a,b\"c", "\"a\"b"] {
            records(text).unwrap_err();
        }
    }
}
