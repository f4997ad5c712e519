//! Why a call is refused, and its status: one reason for each, and the field at fault.

use tonic::Status;
use tonic_types::{FieldViolation, StatusExt};

use crate::{
    domain::{Error, Grantable, Malformed, NotGrantable, Permission, Permissions},
    pb::v1::{ErrorReason, Failure},
    registry::RegistryError,
    rpc::status::{from_error, refused},
};

/// Patterns that a refusal shows.
const MAX_SHOWN: usize = 5;

/// Why a call is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A reason that callers of other services meet too.
    Error(Error),
    /// The use case failed.
    Registry(RegistryError),
    /// A field has a value that it cannot have.
    Invalid {
        /// Path of the field in the request.
        field: &'static str,
        /// What to do about it.
        remedy: String,
    },
    /// The caller is no administrator.
    InvalidToken,
    /// The administrator lacks the permission for the method.
    NotPermitted {
        /// The permission that the method requires.
        required: Permission,
        /// Those of the caller.
        have: Permissions,
    },
    /// The client has permissions, or would get them, that the caller cannot grant.
    GrantNotPermitted {
        /// Those of the client.
        permissions: Permissions,
        /// Those of the caller.
        have: Permissions,
    },
    /// The client has, or would get, what a limited caller may not give.
    NotGrantable {
        /// What that is.
        what: NotGrantable,
        /// The patterns of what the caller may give, for people.
        limits: String,
    },
    /// The secret of a text does not exist any more.
    SecretDeleted,
}

impl Refusal {
    /// A field that was parsed by its type, which says what it allows.
    pub(super) fn of_field(field: &'static str) -> impl Fn(Malformed) -> Self {
        move |Malformed(remedy)| Self::Invalid { field, remedy: remedy.to_owned() }
    }

    /// What a caller with these limits may not give.
    pub(super) fn of_limits(what: NotGrantable, limits: &Grantable) -> Self {
        let limits = match &what {
            NotGrantable::Administrator => {
                some(limits.scopes.iter().map(text).chain(limits.audiences.iter().map(text)))
            }
            NotGrantable::Scope(_) => some(limits.scopes.iter().map(text)),
            NotGrantable::Audience(_) => some(limits.audiences.iter().map(text)),
        };
        Self::NotGrantable { what, limits }
    }

    /// A field, with the remedy.
    pub(super) fn invalid(field: &'static str, remedy: impl Into<String>) -> Self {
        Self::Invalid { field, remedy: remedy.into() }
    }

    /// Renders the refusal. The cause of a fault is logged here and nowhere else.
    pub(super) fn into_status(self) -> Status {
        match self {
            Self::Error(error) => from_error(error),
            Self::Registry(error) => of_registry(error),
            Self::Invalid { field, remedy } => invalid(field, &remedy),
            Self::InvalidToken => refused(
                ErrorReason::InvalidToken,
                "send a token for administration as `authorization: Bearer` metadata; an \
                 administrator gets one with resource=urn:jeton:administration",
                None,
                &[],
            ),
            Self::NotPermitted { required, have } => {
                let required = required.scope();
                let message = format!("this method requires a token with the scope {required}");
                not_permitted(ErrorReason::NotPermitted, &message, required.to_owned(), have)
            }
            Self::GrantNotPermitted { permissions, have } => {
                let message = format!(
                    "the client is an administrator ({permissions}): only a caller with \
                     jeton:security and with these scopes may do this"
                );
                let required = permissions.to_string();
                not_permitted(ErrorReason::GrantNotPermitted, &message, required, have)
            }
            Self::NotGrantable { what, limits } => not_grantable(&what, &limits),
            Self::SecretDeleted => refused(
                ErrorReason::SecretNotFound,
                "this secret was deleted, with its client: nothing authenticates with it",
                None,
                &[],
            ),
        }
    }

    /// The refusal as the result of one request of a batch.
    pub(super) fn into_failure(self) -> Failure {
        let status = self.into_status();
        let details = status.get_error_details();
        let reason = details.error_info().and_then(|info| ErrorReason::from_reason(&info.reason));
        let field = details.bad_request().and_then(|bad| bad.field_violations.first());
        Failure {
            reason: reason.unwrap_or(ErrorReason::Internal).into(),
            message: status.message().to_owned(),
            field: field.map(|violation| violation.field.clone()).unwrap_or_default(),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

fn invalid(field: &str, remedy: &str) -> Status {
    let message = format!("{field}: {remedy}");
    let violation = FieldViolation::new(field, remedy);
    refused(ErrorReason::InvalidRequest, &message, Some(violation), &[])
}

fn not_permitted(
    reason: ErrorReason,
    message: &str,
    required: String,
    have: Permissions,
) -> Status {
    refused(reason, message, None, &[("permission", required), ("have", have.to_string())])
}

fn not_grantable(what: &NotGrantable, limits: &str) -> Status {
    let (has, metadata) = match what {
        NotGrantable::Administrator => ("is an administrator".to_owned(), None),
        NotGrantable::Scope(scope) => {
            (format!("has or would get the scope {scope}"), Some(("scope", scope.to_string())))
        }
        NotGrantable::Audience(audience) => (
            format!("has or would get the audience {audience}"),
            Some(("audience", audience.to_string())),
        ),
    };
    let message = format!(
        "the client {has}, and you may give only {limits}: ask an administrator who is not limited"
    );
    let metadata = metadata.as_slice();
    refused(ErrorReason::GrantNotPermitted, &message, None, metadata)
}

fn text(pattern: &impl ToString) -> String {
    pattern.to_string()
}

/// Patterns for people: the first ones, because a status is short.
fn some(patterns: impl Iterator<Item = String>) -> String {
    let patterns: Vec<_> = patterns.collect();
    let shown = patterns.len().min(MAX_SHOWN);
    let more = match patterns.len() - shown {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", patterns[..shown].join(" "))
}

fn of_registry(error: RegistryError) -> Status {
    let plain = |reason, message: &str| refused(reason, message, None, &[]);
    match error {
        RegistryError::NoSuchClient(_) => plain(
            ErrorReason::ClientNotFound,
            "there is no client with this client id; ListClients lists all clients",
        ),
        RegistryError::NotDeleted(_) => plain(
            ErrorReason::ClientNotFound,
            "no client with this client id was deleted within the last 30 days; ListAuditEvents \
             tells what became of it",
        ),
        RegistryError::NoSuchSecret(..) => plain(
            ErrorReason::SecretNotFound,
            "the client has no secret with this id; ListSecrets lists its secrets",
        ),
        RegistryError::NoSuchToken(_) => plain(
            ErrorReason::TokenNotFound,
            "there is no token with this id: it never existed, or it expired long ago",
        ),
        RegistryError::EtagMismatch(_, fields) => refused(
            ErrorReason::EtagMismatch,
            "the client was changed since its etag was read: read it again and use the new etag",
            None,
            &[("changed", fields.join(" "))],
        ),
        RegistryError::ChangedMeanwhile(_) => plain(
            ErrorReason::EtagMismatch,
            "nothing was changed, because others are changing this client all the time: try again",
        ),
        RegistryError::ClientIdTaken(_) => plain(
            ErrorReason::ClientIdTaken,
            "there is already a client with this client id: choose another one, or give that \
             client one more secret with AddSecret",
        ),
        RegistryError::Malformed(Malformed(remedy)) => invalid("client", remedy),
        // It names the row and the column, and never the stored value.
        RegistryError::Unreadable(row) => plain(ErrorReason::UnreadableRow, &row.to_string()),
        RegistryError::Store(error) => from_error(error),
        RegistryError::Hash(cause) => from_error(Error::internal(cause)),
        error @ (RegistryError::SecretInUse { .. }
        | RegistryError::LastLiveSecret(..)
        | RegistryError::TooManySecrets { .. }
        | RegistryError::SecretForgotten(..)
        | RegistryError::SecretEnded(..)
        | RegistryError::SecretLeaked(..)
        | RegistryError::SecretExpired(..)
        | RegistryError::LaterExpiry(..)
        | RegistryError::AlreadyDelivered(_)
        | RegistryError::RequestIdReused(_)) => of_secret(error),
        // Nothing here rotates a tag key.
        error @ (RegistryError::PreviousTagKey
        | RegistryError::NoPreviousTagKey
        | RegistryError::EarlierNodes(_)
        | RegistryError::RotatedMeanwhile) => from_error(Error::internal(error)),
    }
}

/// The status of a reason that concerns a secret, with which alone it is called.
fn of_secret(error: RegistryError) -> Status {
    let plain = |reason, message: &str| refused(reason, message, None, &[]);
    match error {
        RegistryError::SecretInUse { at, .. } => refused(
            ErrorReason::SecretInUse,
            "the secret was used within the last day: give the client a newer one first, or set \
             even_if_in_use",
            None,
            &[("last_use_time", at.to_string())],
        ),
        RegistryError::TooManySecrets { unused, .. } => refused(
            ErrorReason::TooManySecrets,
            "the client has eight live secrets, as many as it may have: retire one that nothing \
             uses any more, such as the one that the metadata name",
            None,
            &[("secret_id", unused.to_string())],
        ),
        RegistryError::LastLiveSecret(..) => plain(
            ErrorReason::LastLiveSecret,
            "this is the last live secret of the client: add another first, or set even_if_last",
        ),
        RegistryError::SecretEnded(..)
        | RegistryError::SecretLeaked(..)
        | RegistryError::SecretForgotten(..)
        | RegistryError::SecretExpired(..) => plain(
            ErrorReason::SecretEnded,
            "the secret has leaked, has expired or is retired: add another with AddSecret",
        ),
        RegistryError::LaterExpiry(_, _, end) => invalid(
            "secret.expire_time",
            &format!("the secret expires at {end}, which can only be brought forward"),
        ),
        RegistryError::AlreadyDelivered(_) => plain(
            ErrorReason::AlreadyDelivered,
            "this request was carried out before, and its secret was used, may have been used, or \
             works no more: if its text is lost, add another secret with AddSecret",
        ),
        RegistryError::RequestIdReused(_) => {
            let remedy = "another request had this id: make a random UUID for each request";
            let violation = FieldViolation::new("request_id", remedy);
            refused(ErrorReason::RequestIdReused, remedy, Some(violation), &[])
        }
        error => from_error(Error::internal(error)),
    }
}
