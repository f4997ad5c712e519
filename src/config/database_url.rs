//! Database URL that is printed without its password.

use std::{ops::Range, str::FromStr};

/// Database URL, which may hold a password. `Debug` prints it redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL with its password, for the driver.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL with this password; `None` if it has one. The password becomes a parameter, so that
    /// no other part of the URL has to be understood.
    #[must_use]
    pub(super) fn with_password(&self, password: &str) -> Option<Self> {
        let text = &*self.0;
        let (_, query) = text.split_once('?').unwrap_or((text, ""));
        let names = query.split('&').filter_map(|parameter| parameter.split('=').next());
        if password_of(text).is_some() || names.into_iter().any(|name| name == "password") {
            return None;
        }
        let separator = if text.contains('?') { '&' } else { '?' };
        let encoded = percent_encoded(password);
        Some(Self(format!("{text}{separator}password={encoded}")))
    }

    /// The URL with `[redacted]` in place of its password. Malformed URLs are printed too, so that
    /// the operator can find the mistake. Therefore this searches the text instead of parsing it,
    /// and in doubt redacts too much.
    #[must_use]
    pub fn redacted(&self) -> String {
        const MARK: &str = "[redacted]";
        let text = &*self.0;
        let end = secret_parameter(text).unwrap_or(text.len());
        let tail = if end < text.len() { MARK } else { "" };
        match password_of(text) {
            Some(password) if password.end < end => {
                let (before, behind) = (&text[..password.start], &text[password.end..end]);
                format!("{before}{MARK}{behind}{tail}")
            }
            Some(password) => format!("{}{MARK}", &text[..password.start.min(end)]),
            None => format!("{}{tail}", &text[..end]),
        }
    }
}

/// Byte range between the first colon after the scheme and the last `@`. A password that was not
/// percent-encoded may contain any other separator of a URL.
fn password_of(text: &str) -> Option<Range<usize>> {
    let at = text.rfind('@')?;
    let colon = text.find(':')?;
    let user = if text[colon..].starts_with("://") { colon + 3 } else { 0 };
    let start = user + text[user..].find(':')? + 1;
    (start <= at).then_some(start..at)
}

/// Encodes every byte that is not unreserved (RFC 3986, section 2.3).
fn percent_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| {
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_unreserved { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    encoded.collect()
}

/// Byte offset of the value of the first query parameter that is a password, or whose name is
/// encoded such that it could be one. The text after it may still belong to the password.
fn secret_parameter(text: &str) -> Option<usize> {
    let mut start = text.find('?')? + 1;
    for parameter in text[start..].split(['&', '?']) {
        let name = parameter.split('=').next().unwrap_or_default();
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_plain || name.to_ascii_lowercase().contains("password") {
            return Some(text.len().min(start + name.len() + 1));
        }
        start += parameter.len() + 1;
    }
    None
}

impl FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl From<String> for DatabaseUrl {
    fn from(text: String) -> Self {
        Self(text)
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
    fn a_password_is_added_once_and_encoded() {
        let url = |text: &str| DatabaseUrl::from(text.to_owned());
        let with = |text: &str| url(text).with_password("p@s&s?%/ü+");
        let encoded = "password=p%40s%26s%3F%25%2F%C3%BC%2B";
        for (given, expected) in [
            ("postgres://u@h/d", format!("postgres://u@h/d?{encoded}")),
            ("postgres://h/d?options[a]=b", format!("postgres://h/d?options[a]=b&{encoded}")),
            ("postgres://h/d?sslmode=require", format!("postgres://h/d?sslmode=require&{encoded}")),
        ] {
            let made = with(given).unwrap();
            assert_eq!(made.expose(), expected);
            assert!(!made.redacted().contains("p%40"), "{made:?}");
        }
        for given in ["postgres://u:canary@h/d", "postgres:///d?password=canary"] {
            assert!(with(given).is_none(), "{given}");
        }
    }

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
            (
                "postgres://u:canary@h1:5432,h2:5433/d?target_session_attrs=read-write",
                "postgres://u:[redacted]@h1:5432,h2:5433/d?target_session_attrs=read-write",
            ),
            (
                "postgres://u:can,ary@h1,[::1]:6000/d?host=a,b&port=1,2&password=canary",
                "postgres://u:[redacted]@h1,[::1]:6000/d?host=a,b&port=1,2&password=[redacted]",
            ),
            ("postgres://u:canary@[::1]:5432/d", "postgres://u:[redacted]@[::1]:5432/d"),
            ("postgres://u:can@ary,c:1@h1,h2/d", "postgres://u:[redacted]@h1,h2/d"),
            ("postgres://u:can:ary/@h1,h2/d", "postgres://u:[redacted]@h1,h2/d"),
            (
                "postgres://h1:1,[::1]:2/d?sslmode=require",
                "postgres://h1:1,[::1]:2/d?sslmode=require",
            ),
            // URLs that no parser accepts are printed too, so that the mistake can be found.
            ("postgres://u:can?ary@h/d", "postgres://u:[redacted]@h/d"),
            (
                "postgres://u:p?a=b@h/d?password=canary",
                "postgres://u:[redacted]@h/d?password=[redacted]",
            ),
            ("postgres:u:canary@h", "postgres:[redacted]@h"),
            ("u:canary@h", "u:[redacted]@h"),
            ("postgres://h:1/d?password=can@ary", "postgres://h:[redacted]"),
            ("postgres:///d?p%61ssword=can&ary", "postgres:///d?p%61ssword=[redacted]"),
            ("postgres:///d?sslPassword=canary", "postgres:///d?sslPassword=[redacted]"),
            ("postgres://h/d?application_name=a@b", "postgres://h/d?application_name=a@b"),
            ("user@host://database", "user@host://database"),
            ("nonsense", "nonsense"),
        ];
        for (url, shown) in rows {
            let url: DatabaseUrl = url.parse().unwrap();
            assert_eq!(url.redacted(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }
}
