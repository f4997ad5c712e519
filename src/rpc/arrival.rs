//! What the server knows of a request beside what the caller wrote.

use std::{net::IpAddr, time::Instant};

use tonic::Extensions;

use crate::authority::{Arrival, Lane};

/// Travels in the extensions of a request. Whoever calls the service without a listener before it
/// may leave it out.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The address of the connection, if there is one.
    pub source: Option<IpAddr>,
    /// When the request ends, whatever became of it.
    pub deadline: Instant,
}

pub(super) fn arrival(extensions: &Extensions, lane: Lane) -> Arrival {
    let origin = extensions.get::<Origin>();
    Arrival {
        lane,
        source: origin.and_then(|origin| origin.source),
        deadline: origin.map(|origin| origin.deadline),
    }
}
