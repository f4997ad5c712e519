//! The self-signed certificate of a data directory, for a node that is given no other.
//!
//! It is valid for 90 days and made again a month before it ends, so that a key that leaked is not
//! of use for ever. Nodes that start at the same time on one directory must end up with one pair.
//! So a pair is created under a lock, in a temporary folder that is renamed when it is complete.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{ServerName, UnixTime},
};

use super::{
    PemFiles, TlsError, TlsFiles,
    files::{certificates, provider},
};
use crate::data_dir::{self, Draft, Lock};

/// Names that the certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const DAY: Duration = Duration::from_hours(24);

/// How long a certificate is valid.
const LIFETIME: Duration = DAY.saturating_mul(90);

/// How long before its end a certificate is made again.
const RENEW_BEFORE: Duration = DAY.saturating_mul(30);

/// How far the clock of a caller may be behind.
const CLOCKS_DIFFER: Duration = Duration::from_hours(1);

/// Returns the certificate of a data directory. The first call creates and stores it. A certificate
/// that ends soon, or that an earlier version made for centuries, is replaced. A pair that cannot
/// be used is moved aside and replaced, because no node could start with it.
pub async fn self_signed(data_dir: &Path, now: SystemTime) -> Result<PemFiles, TlsError> {
    let directory = directory_in(data_dir);
    let keep = |source| TlsError::Keep { path: directory.clone(), source };
    let _making = Lock::exclusive(&data_dir.join("tls.lock")).await.map_err(keep)?;
    let files = files_in(data_dir);
    for entry in [&directory, &files.cert, &files.key] {
        data_dir::check_entry(entry).map_err(keep)?;
    }
    if directory.exists() {
        match TlsFiles::from(files.clone()).read() {
            Ok(_) if is_current(&files.cert, now) => return Ok(files),
            Ok(_) => {
                replace(data_dir, &directory, now)?;
                return Ok(files);
            }
            Err(error) if is_of_the_system(&error) => return Err(error),
            Err(error) => put_aside(&directory, &error).map_err(keep)?,
        }
    }
    make(data_dir, now)?.become_folder(&directory).map_err(keep)?;
    Ok(files)
}

/// Replaces the certificate of a data directory if it ends soon. A failure is logged, and the next
/// call tries again.
pub(super) async fn renew(data_dir: &Path, now: SystemTime) {
    if is_current(&files_in(data_dir).cert, now) {
        return;
    }
    if let Err(error) = self_signed(data_dir, now).await {
        let error: &dyn Error = &error;
        tracing::error!(error, "cannot make a new self-signed certificate; trying again");
    }
}

fn directory_in(data_dir: &Path) -> PathBuf {
    data_dir.join("tls")
}

fn files_in(data_dir: &Path) -> PemFiles {
    let directory = directory_in(data_dir);
    PemFiles { cert: directory.join("cert.pem"), key: directory.join("key.pem") }
}

/// Whether the certificate in this file is valid now and for a while, and for no longer than Jeton
/// makes one.
fn is_current(cert: &Path, now: SystemTime) -> bool {
    let is_valid_in = |time: Duration| is_valid(cert, now + time).unwrap_or(false);
    is_valid_in(Duration::ZERO)
        && is_valid_in(RENEW_BEFORE)
        && !is_valid_in(LIFETIME + CLOCKS_DIFFER + DAY)
}

/// Whether a caller that trusts the certificate in this file would accept it at this time.
fn is_valid(cert: &Path, time: SystemTime) -> Result<bool, Box<dyn Error>> {
    let chain = certificates(cert)?;
    let certificate = chain.first().ok_or("there is none")?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    let name = ServerName::try_from(NAMES[0])?;
    let time = UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH)?);
    Ok(verifier.build()?.verify_server_cert(certificate, &[], &name, &[], time).is_ok())
}

/// Whether the files exist but the system does not let this process read them, or others can read
/// the key. They may be valid.
fn is_of_the_system(error: &TlsError) -> bool {
    let (TlsError::Read { source: error, .. } | TlsError::Key { source: error, .. }) = error else {
        return false;
    };
    error.kind() != io::ErrorKind::NotFound
}

/// Makes a new pair in place of one that works, and logs it: callers that trusted the old
/// certificate have to trust the new one.
fn replace(data_dir: &Path, directory: &Path, now: SystemTime) -> Result<(), TlsError> {
    let made = make(data_dir, now)?;
    let old = data_dir.join("tls.old");
    let put = || {
        match fs::remove_dir_all(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::rename(directory, &old)?,
        }
        made.become_folder(directory)?;
        fs::remove_dir_all(&old)
    };
    put().map_err(|source| TlsError::Keep { path: directory.to_owned(), source })?;
    tracing::warn!(
        cert = %files_in(data_dir).cert.display(),
        "made a new self-signed certificate, because the old one ends soon or is valid for too \
         long; callers that trust the old one need the new one"
    );
    Ok(())
}

/// Renames the folder, unless it is empty, and logs it: callers that trusted the old certificate
/// have to trust the new one.
fn put_aside(directory: &Path, why: &TlsError) -> io::Result<()> {
    if fs::remove_dir(directory).is_ok() {
        return Ok(());
    }
    let aside = unused_name(directory);
    fs::rename(directory, &aside)?;
    let error: &dyn Error = why;
    tracing::warn!(
        error,
        aside = %aside.display(),
        "moved an unusable self-signed certificate and key aside; creating a new pair, which \
         callers that trust the old certificate will need"
    );
    Ok(())
}

fn unused_name(directory: &Path) -> PathBuf {
    (1..1_000)
        .map(|number| directory.with_extension(format!("unusable-{number}")))
        .find(|path| !path.exists())
        .unwrap_or_else(|| directory.with_extension("unusable"))
}

/// Makes a pair in a folder that has no name yet.
fn make(data_dir: &Path, now: SystemTime) -> Result<Draft, TlsError> {
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    params.not_before = (now - CLOCKS_DIFFER).into();
    params.not_after = (now + LIFETIME).into();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Jeton self-signed");
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    let write = || {
        let draft = Draft::folder(data_dir, "tls.made")?;
        write(&draft.path().join("key.pem"), &key.serialize_pem(), 0o600)?;
        // Readable for all users: callers need the certificate in order to trust it.
        write(&draft.path().join("cert.pem"), &cert.pem(), 0o644)?;
        fs::set_permissions(draft.path(), fs::Permissions::from_mode(0o755))?;
        Ok(draft)
    };
    write().map_err(|source| TlsError::Keep { path: directory_in(data_dir), source })
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = data_dir::create(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
