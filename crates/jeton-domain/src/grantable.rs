//! What an administrator may give to clients, where that is limited.

use std::{collections::BTreeSet, fmt};

use super::{Audience, Client, MAX_AUDIENCES, MAX_SCOPES, Malformed, Scope, administration};

/// A scope, or all scopes with the same beginning: `orders.read`, `orders.*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScopePattern(String);

impl ScopePattern {
    /// Parses one pattern. None covers a scope that is reserved for administration.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let name = text.strip_suffix(".*").unwrap_or(text);
        let scope = Scope::parse(text).and(Scope::parse(name)).ok();
        let scope = scope.filter(|scope| !scope.as_str().contains('*'));
        match scope {
            Some(scope) if administration::is_reserved(&scope) => Err(Malformed(
                "a scope that begins with jeton: is given only by administrators who are not \
                 limited: name other scopes",
            )),
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(Malformed(
                "a grantable scope is a scope such as orders.read, or orders.* for all scopes \
                 that begin with orders. and no asterisk elsewhere",
            )),
        }
    }

    fn covers(&self, scope: &Scope) -> bool {
        covers(&self.0, ".*", scope.as_str())
    }
}

impl fmt::Display for ScopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An audience, or all audiences below it: `https://api.test/orders`, `https://api.test/*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AudiencePattern(String);

impl AudiencePattern {
    /// Parses one pattern. None covers all hosts.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let name = text.strip_suffix("/*").unwrap_or(text);
        // A name without its host would cover all of them.
        let is_whole = name == text || !name.ends_with(['/', ':']);
        let audience = Audience::parse(text).and(Audience::parse(name)).ok();
        match audience.filter(|audience| is_whole && !audience.as_str().contains('*')) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(Malformed(
                "a grantable audience is an audience such as https://api.example.com, or \
                 https://api.example.com/* for all audiences that begin with \
                 https://api.example.com/ and no asterisk elsewhere",
            )),
        }
    }

    fn covers(&self, audience: &Audience) -> bool {
        covers(&self.0, "/*", audience.as_str())
    }
}

impl fmt::Display for AudiencePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a pattern is this name, or ends with `open` and covers it. The last character of the
/// pattern is its asterisk; the separator before it belongs to what a name begins with.
fn covers(pattern: &str, open: &str, name: &str) -> bool {
    pattern == name
        || pattern.ends_with(open)
            && pattern.strip_suffix('*').is_some_and(|beginning| name.starts_with(beginning))
}

/// What an administrator may give. An empty list limits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grantable {
    /// Scopes.
    pub scopes: BTreeSet<ScopePattern>,
    /// Audiences that tokens are for, and that clients serve.
    pub audiences: BTreeSet<AudiencePattern>,
}

/// Why a limited administrator may not make a client what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotGrantable {
    /// The client is an administrator.
    Administrator,
    /// It has a scope that no pattern covers.
    Scope(Scope),
    /// It has or serves an audience that no pattern covers.
    Audience(Audience),
}

impl Grantable {
    /// Parses both lists.
    pub fn parse<I, J>(scopes: I, audiences: J) -> Result<Self, Malformed>
    where
        I: IntoIterator<Item: AsRef<str>>,
        J: IntoIterator<Item: AsRef<str>>,
    {
        Ok(Self {
            scopes: Self::parse_scopes(scopes)?,
            audiences: Self::parse_audiences(audiences)?,
        })
    }

    /// Parses at most [`MAX_SCOPES`] patterns of scopes.
    pub fn parse_scopes<I>(texts: I) -> Result<BTreeSet<ScopePattern>, Malformed>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let mut patterns = BTreeSet::new();
        for text in texts {
            patterns.insert(ScopePattern::parse(text.as_ref())?);
            if patterns.len() > MAX_SCOPES {
                return Err(TOO_MANY);
            }
        }
        Ok(patterns)
    }

    /// Parses at most [`MAX_AUDIENCES`] patterns of audiences.
    pub fn parse_audiences<I>(texts: I) -> Result<BTreeSet<AudiencePattern>, Malformed>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let mut patterns = BTreeSet::new();
        for text in texts {
            patterns.insert(AudiencePattern::parse(text.as_ref())?);
            if patterns.len() > MAX_AUDIENCES {
                return Err(TOO_MANY);
            }
        }
        Ok(patterns)
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.scopes.is_empty() && self.audiences.is_empty()
    }

    /// Checks that a client may have these limits: they are few, and it is an administrator.
    pub fn check_for(&self, client: &Client) -> Result<(), Malformed> {
        if self.scopes.len() > MAX_SCOPES || self.audiences.len() > MAX_AUDIENCES {
            return Err(TOO_MANY);
        }
        if self.is_unlimited() || !client.permissions().is_empty() {
            return Ok(());
        }
        Err(Malformed(
            "grantable scopes and audiences limit an administrator, and this client has no scope \
             that begins with jeton: leave them empty",
        ))
    }

    /// Checks that somebody with these limits may give all that a client has. A limited
    /// administrator gives nothing to other administrators: they could do what it may not.
    pub fn check<'a>(
        &self,
        scopes: &BTreeSet<Scope>,
        audiences: impl IntoIterator<Item = &'a Audience>,
    ) -> Result<(), NotGrantable> {
        if self.is_unlimited() {
            return Ok(());
        }
        if scopes.iter().any(administration::is_reserved) {
            return Err(NotGrantable::Administrator);
        }
        let covered = |scope: &Scope| self.scopes.iter().any(|pattern| pattern.covers(scope));
        let mut foreign = scopes.iter().filter(|scope| !self.scopes.is_empty() && !covered(scope));
        if let Some(scope) = foreign.next() {
            return Err(NotGrantable::Scope(scope.clone()));
        }
        let covered = |name: &Audience| self.audiences.iter().any(|pattern| pattern.covers(name));
        let is_foreign = |name: &&Audience| !self.audiences.is_empty() && !covered(name);
        match audiences.into_iter().find(is_foreign) {
            Some(audience) => Err(NotGrantable::Audience(audience.clone())),
            None => Ok(()),
        }
    }
}

const TOO_MANY: Malformed =
    Malformed("there can be at most 64 grantable scopes and 16 grantable audiences");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checked(limits: (&[&str], &[&str]), of: (&[&str], &[&str])) -> Option<NotGrantable> {
        let limits = Grantable::parse(limits.0, limits.1).unwrap();
        let scopes = Scope::parse_set(of.0).unwrap();
        limits.check(&scopes, &Audience::parse_set(of.1).unwrap()).err()
    }

    #[test]
    fn a_limited_administrator_gives_what_a_pattern_covers() {
        let scope = |name| Some(NotGrantable::Scope(Scope::parse(name).unwrap()));
        let audience = |name| Some(NotGrantable::Audience(Audience::parse(name).unwrap()));
        let limits: (&[&str], &[&str]) = (&["orders.*", "stock.read"], &["https://a.test/*", "b"]);
        assert_eq!(checked(limits, (&[], &[])), None);
        assert_eq!(checked(limits, (&["orders.x.y", "stock.read"], &["b"])), None);
        assert_eq!(checked(limits, (&[], &["https://a.test/x/y", "https://a.test/"])), None);
        for name in ["orders", "ordersx.read", "stock.read.all", "stock", "*"] {
            assert_eq!(checked(limits, (&["orders.read", name], &[])), scope(name), "{name}");
        }
        for name in ["https://a.test", "https://a.test.evil/", "bb", "http://a.test/x"] {
            assert_eq!(checked(limits, (&[], &["b", name])), audience(name), "{name}");
        }
        // One empty list limits nothing of its kind, and nobody limited gives administration.
        assert_eq!(checked((&["a"], &[]), (&["a"], &["anything"])), None);
        assert_eq!(checked((&[], &["a"]), (&["anything"], &["a"])), None);
        let administration: (&[&str], &[&str]) = (&["jeton:read"], &[crate::ADMINISTRATION]);
        assert_eq!(checked((&[], &[]), administration), None);
        let told = checked((&[], &[crate::ADMINISTRATION]), administration);
        assert_eq!(told, Some(NotGrantable::Administrator));
        assert_eq!(checked((&["a"], &[]), administration), told);
    }

    #[test]
    fn an_asterisk_stands_at_the_end_after_a_separator() {
        for text in ["", "*", ".*", "a*", "a.*.b", "*.a", "a b", "jeton:read", "jeton:a.*", "a.**"]
        {
            ScopePattern::parse(text).unwrap_err();
        }
        for text in [
            "",
            "*",
            "/*",
            "https:/*",
            "https://*",
            "https://*.test/",
            "a*",
            "a/*/b",
            "a#b",
            "a/**",
        ] {
            AudiencePattern::parse(text).unwrap_err();
        }
        Grantable::parse_scopes((0..=MAX_SCOPES).map(|n| n.to_string())).unwrap_err();
        Grantable::parse_audiences((0..=MAX_AUDIENCES).map(|n| n.to_string())).unwrap_err();
    }

    #[test]
    fn limits_are_those_of_an_administrator() {
        let mut client = crate::client::client_for_tests();
        let limits = Grantable::parse(["a"], [""; 0]).unwrap();
        limits.check_for(&client).unwrap_err();
        Grantable::default().check_for(&client).unwrap();
        client.scopes = Scope::parse_set(["jeton:write"]).unwrap();
        limits.check_for(&client).unwrap();
    }

    proptest! {
        #[test]
        fn a_pattern_covers_only_what_begins_as_it_does(
            pattern in "[ab.*]{1,5}", name in "[ab.*]{1,5}",
        ) {
            let scope = Scope::parse(&name).unwrap();
            if let Ok(pattern) = ScopePattern::parse(&pattern) {
                let text = pattern.to_string();
                let is_covered = match text.strip_suffix('*') {
                    Some(beginning) => name.starts_with(beginning),
                    None => name == text,
                };
                prop_assert_eq!(pattern.covers(&scope), is_covered);
            }
        }
    }
}
