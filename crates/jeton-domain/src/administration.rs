//! Administration: the audience and the scopes that are reserved for it, and what they permit.
//!
//! An administrator is a client whose tokens have one of these scopes. Such a token is for the
//! reserved audience alone, which nobody serves, so no resource server can use it here.

use std::{collections::BTreeSet, fmt};

use super::{Audience, Client, ClientRecord, ClientState, Malformed, Scope, TokenLifetime};

/// The audience of tokens for administration.
pub const ADMINISTRATION: &str = "urn:jeton:administration";

/// Beginning of all scopes that are reserved for administration.
const PREFIX: &str = "jeton:";

/// What an administrator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Look at clients and their secrets.
    Read,
    /// Create and change clients. Includes `Read`.
    Write,
    /// End access, grant permissions, and look at the audit trail. Includes `Read`.
    Security,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Security];

    /// The scope that grants it.
    #[must_use]
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Read => "jeton:read",
            Self::Write => "jeton:write",
            Self::Security => "jeton:security",
        }
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions([bool; 3]);

impl Permissions {
    /// All permissions.
    pub const ALL: Self = Self([true; 3]);

    /// Those that these scopes grant.
    #[must_use]
    pub fn of(scopes: &BTreeSet<Scope>) -> Self {
        let grants = |of: Permission| scopes.iter().any(|scope| scope.as_str() == of.scope());
        Self(Permission::ALL.map(grants))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether one of the scopes grants this permission, by itself or because it includes it.
    #[must_use]
    pub fn include(self, permission: Permission) -> bool {
        match permission {
            Permission::Read => !self.is_empty(),
            Permission::Write | Permission::Security => self.0[permission as usize],
        }
    }

    /// Whether a caller with these permissions may give or keep `others` for a client: it must be
    /// allowed to grant permissions, and nobody grants what he does not have.
    #[must_use]
    pub fn may_grant(self, others: Self) -> bool {
        let includes = |of: Permission| !others.0[of as usize] || self.include(of);
        others.is_empty()
            || self.include(Permission::Security) && Permission::ALL.into_iter().all(includes)
    }
}

/// The scopes, separated by spaces.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = Permission::ALL.into_iter().filter(|of| self.0[*of as usize]);
        let scopes: Vec<_> = granted.map(Permission::scope).collect();
        f.write_str(&scopes.join(" "))
    }
}

impl ClientRecord {
    /// Whether it can make and change other administrators now.
    #[must_use]
    pub fn may_grant_access(&self) -> bool {
        self.client.state == ClientState::Active
            && self.client.is_for_administration_alone()
            && self.client.permissions().include(Permission::Security)
            && self.about.grantable.is_unlimited()
    }
}

impl Client {
    /// The permissions that its tokens may have.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        Permissions::of(&self.scopes)
    }

    /// Whether its tokens are for administration and for nothing else.
    #[must_use]
    pub fn is_for_administration_alone(&self) -> bool {
        is_administration_alone(&self.audiences)
    }

    /// Checks that what is reserved for administration is used for nothing else. The schema makes
    /// the same checks.
    pub fn check_reserved(&self) -> Result<(), Malformed> {
        if self.serves.iter().any(is_administration) {
            return Err(Malformed(
                "no client serves urn:jeton:administration: Jeton itself is its resource server",
            ));
        }
        let mut reserved = self.scopes.iter().filter(|scope| is_reserved(scope));
        let is_known = |scope: &Scope| {
            Permission::ALL.into_iter().any(|known| known.scope() == scope.as_str())
        };
        if !reserved.clone().all(is_known) {
            return Err(Malformed(
                "scopes that begin with jeton: are reserved; they are jeton:read, jeton:write and \
                 jeton:security",
            ));
        }
        if reserved.next().is_none() && !includes_administration(&self.audiences) {
            return Ok(());
        }
        // One message with the whole remedy, so that nobody needs a try for each part.
        let is_brief = self.token_lifetime <= TokenLifetime::OF_ADMINISTRATORS;
        if !self.is_for_administration_alone() || !is_brief {
            return Err(Malformed(
                "an administrator, which is a client with a scope that begins with jeton:, has \
                 urn:jeton:administration as its only audience, and its tokens live for at most \
                 900 seconds (--audience urn:jeton:administration --token-lifetime 15m); no other \
                 client has that audience",
            ));
        }
        Ok(())
    }
}

/// Whether these are the audiences of a token for administration.
#[must_use]
pub fn is_administration_alone(audiences: &BTreeSet<Audience>) -> bool {
    !audiences.is_empty() && audiences.iter().all(is_administration)
}

/// Whether a token for these audiences is one for administration, or becomes one when the others
/// are taken from its client.
#[must_use]
pub fn includes_administration(audiences: &BTreeSet<Audience>) -> bool {
    audiences.iter().any(is_administration)
}

/// Whether a scope is reserved for administration.
pub(super) fn is_reserved(scope: &Scope) -> bool {
    scope.as_str().starts_with(PREFIX)
}

fn is_administration(audience: &Audience) -> bool {
    audience.as_str() == ADMINISTRATION
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::client_for_tests;

    /// Scopes, audiences, what it serves, lifetime of its tokens; why it is refused.
    type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], u32, Option<&'a str>);

    fn client(scopes: &[&str], audiences: &[&str], serves: &[&str], lifetime: u32) -> Client {
        Client {
            scopes: Scope::parse_set(scopes).unwrap(),
            audiences: Audience::parse_set(audiences).unwrap(),
            serves: Audience::parse_set(serves).unwrap(),
            token_lifetime: TokenLifetime::from_seconds(lifetime).unwrap(),
            ..client_for_tests()
        }
    }

    #[test]
    fn what_is_reserved_is_used_for_administration_alone() {
        let rows: [Row<'_>; 10] = [
            (&["orders.read"], &["https://a.test"], &["https://a.test"], 3_600, None),
            (&["jeton:read"], &[ADMINISTRATION], &[], 900, None),
            (&["jeton:write", "other"], &[ADMINISTRATION], &["https://a.test"], 1, None),
            (&[], &[ADMINISTRATION], &[], 900, None),
            (&[], &[], &[ADMINISTRATION], 900, Some("no client serves")),
            (&["jeton:root"], &[ADMINISTRATION], &[], 900, Some("are reserved")),
            (&["jeton:read"], &[], &[], 900, Some("only audience")),
            (&["jeton:read"], &[ADMINISTRATION, "a"], &[], 900, Some("only audience")),
            (&[], &[ADMINISTRATION, "a"], &[], 900, Some("only audience")),
            (&["jeton:read"], &[ADMINISTRATION], &[], 901, Some("at most 900 seconds")),
        ];
        for (scopes, audiences, serves, lifetime, refused) in rows {
            let checked = client(scopes, audiences, serves, lifetime).check_reserved();
            let told = checked.err().map(|Malformed(text)| text);
            assert_eq!(told.is_some(), refused.is_some(), "{scopes:?} {audiences:?}: {told:?}");
            assert!(told.unwrap_or_default().contains(refused.unwrap_or_default()), "{told:?}");
        }
    }

    #[test]
    fn nobody_grants_what_he_does_not_have() {
        let of = |names: &[&str]| Permissions::of(&Scope::parse_set(names).unwrap());
        let (none, read) = (of(&["orders.read"]), of(&["jeton:read"]));
        let (write, security) = (of(&["jeton:write"]), of(&["jeton:security"]));
        assert!(none.is_empty() && !none.include(Permission::Read));
        for one in [read, write, security] {
            assert!(one.include(Permission::Read) && one.may_grant(none));
        }
        assert!(!write.include(Permission::Security) && !security.include(Permission::Write));
        assert!(!write.may_grant(read) && !write.may_grant(write) && !read.may_grant(read));
        assert!(security.may_grant(security) && security.may_grant(read));
        assert!(!security.may_grant(write) && Permissions::ALL.may_grant(Permissions::ALL));
        assert_eq!(Permissions::ALL.to_string(), "jeton:read jeton:write jeton:security");
    }
}
