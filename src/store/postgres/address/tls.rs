//! TLS settings of the connection to a server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use zeroize::Zeroizing;

use super::{
    Environment,
    error::AddressError,
    hosts::Host,
    parameters::{Parameters, Value},
};
use crate::data_dir;

/// Usual files with the certificates of the authorities that a system trusts: Debian and Alpine,
/// Fedora, openSUSE, the BSDs and macOS.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS settings of every connection that does not use a socket.
pub(super) struct Tls {
    mode: PgSslMode,
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Tls {
    /// Reads `sslmode` and the files that belong to it.
    ///
    /// # Errors
    /// If they contradict each other, or if a file cannot be used.
    pub(super) fn read(
        given: &Parameters,
        hosts: &[Host],
        environment: &Environment<'_>,
    ) -> Result<Self, AddressError> {
        let mut tls =
            Self { mode: PgSslMode::Disable, authorities: None, certificate: None, key: None };
        let asked = asked(given)?;
        if hosts.iter().all(Host::is_socket) || matches!(asked, PgSslMode::Disable) {
            return Ok(tls);
        }
        let authorities = given.get("sslrootcert");
        let is_system = authorities.is_some_and(|value| value.text == "system");
        let wrong = |name, rule| Err(AddressError::Value { name, rule });
        tls.mode = match (asked, authorities) {
            (PgSslMode::Prefer, Some(value)) => return wrong(value.name, UNUSED),
            (PgSslMode::Require | PgSslMode::VerifyCa, Some(value)) if is_system => {
                return wrong(value.name, SYSTEM);
            }
            // As in libpq: with `sslrootcert`, `require` means `verify-ca`.
            (PgSslMode::Require, Some(_)) => PgSslMode::VerifyCa,
            (PgSslMode::VerifyCa | PgSslMode::VerifyFull, None) => {
                return wrong("sslrootcert", MISSING);
            }
            (mode, _) => mode,
        };
        if matches!(tls.mode, PgSslMode::VerifyFull) && hosts.iter().any(|host| host.name.is_some())
        {
            return wrong("hostaddr", NAMED);
        }
        tls.authorities = match authorities {
            Some(value) if is_system => Some(system_authorities(environment, value.name)?),
            Some(value) => file(value, read, check_authorities)?,
            None => None,
        };
        let (certificate, key) = (given.get("sslcert"), given.get("sslkey"));
        match (certificate, key) {
            (Some(value), None) => return wrong(value.name, "needs `sslkey` beside it"),
            (None, Some(value)) => return wrong(value.name, "needs `sslcert` beside it"),
            _ => {}
        }
        tls.certificate =
            certificate.map_or(Ok(None), |value| file(value, read, check_certificate))?;
        tls.key = key.map_or(Ok(None), |value| file(value, read_key, check_key))?;
        Ok(tls)
    }

    /// Whether the certificate of the server is verified.
    pub(super) const fn verifies_server(&self) -> bool {
        matches!(self.mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull)
    }

    /// Applies the settings to the connection to `host`. Postgres does not support TLS on a socket,
    /// so the settings are ignored there.
    pub(super) fn apply(&self, options: PgConnectOptions, host: &Host) -> PgConnectOptions {
        if host.is_socket() {
            return options.ssl_mode(PgSslMode::Disable);
        }
        let mut options = options.ssl_mode(self.mode);
        if let Some(path) = &self.authorities {
            options = options.ssl_root_cert(path);
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        options
    }
}

const UNUSED: &str = "is used only with sslmode=verify-full, sslmode=verify-ca or sslmode=require: \
                      add one of them";
const SYSTEM: &str = "trusts the authorities of the system, and anybody can get a certificate from \
                      one of them: it needs sslmode=verify-full";
const MISSING: &str = "is needed to verify the server: name the file with the certificate of its \
                       authority, or use sslrootcert=system for those that this machine trusts";
const NAMED: &str = "cannot be combined with `host` and sslmode=verify-full, because the \
                     certificate would be checked against the address: remove it";

/// The requested mode. `allow` is treated as `prefer`: libpq would try clear text before TLS, but
/// the driver supports only the order of `prefer`, and both are for connections that need no
/// protection.
fn asked(given: &Parameters) -> Result<PgSslMode, AddressError> {
    let Some(value) = given.get("sslmode") else {
        let is_system = given.get("sslrootcert").is_some_and(|value| value.text == "system");
        // As in libpq: no other mode makes sense with the authorities of the system.
        return Ok(if is_system { PgSslMode::VerifyFull } else { PgSslMode::Prefer });
    };
    Ok(match &*value.text.to_ascii_lowercase() {
        "disable" => PgSslMode::Disable,
        "allow" | "prefer" => PgSslMode::Prefer,
        "require" => PgSslMode::Require,
        "verify-ca" => PgSslMode::VerifyCa,
        "verify-full" => PgSslMode::VerifyFull,
        _ => {
            let rule = "must be verify-full, verify-ca, require, prefer, allow or disable";
            return Err(AddressError::Value { name: value.name, rule });
        }
    })
}

/// Checks a file and returns its path. Returns `None` if the environment variable contains the PEM
/// text itself, which the driver reads from there.
fn file(value: &Value, read: Read, check: Check) -> Result<Option<PathBuf>, AddressError> {
    let wrong = |cause: String| AddressError::File { name: value.name, cause };
    let is_variable = value.name.starts_with("PG");
    if is_variable && value.text.trim().starts_with("-----BEGIN") {
        return check(value.text.as_bytes()).map(|()| None).map_err(|why| wrong(why.to_owned()));
    }
    let path = PathBuf::from(&value.text);
    let text = read(&path).map_err(wrong)?;
    check(&text).map_err(|why| wrong(why.to_owned()))?;
    Ok(Some(path))
}

/// Reads a regular file. A pipe is refused, because the driver reads the file again for each
/// connection.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    fs::read(path).map(Zeroizing::new).map_err(|error| error.to_string())
}

/// The same for a private key, to which other users must have no access.
fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    read(path)?;
    data_dir::read_private(path).map_err(|error| error.to_string())
}

type Read = fn(&Path) -> Result<Zeroizing<Vec<u8>>, String>;

type Check = fn(&[u8]) -> Result<(), &'static str>;

/// Checks a file of authorities. One certificate that cannot be read would fail every connection.
fn check_authorities(pem: &[u8]) -> Result<(), &'static str> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "it is not valid PEM")?;
        store.add(certificate).map_err(|_| "it holds a certificate that cannot be read")?;
    }
    if store.is_empty() { Err("it holds no certificate in PEM") } else { Ok(()) }
}

fn check_certificate(pem: &[u8]) -> Result<(), &'static str> {
    match CertificateDer::pem_slice_iter(pem).next() {
        Some(Ok(_)) => Ok(()),
        _ => Err("it holds no certificate in PEM"),
    }
}

fn check_key(pem: &[u8]) -> Result<(), &'static str> {
    let key = PrivateKeyDer::from_pem_slice(pem);
    key.map(drop).map_err(|_| "it holds no private key in PEM that is not encrypted")
}

/// Path of the file with the authorities that this system trusts: `SSL_CERT_FILE` if it is set,
/// otherwise one of the usual files.
fn system_authorities(
    environment: &Environment<'_>,
    name: &'static str,
) -> Result<PathBuf, AddressError> {
    let named = environment.variable("SSL_CERT_FILE").map(PathBuf::from);
    let mut usual = SYSTEM_AUTHORITIES.iter().map(PathBuf::from);
    let path = named.or_else(|| usual.find(|path| path.is_file()));
    let wrong = |cause: String| AddressError::File { name, cause };
    let path = path.ok_or_else(|| {
        wrong("this system has no file of trusted authorities; install ca-certificates".to_owned())
    })?;
    let text = read(&path).map_err(wrong)?;
    check_authorities(&text).map_err(|why| wrong(why.to_owned()))?;
    Ok(path)
}
