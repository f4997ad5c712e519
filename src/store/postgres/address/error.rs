//! Why an address of Postgres was refused.

use super::parameters::ACCEPTED;

/// What is wrong with a database URL, and how to mend it. A message names the parameter, or the
/// environment variable that stands for it, and never repeats a value: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is no URL of Postgres.
    #[error(
        "a database URL reads postgres://user:password@host:5432/database, with parameters such \
         as sslmode=… after a question mark"
    )]
    Shape,
    /// A part holds a character that ends the part.
    #[error(
        "the user or the password in the database URL seems to hold a bare `@`, `/` or `?`: \
         percent-encode it, as %40, %2F or %3F"
    )]
    NotEncoded,
    /// A percent sign begins no escape, or what was escaped is no text.
    #[error(
        "`{part}` in the database URL is wrongly percent-encoded: two hexadecimal digits follow \
         each `%`, they spell UTF-8 without NUL, and a percent sign itself is written %25"
    )]
    Escape {
        /// The parameter, as libpq names it.
        part: &'static str,
    },
    /// A parameter without a value.
    #[error(
        "a parameter of the database URL has no `=`: parameters read name=value with `&` between \
         them; percent-encode a `&` within a value as %26"
    )]
    NoValue,
    /// A parameter that nobody knows.
    #[error(
        "the parameter `{name}` of the database URL is not supported: correct its spelling or \
         remove it; Jeton accepts {ACCEPTED}"
    )]
    Unknown {
        /// Its name as it was given.
        name: String,
    },
    /// The same, where the name could be a piece of a password.
    #[error(
        "the database URL holds a parameter that is not supported, and whose name is not shown \
         because it may belong to a password: percent-encode `&`, `?` and `@` within values, as \
         %26, %3F and %40; Jeton accepts {ACCEPTED}"
    )]
    UnknownAndHidden,
    /// A parameter of libpq that Jeton cannot honour.
    #[error("Jeton does not support `{name}`: {advice}")]
    Unsupported {
        /// The parameter or the environment variable.
        name: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// A value that the parameter does not take.
    #[error("`{name}` {rule}")]
    Value {
        /// The parameter or the environment variable.
        name: &'static str,
        /// What it takes.
        rule: &'static str,
    },
    /// `options` sets what Jeton sets.
    #[error("`{name}` sets `{setting}`, which Jeton sets by itself: remove that setting")]
    Setting {
        /// The parameter or the environment variable.
        name: &'static str,
        /// The setting of Postgres.
        setting: &'static str,
    },
    /// A file with a certificate or a key is of no use.
    #[error("`{name}` names a file that cannot be used: {cause}")]
    File {
        /// The parameter or the environment variable.
        name: &'static str,
        /// What the system or the parser said, without the path.
        cause: String,
    },
    /// Nothing was said of TLS, and a host is not on this machine.
    #[error(
        "the link to a database on another machine needs `sslmode`, because it could be in clear \
         otherwise: add sslmode=verify-full&sslrootcert=…, with the file of the authority that \
         issued the certificate of the server; or sslmode=disable, if the network protects the \
         link by itself"
    )]
    Unprotected,
}
