//! Tests of the self-signed certificate, at times of their own.

use super::{super::Tls, *};
use crate::domain::{Clock, SystemClock};

fn now() -> SystemTime {
    SystemClock.now().into()
}

#[tokio::test]
async fn a_self_signed_certificate_is_made_once_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let files = self_signed(directory.path(), &[], now()).await.unwrap();
    let first = fs::read(&files.cert).unwrap();
    assert_eq!(self_signed(directory.path(), &[], now()).await.unwrap(), files);
    assert_eq!(fs::read(&files.cert).unwrap(), first);
    assert_eq!(Tls::load(files).unwrap().current().alpn_protocols.len(), 2);
}

#[tokio::test]
async fn a_self_signed_certificate_is_made_again_a_month_before_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (data_dir, now) = (directory.path(), now());
    let files = self_signed(data_dir, &[], now).await.unwrap();
    let first = fs::read(&files.cert).unwrap();
    let minute = Duration::from_mins(1);
    for (time, is_accepted) in [
        (now - CLOCKS_DIFFER - minute, false),
        (now - CLOCKS_DIFFER + minute, true),
        (now + LIFETIME - minute, true),
        (now + LIFETIME + minute, false),
    ] {
        assert_eq!(is_valid(&files.cert, time).unwrap(), is_accepted, "{time:?}");
    }

    self_signed(data_dir, &[], now + LIFETIME - RENEW_BEFORE - minute).await.unwrap();
    assert_eq!(fs::read(&files.cert).unwrap(), first, "it is kept for two months");
    let later = now + LIFETIME - RENEW_BEFORE + minute;
    self_signed(data_dir, &[], later).await.unwrap();
    assert_ne!(fs::read(&files.cert).unwrap(), first);
    assert!(is_valid(&files.cert, later + LIFETIME - minute).unwrap());
    let left: Vec<_> = fs::read_dir(data_dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.len() == 2, "{left:?}");

    // The clock of the machine was wrong when it was made.
    self_signed(data_dir, &[], now).await.unwrap();
    assert!(is_valid(&files.cert, now).unwrap());
}

#[tokio::test]
async fn a_certificate_that_lacks_a_name_is_made_again_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (data_dir, now) = (directory.path(), now());
    let names = ["node-1", "192.0.2.1", "2001:db8::1"].map(|n| ServerName::try_from(n).unwrap());
    let files = self_signed(data_dir, &[], now).await.unwrap();
    let first = fs::read(&files.cert).unwrap();
    assert!(!has_names(&files.cert, &names, now));
    self_signed(data_dir, &names, now).await.unwrap();
    let second = fs::read(&files.cert).unwrap();
    assert_ne!(second, first);
    assert!(has_names(&files.cert, &names, now) && is_valid(&files.cert, now).unwrap());

    // Fewer names are no reason to make it again, neither at the start nor while a node runs.
    self_signed(data_dir, &names[..1], now).await.unwrap();
    let other = ServerName::try_from("node-2").unwrap();
    let clock = || SystemClock.now().into();
    let other = SelfSigned { data_dir: data_dir.to_owned(), names: vec![other], now: clock };
    renew(&other).await;
    assert_eq!(fs::read(&files.cert).unwrap(), second);
}

/// Earlier versions made one from 1975 to 4096, in the name of a library.
#[tokio::test]
async fn a_certificate_for_centuries_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let files = self_signed(directory.path(), &[], now()).await.unwrap();
    let old = rcgen::generate_simple_self_signed(OWN_NAMES.map(str::to_owned)).unwrap();
    fs::write(&files.cert, old.cert.pem()).unwrap();
    fs::write(&files.key, old.signing_key.serialize_pem()).unwrap();
    self_signed(directory.path(), &[], now()).await.unwrap();
    assert_ne!(fs::read_to_string(&files.cert).unwrap(), old.cert.pem());
    Tls::load(files).unwrap();
}

#[tokio::test]
async fn a_pair_that_does_not_match_is_put_aside_and_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let files = self_signed(directory.path(), &[], now()).await.unwrap();
    let stranger = self_signed(other.path(), &[], now()).await.unwrap();
    let ways: [&dyn Fn(); 4] = [
        &|| assert!(fs::copy(&stranger.key, &files.key).unwrap() > 0),
        &|| fs::write(&files.cert, "garbage").unwrap(),
        &|| fs::remove_file(&files.key).unwrap(),
        &|| fs::remove_file(&files.cert).unwrap(),
    ];
    for break_it in ways {
        let before = fs::read(&files.cert).unwrap();
        break_it();
        assert_eq!(self_signed(directory.path(), &[], now()).await.unwrap(), files);
        assert_ne!(fs::read(&files.cert).unwrap(), before);
        Tls::load(files.clone()).unwrap();
    }
    for number in 1..=4 {
        assert!(directory.path().join(format!("tls.unusable-{number}")).exists());
    }
}

/// Neither a link nor a key that others can read is trusted, and neither is put aside: it may be
/// what somebody wanted, so it is named.
#[tokio::test]
async fn a_link_and_a_key_for_others_are_refused_by_name() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = self_signed(directory.path(), &[], now()).await.unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = self_signed(directory.path(), &[], now()).await.unwrap_err();
    let cause = refused.source().unwrap().to_string();
    assert!(cause.contains("0644") && cause.contains("chmod 600"), "{cause}");

    let stranger = self_signed(other.path(), &[], now()).await.unwrap();
    fs::remove_dir_all(directory_in(directory.path())).unwrap();
    let target = stranger.cert.parent().unwrap();
    std::os::unix::fs::symlink(target, directory_in(directory.path())).unwrap();
    let refused = self_signed(directory.path(), &[], now()).await.unwrap_err();
    let cause = refused.source().unwrap().to_string();
    assert!(cause.contains("symbolic link"), "{cause}");
}
