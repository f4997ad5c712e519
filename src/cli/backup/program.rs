//! Finds and runs `pg_dump` and `pg_restore`, the programs of Postgres that save and restore a
//! database.

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

/// Directories where packages install several versions of Postgres side by side, each with the
/// prefix of its subdirectories.
const FOLDERS: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
];

/// Maximum length of the error output of a program that is quoted, in bytes.
const SAID: u64 = 4_096;

/// A program of Postgres and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Program {
    path: PathBuf,
    major: u32,
}

/// Finds the programs of this name that work with a `server` of this major version, the most
/// suitable first. The version of the server is best, because a newer program writes settings into
/// a dump that an older server does not know.
///
/// # Errors
/// If no program is of the version of the server or later.
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
            "none is installed on this machine".to_owned()
        } else {
            format!("this machine has version {}", versions.join(", "))
        };
        bail!(
            "{name} of Postgres {server} or later is needed, but {there}: install \
             postgresql-client-{server}, or add its directory to PATH"
        );
    }
    Ok(suitable)
}

/// Major version from the version number that a server reports: 15 from 150004.
pub(in crate::cli) fn major_of(server: i32) -> u32 {
    u32::try_from(server / 10_000).unwrap_or(0)
}

fn in_order(mut found: Vec<Program>, server: u32) -> Vec<Program> {
    found.retain(|program| program.major >= server);
    found.sort_by_key(|program| program.major);
    found
}

/// Paths of the programs of this name. Directories of versions come before PATH, because on Debian
/// the program in PATH is a wrapper that chooses a version by itself.
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

/// Major version of a program, from its `--version`: `pg_dump (PostgreSQL) 15.14 (Debian …)`.
async fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().await.ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let (_, version) = said.split_once("(PostgreSQL) ")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl Program {
    /// Command for this program with the connection to a database in its environment.
    pub(in crate::cli) fn at(&self, url: &DatabaseUrl) -> Command {
        let mut command = self.command();
        command.env("PGAPPNAME", "jeton").env("PGCONNECT_TIMEOUT", "10");
        command.envs(libpq::environment(url.expose()));
        command
    }

    /// Command for this program without a database, to work on files. The program is killed when
    /// the command is dropped.
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

    /// Major version of the program.
    pub(in crate::cli) const fn major(&self) -> u32 {
        self.major
    }
}

/// Runs a program to its end, and prints the size of the file `grows` as progress.
///
/// # Errors
/// If the program cannot be started or fails; the error quotes its error output.
pub(in crate::cli) async fn run(mut command: Command, grows: Option<&Path>) -> anyhow::Result<()> {
    let mut child = spawn(&mut command)?;
    let stderr = child.stderr.take();
    let said = tokio::spawn(last_words(stderr));
    tokio::select! {
        () = tell_growth(grows) => bail!("an endless wait returned"),
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

/// Error output of a program, in one line of at most [`SAID`] bytes.
pub(super) async fn last_words(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut said = Vec::new();
    let _ = (&mut stderr).take(SAID).read_to_end(&mut said).await;
    // Read the rest too: a program whose pipe is closed would be ended by SIGPIPE.
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    let said = String::from_utf8_lossy(&said);
    output::printable(&said.lines().collect::<Vec<_>>().join("; "))
}

/// Prints the size of a file, or the elapsed time without one, each second if standard error is a
/// terminal. Never returns.
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

/// Prints progress if standard error is a terminal.
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
