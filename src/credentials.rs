//! Checking client secrets: the hash pool and its queue, the cache of verified secrets, and the
//! lockout.

mod hash_pool;
mod hash_queue;
mod lockout;
mod verified;

pub use self::hash_pool::{HashPool, HashPoolOptions};
pub(crate) use self::{
    lockout::Lockout,
    verified::{FingerprintKey, VerifiedCache},
};
use crate::domain::{ClientId, ClientSecret};

/// What a caller presents.
#[derive(Debug)]
pub struct Credentials {
    /// The client that it says it is.
    pub client_id: ClientId,
    /// The secret that shall prove it.
    pub secret: ClientSecret,
}
