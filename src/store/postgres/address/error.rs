//! Errors of address parsing.

use super::parameters::ACCEPTED;

/// Why a database URL is refused, and how to correct it. Messages name the parameter, or the
/// environment variable for it, and never repeat a value, because it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is not a Postgres URL.
    #[error(
        "a database URL has the form postgres://user:password@host:5432/database, with parameters \
         such as sslmode=… after a question mark"
    )]
    Shape,
    /// A part contains a bare character that ends it.
    #[error(
        "the user or the password in the database URL seems to contain a bare `@`, `/` or `?`: \
         percent-encode it, as %40, %2F or %3F"
    )]
    NotEncoded,
    /// A percent sign does not begin an escape, or the decoded bytes are not text.
    #[error(
        "`{part}` in the database URL is not correctly percent-encoded: each `%` needs two \
         hexadecimal digits, the result must be UTF-8 without NUL, and a percent sign is %25"
    )]
    Escape {
        /// Name of the parameter in libpq.
        part: &'static str,
    },
    /// A parameter has no value.
    #[error(
        "a parameter of the database URL has no `=`: parameters have the form name=value and are \
         separated by `&`; percent-encode a `&` within a value as %26"
    )]
    NoValue,
    /// A parameter that Jeton does not know.
    #[error(
        "the parameter `{name}` of the database URL is not supported: correct its spelling or \
         remove it; Jeton accepts {ACCEPTED}"
    )]
    Unknown {
        /// Name as given in the URL.
        name: String,
    },
    /// A parameter that Jeton does not know, with a name that could be a piece of a password.
    #[error(
        "the database URL contains a parameter that is not supported; its name is not shown, \
         because it may be part of a password: percent-encode `&`, `?` and `@` within values, as \
         %26, %3F and %40; Jeton accepts {ACCEPTED}"
    )]
    UnknownAndHidden,
    /// A parameter of libpq that Jeton does not support.
    #[error("Jeton does not support `{name}`: {advice}")]
    Unsupported {
        /// The parameter or the environment variable.
        name: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// A value that the parameter does not accept.
    #[error("`{name}` {rule}")]
    Value {
        /// The parameter or the environment variable.
        name: &'static str,
        /// Values that it accepts.
        rule: &'static str,
    },
    /// `options` contains a setting that Jeton sets itself.
    #[error("`{name}` sets `{setting}`, which Jeton sets itself: remove that setting")]
    Setting {
        /// The parameter or the environment variable.
        name: &'static str,
        /// Name of the Postgres setting.
        setting: &'static str,
    },
    /// A file with a certificate or a key cannot be used.
    #[error("`{name}` names a file that cannot be used: {cause}")]
    File {
        /// The parameter or the environment variable.
        name: &'static str,
        /// Error of the system or the parser, without the path.
        cause: String,
    },
}
