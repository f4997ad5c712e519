//! One request, from its arrival to its answer: its id, its line in the log, its count.
//!
//! This stands around both faces and not beneath them, so that a form and the RPC that it becomes
//! are one request. What is told of it is a list of what may be told, and no header, no body and
//! no path that we do not know are on it: people put secrets there by mistake.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tracing::{Instrument, Span, field::Empty};

use super::{answer::Answer, peer};
use crate::{
    domain::Random,
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

/// What the requests of a node have in common.
pub(super) struct Access {
    metrics: Arc<Metrics>,
    ids: RequestIds,
}

impl Access {
    pub(super) fn new(metrics: Arc<Metrics>, random: &dyn Random) -> Arc<Self> {
        Arc::new(Self { metrics, ids: RequestIds::new(random) })
    }

    /// What serves a face, with all of this around it. `paths` are those that may be told.
    pub(super) fn around<A>(self: &Arc<Self>, face: Face, paths: Vec<String>, inner: A) -> Told<A> {
        let paths = paths.into_iter().map(Arc::from).collect();
        Told { access: Arc::clone(self), face, paths, inner }
    }
}

/// Something that answers, and is told of.
#[derive(Clone)]
pub(super) struct Told<A> {
    access: Arc<Access>,
    face: Face,
    paths: Arc<[Arc<str>]>,
    inner: A,
}

impl<A: Answer> Answer for Told<A> {
    type Body = A::Body;

    /// Not an async fn, which would hold the request beside the future that it went into.
    fn answer(
        self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Response<A::Body>> + Send + 'static {
        let id = self.access.ids.of(request.headers());
        // An error's span, so that every line that a filter lets through says whose request it is.
        let span = tracing::error_span!(
            target: ACCESS, "request", id = id.to_str().unwrap_or_default(), client_id = Empty
        );
        let call = Arc::<Call>::default();
        let path = request.uri().path();
        let visit = Visit {
            face: self.face,
            path: self.paths.iter().find(|known| ***known == *path).cloned(),
            access: self.access,
            began: Instant::now(),
            span: span.clone(),
            call: Arc::clone(&call),
            status: None,
        };
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let answering = CALL.scope(call, self.inner.answer(request)).instrument(span);
        answering.map(move |mut response| {
            response.headers_mut().insert(REQUEST_ID, id);
            visit.end(response.status());
            response
        })
    }
}

/// A request that is being served. It is told of when it is dropped, so that one whose caller goes
/// away is told of as well.
struct Visit {
    face: Face,
    path: Option<Arc<str>>,
    access: Arc<Access>,
    began: Instant,
    span: Span,
    call: Arc<Call>,
    status: Option<StatusCode>,
}

impl Visit {
    /// It was answered with this status of HTTP.
    fn end(mut self, status: StatusCode) {
        self.status = Some(status);
    }
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
        self.access.metrics.answered(self.face, rpc, outcome, took);
        // On gRPC the status of HTTP says nothing.
        let status = self.status.filter(|_| self.face == Face::Http).map(|status| status.as_u16());
        self.span.in_scope(|| {
            tracing::info!(
                target: ACCESS,
                face = self.face.as_str(),
                path = self.path.as_deref().unwrap_or(UNKNOWN),
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

/// Where the ids of requests come from that brought none. Nobody is trusted for knowing one, so
/// they count up from a random start: randomness for each would cost a call of the system.
struct RequestIds {
    start: u64,
    made: AtomicU64,
}

impl RequestIds {
    fn new(random: &dyn Random) -> Self {
        let mut start = [0; 8];
        // Without randomness no token can be made either, and that is told where it happens.
        let _ = random.fill(&mut start);
        Self { start: u64::from_be_bytes(start), made: AtomicU64::new(0) }
    }

    /// The id that the caller gave, if it is one that can be written anywhere; else a new one.
    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(&REQUEST_ID).filter(|given| is_plain(given.as_bytes()));
        given.cloned().unwrap_or_else(|| {
            let made = self.made.fetch_add(1, Ordering::Relaxed);
            let made = format!("{:016x}-{made:x}", self.start);
            HeaderValue::from_str(&made).unwrap_or(HeaderValue::from_static("none"))
        })
    }
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
        let ids = RequestIds::new(&OsRandom);
        let longest = "a".repeat(64);
        for good in ["7", "a.B_c-9", "01a20802-dd11-737f-8462-c8fc9f0e8ede", &longest] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, good.parse().unwrap())]);
            assert_eq!(ids.of(&headers), good);
        }
        let long = "a".repeat(65);
        for bad in ["", "a b", "a\tb", "a\"b", "a;b", "{a}", "caf\u{e9}", &long] {
            let value = HeaderValue::from_bytes(bad.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(REQUEST_ID, value)]);
            let made = ids.of(&headers);
            assert!(made != bad.as_bytes() && is_plain(made.as_bytes()), "{bad}: {made:?}");
        }
        let none = HeaderMap::new();
        assert_ne!(ids.of(&none), ids.of(&none));
        assert_ne!(RequestIds::new(&OsRandom).of(&none), RequestIds::new(&OsRandom).of(&none));
    }
}
