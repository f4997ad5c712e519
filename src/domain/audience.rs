//! Audiences: the resource servers that a token is for.

use std::{collections::BTreeSet, fmt};

use super::Malformed;

/// The most audiences that a client may have or a request may name.
pub const MAX_AUDIENCES: usize = 16;

/// The longest name of an audience, in bytes.
const MAX_LENGTH: usize = 256;

/// The name of one resource server, the `aud` of a token. It is asked for with `resource`.
///
/// RFC 8707 wants an absolute URI. A plain name such as `orders` is taken as well, because within
/// one company it is what people use; a fragment is refused as section 2 demands. Two names are
/// the same only byte by byte: no form of a URI is made canonical.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Audience(String);

impl Audience {
    /// Reads one audience.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'#');
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(allowed) {
            return Err(Malformed(
                "a resource is an absolute URI or a name of at most 256 printable ASCII \
                 characters, without space, quote, backslash and fragment",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Reads a set of audiences, in which order and repetition mean nothing.
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
