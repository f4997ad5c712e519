//! Where commands take secrets and tokens from. Never from an argument, which every user of the
//! machine can read.

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
    domain::ClientSecret,
};

/// The secret of a client: from the file, the variable or a prompt.
pub(in crate::cli) fn secret(
    client_id: &str,
    file: Option<&Path>,
) -> anyhow::Result<Zeroizing<String>> {
    Ok(match (file, CLIENT_SECRET.value()) {
        (Some(file), _) => secret_in(file, client_id)?,
        (None, Some(secret)) => secret.into(),
        (None, None) if io::stdin().is_terminal() => {
            rpassword::prompt_password(format!("Secret of {client_id}: "))?.into()
        }
        (None, None) => bail!("no client secret: use --secret-file or JETON_CLIENT_SECRET"),
    })
}

/// The token: from the file, the variable, a prompt or standard input. `by_file` is how the command
/// takes a file.
///
/// # Errors
/// If there is none, or if it is a client secret.
pub(super) fn token(file: Option<&Path>, by_file: &str) -> anyhow::Result<String> {
    let token = match (file, TOKEN.value()) {
        (Some(file), _) => first_line(file)?,
        (None, Some(token)) => token,
        (None, None) if io::stdin().is_terminal() => rpassword::prompt_password("Token: ")?,
        (None, None) => {
            let mut line = String::new();
            let read = io::stdin().read_line(&mut line);
            read.context("the token cannot be read from standard input")?;
            line.trim_end().to_owned()
        }
    };
    ensure!(!token.is_empty(), "no token: use {by_file}, JETON_TOKEN or standard input");
    ensure!(
        ClientSecret::parse(&token).is_err(),
        "this is a client secret and not a token: `jeton secret scan FILE` says whose it is, and \
         `jeton secret burn FILE` declares it leaked"
    );
    Ok(token)
}

/// The secret in a file to which other users have no access. A file with anything else is refused
/// here, because a node answers only that the authentication failed.
fn secret_in(path: &Path, client_id: &str) -> anyhow::Result<Zeroizing<String>> {
    let text = data_dir::read_private(path);
    let text = text.with_context(|| format!("{} cannot be used", path.display()))?;
    let text = String::from_utf8_lossy(&text);
    let secret = text.trim();
    let what = if secret.is_empty() {
        "is empty"
    } else if secret.starts_with("-----BEGIN ") {
        "holds PEM"
    } else if secret.starts_with('{') {
        "holds JSON"
    } else if secret.lines().nth(1).is_some() {
        "has several lines"
    } else if secret.starts_with("jta_") {
        "holds a token"
    } else if !secret.starts_with("jts_") {
        "holds something else"
    } else if ClientSecret::parse(secret).is_err() {
        "holds a secret that is not complete, or more than that"
    } else {
        return Ok(secret.to_owned().into());
    };
    bail!(
        "{} {what}: it must hold the secret of client {client_id} and nothing else; `jeton client \
         add-secret {client_id} --out FILE` writes a new one to such a file. A secret that another \
         system made, and that was imported, is taken from JETON_CLIENT_SECRET",
        path.display()
    )
}

fn first_line(path: &Path) -> anyhow::Result<String> {
    let text = Zeroizing::new(
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
    );
    let line = text.lines().next().unwrap_or_default();
    ensure!(!line.is_empty(), "the first line of {} is empty", path.display());
    Ok(line.to_owned())
}
