//! Whose a secret or a token is of which only the text is known. In a database the tag keys tell
//! what was made there; a node is asked, because it never gives those keys out.

use super::{Site, Way, node::Node};
use crate::{
    cli::{deadline::Deadline, target::UNCHANGED},
    domain::{
        Actor, ClientId, ClientSecret, ClientState, Clock, SecretId, SecretState, StoredSecret,
        SystemClock, TagKeys, TokenFacts, TokenId, TokenText,
    },
    registry::{Registry, RegistryError},
    store::{OwnedSecret, Readable, Retirement},
};

/// A secret or a token, by the id in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::cli) enum Found {
    Secret(SecretId),
    Token(TokenId),
}

/// A text in the form of a secret or a token. Its tag is not checked.
pub(in crate::cli) enum Text {
    Secret(ClientSecret),
    Token(TokenText),
}

impl Text {
    /// The text, if it has the form of a secret or a token.
    pub(in crate::cli) fn parse(text: &str) -> Option<Self> {
        let secret = ClientSecret::parse(text).ok().map(Self::Secret);
        secret.or_else(|| TokenText::parse(text).ok().map(Self::Token))
    }

    pub(in crate::cli) fn found(&self) -> Found {
        match self {
            Self::Secret(secret) => Found::Secret(secret.id()),
            Self::Token(token) => Found::Token(token.id()),
        }
    }

    pub(in crate::cli) fn has_tag_of(&self, keys: &TagKeys) -> bool {
        match self {
            Self::Secret(secret) => secret.has_tag_of(keys),
            Self::Token(token) => token.has_tag_of(keys),
        }
    }
}

/// Whose a secret or a token is, as far as its rows can be read.
pub(in crate::cli) struct Owner {
    pub(in crate::cli) client_id: Option<String>,
    pub(in crate::cli) client_state: Option<ClientState>,
    /// Scopes of the client of a secret.
    pub(in crate::cli) scopes: Vec<String>,
    /// Audiences of the client of a secret.
    pub(in crate::cli) audiences: Vec<String>,
    /// State of the secret or the token.
    pub(in crate::cli) state: &'static str,
}

impl Owner {
    pub(super) const UNREADABLE: &'static str = "unreadable";
    pub(super) const DELETED: &'static str = "deleted";

    /// Of what has no client any more, or none that can be read.
    pub(super) const fn unknown(state: &'static str) -> Self {
        Self {
            client_id: None,
            client_state: None,
            scopes: Vec::new(),
            audiences: Vec::new(),
            state,
        }
    }

    /// The owner of a secret. It was deleted, with its client, if there is none.
    fn of_secret(owned: Option<OwnedSecret>) -> Self {
        let Some(OwnedSecret { client, secret }) = owned else {
            return Self::unknown(Self::DELETED);
        };
        let now = SystemClock.now();
        let state = secret.map_or(Self::UNREADABLE, |secret| secret.state(now).as_str());
        match client {
            Ok(client) => Self {
                client_id: Some(client.client_id.to_string()),
                client_state: Some(client.state),
                scopes: client.scopes.iter().map(ToString::to_string).collect(),
                audiences: client.audiences.iter().map(ToString::to_string).collect(),
                state,
            },
            Err(row) => Self { client_id: row.client_id, ..Self::unknown(state) },
        }
    }

    /// The owner of a token. One that was removed, or whose client was, has ended.
    pub(super) fn of_token(facts: Option<TokenFacts>) -> Self {
        let Some(facts) = facts else { return Self::unknown("ended") };
        let state = if facts.is_alive(SystemClock.now()) { "active" } else { "inactive" };
        Self {
            client_id: Some(facts.client.client_id.to_string()),
            client_state: Some(facts.client.state),
            ..Self::unknown(state)
        }
    }

    /// Whether the secret was deleted with its client.
    pub(in crate::cli) fn is_deleted(&self) -> bool {
        self.state == Self::DELETED
    }

    /// Whether a client may be able to authenticate with the secret.
    pub(in crate::cli) fn may_be_live(&self) -> bool {
        let live = [SecretState::Live, SecretState::Retiring].map(SecretState::as_str);
        live.contains(&self.state) || self.state == Self::UNREADABLE
    }
}

/// What the database or the node of a site tells about texts.
pub(in crate::cli) struct Texts<'a> {
    site: &'a Site,
    deadline: Deadline,
    way: Teller<'a>,
}

enum Teller<'a> {
    Database(Registry, Box<TagKeys>),
    Node(&'a Node),
}

impl Site {
    /// Prints where the command works, and prepares to tell whose texts are.
    pub(in crate::cli) async fn texts(
        &self,
        actor: Actor,
        deadline: Deadline,
    ) -> anyhow::Result<Texts<'_>> {
        self.announce();
        let way = match &self.way {
            Way::Database(target) => {
                let registry = target.registry(actor);
                let keys = async { Ok(registry.tag_keys().await?) };
                let keys = self.step(deadline, UNCHANGED, keys).await?;
                Teller::Database(registry, Box::new(keys))
            }
            Way::Node(node) => Teller::Node(node),
        };
        Ok(Texts { site: self, deadline, way })
    }
}

impl Texts<'_> {
    /// Whether a text was made there. The call of a node has its own deadline, because nobody knows
    /// how many texts there are.
    pub(in crate::cli) async fn made_here(&self, text: &Text) -> anyhow::Result<bool> {
        match &self.way {
            Teller::Database(_, keys) => Ok(text.has_tag_of(keys)),
            Teller::Node(node) => {
                self.site.step(self.deadline, UNCHANGED, node.made_here(text)).await
            }
        }
    }

    /// Whose a secret or a token is that was made there.
    pub(in crate::cli) async fn owner(&self, found: Found) -> anyhow::Result<Owner> {
        match (&self.way, found) {
            (Teller::Database(registry, _), Found::Secret(id)) => {
                Ok(Owner::of_secret(registry.owned_secret(id).await?))
            }
            (Teller::Database(registry, _), Found::Token(id)) => {
                match registry.stored_token(id).await {
                    Ok(token) => Ok(Owner::of_token(token.and_then(|token| token.facts))),
                    Err(RegistryError::Unreadable(_)) => Ok(Owner::unknown(Owner::UNREADABLE)),
                    Err(error) => Err(error.into()),
                }
            }
            (Teller::Node(node), Found::Secret(id)) => node.owner_of_secret(id).await,
            (Teller::Node(node), Found::Token(id)) => node.owner_of_token(id).await,
        }
    }

    /// The secrets of a client.
    pub(in crate::cli) async fn secrets(
        &self,
        client: &ClientId,
    ) -> anyhow::Result<Vec<Readable<StoredSecret>>> {
        match &self.way {
            Teller::Database(registry, _) => Ok(registry.show_client(client).await?.1),
            Teller::Node(node) => node.secrets_of(client).await,
        }
    }

    /// Fails if a node would refuse to declare this secret leaked, so that nobody is asked in vain.
    pub(in crate::cli) async fn check_burn(
        &self,
        client: &ClientId,
        secret: SecretId,
    ) -> anyhow::Result<()> {
        if let Teller::Node(node) = &self.way {
            node.burn_found(client, secret, true).await?;
        }
        Ok(())
    }

    /// Declares a secret leaked. Returns the number of tokens that ended, if a node counted them.
    pub(in crate::cli) async fn burn(
        &self,
        client: &ClientId,
        secret: SecretId,
    ) -> anyhow::Result<Option<u64>> {
        match &self.way {
            Teller::Database(registry, _) => {
                registry.retire_secret(client, secret, Retirement::Leaked).await?;
                Ok(None)
            }
            Teller::Node(node) => node.burn_found(client, secret, false).await,
        }
    }

    /// Declares a secret leaked whose client was deleted and may come back.
    pub(in crate::cli) async fn burn_deleted(&self, secret: SecretId) -> anyhow::Result<()> {
        match &self.way {
            Teller::Database(registry, _) => {
                registry.burn_deleted(secret).await?;
                Ok(())
            }
            Teller::Node(node) => node.burn_deleted(secret).await,
        }
    }

    /// Counts the tokens that ended with a secret, if that is possible in time: it is a scan of the
    /// live tokens. A node did that before.
    pub(in crate::cli) async fn count_tokens(&self, secret: SecretId) -> Option<u64> {
        let Teller::Database(registry, _) = &self.way else { return None };
        let count = async { Ok(registry.count_tokens(secret).await?) };
        self.site.step(self.deadline, UNCHANGED, count).await.ok()
    }
}
