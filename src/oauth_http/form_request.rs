//! Extracts a form from an HTTP request: all checks that HTTP itself requires, in a fixed order.
//!
//! Path and method have been checked. Then come query, content encoding, content type, size, and
//! the parser of the body. The body is read before any response is sent, errors included: an HTTP/2
//! client that is still sending when the response arrives reports a broken stream instead of the
//! response.

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Uri, header};
use http_body::Body;
use http_body_util::BodyExt;
use tonic::{Status, metadata::MetadataMap};

use super::{
    Options,
    error_response::ErrorResponse,
    form::{Form, Parameter, query_names_a_parameter},
};

/// Bytes of a body beyond the limit that are read and discarded, so that the connection stays
/// usable. If the client sends still more, the connection is closed.
const MAX_DISCARDED_BYTES: usize = 1024 * 1024;

/// A parsed form, the parts of its request that the service reads, and how it may be refused.
pub(super) struct FormRequest {
    pub(super) form: Form,
    pub(super) caller: Caller,
    pub(super) refusal: Refusal,
}

/// How a caller that is not authenticated is refused. RFC 6749, section 5.2, demands a challenge if
/// it used the `Authorization` header. It also gets one if it named no client at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    has_challenge: bool,
}

impl Refusal {
    fn new(form: &Form, headers: &HeaderMap) -> Self {
        let has_challenge = headers.contains_key(header::AUTHORIZATION) || !form.names_a_client();
        Self { has_challenge }
    }

    /// The response for this status.
    pub(super) fn of(self, status: Status) -> ErrorResponse {
        let response = ErrorResponse::from(status);
        if self.has_challenge { response } else { response.without_challenge() }
    }
}

/// Sent along with a message: the headers and the extensions of the request, among them its
/// context. They are moved and not copied; the service takes from them what it reads.
pub(super) struct Caller {
    headers: HeaderMap,
    extensions: Extensions,
}

impl Caller {
    /// The RPC request with this caller's headers and context.
    pub(super) fn request<T>(self, message: T) -> tonic::Request<T> {
        let metadata = MetadataMap::from_headers(self.headers);
        tonic::Request::from_parts(metadata, self.extensions, message)
    }
}

impl FormRequest {
    /// Reads the form of a request.
    pub(super) async fn read<B>(
        request: Request<B>,
        options: &Options,
    ) -> Result<Self, ErrorResponse>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (parts, body) = request.into_parts();
        let body = read(body, options).await?;

        check_query(&parts.uri)?;
        check_content_encoding(&parts.headers)?;
        let charset = check_content_type(&parts.headers)?;
        if body.len() > options.max_body_bytes {
            return Err(ErrorResponse::content_too_large());
        }
        if charset == Charset::Ascii && !body.is_ascii() {
            return Err(ErrorResponse::invalid_request(
                "the body is not ASCII; send it in UTF-8, with that charset or none",
            ));
        }
        let form = Form::parse(&body).map_err(|e| ErrorResponse::invalid_request(e.to_string()))?;
        check_client_assertion(&form, &parts.headers)?;

        let refusal = Refusal::new(&form, &parts.headers);
        let caller = Caller { headers: parts.headers, extensions: parts.extensions };
        Ok(Self { form, caller, refusal })
    }
}

/// Reads a body to its end and ignores it.
pub(super) async fn drain<B>(body: B, options: &Options) -> Result<(), ErrorResponse>
where
    B: Body<Data = Bytes> + Unpin,
{
    read(body, options).await.map(drop)
}

/// Reads a body to its end and keeps at most one byte more than is allowed, which is enough to
/// detect that it was too long. If the end is not reached, the connection is closed.
async fn read<B>(mut body: B, options: &Options) -> Result<Vec<u8>, ErrorResponse>
where
    B: Body<Data = Bytes> + Unpin,
{
    let most_kept = options.max_body_bytes.saturating_add(1);
    let most_read = options.max_body_bytes.saturating_add(MAX_DISCARDED_BYTES);
    let reading = async {
        let (mut kept, mut seen) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            // Trailers are frames without data.
            let frame = frame.map_err(|_| ErrorResponse::incomplete_body())?;
            let data = frame.into_data().unwrap_or_default();
            seen += data.len();
            if seen > most_read {
                return Err(ErrorResponse::endless_body());
            }
            kept.extend_from_slice(&data[..data.len().min(most_kept - kept.len())]);
        }
        Ok(kept)
    };
    let read = tokio::time::timeout(options.body_timeout, reading).await;
    read.unwrap_or_else(|_| Err(ErrorResponse::request_timeout()))
}

/// Refuses known parameters in the query. RFC 6749, section 2.3.1, forbids credentials in a URI,
/// because URIs end up in logs and histories. They are refused rather than ignored, so that the
/// caller notices. Unknown parameters may be in the query (section 3.2).
fn check_query(uri: &Uri) -> Result<(), ErrorResponse> {
    if uri.query().is_some_and(query_names_a_parameter) {
        return Err(ErrorResponse::invalid_request(
            "parameters must be in the body, not in the URI",
        ));
    }
    Ok(())
}

/// Refuses compressed bodies: a small one can expand without bound.
fn check_content_encoding(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(ErrorResponse::unsupported_media_type("send the body without content encoding"))
}

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    /// UTF-8, as RFC 6749, appendix B, requires.
    Utf8,
    /// ASCII alone, because ASCII bytes mean the same in UTF-8 and in the charset of the request.
    Ascii,
}

impl Charset {
    fn named(name: &str) -> Option<Self> {
        let is = |other: &&str| name.eq_ignore_ascii_case(other);
        if ["utf-8", "utf8"].iter().any(is) {
            Some(Self::Utf8)
        } else {
            // What Java and .NET label a form with by default.
            ["us-ascii", "iso-8859-1"].iter().any(is).then_some(Self::Ascii)
        }
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<Charset, ErrorResponse> {
    let mut content_types = headers.get_all(header::CONTENT_TYPE).iter();
    let content_type = content_types.next().and_then(|value| value.to_str().ok()).unwrap_or("");
    if content_types.next().is_some() {
        return Err(ErrorResponse::invalid_request("send one Content-Type header"));
    }
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(ErrorResponse::unsupported_media_type(
            "send the body as application/x-www-form-urlencoded",
        ));
    }
    let refused =
        || ErrorResponse::invalid_request("send the body in UTF-8, with that charset or none");
    parts.filter_map(charset).try_fold(Charset::Utf8, |strictest, name| {
        match Charset::named(name).ok_or_else(refused)? {
            Charset::Ascii => Ok(Charset::Ascii),
            Charset::Utf8 => Ok(strictest),
        }
    })
}

/// Value of a `charset` parameter, with or without quotes; `None` for another parameter.
fn charset(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    name.eq_ignore_ascii_case("charset").then_some(unquoted.unwrap_or(value))
}

/// Refuses a client assertion beside another authentication method, whether or not either is valid
/// (RFC 6749, section 2.3). The RPC refuses the other pairs of methods, but has no assertions.
fn check_client_assertion(form: &Form, headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let is_second =
        headers.contains_key(header::AUTHORIZATION) || form.has(Parameter::ClientSecret);
    if form.has_client_assertion() && is_second {
        return Err(ErrorResponse::invalid_request(
            "authenticate by one method; client assertions are not supported",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn content_types_are_compared_as_media_types() {
        let table = [
            ("application/x-www-form-urlencoded", Ok(Charset::Utf8)),
            ("Application/X-WWW-Form-URLEncoded", Ok(Charset::Utf8)),
            ("application/x-www-form-urlencoded; charset=utf-8", Ok(Charset::Utf8)),
            ("application/x-www-form-urlencoded;Charset=\"UTF-8\"", Ok(Charset::Utf8)),
            ("application/x-www-form-urlencoded ;", Ok(Charset::Utf8)),
            ("application/x-www-form-urlencoded; a=b; charset=UTF8", Ok(Charset::Utf8)),
            ("application/x-www-form-urlencoded; charset=\"iso-8859-1\"", Ok(Charset::Ascii)),
            ("application/x-www-form-urlencoded; charset=US-ASCII", Ok(Charset::Ascii)),
            (
                "application/x-www-form-urlencoded; charset=us-ascii; charset=utf-8",
                Ok(Charset::Ascii),
            ),
            ("application/x-www-form-urlencoded; charset=utf-16", Err(400)),
            ("application/x-www-form-urlencoded; charset=\"utf-8", Err(400)),
            ("application/x-www-form-urlencoded; charset", Err(400)),
            ("application/x-www-form-urlencodedxyz", Err(415)),
            ("application/x-www-form-urlencoded, application/json", Err(415)),
            ("application/json", Err(415)),
            ("multipart/form-data; boundary=a", Err(415)),
            ("", Err(415)),
        ];
        for (content_type, expected) in table {
            let value = HeaderValue::from_static(content_type);
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
            let checked = check_content_type(&headers).map_err(|error| error.status.as_u16());
            assert_eq!(checked, expected, "{content_type}");
        }
        let missing = check_content_type(&HeaderMap::new());
        assert_eq!(missing.map_err(|error| error.status.as_u16()), Err(415));
    }
}
