//! What holds for every call, over the network and within the process alike: a bound on how many
//! there are at once, a deadline, and a panic that stays one caller's.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Request, middleware::Next, response::Response};
use http::HeaderMap;
use tokio::sync::Semaphore;
use tonic::Status;
use tower_http::catch_panic::CatchPanicLayer;

use super::{access, listen::Limits, peer};
use crate::{
    rpc::{Origin, status},
    telemetry::OK,
};

/// The one call that issues. All others of the service are about tokens that there are.
const ISSUE: &str = "/jeton.v1.TokenService/IssueToken";
const SERVICE: &str = "/jeton.v1.TokenService/";

/// The calls by name; all others are of health and reflection, or are none.
const RPCS: [&str; 3] = ["IssueToken", "IntrospectToken", "RevokeToken"];

/// Puts the policy on a router. One layer holds all of it but the panic guard: each would box what
/// it makes of every request.
pub(super) fn apply(router: Router, limits: &Limits, places: Places) -> Router {
    let most = limits.request_timeout;
    router.layer(CatchPanicLayer::custom(after_panic)).layer(axum::middleware::from_fn(
        move |request: Request, next: Next| {
            let places = places.clone();
            async move { places.call(most, request, next).await }
        },
    ))
}

/// The places for calls under way. Issuing and the rest have their own, so that neither takes
/// those of the other. Health has no bound: it is cheap, and is asked when everything else fails.
#[derive(Clone)]
pub(super) struct Places {
    issue: Arc<Semaphore>,
    inspect: Arc<Semaphore>,
    refused: Arc<AtomicU64>,
}

impl Places {
    pub(super) fn new(most: u32) -> Self {
        let places = || Arc::new(Semaphore::new(most as usize));
        Self { issue: places(), inspect: places(), refused: Arc::default() }
    }

    /// Calls that found no place.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// One call: first the bound, within it the deadline, within it the panic. What it was is
    /// noted, and what all of it came to.
    async fn call(self, most: Duration, request: Request, next: Next) -> Response {
        let path = request.uri().path();
        let rpc = RPCS.into_iter().find(|rpc| path.strip_prefix(SERVICE) == Some(rpc));
        access::note_rpc(rpc.unwrap_or(access::UNKNOWN));
        let places = match path {
            ISSUE => Some(&self.issue),
            path if path.starts_with(SERVICE) => Some(&self.inspect),
            _ => None,
        };
        // Whoever finds no place is answered at once: a caller that is told to come back is better
        // served than one that waits in a queue until its deadline.
        let place = places.map(|places| places.try_acquire());
        let response = if let Some(Err(_)) = place {
            self.refused.fetch_add(1, Ordering::Relaxed);
            status::overloaded().into_http()
        } else {
            within_deadline(most, request, next).await
        };
        drop(place);
        let failed = Status::from_header_map(response.headers());
        access::note_outcome(failed.as_ref().map_or(OK, status::outcome));
        response
    }
}

/// Ends a call at the caller's deadline or at ours, whichever is first. tonic would answer
/// CANCELLED, and within the process nothing at all.
async fn within_deadline(most: Duration, mut request: Request, next: Next) -> Response {
    let asked = grpc_timeout(request.headers());
    let limit = asked.map_or(most, |asked| asked.min(most));
    let origin = Origin { source: peer::source(), deadline: Instant::now() + limit };
    request.extensions_mut().insert(origin);
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Status::deadline_exceeded("the deadline passed").into_http(),
    }
}

fn after_panic(_payload: Box<dyn Any + Send + 'static>) -> http::Response<Body> {
    // The payload is not looked at: it could hold a piece of the request. The panic hook has
    // written where it happened.
    tracing::error!("a call panicked");
    status::internal().into_http()
}

/// Reads `grpc-timeout`: at most eight digits and a unit. One that cannot be read counts as none.
#[must_use]
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_the_protocol_writes_it() {
        let rows = [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("1u", Some(Duration::from_micros(1))),
            ("1n", Some(Duration::from_nanos(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("5", None),
            ("-5S", None),
            ("5é", None),
        ];
        for (text, expected) in rows {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(grpc_timeout(&headers), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_internal_and_a_slow_call_ends_at_its_deadline() {
        use axum::routing::get;
        use tower::ServiceExt;
        async fn panics() -> &'static str {
            panic!("on purpose")
        }
        async fn sleeps() -> &'static str {
            tokio::time::sleep(Duration::from_mins(1)).await;
            "late"
        }
        let router = Router::new().route("/panics", get(panics)).route("/sleeps", get(sleeps));
        let limits = Limits { request_timeout: Duration::from_millis(20), ..Limits::default() };
        let router = apply(router, &limits, Places::new(1));
        for (path, code) in [("/panics", "13"), ("/sleeps", "4")] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.headers()["grpc-status"], code, "{path}");
        }
    }
}
