//! The caller of a method: who it is, and whether it may call it.

use std::sync::Arc;

use rustix::process::geteuid;
use tonic::metadata::MetadataMap;
use tracing::Span;

use super::{ClientRpc, refusal::Refusal};
use crate::{
    domain::{Actor, Client, Error, Permission, Permissions, TokenText},
    pb::v1,
    request::{LocalUser, Method, RequestContext},
};

/// An administrator, and what it may do. The gate puts it into the extensions of a request.
#[derive(Clone)]
pub(super) struct Caller {
    /// Who it is in the audit trail.
    pub(super) actor: Actor,
    pub(super) permissions: Permissions,
    /// The client that it is; `None` for a user of this machine.
    pub(super) client: Option<Arc<Client>>,
}

impl ClientRpc {
    /// Finds the caller. A token in the metadata decides, even on the Unix socket, so that a script
    /// can use fewer permissions there than its user has.
    ///
    /// # Errors
    /// `InvalidToken` and `NotPermitted`, and the errors of the store.
    pub(super) async fn caller(
        &self,
        method: Method,
        metadata: &MetadataMap,
        user: Option<LocalUser>,
        context: &RequestContext,
    ) -> Result<Caller, Refusal> {
        // Without the authority the schema may not be there yet, for a local user either.
        let authority = self.authority()?;
        let caller = match bearer(metadata)? {
            Some(token) => authority.administrator(&token).await?.map(|administrator| {
                let client = administrator.client();
                Span::current().record("client_id", client.client_id.as_str());
                Caller {
                    actor: Actor::administrator(&client.client_id),
                    permissions: administrator.permissions(),
                    client: Some(Arc::clone(client)),
                }
            }),
            None if has_authorization(metadata) => None,
            None => user.and_then(local),
        };
        let caller = match caller {
            Some(caller) => caller,
            None if context.is_throttled => {
                return Err(Error::too_many_failures(RequestContext::THROTTLE_WAIT).into());
            }
            None => return Err(Refusal::InvalidToken),
        };
        let required = match method.requires() {
            v1::Permission::Read => Permission::Read,
            v1::Permission::Write => Permission::Write,
            // Without a permission of its own, nobody but those who may do the most.
            v1::Permission::Security
            | v1::Permission::Client
            | v1::Permission::None
            | v1::Permission::Unspecified => Permission::Security,
        };
        if caller.permissions.include(required) {
            Ok(caller)
        } else {
            Err(Refusal::NotPermitted { required, have: caller.permissions })
        }
    }
}

fn has_authorization(metadata: &MetadataMap) -> bool {
    metadata.contains_key("authorization")
}

/// The token in the metadata (RFC 6750, section 2.1); `None` if there is none, or another scheme,
/// or a text that is no token of ours.
fn bearer(metadata: &MetadataMap) -> Result<Option<TokenText>, Error> {
    let mut headers = metadata.get_all("authorization").iter();
    let (header, second) = (headers.next(), headers.next());
    if second.is_some() {
        return Err(Error::InvalidRequest("send exactly one authorization header"));
    }
    let header = header.and_then(|header| header.to_str().ok());
    let token = header.and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
    });
    Ok(token.and_then(|token| TokenText::parse(token).ok()))
}

/// Root and the user of this node may do everything: they can read and write its database anyway.
fn local(user: LocalUser) -> Option<Caller> {
    let is_trusted = user.uid == 0 || user.uid == geteuid().as_raw();
    let actor = Actor::local_user(user.uid);
    is_trusted.then_some(Caller { actor, permissions: Permissions::ALL, client: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{OsRandom, TagKey, Timestamp};

    fn metadata(values: &[&str]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for value in values {
            metadata.append("authorization", value.parse().unwrap());
        }
        metadata
    }

    #[test]
    fn a_token_is_taken_from_one_header_of_the_scheme_bearer() {
        let key = TagKey::from_bytes([1; 32]);
        let token = TokenText::mint(Timestamp::from_unix_micros(0), &OsRandom, &key).unwrap();
        let token = token.expose();
        let found = |values: &[&str]| bearer(&metadata(values)).map(|token| token.is_some());
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert!(matches!(found(&[&format!("{scheme} {token}")]), Ok(true)), "{scheme}");
        }
        let joined = format!("Bearer {token}, Bearer {token}");
        for other in ["", token, &format!("Basic {token}"), "Bearer x", "Bearer", &joined] {
            assert!(matches!(found(&[other]), Ok(false)), "{other}");
        }
        assert!(matches!(found(&[]), Ok(false)));
        let one = format!("Bearer {token}");
        assert!(matches!(found(&[&one, &one]), Err(Error::InvalidRequest(_))));
    }

    #[test]
    fn root_and_the_user_of_the_node_are_administrators_and_nobody_else_is() {
        let own = geteuid().as_raw();
        for uid in [0, own] {
            let caller = local(LocalUser { uid }).unwrap();
            assert_eq!(caller.actor.as_str(), format!("unix:uid={uid}"));
            assert_eq!(caller.permissions, Permissions::ALL);
        }
        assert!(local(LocalUser { uid: own + 4_711 }).is_none());
    }
}
