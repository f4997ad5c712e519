//! What holds for every call, over the network and within the process alike: a deadline, and a
//! panic that stays one caller's.

use std::{any::Any, convert::Infallible, time::Duration};

use axum::{Router, body::Body, extract::Request, middleware::Next, response::Response};
use http::HeaderMap;
use tonic::Status;
use tower_http::catch_panic::CatchPanicLayer;

use super::listen::Limits;
use crate::rpc::status;

/// Puts the policy on a router: first the deadline, within it the panic.
pub(super) fn apply(router: Router, limits: &Limits) -> Router {
    let most = limits.request_timeout;
    router.layer(CatchPanicLayer::custom(after_panic)).layer(axum::middleware::from_fn(
        move |request: Request, next: Next| within_deadline(most, request, next),
    ))
}

/// Ends a call at the caller's deadline or at ours, whichever is first. tonic would answer
/// CANCELLED, and within the process nothing at all.
async fn within_deadline(
    most: Duration,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    let asked = grpc_timeout(request.headers());
    let limit = asked.map_or(most, |asked| asked.min(most));
    Ok(match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Status::deadline_exceeded("the deadline passed").into_http(),
    })
}

fn after_panic(_payload: Box<dyn Any + Send + 'static>) -> http::Response<Body> {
    // The payload is not looked at: it could hold a piece of the request. The panic hook has
    // written where it happened.
    tracing::error!("a call panicked");
    status::internal().into_http()
}

/// Reads `grpc-timeout`: at most eight digits and a unit. One that cannot be read counts as none.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
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
        let router = apply(router, &limits);
        for (path, code) in [("/panics", "13"), ("/sleeps", "4")] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.headers()["grpc-status"], code, "{path}");
        }
    }
}
