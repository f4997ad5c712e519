//! Audiences: the names of the resource servers that a token is for.

use std::{collections::BTreeSet, fmt};

use super::Malformed;

/// Maximum number of audiences of one client or one request.
pub const MAX_AUDIENCES: usize = 16;

/// Maximum length of an audience, in bytes.
const MAX_LENGTH: usize = 256;

/// Name of one resource server: the `aud` of a token, requested with the parameter `resource`.
///
/// RFC 8707 requires an absolute URI. A plain name such as `orders` is accepted as well, because
/// that is common within one company; a fragment is refused, as section 2 requires. Names are
/// compared byte by byte: URIs are not normalized.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Audience(String);

impl Audience {
    /// Parses one audience.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'#');
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(allowed) {
            return Err(Malformed(
                "a resource is an absolute URI or a name of at most 256 printable ASCII \
                 characters, without space, quote, backslash or fragment",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses at most [`MAX_AUDIENCES`] audiences into a set; order and repetition do not matter.
    pub fn parse_set<I>(texts: I) -> Result<BTreeSet<Self>, Malformed>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let mut set = BTreeSet::new();
        for text in texts {
            set.insert(Self::parse(text.as_ref())?);
            if set.len() > MAX_AUDIENCES {
                return Err(Malformed("there can be at most 16 resources"));
            }
        }
        Ok(set)
    }

    /// The audience as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fragment_is_refused() {
        assert!(Audience::parse("https://api.example.com/orders").is_ok());
        assert!(Audience::parse("https://api.example.com/#orders").is_err());
    }

    proptest! {
        #[test]
        fn an_audience_reads_back_as_it_was_written(text in any::<String>()) {
            if let Ok(audience) = Audience::parse(&text) {
                prop_assert_eq!(audience.as_str(), text.as_str());
                prop_assert!(!text.contains([' ', '#', '\0']));
            }
        }
    }
}
