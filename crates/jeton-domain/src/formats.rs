//! Test vectors of the stored formats, as published in `docs/formats.md`.

use uuid::Uuid;

use super::{
    AuditEntry, AuditHash, ClientSecret, HashCost, HashCostCap, HashMemory, Random, RandomFailed,
    SecretHash, SeededRandom, TagKey, TagKeys, Timestamp, TokenText, tagged_text::TaggedText,
    uuid_v7,
};

const TOKEN: &str =
    "jta_AAAAAAAAAAAAAAAAAAAAKgkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJs40M680R-4E";
const SECRET: &str =
    "jts_AAAAAAAAAAAAAAAAAAAAKgkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJhZkybx-jWoQ";
const DIGEST: &str = "c183641cc5f1bdd279b1c2710a995d8a9154d02e0eff5ea007e6b6d6814d88b8";
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$BQUFBQUFBQUFBQUFBQUFBQ\
                    $5xx6i60qd48JElLSH7jzZn1vnTWVHOFuXV5CFLm3xRw";
const TOKEN_ID: &str = "01a207ba-9c80-7f55-b0f5-a1810b7af78c";
const AUDIT: [&str; 2] = [
    "6f94e8329490fc90bd9009dffa7a350c278d6ef062f97383ed2b05ea8f310c03",
    "55f39c2f07d353e255cd8f5fb7bf80733d1b2fe4b63d16f568ec6ab07a8401a6",
];

#[test]
fn every_vector_is_published() {
    let page = include_str!("../../../docs/formats.md");
    for vector in [TOKEN, SECRET, DIGEST, HASH, TOKEN_ID, AUDIT[0], AUDIT[1]] {
        assert!(page.contains(&format!("`{vector}`")), "{vector}");
    }
}

#[test]
fn tokens_and_secrets_have_the_published_text() {
    let key = TagKey::from_bytes([7; 32]);
    for (prefix, expected) in [("jta_", TOKEN), ("jts_", SECRET)] {
        let text = TaggedText::mint(prefix, Uuid::from_u128(42), &[9; 32], &key);
        assert_eq!(text.expose(), expected);
    }
    let token = TokenText::parse(TOKEN).unwrap();
    assert_eq!(token.id().0, Uuid::from_u128(42));
    let keys = TagKeys::new(key, None);
    assert!(token.has_tag_of(&keys));
    assert!(!token.has_tag_of(&TagKeys::new(TagKey::from_bytes([8; 32]), None)));
    assert_eq!(AuditHash(*token.digest().as_bytes()).to_string(), DIGEST);
    let secret = ClientSecret::parse(SECRET).unwrap();
    assert_eq!(secret.id().0, Uuid::from_u128(42));
    assert!(secret.has_tag_of(&keys));
    assert!(TokenText::parse(SECRET).is_err() && ClientSecret::parse(TOKEN).is_err());
}

/// A source of randomness that repeats one byte.
struct Same(u8);

impl Random for Same {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        bytes.fill(self.0);
        Ok(())
    }
}

#[test]
fn a_secret_has_the_published_hash() {
    let secret = ClientSecret::parse(SECRET).unwrap();
    let mut memory = HashMemory::default();
    let hash = SecretHash::compute(&secret, HashCost::DEFAULT, &Same(5), &mut memory).unwrap();
    assert_eq!(hash.as_str(), HASH);
    let stored = SecretHash::from_stored(HASH.to_owned());
    assert_eq!(stored.verify(&secret, HashCostCap::DEFAULT, &mut memory), Ok(true));
}

#[test]
fn the_id_of_a_token_has_the_published_layout() {
    let now = Timestamp::from_unix_micros(1_795_426_000_000_000);
    assert_eq!(uuid_v7(now, &SeededRandom::default()).unwrap().to_string(), TOKEN_ID);
}

#[test]
fn rows_of_the_audit_trail_have_the_published_hashes() {
    let first = AuditEntry {
        seq: 1,
        at: Timestamp::from_unix_micros(1_795_426_000_000_001),
        actor: None,
        login: Some("jeton".to_owned()),
        action: "client.create".to_owned(),
        client: Some(Uuid::from_u128(42)),
        client_id: Some("ördérs".to_owned()),
        subject: None,
        detail: r#"{"a": 1}"#.to_owned(),
        hash: None,
    };
    let second = AuditEntry {
        seq: 2,
        at: Timestamp::from_unix_micros(1_795_426_000_000_002),
        actor: Some("operator:alice".to_owned()),
        login: None,
        action: "token.revoke".to_owned(),
        client: None,
        client_id: None,
        subject: Some(Uuid::from_u128(43)),
        detail: "{}".to_owned(),
        hash: None,
    };
    let hash = first.hash_after(None);
    assert_eq!(hash.to_string(), AUDIT[0]);
    assert_eq!(second.hash_after(Some(hash)).to_string(), AUDIT[1]);
}
