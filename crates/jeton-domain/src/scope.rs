//! Scopes: the permissions of a token (RFC 6749, section 3.3).

use std::{collections::BTreeSet, fmt};

use super::Malformed;

/// Maximum number of scopes of one client or one request.
pub const MAX_SCOPES: usize = 64;

/// Maximum length of a scope, in bytes. Together with [`MAX_SCOPES`] it bounds rows and responses.
const MAX_LENGTH: usize = 128;

/// One scope: printable ASCII without space, quote or backslash. It is case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    /// Parses one scope.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if text.is_empty() || !text.bytes().all(allowed) {
            return Err(Malformed(
                "a scope is one or more printable ASCII characters without space, quote or \
                 backslash; several are separated by exactly one space",
            ));
        }
        if text.len() > MAX_LENGTH {
            return Err(Malformed("a scope has at most 128 characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses at most [`MAX_SCOPES`] scopes into a set; order and repetition do not matter.
    pub fn parse_set<I>(texts: I) -> Result<BTreeSet<Self>, Malformed>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let mut set = BTreeSet::new();
        for text in texts {
            set.insert(Self::parse(text.as_ref())?);
            if set.len() > MAX_SCOPES {
                return Err(Malformed("there can be at most 64 scopes"));
            }
        }
        Ok(set)
    }

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_set_ignores_order_and_repetition() {
        let set = Scope::parse_set(["b", "a", "b"]).unwrap();
        assert_eq!(set.iter().map(Scope::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert!(Scope::parse_set((0..=MAX_SCOPES).map(|n| n.to_string())).is_err());
    }

    proptest! {
        #[test]
        fn a_scope_holds_only_what_the_grammar_allows(text in any::<String>()) {
            let legal = !text.is_empty() && text.len() <= MAX_LENGTH
                && text.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\');
            prop_assert_eq!(Scope::parse(&text).is_ok(), legal);
        }
    }
}
