//! Where `jeton token` takes secrets and tokens from. Never from an argument, which every user of
//! the machine can read.

use std::{
    fs,
    io::{self, IsTerminal},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use zeroize::Zeroizing;

use crate::{
    config::{CLIENT_SECRET, TOKEN},
    data_dir,
};

/// The secret of a client: from the file, the variable or a prompt.
pub(super) fn secret(client_id: &str, file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    Ok(match (file, CLIENT_SECRET.value()) {
        (Some(file), _) => secret_in(file)?,
        (None, Some(secret)) => secret.into(),
        (None, None) if io::stdin().is_terminal() => {
            rpassword::prompt_password(format!("Secret of {client_id}: "))?.into()
        }
        (None, None) => bail!("no client secret: use --secret-file or JETON_CLIENT_SECRET"),
    })
}

/// The token: from the file, the variable, a prompt or standard input.
pub(super) fn token(file: Option<&Path>) -> anyhow::Result<String> {
    if let Some(file) = file {
        return Ok(first_line(file)?.to_string());
    }
    if let Some(token) = TOKEN.value() {
        return Ok(token);
    }
    if io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password("Token: ")?);
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("the token cannot be read from standard input")?;
    let token = line.trim_end();
    ensure!(!token.is_empty(), "no token: use --token-file, JETON_TOKEN or standard input");
    Ok(token.to_owned())
}

/// The secret in a file to which other users have no access.
fn secret_in(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = data_dir::read_private(path);
    let text = text.with_context(|| format!("{} cannot be used", path.display()))?;
    first_line_of(path, &String::from_utf8_lossy(&text))
}

fn first_line(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = Zeroizing::new(
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
    );
    first_line_of(path, &text)
}

fn first_line_of(path: &Path, text: &str) -> anyhow::Result<Zeroizing<String>> {
    let line = text.lines().next().unwrap_or_default();
    ensure!(!line.is_empty(), "the first line of {} is empty", path.display());
    Ok(line.to_owned().into())
}
