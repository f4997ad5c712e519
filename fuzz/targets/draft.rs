//! The request that comes of the choices in an input.

use axum::http::Method;

use super::{
    CANARY,
    request::{
        Base, CONTENT_TYPES, Edit, Garble, HEADERS, Input, METHODS, PATHS, Path, Spelling, Value,
        WORDS, basic,
    },
    world::{AUDIENCE, Who, World},
};

/// A request as it is edited.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) method: Method,
    pub(super) path: Vec<u8>,
    pub(super) headers: Vec<(&'static str, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) frame: usize,
    pub(super) breaks_off: bool,
    /// Whether a secret of a client that is not disabled stands anywhere in it.
    pub(super) holds_secret: bool,
    /// Whether it was made by no edit, so that it must succeed.
    pub(super) is_fair: bool,
    query: Vec<u8>,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    separator: u8,
}

impl Input<'_> {
    pub(super) fn draft(&self, world: &World) -> Draft {
        let mut draft = Draft::fair(self.base, world);
        for edit in self.edits.iter().take(16) {
            draft.edit(edit, world);
        }
        let is_edited = !self.edits.is_empty() || !self.tail.is_empty() || self.breaks_off;
        draft.is_fair = !is_edited && !matches!(self.base, Base::Nobody);
        draft.frame = usize::from(self.frame).max(1);
        draft.breaks_off = self.breaks_off;
        draft.finish(self.tail);
        draft
    }
}

impl Draft {
    fn fair(base: Base, world: &World) -> Self {
        let (path, parameters): (_, &[_]) = match base {
            Base::IssueByHeader => (PATHS[0], &[("grant_type", WORDS[0]), ("scope", "read")]),
            Base::IssueByForm => (PATHS[0], &[("grant_type", WORDS[0]), ("resource", AUDIENCE)]),
            Base::Introspect => (PATHS[1], &[("token_type_hint", "access_token")]),
            Base::Revoke => (PATHS[2], &[]),
            Base::Metadata => (PATHS[3], &[]),
            Base::Nobody => (PATHS[0], &[("grant_type", WORDS[0])]),
        };
        let bytes =
            |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let mut draft = Self {
            method: Method::POST,
            path: path.into(),
            headers: vec![("content-type", CONTENT_TYPES[0].into())],
            body: Vec::new(),
            frame: 1,
            breaks_off: false,
            holds_secret: !matches!(base, Base::Metadata | Base::Nobody),
            is_fair: false,
            query: Vec::new(),
            pairs: parameters.iter().map(bytes).collect(),
            separator: b'&',
        };
        let authorize = |draft: &mut Self, who| {
            let (id, secret) = (World::client_id(who).into(), world.secret(who).into());
            draft.headers.push(("authorization", basic(id, secret, Garble::No)));
        };
        match base {
            Base::IssueByHeader => authorize(&mut draft, Who::Orders),
            Base::Introspect => authorize(&mut draft, Who::Api),
            Base::IssueByForm | Base::Revoke => {
                draft.pairs.push((b"client_id".into(), b"orders".into()));
                draft.pairs.push((b"client_secret".into(), world.secret(Who::Orders).into()));
            }
            Base::Metadata => draft.method = Method::GET,
            Base::Nobody => {}
        }
        if matches!(base, Base::Introspect | Base::Revoke) {
            draft.pairs.push((b"token".into(), world.live().into()));
        }
        draft
    }

    fn edit(&mut self, edit: &Edit, world: &World) {
        let at = |which: u8, length: usize| usize::from(which) % length.max(1);
        let position = |which| at(which, self.pairs.len());
        match edit {
            Edit::Add { name, value, spelling } => {
                let pair = (name.bytes(), spelling.of(&self.value(value, world)));
                self.pairs.push(pair);
            }
            Edit::Respell { which, spelling } => {
                let position = position(*which);
                if let Some(pair) = self.pairs.get_mut(position) {
                    pair.1 = spelling.of(&pair.1);
                }
            }
            Edit::Replace { which, value, spelling } => {
                let (position, value) = (position(*which), self.value(value, world));
                if let Some(pair) = self.pairs.get_mut(position) {
                    pair.1 = spelling.of(&value);
                }
            }
            Edit::Repeat { which } => self.pairs.extend(self.pairs.get(position(*which)).cloned()),
            Edit::Remove { which } if !self.pairs.is_empty() => {
                self.pairs.remove(position(*which));
            }
            Edit::RemoveHeader { which } if !self.headers.is_empty() => {
                self.headers.remove(at(*which, self.headers.len()));
            }
            Edit::Remove { .. } | Edit::RemoveHeader { .. } => {}
            Edit::Authorize { id, secret, spelling, garble } => {
                let (id, secret) = (self.value(id, world), self.value(secret, world));
                let value = basic(spelling.of(&id), spelling.of(&secret), *garble);
                self.headers.push(("authorization", value));
            }
            Edit::ContentType(which) => {
                let value = CONTENT_TYPES[at(*which, CONTENT_TYPES.len())];
                self.headers.push(("content-type", value.into()));
            }
            Edit::Header { which, value } => {
                let value = self.value(value, world);
                self.headers.push((HEADERS[at(*which, HEADERS.len())], value));
            }
            Edit::Method(which) => self.method = METHODS[at(*which, METHODS.len())].clone(),
            Edit::Path(Path::Known(which)) => self.path = PATHS[at(*which, PATHS.len())].into(),
            Edit::Path(Path::Text(text)) => self.path = format!("/{text}").into(),
            Edit::Query { name, value } => {
                self.query.push(if self.query.is_empty() { b'?' } else { b'&' });
                self.query.extend(name.bytes());
                self.query.push(b'=');
                let value = self.value(value, world);
                self.query.extend(Spelling::Careful.of(&value));
            }
            Edit::Separator(byte) => self.separator = *byte,
        }
    }

    fn value(&mut self, value: &Value, world: &World) -> Vec<u8> {
        match value {
            Value::Id(who) => World::client_id(*who).into(),
            Value::Secret(who) => {
                self.holds_secret |= !matches!(who, Who::Disabled);
                world.secret(*who).into()
            }
            Value::Almost(who, which, byte) => {
                let mut secret = world.secret(*who).as_bytes().to_vec();
                let position = usize::from(*which) % secret.len();
                // It may be the same byte again.
                self.holds_secret |= secret[position] == *byte && !matches!(who, Who::Disabled);
                secret[position] = *byte;
                secret
            }
            Value::Live => world.live().into(),
            Value::Revoked => world.revoked().into(),
            Value::Word(which) => WORDS[usize::from(*which) % WORDS.len()].into(),
            Value::Canary => CANARY.into(),
            Value::Bytes(bytes) => bytes.to_vec(),
        }
    }

    fn finish(&mut self, tail: &[u8]) {
        let pairs = self.pairs.iter().map(|(name, value)| [name, &b"="[..], value].concat());
        self.body = pairs.collect::<Vec<_>>().join(&self.separator);
        self.body.extend(tail);
        self.path.append(&mut self.query);
    }
}
