//! Failed TLS handshakes: each is counted by its cause, and one in a while is logged.

use std::{io, net::IpAddr, sync::Arc, time::Instant};

use crate::{
    stats::LogPace,
    telemetry::{HandshakeFailure, ListenerKind, Metrics},
};

/// The failed handshakes of one listener.
pub(in crate::net) struct FailedHandshakes {
    listener: ListenerKind,
    metrics: Arc<Metrics>,
    /// A scanner fails a handshake in every millisecond.
    log: LogPace,
}

impl FailedHandshakes {
    pub(in crate::net) fn new(listener: ListenerKind, metrics: Arc<Metrics>) -> Self {
        Self { listener, metrics, log: LogPace::default() }
    }

    /// Records a failure. `error` is `None` if the handshake was not complete in time.
    pub(in crate::net) fn note(&self, source: IpAddr, error: Option<&io::Error>) {
        let cause = error.map_or(HandshakeFailure::Timeout, cause_of);
        self.metrics.handshake_failed(self.listener, cause);
        let Some(not_logged) = self.log.take(Instant::now()) else { return };
        let error = error.map(|error| error as &dyn std::error::Error);
        tracing::warn!(
            listener = self.listener.as_str(),
            %source,
            cause = cause.as_str(),
            error,
            not_logged,
            "a TLS handshake failed: {}",
            meaning(cause)
        );
    }
}

fn cause_of(error: &io::Error) -> HandshakeFailure {
    use rustls::Error;
    let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    match error {
        None => HandshakeFailure::Closed,
        Some(Error::AlertReceived(_)) => HandshakeFailure::Refused,
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            HandshakeFailure::ClientCertificate
        }
        Some(Error::PeerIncompatible(_)) => HandshakeFailure::Incompatible,
        Some(_) => HandshakeFailure::Malformed,
    }
}

const fn meaning(cause: HandshakeFailure) -> &'static str {
    match cause {
        HandshakeFailure::Closed => "the caller closed the connection",
        HandshakeFailure::Refused => {
            "the caller refuses the certificate; it must trust its authority and call one of its \
             names"
        }
        HandshakeFailure::ClientCertificate => "the certificate of the client is not accepted",
        HandshakeFailure::Incompatible => {
            "the caller offers no protocol version or cipher in common"
        }
        HandshakeFailure::Malformed => "the caller does not speak TLS",
        HandshakeFailure::Timeout => "it took too long",
    }
}
