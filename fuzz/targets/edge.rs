//! The whole HTTP face, down to the database: no answer breaks a rule of its form, none repeats
//! what was sent, and nothing succeeds without a secret.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use arbitrary::{Arbitrary, Unstructured};
use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri},
};
use hyper::body::Frame;
use jeton::domain::TokenText;

use super::{
    draft::Draft,
    http_answer::{Answer, contains},
    request::Input,
    world::{Who, World},
};

thread_local! {
    static WORLD: World = World::new();
}

pub(super) fn target(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    WORLD.with(|world| {
        world.next();
        let draft = input.draft(world);
        let Some(request) = request(&draft) else { return };
        let answer = world.call(&world.http, request);
        answer.check(&draft.method);
        assert!(answer.status.as_u16() < 500, "{answer:?} to {draft:?}");
        for who in [Who::Orders, Who::Api, Who::Disabled] {
            assert!(!contains(&answer.body, world.secret(who).as_bytes()), "{answer:?}");
        }
        assert!(!draft.is_fair || answer.status == StatusCode::OK, "{answer:?} to {draft:?}");
        if answer.status == StatusCode::OK {
            check_success(world, &draft, &answer);
        }
    });
}

/// None if what was drafted is no request of HTTP at all, so that it would not come this far.
fn request(draft: &Draft) -> Option<Request<Body>> {
    let uri = Uri::try_from(&*draft.path).ok()?;
    let mut request = Request::builder().method(&draft.method).uri(uri).header("host", "localhost");
    for (name, value) in &draft.headers {
        let value = HeaderValue::from_bytes(value).ok()?;
        request = request.header(HeaderName::from_static(name), value);
    }
    let frames =
        draft.body.chunks(draft.frame).map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk))));
    let mut frames = Frames(frames.collect());
    if draft.breaks_off {
        frames.0.push_back(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    request.body(Body::new(frames)).ok()
}

fn check_success(world: &World, draft: &Draft, answer: &Answer) {
    let path = draft.path.split(|byte| *byte == b'?').next().unwrap_or_default();
    if path == b"/.well-known/oauth-authorization-server" {
        assert!(
            draft.method == Method::HEAD || answer.members()["issuer"] == "https://tokens.test"
        );
        return;
    }
    assert!(draft.holds_secret && !draft.breaks_off, "{answer:?} to {draft:?}");
    assert_eq!(draft.method, Method::POST);
    match path {
        b"/oauth2/token" => {
            let members = answer.members();
            let names = ["token_type", "expires_in", "access_token", "scope"];
            assert!(members.keys().all(|name| names.contains(&name.as_str())), "{answer:?}");
            assert_eq!(members["token_type"], "Bearer");
            let token = members["access_token"].as_str().unwrap_or_default();
            assert!(TokenText::parse(token).is_ok(), "{answer:?}");
            let scopes = members["scope"].as_str().unwrap_or_default().split(' ');
            assert!(scopes.into_iter().all(|scope| super::world::SCOPES.contains(&scope)));
        }
        b"/oauth2/introspect" => {
            let members = answer.members();
            assert!(members["active"] == true || members.len() == 1, "{answer:?}");
        }
        b"/oauth2/revoke" => {
            assert_eq!(answer.body, b"{}", "{answer:?}");
            world.renew();
        }
        other => panic!("a success at {}", other.escape_ascii()),
    }
}

/// A body of these frames, or of those before an error.
struct Frames(VecDeque<io::Result<Frame<Bytes>>>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front())
    }
}
