//! The texts of the domain: what is accepted is in the grammar, what is refused is not, and every
//! value has one spelling.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jeton::domain::{
    Audience, ClientId, ClientSecret, ClientState, GrantType, MAX_AUDIENCES, MAX_SCOPES, Scope,
    TagKey, TagKeys, TokenText,
};

pub(super) fn target(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    names(text);
    sets(text);
    tagged(text);
    assert_eq!(GrantType::parse(text).is_ok(), text == "client_credentials");
    let state = ClientState::parse(text).map(ClientState::as_str).ok();
    assert_eq!(state, ["active", "disabled"].into_iter().find(|name| *name == text));
}

fn names(text: &str) {
    let fits = |most: usize| !text.is_empty() && text.chars().count() <= most;
    let printable = |but: &str| text.chars().all(|c| ('!'..='~').contains(&c) && !but.contains(c));

    let in_ids = text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~@:/+%=".contains(c));
    let client_id = ClientId::parse(text);
    assert_eq!(client_id.is_ok(), fits(128) && in_ids);
    assert!(client_id.is_ok_and(|id| id.as_str() == text) || !(fits(128) && in_ids));

    let scope = Scope::parse(text);
    assert_eq!(scope.is_ok(), fits(128) && printable("\"\\"));
    assert!(scope.is_ok_and(|scope| scope.as_str() == text) || !(fits(128) && printable("\"\\")));

    let audience = Audience::parse(text);
    assert_eq!(audience.is_ok(), fits(256) && printable("\"\\#"));
    if let Ok(audience) = audience {
        assert_eq!(audience.as_str(), text);
    }
}

/// A set is what its members are, in whatever order and number they come.
fn sets(text: &str) {
    let members: Vec<_> = text.split(' ').collect();
    let distinct: BTreeSet<_> = members.iter().copied().collect();

    let each_reads = members.iter().all(|member| Scope::parse(member).is_ok());
    let scopes = Scope::parse_set(&members);
    assert_eq!(scopes.is_ok(), each_reads && distinct.len() <= MAX_SCOPES);
    if let Ok(scopes) = scopes {
        let reversed = Scope::parse_set(members.iter().rev());
        assert!(reversed.is_ok_and(|reversed| reversed == scopes));
        assert!(scopes.iter().map(Scope::as_str).eq(distinct.iter().copied()));
    }
    let each_reads = members.iter().all(|member| Audience::parse(member).is_ok());
    let audiences = Audience::parse_set(&members);
    assert_eq!(audiences.is_ok(), each_reads && distinct.len() <= MAX_AUDIENCES);
}

/// Secrets and tokens: 56 bytes behind a prefix, in their one spelling, and made by nobody.
fn tagged(text: &str) {
    let is_canonical = |prefix| {
        let decoded = text.strip_prefix(prefix).and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok());
        decoded.is_some_and(|bytes| bytes.len() == 56)
    };
    let keys = TagKeys::new(TagKey::from_bytes([7; 32]), None);
    let secret = ClientSecret::parse(text);
    assert_eq!(secret.is_ok(), is_canonical("jts_"));
    if let Ok(secret) = secret {
        assert_eq!(secret.expose(), text);
        assert!(!secret.has_tag_of(&keys), "a tag was guessed");
        assert_eq!(format!("{secret:?}"), "ClientSecret([redacted])");
    }
    let token = TokenText::parse(text);
    assert_eq!(token.is_ok(), is_canonical("jta_"));
    if let Ok(token) = token {
        assert_eq!(token.expose(), text);
        assert!(!token.has_tag_of(&keys), "a tag was guessed");
        assert!(token.digest().matches(&token.digest()));
    }
}
