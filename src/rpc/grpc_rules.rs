//! What makes a request a gRPC request, and what a caller is told whose request is none.

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tonic::{Code, Status, body::Body};

use super::status;

/// The answer to a request that is not a gRPC call; `None` for one that is. It is plain HTTP,
/// because its receiver would not look for a gRPC status.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response<Body>> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if request.method() != Method::POST {
        let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are POST requests");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        Some(response)
    } else if !content_type.is_some_and(|value| is_grpc(value.as_bytes())) {
        let text = "this listener serves gRPC alone; the content type must be application/grpc";
        Some(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
    } else if request.version() != Version::HTTP_2 {
        Some(refused(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2"))
    } else if request.uri().query().is_some() {
        Some(refused(StatusCode::BAD_REQUEST, "the path of a gRPC call has no query"))
    } else {
        None
    }
}

/// `application/grpc`, with or without the format of its messages or a parameter.
fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some((media_type, rest)) = content_type.split_at_checked(GRPC.len()) else { return false };
    media_type.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

fn refused(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = http_body_util::Full::from(format!("{text}\n"));
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// Corrects the status of a request that never became a call. tonic reports a message that it
/// cannot decode as a fault of the server, and one that is too large as out of range.
pub(super) fn blame_caller(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    match status.code() {
        Code::Internal | Code::Unknown => status::invalid_request(status.message()).into_http(),
        Code::OutOfRange => Status::resource_exhausted(status.message()).into_http(),
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_of_grpc_pass() {
        let good = || {
            let request = Request::post("/jeton.v1.TokenService/IssueToken");
            request.version(Version::HTTP_2).header("content-type", "application/grpc")
        };
        let told =
            |request: Request<()>| refusal(&request).map(|refusal| refusal.status().as_u16());
        assert_eq!(told(good().body(()).unwrap()), None);
        assert_eq!(told(good().method("GET").body(()).unwrap()), Some(405));
        assert_eq!(told(good().version(Version::HTTP_11).body(()).unwrap()), Some(505));
        assert_eq!(told(good().uri("/a/b?c").body(()).unwrap()), Some(400));
        let types = [
            ("application/grpc", None),
            ("Application/gRPC+proto", None),
            ("application/grpc;charset=utf-8", None),
            ("application/grpc-web", Some(415)),
            ("application/grpcx", Some(415)),
            ("application/json", Some(415)),
            ("", Some(415)),
        ];
        for (content_type, expected) in types {
            let mut request = good().body(()).unwrap();
            let value = HeaderValue::from_static(content_type);
            request.headers_mut().insert(header::CONTENT_TYPE, value);
            assert_eq!(told(request), expected, "{content_type:?}");
        }
    }
}
