//! The self-signed certificate of a data directory, for a node that is given no other.
//!
//! Nodes that start at the same time on one directory must end up with one pair. So a pair is
//! created under a lock, in a temporary folder that is renamed when it is complete.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{PemFiles, TlsError, TlsFiles};
use crate::data_dir::{self, Draft, Lock};

/// Returns the certificate of a data directory. The first call creates and stores it. A pair that
/// cannot be used is moved aside and replaced, because no node could start with it.
pub async fn self_signed(data_dir: &Path) -> Result<PemFiles, TlsError> {
    let directory = data_dir.join("tls");
    let keep = |source| TlsError::Keep { path: directory.clone(), source };
    let _making = Lock::exclusive(&data_dir.join("tls.lock")).await.map_err(keep)?;
    let files = PemFiles { cert: directory.join("cert.pem"), key: directory.join("key.pem") };
    if directory.exists() {
        match TlsFiles::from(files.clone()).read() {
            Ok(_) => return Ok(files),
            Err(error) if is_of_the_system(&error) => return Err(error),
            Err(error) => put_aside(&directory, &error).map_err(keep)?,
        }
    }
    make(data_dir, &directory)?;
    Ok(files)
}

/// Whether the files exist but the system does not let this process read them. They may be valid.
fn is_of_the_system(error: &TlsError) -> bool {
    let TlsError::Pem { source: rustls::pki_types::pem::Error::Io(error), .. } = error else {
        return false;
    };
    error.kind() != io::ErrorKind::NotFound
}

/// Renames the folder, unless it is empty, and logs it: callers that trusted the old certificate
/// have to trust the new one.
fn put_aside(directory: &Path, why: &TlsError) -> io::Result<()> {
    if fs::remove_dir(directory).is_ok() {
        return Ok(());
    }
    let aside = unused_name(directory);
    fs::rename(directory, &aside)?;
    let error: &dyn std::error::Error = why;
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

fn make(data_dir: &Path, directory: &Path) -> Result<(), TlsError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    let write = || {
        let draft = Draft::folder(data_dir, "tls.made")?;
        let key = made.signing_key.serialize_pem();
        write(&draft.path().join("key.pem"), &key, 0o600)?;
        // Readable for all users: callers need the certificate in order to trust it.
        write(&draft.path().join("cert.pem"), &made.cert.pem(), 0o644)?;
        fs::set_permissions(draft.path(), fs::Permissions::from_mode(0o755))?;
        draft.become_folder(directory)
    };
    write().map_err(|source| TlsError::Keep { path: directory.to_owned(), source })
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = data_dir::create(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{super::Tls, *};

    #[tokio::test]
    async fn a_self_signed_certificate_is_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let files = self_signed(directory.path()).await.unwrap();
        let first = fs::read(&files.cert).unwrap();
        assert_eq!(self_signed(directory.path()).await.unwrap(), files);
        assert_eq!(fs::read(&files.cert).unwrap(), first);
        assert_eq!(Tls::load(files).unwrap().current().alpn_protocols.len(), 2);
    }

    #[tokio::test]
    async fn a_pair_that_does_not_match_is_put_aside_and_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let files = self_signed(directory.path()).await.unwrap();
        let stranger = self_signed(other.path()).await.unwrap();
        let ways: [&dyn Fn(); 4] = [
            &|| assert!(fs::copy(&stranger.key, &files.key).unwrap() > 0),
            &|| fs::write(&files.cert, "garbage").unwrap(),
            &|| fs::remove_file(&files.key).unwrap(),
            &|| fs::remove_file(&files.cert).unwrap(),
        ];
        for break_it in ways {
            let before = fs::read(&files.cert).unwrap();
            break_it();
            assert_eq!(self_signed(directory.path()).await.unwrap(), files);
            assert_ne!(fs::read(&files.cert).unwrap(), before);
            Tls::load(files.clone()).unwrap();
        }
        for number in 1..=4 {
            assert!(directory.path().join(format!("tls.unusable-{number}")).exists());
        }
    }
}
