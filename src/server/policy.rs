//! What holds for every call, over the network and within the process alike: a bound on how many
//! there are at once, a deadline, and a panic that stays one caller's.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::Router;
use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tonic::{Status, body::Body};
use tower::Service;

use super::{access, answer::Answer, peer};
use crate::{
    pb::v1::token_service_server::TokenServiceServer,
    rpc::{Origin, TokenRpc, status},
    telemetry::OK,
};

/// The one call that issues. All others of the service are about tokens that there are.
const ISSUE: &str = "/jeton.v1.TokenService/IssueToken";
const SERVICE: &str = "/jeton.v1.TokenService/";

/// The calls by name; all others are of health and reflection, or are none.
const RPCS: [&str; 3] = ["IssueToken", "IntrospectToken", "RevokeToken"];

const OTHERS: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// All that a node serves over gRPC, with the policy around it.
#[derive(Clone)]
pub(super) struct Calls(Arc<Parts>);

/// The calls of the contract are not found by a router, which would box each of them twice more.
struct Parts {
    tokens: TokenServiceServer<TokenRpc>,
    /// Health and reflection.
    others: Router,
    places: Places,
    most: Duration,
}

impl Answer for Calls {
    type Body = Body;

    fn answer(
        self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        self.call(request.map(Body::new))
    }
}

impl Calls {
    /// The calls, each of which may take so long at most.
    pub(super) fn new(
        tokens: TokenServiceServer<TokenRpc>,
        others: Router,
        places: Places,
        most: Duration,
    ) -> Self {
        Self(Arc::new(Parts { tokens, others, places, most }))
    }

    /// The paths that callers ask for, but for mistakes.
    pub(super) fn paths() -> Vec<String> {
        let own = RPCS.map(|rpc| format!("{SERVICE}{rpc}"));
        own.into_iter().chain(OTHERS.map(str::to_owned)).collect()
    }

    /// One call: first the bound, within it the deadline, within it the panic. What it was is
    /// noted, and what all of it came to.
    pub(super) async fn call(self, request: Request<Body>) -> Response<Body> {
        let Parts { places, .. } = &*self.0;
        let path = request.uri().path();
        let rpc = RPCS.into_iter().find(|rpc| path.strip_prefix(SERVICE) == Some(rpc));
        access::note_rpc(rpc.unwrap_or(access::UNKNOWN));
        // Whoever finds no place is answered at once: a caller that is told to come back is better
        // served than one that waits in a queue until its deadline.
        let place = places.of(path).map(Semaphore::try_acquire);
        let response = if let Some(Err(_)) = place {
            places.refused.fetch_add(1, Ordering::Relaxed);
            status::overloaded().into_http()
        } else {
            self.within_deadline(request).await
        };
        drop(place);
        let failed = Status::from_header_map(response.headers());
        access::note_outcome(failed.as_ref().map_or(OK, status::outcome));
        response
    }

    /// Ends a call at the caller's deadline or at ours, whichever is first. tonic would answer
    /// CANCELLED, and within the process nothing at all. The request is gone into the box of its
    /// call before anything is waited for: every future here would hold it once more.
    fn within_deadline(
        &self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        let asked = grpc_timeout(request.headers());
        let limit = asked.map_or(self.0.most, |asked| asked.min(self.0.most));
        let origin = Origin { source: peer::source(), deadline: Instant::now() + limit };
        request.extensions_mut().insert(origin);
        // Nothing of a call is used again after its panic, so nothing half done is seen.
        let guarded = AssertUnwindSafe(self.dispatch(request)).catch_unwind();
        tokio::time::timeout(limit, guarded).map(|answered| match answered {
            Ok(Ok(Ok(response))) => response,
            // The payload is not looked at: it could hold a piece of the request. The panic hook
            // has written where it happened.
            Ok(Err(_payload)) => {
                tracing::error!("a call panicked");
                status::internal().into_http()
            }
            Err(_) => Status::deadline_exceeded("the deadline passed").into_http(),
        })
    }

    fn dispatch(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        if request.uri().path().starts_with(SERVICE) {
            self.0.tokens.clone().call(request)
        } else {
            let answering = self.0.others.clone().call(request);
            answering.map_ok(|response| response.map(Body::new)).boxed()
        }
    }
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

    fn of(&self, path: &str) -> Option<&Semaphore> {
        match path {
            ISSUE => Some(&self.issue),
            path if path.starts_with(SERVICE) => Some(&self.inspect),
            _ => None,
        }
    }
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
        async fn panics() -> &'static str {
            panic!("on purpose")
        }
        async fn sleeps() -> &'static str {
            tokio::time::sleep(Duration::from_mins(1)).await;
            "late"
        }
        let router = Router::new().route("/panics", get(panics)).route("/sleeps", get(sleeps));
        let tokens = TokenServiceServer::new(TokenRpc::default());
        let most = Duration::from_millis(20);
        let calls = Calls::new(tokens, router, Places::new(1), most);
        for (path, code) in [("/panics", "13"), ("/sleeps", "4")] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = calls.clone().call(request).await;
            assert_eq!(response.headers()["grpc-status"], code, "{path}");
        }
    }
}
