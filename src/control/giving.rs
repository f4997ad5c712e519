//! What a caller may give to clients. Adding a secret to a client is becoming it, so a caller needs
//! all of this for every client that it creates, changes, enables, or gives a secret.

use std::collections::BTreeSet;

use super::{Caller, ClientRpc, Refusal};
use crate::{
    domain::{Audience, Client, Grantable, Permissions, Scope},
    registry::{NewClient, RegistryError},
};

/// What a caller may give, as it was read for this call.
pub(super) struct Giving {
    permissions: Permissions,
    limits: Grantable,
}

impl Giving {
    /// Checks that the caller may give, or keep, all that a client has.
    pub(super) fn check(&self, client: &Client) -> Result<(), Refusal> {
        self.check_all(&client.scopes, client.audiences.union(&client.serves))
    }

    /// The same for a client that is to be created.
    pub(super) fn check_new(&self, client: &NewClient) -> Result<(), Refusal> {
        self.check_all(&client.scopes, client.audiences.union(&client.serves))
    }

    /// The same for these scopes, and for audiences of tokens or that are served.
    pub(super) fn check_all<'a>(
        &self,
        scopes: &BTreeSet<Scope>,
        audiences: impl Iterator<Item = &'a Audience>,
    ) -> Result<(), Refusal> {
        let (permissions, have) = (Permissions::of(scopes), self.permissions);
        if !have.may_grant(permissions) {
            return Err(Refusal::GrantNotPermitted { permissions, have });
        }
        let limits = &self.limits;
        limits.check(scopes, audiences).map_err(|what| Refusal::of_limits(what, limits))
    }
}

impl ClientRpc {
    /// What this caller may give now. It is read from the database for each call, so nobody uses
    /// more than is left to it. Users of this machine are not limited.
    pub(super) async fn giving(&self, caller: &Caller) -> Result<Giving, Refusal> {
        let permissions = caller.permissions;
        let Some(of) = &caller.client else {
            return Ok(Giving { permissions, limits: Grantable::default() });
        };
        match self.registry.record(&of.client_id).await {
            Ok(now) if now.client.key == of.key => {
                Ok(Giving { permissions, limits: now.about.grantable })
            }
            // It was deleted meanwhile, or renamed.
            Ok(_) | Err(RegistryError::NoSuchClient(_)) => Err(Refusal::InvalidToken),
            Err(error) => Err(error.into()),
        }
    }
}
