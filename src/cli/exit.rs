//! Exit status of the commands, so that a script can tell a mistake from a database that is away.

use std::process::ExitCode;

use tonic::Code;

use crate::{
    domain::{Error, SharedCause, Tampered},
    registry::RegistryError,
    store::{Denied, migrate::SchemaError},
};

/// Why a command did not simply succeed, as a number. Success is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Failed = 1,
    Usage = 2,
    Finding = 3,
    NotFound = 4,
    NotPermitted = 5,
    Conflict = 6,
    Unavailable = 7,
    Tampered = 8,
}

/// All of them, as the help shows them. `docs/commands.md` has the same table.
pub(super) const TABLE: &str = "\
Exit status:
  0  done
  1  failed for another reason than those below
  2  wrong arguments, or a confirmation is missing: add --yes
  3  done, with a finding, such as an inactive token, a dead client or a plan with changes
  4  the client, the secret, the token or the database does not exist
  5  not permitted: the credentials or the privileges do not suffice
  6  refused by the present state: a name is taken, or versions do not match
  7  the database or the node does not answer: try again later
  8  the audit trail was tampered with";

impl Exit {
    /// Name in JSON errors.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Usage => "USAGE",
            Self::Finding => "FINDING",
            Self::NotFound => "NOT_FOUND",
            Self::NotPermitted => "NOT_PERMITTED",
            Self::Conflict => "CONFLICT",
            Self::Unavailable => "UNAVAILABLE",
            Self::Tampered => "TAMPERED",
        }
    }

    /// Exit status for an error: that of its first cause that has one.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(of_cause).unwrap_or(Self::Failed)
    }

    /// Exit status for the answer of a node.
    pub(super) const fn of_answer(code: Code) -> Self {
        match code {
            Code::NotFound => Self::NotFound,
            Code::Unauthenticated | Code::PermissionDenied => Self::NotPermitted,
            Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => Self::Conflict,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
                Self::Unavailable
            }
            _ => Self::Failed,
        }
    }

    /// An error that ends the command with this status. Without a message nothing is printed.
    pub(super) fn error(self, message: impl Into<String>) -> anyhow::Error {
        WithStatus { exit: self, message: message.into() }.into()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error whose exit status is known where it arises.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct WithStatus {
    exit: Exit,
    message: String,
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    // An error of the domain shares its cause, and the chain has the `Arc` in place of the cause.
    if let Some(shared) = cause.downcast_ref::<SharedCause>() {
        return of_cause(&**shared);
    }
    if let Some(ending) = cause.downcast_ref::<WithStatus>() {
        return Some(ending.exit);
    }
    if cause.is::<Denied>() {
        return Some(Exit::NotPermitted);
    }
    if cause.is::<tonic::transport::Error>() {
        return Some(Exit::Unavailable);
    }
    if cause.is::<Tampered>() {
        return Some(Exit::Tampered);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_registry(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_schema(error);
    }
    match cause.downcast_ref()? {
        Error::Unavailable { .. } => Some(Exit::Unavailable),
        _ => None,
    }
}

const fn of_registry(error: &RegistryError) -> Option<Exit> {
    match error {
        RegistryError::NoSuchClient(_)
        | RegistryError::NoSuchSecret(..)
        | RegistryError::NotDeleted(_)
        | RegistryError::NoSuchToken(_) => Some(Exit::NotFound),
        RegistryError::ClientIdTaken(_)
        | RegistryError::EtagMismatch(..)
        | RegistryError::ChangedMeanwhile(_)
        | RegistryError::SecretEnded(..)
        | RegistryError::LastLiveSecret(..)
        | RegistryError::SecretLeaked(..)
        | RegistryError::SecretExpired(..)
        | RegistryError::SecretForgotten(..)
        | RegistryError::TooManySecrets { .. }
        | RegistryError::LaterExpiry(..)
        | RegistryError::AlreadyDelivered(_)
        | RegistryError::RequestIdReused(_)
        | RegistryError::SecretInUse { .. }
        | RegistryError::PreviousTagKey
        | RegistryError::NoPreviousTagKey
        | RegistryError::EarlierNodes(_)
        | RegistryError::RotatedMeanwhile => Some(Exit::Conflict),
        RegistryError::Malformed(_) => Some(Exit::Usage),
        RegistryError::Hash(_) | RegistryError::Unreadable(_) | RegistryError::Store(_) => None,
    }
}

const fn of_schema(error: &SchemaError) -> Option<Exit> {
    match error {
        SchemaError::Missing | SchemaError::NoDatabase(_) => Some(Exit::NotFound),
        SchemaError::Newer { .. } | SchemaError::Older { .. } | SchemaError::Foreign => {
            Some(Exit::Conflict)
        }
        SchemaError::Refused { .. }
        | SchemaError::Forbidden(_)
        | SchemaError::MayNotMigrate(_)
        | SchemaError::NotVisible(_) => Some(Exit::NotPermitted),
        SchemaError::Migration(_)
        | SchemaError::Random(_)
        | SchemaError::Database(_)
        | SchemaError::DataDirectory(_) => None,
    }
}
