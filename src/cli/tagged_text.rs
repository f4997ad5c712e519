//! Secrets and tokens where they must not be: in arguments, which every user of the machine can
//! read, and in messages, which end up in logs.

use std::ffi::OsString;

use super::exit::Exit;

/// What each secret and each token begins with.
const PREFIXES: [&str; 2] = ["jts_", "jta_"];

/// Number of characters after the prefix.
const LENGTH: usize = 75;

const MARK: &str = "[redacted]";

/// Advice to an operator who gave a secret or a token as an argument.
pub(super) const ADVICE: &str = "other users of the machine can read arguments, and shells keep \
    them: pass a secret or a token by a file, a variable or standard input, and replace the one \
    that was given";

/// Refuses a command line with a secret or a token in it.
///
/// # Errors
/// With the number of the argument, and without its text.
pub(super) fn refuse(arguments: &[OsString]) -> anyhow::Result<()> {
    let holds = |argument: &OsString| first_in(&argument.to_string_lossy()).is_some();
    match arguments.iter().position(holds) {
        None => Ok(()),
        Some(number) => {
            let message = format!("argument {number} holds a secret or a token: {ADVICE}");
            Err(Exit::Usage.error(message))
        }
    }
}

/// Where the first secret or token of a text begins, if it has one.
pub(super) fn first_in(text: &str) -> Option<usize> {
    found(text).find(|(_, length)| *length == LENGTH).map(|(start, _)| start)
}

/// The text without the secrets and tokens in it, or parts of them.
pub(super) fn redacted(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = 0;
    for (start, length) in found(text).filter(|(_, length)| *length > 0) {
        if start >= rest {
            clean.push_str(&text[rest..start]);
            clean.push_str(MARK);
            rest = start + PREFIXES[0].len() + length;
        }
    }
    clean + &text[rest..]
}

/// Places of the prefixes, each with the number of characters after it that may belong to a secret
/// or a token.
fn found(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut places: Vec<_> =
        PREFIXES.iter().flat_map(|prefix| text.match_indices(prefix)).collect();
    places.sort_unstable();
    places.into_iter().map(|(start, prefix)| {
        let after = text[start + prefix.len()..].bytes();
        let is_ours = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (start, after.take(LENGTH).take_while(is_ours).count())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_out_of_a_text_and_the_rest_stays() {
        let secret = format!("jts_{}", "aZ-_".repeat(19).split_at(75).0);
        for (text, clean) in [
            (format!("'{secret}' is wrong"), "'[redacted]' is wrong".to_owned()),
            (format!("{secret}x"), "[redacted]x".to_owned()),
            ("--name=jta_abc, jts_d".to_owned(), "--name=[redacted], [redacted]".to_owned()),
            ("jts_jta_x jt_y".to_owned(), "[redacted] jt_y".to_owned()),
            ("a prefix is jts_".to_owned(), "a prefix is jts_".to_owned()),
        ] {
            assert_eq!(redacted(&text), clean);
        }
        let refused = |text: &str| refuse(&["jeton".into(), text.into()]).is_err();
        assert!(refused(&secret) && refused(&format!("--name={secret}")));
        assert!(!refused("jts_abc") && !refused("orders"));
    }
}
