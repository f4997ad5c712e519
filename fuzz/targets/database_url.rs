//! The address of the database as it is shown, and what is said of a wrong one: never with the
//! password, whatever was typed.

use jeton::{config::DatabaseUrl, store::Address};

use super::CANARY;

pub(super) fn target(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    shows_nothing(text);
    // The input cut in three: before, around and behind the password.
    let mut parts = text.splitn(3, '\n');
    let mut next = || parts.next().unwrap_or_default();
    let (before, within, behind) = (next(), next(), next());
    for url in [
        format!("postgres://{before}:{CANARY}@{behind}"),
        format!("postgres://u:{within}{CANARY}@{behind}"),
        format!("postgres://u:{CANARY}{within}@h/{behind}"),
        format!("postgres://u:{within}{CANARY}@h1:5432,[::1]:{before}/{behind}"),
        format!("{before}u:{CANARY}@{behind}"),
        format!("postgres://h/d?{before}&password={CANARY}{within}"),
        format!("postgres://h/d?p%61ssword={within}{CANARY}&{behind}"),
    ] {
        shows_nothing(&url);
    }
}

fn shows_nothing(url: &str) {
    let Ok(url) = url.parse::<DatabaseUrl>();
    let shown = url.redacted();
    assert!(!shown.contains(CANARY), "{} is shown as {shown}", url.expose());
    assert_eq!(format!("{url:?}"), shown);
    assert!(shown.len() <= url.expose().len() + 2 * "[redacted]".len());
    let Ok(again) = shown.parse::<DatabaseUrl>();
    assert_eq!(again.redacted(), shown, "showing it twice hides more");
    let said = match Address::parse(url.expose()) {
        Ok(address) => format!("{address:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!said.contains(CANARY), "of {} is said {said}", url.expose());
}
