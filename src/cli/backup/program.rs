//! The programs of Postgres that save and restore a database.

use std::{
    env, fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::sleep,
};

use super::libpq;
use crate::{cli::output, config::DatabaseUrl};

/// Where packages keep such programs, so that several versions stand side by side.
const FOLDERS: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
];

/// What a program said is told up to so many bytes.
const SAID: u64 = 4_096;

/// A program of Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Program {
    path: PathBuf,
    major: u32,
}

/// The programs of this name that suit a server, the most suitable first. The server's own version
/// is best: a newer program writes settings into a copy that an older server does not know.
pub(in crate::cli) async fn suitable(name: &str, server: u32) -> anyhow::Result<Vec<Program>> {
    let mut found = Vec::new();
    for path in candidates(name) {
        if let Some(major) = version(&path).await {
            found.push(Program { path, major });
        }
    }
    let suitable = in_order(found.clone(), server);
    if suitable.is_empty() {
        let versions: Vec<_> = found.iter().map(|program| program.major.to_string()).collect();
        let there = if versions.is_empty() {
            "there is none on this machine".to_owned()
        } else {
            format!("those of this machine are of version {}", versions.join(", "))
        };
        bail!(
            "{name} of Postgres {server} or later is needed, and {there}: install \
             postgresql-client-{server}, or name its folder in PATH"
        );
    }
    Ok(suitable)
}

/// The major version in the number by which a server names its own: 15 of 150004.
pub(in crate::cli) fn major_of(server: i32) -> u32 {
    u32::try_from(server / 10_000).unwrap_or(0)
}

fn in_order(mut found: Vec<Program>, server: u32) -> Vec<Program> {
    found.retain(|program| program.major >= server);
    found.sort_by_key(|program| program.major);
    found
}

/// The folders of versions come first: what stands in PATH on Debian chooses a version by itself.
fn candidates(name: &str) -> Vec<PathBuf> {
    let mut versions: Vec<PathBuf> = FOLDERS
        .iter()
        .filter_map(|(folder, start)| Some((fs::read_dir(folder).ok()?, start)))
        .flat_map(|(entries, start)| {
            let is_one = move |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(start);
            entries.flatten().filter(move |entry| is_one(&entry.file_name()))
        })
        .map(|entry| entry.path().join("bin"))
        .collect();
    versions.sort();
    let path = env::var_os("PATH").unwrap_or_default();
    let all = versions.into_iter().chain(env::split_paths(&path));
    all.map(|folder| folder.join(name)).filter(|path| path.is_file()).collect()
}

/// The major version that a program says it has: `pg_dump (PostgreSQL) 15.14 (Debian …)`.
async fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().await.ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let (_, version) = said.split_once("(PostgreSQL) ")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl Program {
    /// The program, with the way to a database in its environment.
    pub(in crate::cli) fn at(&self, url: &DatabaseUrl) -> Command {
        let mut command = self.command();
        command.env("PGAPPNAME", "jeton").env("PGCONNECT_TIMEOUT", "10");
        command.envs(libpq::environment(url.expose()));
        command
    }

    /// The program, for work on files alone.
    pub(in crate::cli) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env("LC_ALL", "C")
            .kill_on_drop(true);
        command
    }

    /// Its major version.
    pub(in crate::cli) const fn major(&self) -> u32 {
        self.major
    }
}

/// Runs a program to its end, and tells how much a file has grown meanwhile.
pub(in crate::cli) async fn run(mut command: Command, grows: Option<&Path>) -> anyhow::Result<()> {
    let mut child = spawn(&mut command)?;
    let stderr = child.stderr.take();
    let said = tokio::spawn(last_words(stderr));
    tokio::select! {
        () = tell_growth(grows) => bail!("a wait ended that has no end"),
        status = child.wait() => {
            let said = said.await.unwrap_or_default();
            ensure!(status?.success(), "{} failed: {said}", name(&command));
            Ok(())
        }
    }
}

pub(super) fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command.spawn().with_context(|| format!("{} cannot be run", name(command)))
}

pub(super) fn name(command: &Command) -> String {
    command.as_std().get_program().to_string_lossy().into_owned()
}

/// What a program complains of, in one line.
pub(super) async fn last_words(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut said = Vec::new();
    let _ = (&mut stderr).take(SAID).read_to_end(&mut said).await;
    // Whoever is not listened to any more would be ended by that.
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    let said = String::from_utf8_lossy(&said);
    output::printable(&said.lines().collect::<Vec<_>>().join("; "))
}

/// Tells how large a file has become, or how long it takes, where somebody is looking. Never ends.
pub(in crate::cli) async fn tell_growth(file: Option<&Path>) {
    for seconds in 1_u64.. {
        sleep(Duration::from_secs(1)).await;
        let length = file.and_then(|file| fs::metadata(file).ok()).map(|file| file.len());
        tell(&match length {
            Some(length) => format!("{} MiB written", length / 1_048_576),
            None => format!("{seconds} s"),
        });
    }
}

/// Tells how it goes, where somebody is looking.
pub(super) fn tell(text: &str) {
    if std::io::stderr().is_terminal() {
        output::progress(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_server_is_best_and_an_older_one_is_useless() {
        let program = |major: u32| Program { path: format!("/{major}").into(), major };
        let found = [17, 14, 18, 15].map(program).to_vec();
        assert_eq!(in_order(found.clone(), 15), [15, 17, 18].map(program));
        assert_eq!(in_order(found.clone(), 16), [17, 18].map(program));
        assert_eq!(in_order(found, 19), []);
    }
}
