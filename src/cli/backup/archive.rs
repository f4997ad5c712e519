//! Contents of an archive of `pg_dump`. The archive is unpacked and every row in it is counted.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::program::{self, Program};
use crate::store::Holdings;

/// Schema version and row counts of an archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Archive {
    /// Version of the schema; 0 if the archive is not a backup of Jeton.
    pub(in crate::cli) schema: i64,
    /// Number of rows by table.
    rows: BTreeMap<String, i64>,
}

impl Archive {
    /// Unpacks an archive with the first of the `programs` that can read it, and returns that
    /// program for the restore. The earlier ones fail if a later version wrote the archive.
    pub(in crate::cli) async fn read(
        file: &Path,
        programs: Vec<Program>,
    ) -> anyhow::Result<(Self, Program)> {
        let mut failed = None;
        for program in programs {
            match unpack(file, &program).await {
                Ok(archive) => return Ok((archive, program)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let failed = failed.unwrap_or_else(|| anyhow::anyhow!("there is no pg_restore"));
        Err(failed.context(format!("{} cannot be read as a backup of Postgres", file.display())))
    }

    fn of(&self, table: &str) -> i64 {
        self.rows.get(table).copied().unwrap_or(0)
    }

    /// Number of tokens, summed over the partitions of their table.
    fn tokens(&self) -> i64 {
        let of_tokens = |name: &str| name == "access_token" || name.starts_with("access_token_");
        self.rows.iter().filter(|(name, _)| of_tokens(name)).map(|(_, rows)| rows).sum()
    }

    /// Fails unless the archive holds exactly the rows that were counted in its snapshot.
    pub(in crate::cli) fn compare(&self, counted: &Holdings) -> anyhow::Result<()> {
        for (what, saved, there) in [
            ("migrations", self.schema, counted.schema),
            ("clients", self.of("client"), counted.clients),
            ("secrets", self.of("client_secret"), counted.secrets),
            ("tokens", self.tokens(), counted.tokens),
            ("revocations", self.of("revoked_token"), counted.revocations),
            ("rows of the audit trail", self.of("audit"), counted.audit),
        ] {
            ensure!(saved == there, "the backup holds {saved} {what}, the database {there}");
        }
        Ok(())
    }
}

async fn unpack(file: &Path, program: &Program) -> anyhow::Result<Archive> {
    let mut command = program.command();
    command.args(["--data-only", "--file=-"]).arg(file).stdout(Stdio::piped());
    let mut child = program::spawn(&mut command)?;
    let said = tokio::spawn(program::last_words(child.stderr.take()));
    let mut lines = BufReader::new(child.stdout.take().context("a pipe is missing")?);
    let (mut archive, mut line, mut table) = (Archive::default(), Vec::new(), None);
    for number in 1_u64.. {
        if number % 100_000 == 0 {
            program::tell(&format!("{number} rows read"));
        }
        line.clear();
        if lines.read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        table = archive.take(table, line.strip_suffix(b"\n").unwrap_or(&line));
    }
    let status = child.wait().await?;
    let said = said.await.unwrap_or_default();
    ensure!(status.success(), "{} failed: {said}", program::name(&command));
    Ok(archive)
}

/// Table whose rows are being read, one line each.
struct Table {
    name: String,
    /// Positions of the columns `version` and `success`, if this is the table of migrations.
    migrations: Option<(usize, usize)>,
}

impl Archive {
    /// Reads one line: a row of the current `table`, the end of it, or the start of another table.
    /// Returns the table that the next line belongs to.
    fn take(&mut self, table: Option<Table>, line: &[u8]) -> Option<Table> {
        let Some(table) = table else { return start(line) };
        if line == b"\\." {
            return None;
        }
        *self.rows.entry(table.name.clone()).or_default() += 1;
        if let Some((version, success)) = table.migrations {
            let fields: Vec<_> = line.split(|byte| *byte == b'\t').collect();
            let version =
                fields.get(version).and_then(|field| str::from_utf8(field).ok()?.parse().ok());
            if fields.get(success) == Some(&&b"t"[..]) {
                self.schema = self.schema.max(version.unwrap_or(0));
            }
        }
        Some(table)
    }
}

/// Parses the start of a table: `COPY public.client (id, client_id) FROM stdin;`.
fn start(line: &[u8]) -> Option<Table> {
    let line = str::from_utf8(line).ok()?;
    let (name, columns) =
        line.strip_prefix("COPY ")?.strip_suffix(") FROM stdin;")?.split_once(" (")?;
    let name = name.rsplit('.').next()?.to_owned();
    let place = |column: &str| columns.split(", ").position(|name| name == column);
    let migrations = if name == "_sqlx_migrations" {
        Some((place("version")?, place("success")?))
    } else {
        None
    };
    Some(Table { name, migrations })
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn rows_are_counted_by_their_lines() {
        let text = "--\nSET x = y;\n\nCOPY public._sqlx_migrations (version, success) FROM stdin;\n\
                    1\tt\n2\tt\n3\tf\n\\.\n\n\
                    COPY public.client (id, name) FROM stdin;\n\
                    a\tCOPY x (y) FROM stdin;\nb\t\\\\.\n\\.\n\
                    COPY public.access_token_20261123t06 (id) FROM stdin;\nx\n\\.\n\
                    COPY public.access_token_20261123t12 (id) FROM stdin;\nx\ny\n\\.\n\
                    COPY public.client_secret (id) FROM stdin;\n\\.\n";
        let (mut archive, mut table) = (Archive::default(), None);
        for line in text.lines() {
            table = archive.take(table, line.as_bytes());
        }
        assert_eq!((archive.schema, archive.of("client"), archive.tokens()), (2, 2, 3));
        assert_eq!(archive.of("client_secret"), 0);
    }
}
