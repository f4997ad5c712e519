//! What the shim makes of a status of the node: whatever a transport, a proxy or a newer node puts
//! into it, the answer is one that RFC 6749, section 5.2, allows.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use axum::{
    body::{Body, Bytes},
    http::{Method, Request, header},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{CANARY, played_node::PlayedNode};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    code: u8,
    details: Details<'a>,
    /// Whether the text is one that strangers may read only if it is ours.
    is_canary: bool,
    message: &'a str,
}

#[derive(Debug, Arbitrary)]
enum Details<'a> {
    /// As a node writes them.
    Ours {
        reason: u8,
        retry: Option<(u64, u32)>,
    },
    /// As somebody else does.
    Foreign {
        reason: &'a str,
        domain: &'a str,
        retry: Option<(u64, u32)>,
    },
    /// Bytes that may be no details.
    Raw(&'a [u8]),
    None,
}

/// Those whose text is shown, and two whose text is not.
const REASONS: [&str; 9] = [
    "INTERNAL",
    "UNAVAILABLE",
    "INVALID_REQUEST",
    "INVALID_CLIENT",
    "UNAUTHORIZED_CLIENT",
    "UNSUPPORTED_GRANT_TYPE",
    "INVALID_SCOPE",
    "INVALID_TARGET",
    "TOO_MANY_REQUESTS",
];

thread_local! {
    static NODE: PlayedNode = PlayedNode::new();
}

pub(super) fn target(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let request = Request::post("/oauth2/revoke")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("token=t"))
        .expect("a fair request");
    let (answer, sent) = NODE.with(|node| node.call(status(&input), request));
    assert!(sent.is_some(), "nothing was sent to the node");
    answer.check(&Method::POST);
    assert_ne!(answer.status.as_u16(), 200, "no status is a success without a message");
}

fn status(input: &Input) -> Status {
    let code = Code::from_i32(i32::from(input.code % 17));
    let wait = |retry: Option<(u64, u32)>| retry.map(|(s, n)| Duration::new(s, n % 1_000_000_000));
    // The canary is put only where the text must not be shown; elsewhere the input itself stands.
    let canary = if input.is_canary { CANARY } else { input.message };
    match input.details {
        Details::Ours { reason, retry } => {
            let reason = usize::from(reason) % REASONS.len();
            let message = if reason < 2 { canary } else { input.message };
            let mut details = ErrorDetails::with_error_info(REASONS[reason], "jeton", []);
            details.set_retry_info(wait(retry));
            Status::with_error_details(code, message, details)
        }
        Details::Foreign { reason, domain, retry } => {
            let domain = if domain == "jeton" { "other" } else { domain };
            let mut details = ErrorDetails::with_error_info(reason, domain, []);
            details.set_retry_info(wait(retry));
            Status::with_error_details(code, canary, details)
        }
        Details::Raw(bytes) => {
            Status::with_details(code, input.message, Bytes::copy_from_slice(bytes))
        }
        Details::None => Status::new(code, canary),
    }
}
