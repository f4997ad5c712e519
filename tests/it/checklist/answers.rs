//! What a token endpoint answers when all is well (7.7).

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{GRANT, House, TOKEN, assert_sound};
use crate::support::http::assert_expires_in;

/// The length that `token_service.proto` promises.
const TOKEN_LENGTH: usize = 79;

/// 61–63, 65
#[tokio::test(flavor = "multi_thread")]
async fn success_has_the_members_of_the_rfc_and_no_others() {
    let house = House::new().await;
    for wire in &house.wires {
        let issued = wire.send(house.post(TOKEN, GRANT)).await;
        assert_sound(&issued, TOKEN, &wire.name());
        assert_eq!(issued.status, 200, "61: {}", wire.name());
        assert_eq!(issued.header("content-type"), "application/json", "61: without a charset");
        assert!(issued.body.starts_with(b"{") && issued.body.ends_with(b"}"), "61: one object");
        let issued = issued.json();
        let members: Vec<_> = issued.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = ["access_token", "expires_in", "scope", "token_type"];
        assert_eq!(members, expected, "62, 63: and no refresh token");
        assert_eq!(issued["token_type"], "Bearer", "62: {}", wire.name());
        assert_expires_in(issued["expires_in"].as_i64().expect("61, 62: a whole number"), 3600);
        assert_eq!(issued["scope"], "read write", "62: also when none was asked for");
        let token = issued["access_token"].as_str().unwrap();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        assert!(token.bytes().all(allowed), "65: of letters that need no encoding");
        assert_eq!(token.len(), TOKEN_LENGTH, "65: as long as the contract says");
        let contract = include_str!("../../../proto/jeton/v1/token_service.proto");
        assert!(contract.contains(&format!("The token, of {TOKEN_LENGTH} characters")));
    }
}

/// 52: of what can be seen in enough of them, at least 256 bits are sometimes 0 and sometimes 1, and
/// no two of these bits go together in all of them.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_secrets_hold_256_bits_of_chance() {
    const SEEN: usize = 128;
    let house = House::new().await;
    let (mut tokens, mut secrets) = (Vec::new(), Vec::new());
    for number in 0..SEEN {
        let wire = &house.wires[number % house.wires.len()];
        let issued = wire.send(house.post(TOKEN, GRANT)).await.json();
        tokens.push(issued["access_token"].as_str().unwrap().to_owned());
        let client = house.nodes[0].client(&format!("client-{number}")).await;
        secrets.push(client.secret().to_owned());
    }
    for texts in [tokens, secrets] {
        let bytes = texts.iter().map(|text| {
            let (_, encoded) = text.split_once('_').unwrap();
            URL_SAFE_NO_PAD.decode(encoded).unwrap_or_else(|e| panic!("{e}: {text}"))
        });
        let bytes: Vec<_> = bytes.collect();
        let column = |at: usize| -> u128 {
            let bits = bytes.iter().map(|bytes| u128::from(bytes[at / 8] >> (at % 8) & 1));
            bits.fold(0, |column, bit| column << 1 | bit)
        };
        // One that stands still says nothing, and one that another repeats or reverses neither.
        let columns = (0..bytes[0].len() * 8).map(column).map(|bits| bits.min(!bits));
        let changing = columns.filter(|bits| *bits != 0).collect::<BTreeSet<_>>();
        assert!(changing.len() >= 256, "{} bits of {}", changing.len(), texts[0].len());
    }
}
