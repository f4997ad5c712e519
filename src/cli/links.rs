//! The rule for everything that leads beyond this machine: verified TLS, or a setting that says
//! what protects it instead. Every command that listens or connects asks here before it does.

use anyhow::ensure;
use http::Uri;

use crate::{
    config::{Database, DatabaseUrl, HttpListeners, Links, Tls},
    domain::is_this_machine,
    store::Address,
};

/// What remains if there is no TLS.
const EXCEPTION: &str = "or set --trusted-network if the network itself protects the connection";

/// Refuses a link that others could read or change. This is an error, because a warning in the log
/// would go unread.
pub(super) fn ensure_protected(is_protected: bool, link: &str, remedy: &str) -> anyhow::Result<()> {
    ensure!(
        is_protected,
        "{link} leads beyond this machine without verified TLS, so that others can read and change \
         secrets and tokens on their way: {remedy}"
    );
    Ok(())
}

/// Checks the URL of a setting that Jeton connects to, such as `--upstream`.
pub(super) fn check_url(links: Links, setting: &str, url: &str) -> anyhow::Result<()> {
    let is_protected = links.trusted_network || is_https(url) || is_local(url);
    ensure_protected(is_protected, setting, &format!("give it a URL with https://, {EXCEPTION}"))
}

/// Checks a database URL. Encryption without verification is not enough: an attacker who
/// answers in place of the server could send rows of its own, and so decide which secret is right.
pub(super) fn check_database(database: &Database, url: &DatabaseUrl) -> anyhow::Result<()> {
    let is_trusted = database.links.trusted_network;
    ensure_protected(
        is_trusted || Address::parse(url.expose())?.is_protected(),
        "the connection to the database",
        &format!(
            "add sslmode=verify-full&sslrootcert=… to --database-url, with the file of the \
             authority that issued the certificate of the server, {EXCEPTION}"
        ),
    )
}

/// Checks the URL of the collector of spans, which is reached without TLS.
#[cfg(feature = "otel")]
pub(super) fn check_collector(links: Links, url: &str) -> anyhow::Result<()> {
    ensure!(!is_https(url), "--otlp-endpoint has no TLS: give it a URL with http://");
    let is_protected = links.trusted_network || is_local(url);
    let remedy = format!("run a collector on this machine, {EXCEPTION}");
    ensure_protected(is_protected, "--otlp-endpoint", &remedy)
}

/// Checks the issuer, which tells clients where to send their secrets. Without `--issuer` it is
/// derived from the address of the listener.
pub(super) fn check_issuer(links: Links, http: &HttpListeners, tls: &Tls) -> anyhow::Result<()> {
    let address = http.http_addr.ip();
    let has_tls = tls.tls_self_signed || tls.tls_cert.is_some();
    let is_protected = match &http.issuer {
        Some(issuer) => is_https(issuer) || is_local(issuer),
        // The default for an unspecified address is `localhost`.
        None => has_tls || address.is_loopback() || address.is_unspecified(),
    };
    let remedy = format!("set --issuer to the https:// URL that clients use, {EXCEPTION}");
    ensure_protected(links.trusted_network || is_protected, "the issuer", &remedy)
}

fn is_https(url: &str) -> bool {
    url.parse().is_ok_and(|url: Uri| url.scheme_str() == Some("https"))
}

/// Whether the URL leads to this machine: to a loopback address or a Unix socket. So does, in
/// effect, a text without a host, which nothing can connect to: it gets an error of its own.
fn is_local(url: &str) -> bool {
    url.starts_with("unix:")
        || url.parse::<Uri>().map_or(true, |url| url.host().is_none_or(is_this_machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_beyond_this_machine_must_be_https_unless_the_network_is_trusted() {
        let check = |trusted_network, url: &str| {
            check_url(Links { trusted_network }, "--upstream", url).map_err(|e| e.to_string())
        };
        for url in [
            "https://tokens.test:50051",
            "HTTPS://tokens.test",
            "http://127.0.0.1:50051",
            "http://localhost:50051",
            "http://[::1]:50051",
            "unix:///run/jeton.sock",
            "unix:/run/jeton.sock",
        ] {
            assert_eq!(check(false, url), Ok(()), "{url}");
        }
        for url in [
            "http://192.0.2.1:50051",
            "HTTP://tokens.test",
            "http://0.0.0.0:50051",
            "http://localhost.test",
            "http://127.0.0.1@tokens.test",
            "tokens.test:50051",
            "ftp://tokens.test",
        ] {
            let refused = check(false, url).unwrap_err();
            for part in ["--upstream", "https://", "--trusted-network"] {
                assert!(refused.contains(part), "{url}: {refused}");
            }
            assert_eq!(check(true, url), Ok(()), "{url}");
        }
    }
}
