//! The gRPC face with frames of any bytes: every call is answered with a status that the contract
//! knows, and no text of it repeats what was sent.

use arbitrary::{Arbitrary, Unstructured};
use axum::{
    body::Body,
    http::{HeaderValue, Request},
};
use tonic::Code;

use super::{
    CANARY,
    http_answer::{Answer, contains},
    world::{Who, World},
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    call: u8,
    /// The flag before the frame, which says whether it is compressed.
    flag: u8,
    /// A length that is not that of the message.
    length: Option<u32>,
    authorization: Authorization<'a>,
    timeout: Option<&'a str>,
    /// Whether a field stands before the message whose text must not come back.
    canary: bool,
    message: &'a [u8],
}

#[derive(Debug, Arbitrary)]
enum Authorization<'a> {
    Right(Who),
    Bytes(&'a [u8]),
    Twice(Who),
    None,
}

const CALLS: [&str; 4] = ["IssueToken", "IntrospectToken", "RevokeToken", "NoSuchCall"];

thread_local! {
    static WORLD: World = World::new();
}

pub(super) fn target(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    WORLD.with(|world| {
        world.next();
        let Some(request) = request(&input, world) else { return };
        let answer = world.call(&world.grpc, request);
        check(&answer, &input, world);
    });
}

fn request(input: &Input, world: &World) -> Option<Request<Body>> {
    let call = CALLS[usize::from(input.call) % CALLS.len()];
    let mut request = Request::post(format!("/jeton.v1.TokenService/{call}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(timeout) = input.timeout {
        request = request.header("grpc-timeout", HeaderValue::from_str(timeout).ok()?);
    }
    let authorizations = match input.authorization {
        Authorization::Right(who) => vec![world.basic(who)],
        Authorization::Twice(who) => vec![world.basic(who), world.basic(who)],
        Authorization::Bytes(bytes) => vec![HeaderValue::from_bytes(bytes).ok()?],
        Authorization::None => Vec::new(),
    };
    for value in authorizations {
        request = request.header("authorization", value);
    }
    let canary = [b"\x0a\x0d", CANARY.as_bytes()].concat();
    let message = [if input.canary { &*canary } else { b"" }, input.message].concat();
    let length = input.length.unwrap_or(u32::try_from(message.len()).ok()?);
    let frame = [&[input.flag % 2], &length.to_be_bytes()[..], &*message].concat();
    request.body(Body::from(frame)).ok()
}

fn check(answer: &Answer, input: &Input, world: &World) {
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    for who in [Who::Orders, Who::Api, Who::Disabled] {
        assert!(!contains(&answer.body, world.secret(who).as_bytes()), "{answer:?}");
    }
    // A status that is not OK comes in the headers, before any message.
    let Some(status) = answer.headers.get("grpc-status") else {
        let is_right = matches!(input.authorization, Authorization::Right(Who::Orders | Who::Api));
        assert!(is_right, "a success without credentials: {answer:?} to {input:?}");
        return;
    };
    let code = Code::from_bytes(status.as_bytes());
    let is_ours =
        matches!(code, Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied);
    // These are tonic's own: a frame that is none, a compression that is not spoken, no such call.
    let is_framing = matches!(code, Code::Internal | Code::Unimplemented | Code::OutOfRange);
    let is_late =
        input.timeout.is_some() && matches!(code, Code::Cancelled | Code::DeadlineExceeded);
    assert!(is_ours || is_framing || is_late, "{answer:?} to {input:?}");
    let message = answer.headers.get("grpc-message").map_or(&b""[..], HeaderValue::as_bytes);
    assert!(!contains(message, CANARY.as_bytes()), "{answer:?}");
    assert!(!is_ours || answer.headers.contains_key("grpc-status-details-bin"), "{answer:?}");
}
