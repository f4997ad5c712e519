//! Failed TLS handshakes: each is counted by its cause, and one in a while is logged.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::telemetry::{HandshakeFailure, ListenerKind, Metrics};

/// Interval of the log line. A scanner fails a handshake in every millisecond.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The failed handshakes of one listener.
pub(in crate::net) struct FailedHandshakes {
    listener: ListenerKind,
    metrics: Arc<Metrics>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    last: Option<Instant>,
    /// Failures since then, which were not logged.
    untold: u64,
}

impl FailedHandshakes {
    pub(in crate::net) fn new(listener: ListenerKind, metrics: Arc<Metrics>) -> Self {
        Self { listener, metrics, told: Mutex::default() }
    }

    /// Records a failure. `error` is `None` if the handshake was not complete in time.
    pub(in crate::net) fn note(&self, source: IpAddr, error: Option<&io::Error>) {
        let cause = error.map_or(HandshakeFailure::Timeout, cause_of);
        self.metrics.handshake_failed(self.listener, cause);
        let Some(untold) = self.untold(Instant::now()) else { return };
        let error = error.map(|error| error as &dyn std::error::Error);
        tracing::warn!(
            listener = self.listener.as_str(),
            %source,
            cause = cause.as_str(),
            error,
            not_logged = untold,
            "a TLS handshake failed: {}",
            meaning(cause)
        );
    }

    /// How many failures were not logged since the last one that was; `None` if this one is not
    /// logged either.
    fn untold(&self, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| now.duration_since(last) < TELL_EVERY) {
            told.untold += 1;
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.untold))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_in_ten_seconds_is_logged_with_the_number_of_the_others() {
        let metrics = Arc::new(Metrics::new(crate::telemetry::Readings::default));
        let failed = FailedHandshakes::new(ListenerKind::Grpc, metrics);
        let start = Instant::now();
        let after = |seconds| failed.untold(start + Duration::from_secs(seconds));
        assert_eq!(after(0), Some(0));
        assert_eq!((after(1), after(9)), (None, None));
        assert_eq!((after(10), after(11), after(25)), (Some(2), None, Some(1)));
    }
}
