//! Checking client secrets: the hash pool and its queue, the cache of verified secrets, the
//! lockout, and the count of uses. Secrets of other systems have a lane of their own.

mod foreign_lane;
mod hash_pool;
mod hash_queue;
mod lockout;
mod uses;
mod verified;

pub(crate) use self::{
    foreign_lane::{KnownForeign, in_place_of_secret},
    lockout::Lockout,
    uses::RetiringUses,
    verified::{Fingerprint, FingerprintKey, VerifiedCache},
};
pub use self::{
    hash_pool::{HashPool, HashPoolOptions},
    uses::{Counted, Uses},
};
use crate::domain::{ClientId, ClientSecret, PresentedCredential};

/// A caller's claim to be a client, and the credential that proves it.
#[derive(Debug)]
pub struct Credentials {
    /// The client that the caller claims to be.
    pub client_id: ClientId,
    /// The credential that it presents.
    pub credential: PresentedCredential,
}

/// A client id and a client secret, as a caller presents them.
#[derive(Debug)]
pub(crate) struct SecretCredentials {
    /// The client that the caller claims to be.
    pub(crate) client_id: ClientId,
    /// The secret that it presents.
    pub(crate) secret: ClientSecret,
}
