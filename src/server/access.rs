//! One request, from its arrival to its answer: its id, its line in the log, its count.
//!
//! This stands around both faces and not beneath them, so that a form and the RPC that it becomes
//! are one request. What is told of it is a list of what may be told, and no header, no body and
//! no path that we do not know are on it: people put secrets there by mistake.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    middleware::{Next, from_fn},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::{Instrument, Span, field::Empty};

use super::peer;
use crate::{
    domain::{Random, uuid_v4},
    telemetry::{ACCESS, Face, Metrics, OK},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a caller.
const MAX_REQUEST_ID: usize = 64;

/// What is told of a path or a method that is not ours.
pub(super) const UNKNOWN: &str = "unknown";

tokio::task_local! {
    /// What is known of the call beneath. It is in the same task on both faces.
    static CALL: Arc<Call>;
}

/// A call of the contract, by its names.
#[derive(Debug, Default)]
struct Call {
    rpc: OnceLock<&'static str>,
    outcome: OnceLock<&'static str>,
}

/// Notes which call the request at hand is.
pub(super) fn note_rpc(rpc: &'static str) {
    let _ = CALL.try_with(|call| call.rpc.set(rpc));
}

/// Notes what it came to: `OK`, the reason of its error, or the code of one that has no reason.
pub(super) fn note_outcome(outcome: &'static str) {
    let _ = CALL.try_with(|call| call.outcome.set(outcome));
}

/// Who counts the requests, and what their ids are made of.
pub(super) struct Access {
    pub(super) metrics: Arc<Metrics>,
    pub(super) random: Arc<dyn Random>,
}

impl Access {
    /// The router of a face, with all of this around it.
    pub(super) fn around(&self, face: Face, router: Router) -> Router {
        let (metrics, random) = (Arc::clone(&self.metrics), Arc::clone(&self.random));
        router.layer(from_fn(move |request: Request, next: Next| {
            let id = request_id(request.headers(), random.as_ref());
            serve(face, Arc::clone(&metrics), id, request, next)
        }))
    }
}

async fn serve(
    face: Face,
    metrics: Arc<Metrics>,
    id: HeaderValue,
    mut request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    // An error's span, so that every line that a filter lets through says whose request it is.
    let span = tracing::error_span!(
        target: ACCESS, "request", id = id.to_str().unwrap_or_default(), client_id = Empty
    );
    let call = Arc::<Call>::default();
    let path = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        None => UNKNOWN.to_owned(),
    };
    let mut visit = Visit {
        face,
        path,
        metrics,
        began: Instant::now(),
        span: span.clone(),
        call: Arc::clone(&call),
        status: None,
    };
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = CALL.scope(call, next.run(request)).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    visit.status = Some(response.status());
    Ok(response)
}

/// A request that is being served. It is told of when it is dropped, so that one whose caller goes
/// away is told of as well.
struct Visit {
    face: Face,
    path: String,
    metrics: Arc<Metrics>,
    began: Instant,
    span: Span,
    call: Arc<Call>,
    status: Option<StatusCode>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let rpc = self.call.rpc.get().copied().unwrap_or(UNKNOWN);
        let outcome = match (self.status, self.call.outcome.get()) {
            (None, _) => "CANCELLED",
            (_, Some(outcome)) => outcome,
            (Some(status), None) => without_call(status),
        };
        if matches!(outcome, "INVALID_CLIENT" | "TOO_MANY_REQUESTS") {
            peer::note_failure();
        }
        self.metrics.answered(self.face, rpc, outcome, took);
        // On gRPC the status of HTTP says nothing.
        let status = self.status.filter(|_| self.face == Face::Http).map(|status| status.as_u16());
        self.span.in_scope(|| {
            tracing::info!(
                target: ACCESS,
                face = self.face.as_str(),
                path = self.path,
                rpc,
                status,
                outcome,
                micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                "answered"
            );
        });
    }
}

/// What a request came to whose call was answered elsewhere, or which never became one: the errors
/// of HTTP itself are `invalid_request`.
fn without_call(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "INVALID_CLIENT",
        StatusCode::TOO_MANY_REQUESTS => "TOO_MANY_REQUESTS",
        StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        status if status.is_server_error() => "INTERNAL",
        status if status.is_client_error() => "INVALID_REQUEST",
        _ => OK,
    }
}

/// The id that the caller gave, if it is one that can be written anywhere; else a new one.
fn request_id(headers: &HeaderMap, random: &dyn Random) -> HeaderValue {
    let given = headers.get(&REQUEST_ID).filter(|given| is_plain(given.as_bytes()));
    given.cloned().unwrap_or_else(|| {
        // Without randomness no token can be made either, and that is told where it happens.
        let made = uuid_v4(random).unwrap_or_default().to_string();
        HeaderValue::from_str(&made).unwrap_or(HeaderValue::from_static("none"))
    })
}

fn is_plain(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::OsRandom;

    #[test]
    fn an_id_is_taken_over_only_if_it_is_plain() {
        let longest = "a".repeat(64);
        for good in ["7", "a.B_c-9", "01a20802-dd11-737f-8462-c8fc9f0e8ede", &longest] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, good.parse().unwrap())]);
            assert_eq!(request_id(&headers, &OsRandom), good);
        }
        let long = "a".repeat(65);
        for bad in ["", "a b", "a\tb", "a\"b", "a;b", "{a}", "caf\u{e9}", &long] {
            let value = HeaderValue::from_bytes(bad.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(REQUEST_ID, value)]);
            let made = request_id(&headers, &OsRandom);
            assert_eq!(made.len(), 36, "{bad}: {made:?}");
        }
        let made = || request_id(&HeaderMap::new(), &OsRandom);
        assert_ne!(made(), made());
    }
}
