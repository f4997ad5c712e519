//! The link of a shim to its upstream: calls that fail because of it are counted, and one in a
//! while is logged with its cause, which the answer to the caller does not show.

use std::{error::Error, time::Instant};

use tonic::{Code, Status};

use crate::{
    domain::chain,
    stats::{Count, LogPace},
};

/// State of the link, as far as calls show it.
#[derive(Debug, Default)]
pub struct UpstreamLink {
    failures: Count,
    log: LogPace,
}

impl UpstreamLink {
    /// Number of calls that failed because of the link.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.get()
    }

    /// Notes the error of a call, and returns what to answer. An answer of the upstream has no
    /// source, whatever it says.
    pub(super) fn note(&self, status: Status) -> Status {
        let Some(cause) = status.source() else { return status };
        self.failures.add_one();
        if let Some(not_logged) = self.log.take(Instant::now()) {
            tracing::warn!(cause = chain(cause), not_logged, "the upstream cannot be reached");
        }
        match status.code() {
            // So HTTP/2 calls a link that broke or speaks something else, depending on how far the
            // call had come. It is no fault of this call.
            Code::Internal | Code::Unknown => Status::unavailable("the upstream cannot be reached"),
            _ => status,
        }
    }
}
