//! The address of a database, which may hold a password.

use std::str::FromStr;

use serde::Deserialize;

/// A database URL, which may hold a password: it prints without.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL with its password, for the driver.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL without its password: what stands between the scheme and the last `@` is cut after
    /// its first colon, and a `password` parameter loses its value.
    #[must_use]
    pub fn redacted(&self) -> String {
        let (head, query) = self.0.split_once('?').map_or((&*self.0, None), |(h, q)| (h, Some(q)));
        let mut text = match (head.split_once("://"), head.rfind('@')) {
            (Some((scheme, rest)), Some(at)) => {
                let user_info = &rest[..at - scheme.len() - 3];
                let user = user_info.split(':').next().unwrap_or_default();
                let mark = if user_info.contains(':') { ":[redacted]" } else { "" };
                format!("{scheme}://{user}{mark}{}", &head[at..])
            }
            _ => head.to_owned(),
        };
        for (number, parameter) in query.into_iter().flat_map(|q| q.split('&')).enumerate() {
            text.push(if number == 0 { '?' } else { '&' });
            let is_password = parameter.starts_with("password=");
            text.push_str(if is_password { "password=[redacted]" } else { parameter });
        }
        text
    }
}

impl FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let rows = [
            ("postgres://u:canary@h/d", "postgres://u:[redacted]@h/d"),
            ("postgres://u:can@ary@h:1/d?a=b", "postgres://u:[redacted]@h:1/d?a=b"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            (
                "postgres:///d?host=/run&password=canary",
                "postgres:///d?host=/run&password=[redacted]",
            ),
            ("nonsense", "nonsense"),
        ];
        for (url, shown) in rows {
            let url: DatabaseUrl = url.parse().unwrap();
            assert_eq!(url.redacted(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }
}
