//! A cached entry never outlives a change.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;
use crate::domain::{
    ClientQuota, ClientState, CredentialId, ManualClock, SecretHash, SecretId, StoredCredential,
    StoredSecret, TagKey, Timestamp, TokenDigest, TokenFacts, TokenLifetime,
};

const LIFETIME: Duration = Duration::from_secs(80);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_unix_micros(0)))
}

fn memory() -> LeasedCache {
    memory_at(clock())
}

fn memory_at(clock: Arc<ManualClock>) -> LeasedCache {
    let options = CacheOptions {
        clients: 100,
        token_bytes: 100 * TOKEN_BYTES,
        lease: Duration::from_secs(2),
        lifetime: LIFETIME,
    };
    let memory = LeasedCache::new(clock, TagKeys::new(TagKey::from_bytes([7; 32]), None), options);
    memory.lease_until(Duration::MAX);
    memory
}

fn client(number: u128) -> Arc<Client> {
    Arc::new(Client {
        key: ClientKey(Uuid::from_u128(number)),
        client_id: ClientId::parse(&format!("c{number}")).unwrap(),
        name: String::new(),
        state: ClientState::Active,
        grants: BTreeSet::new(),
        scopes: BTreeSet::new(),
        default_scopes: BTreeSet::new(),
        audiences: BTreeSet::new(),
        default_audience: None,
        several_audiences: false,
        serves: BTreeSet::new(),
        token_lifetime: TokenLifetime::DEFAULT,
        quota: ClientQuota::default(),
        not_before: None,
        created_at: Timestamp::from_unix_micros(0),
        version: 1,
    })
}

fn found_client(number: u128) -> FoundClient {
    let client = client(number);
    let secret = StoredSecret {
        id: SecretId(Uuid::from_u128(number)),
        client: client.key,
        hash: SecretHash::from_stored("$argon2id$x".to_owned()),
        label: String::new(),
        created_at: client.created_at,
        expires_at: None,
        retired_at: None,
        leaked_at: None,
        retiring: None,
        forgotten_at: None,
    };
    let credential = Some(Arc::new(StoredCredential::Secret(secret)));
    FoundClient { client, credential }
}

fn found_token(number: u128, of: u128) -> FoundToken {
    let client = client(of);
    FoundToken {
        digest: TokenDigest::from_bytes([0; 32]),
        credential: CredentialId(Uuid::from_u128(of)),
        facts: TokenFacts {
            id: TokenId(Uuid::from_u128(number)),
            client,
            granted: Some(Arc::default()),
            issued_at: Timestamp::from_unix_micros(1),
            expires_at: Timestamp::from_unix_micros(2),
            revoked: false,
            credential_leaked: false,
            superseded: false,
            not_before: None,
        },
    }
}

/// A cache that holds two clients and two tokens of each.
fn filled() -> LeasedCache {
    let memory = memory();
    let epoch = memory.epoch().unwrap();
    for of in 1..=2 {
        memory.keep_client(epoch, &found_client(of));
        memory.keep_token(epoch, &found_token(10 * of, of));
        memory.keep_token(epoch, &found_token(10 * of + 1, of));
    }
    memory
}

fn has_client(memory: &LeasedCache, number: u128) -> bool {
    let client = client(number);
    memory.client(&client.client_id, CredentialId(Uuid::from_u128(number))).is_some()
}

fn has_token(memory: &LeasedCache, number: u128) -> bool {
    memory.token(TokenId(Uuid::from_u128(number))).is_some()
}

#[test]
fn a_change_sweeps_what_it_concerns_and_nothing_else() {
    let memory = filled();
    assert!([1, 2].iter().all(|number| has_client(&memory, *number)));
    assert!([10, 11, 20, 21].iter().all(|number| has_token(&memory, *number)));

    memory.apply(&[Change::Token(TokenId(Uuid::from_u128(10)))]);
    assert!(!has_token(&memory, 10) && has_token(&memory, 11) && has_client(&memory, 1));

    memory.apply(&[Change::Client(ClientKey(Uuid::from_u128(1)))]);
    assert!(!has_token(&memory, 11) && !has_client(&memory, 1));
    assert!(has_token(&memory, 20) && has_client(&memory, 2));

    memory.apply(&[Change::Everything]);
    assert!(!has_token(&memory, 20) && !has_client(&memory, 2));
}

#[test]
fn what_was_read_before_a_change_is_not_remembered_after_it() {
    let memory = filled();
    let before = memory.epoch().unwrap();
    memory.apply(&[Change::Client(ClientKey(Uuid::from_u128(7)))]);
    memory.keep_token(before, &found_token(70, 7));
    memory.keep_client(before, &found_client(7));
    assert!(!has_token(&memory, 70) && !has_client(&memory, 7));

    let now = memory.epoch().unwrap();
    memory.keep_token(now, &found_token(70, 7));
    assert!(has_token(&memory, 70));
    memory.apply(&[]);
    assert_eq!(memory.epoch(), Some(now), "an empty list of changes starts no epoch");
}

#[test]
fn a_client_that_changed_and_was_read_again_is_the_new_one() {
    let memory = filled();
    for change in [Change::Client(ClientKey(Uuid::from_u128(1))), Change::Everything] {
        memory.apply(&[change]);
        let epoch = memory.epoch().unwrap();
        let mut found = found_token(10, 1);
        Arc::make_mut(&mut found.facts.client).state = ClientState::Disabled;
        memory.keep_token(epoch, &found);
        let known = memory.token(found.facts.id).unwrap();
        assert_eq!(known.facts.client.state, ClientState::Disabled);
        assert!(!has_token(&memory, 11), "the old client is invalidated with its tokens");
    }
}

/// For example after an edit while the triggers of a table were disabled.
#[test]
fn what_was_read_counts_for_its_lifetime_and_no_longer() {
    let clock = clock();
    let memory = memory_at(Arc::clone(&clock));
    // The last byte of an id shortens the lifetime of its entry by up to an eighth.
    let [long, short] = [0x100, 0x1ff];
    let epoch = memory.epoch().unwrap();
    // The read itself takes a while.
    clock.run_for(Duration::from_secs(2));
    for number in [long, short] {
        memory.keep_client(epoch, &found_client(number));
        memory.keep_token(epoch, &found_token(number, number));
    }
    let is_known = |number| {
        let known = has_token(&memory, number);
        assert_eq!(has_client(&memory, number), known);
        known
    };
    for (elapsed, expected) in [(66, [true; 2]), (71, [true, false]), (80, [false; 2])] {
        let elapsed = Duration::from_secs(elapsed) + memory.started;
        clock.run_for(elapsed.saturating_sub(clock.uptime()));
        assert_eq!([is_known(long), is_known(short)], expected, "{elapsed:?}");
    }

    // A new read starts a new lifetime.
    memory.keep_token(memory.epoch().unwrap(), &found_token(short, short));
    assert!(has_token(&memory, short));
}

/// The tokens of a client share its entry, so an old entry must not live on beside a newer one.
#[test]
fn a_client_that_is_read_otherwise_ends_what_hung_on_the_old_one() {
    let memory = filled();
    let epoch = memory.epoch().unwrap();
    let mut found = found_token(12, 1);
    memory.keep_token(epoch, &found);
    assert!(has_token(&memory, 10), "an equal client is no change");

    Arc::make_mut(&mut found.facts.client).state = ClientState::Disabled;
    memory.keep_token(epoch, &found);
    let known = memory.token(found.facts.id).unwrap();
    assert_eq!(known.facts.client.state, ClientState::Disabled);
    assert!(!has_token(&memory, 10) && !has_client(&memory, 1));
    assert!(has_token(&memory, 20) && has_client(&memory, 2));
}

#[test]
fn without_a_lease_nothing_counts() {
    let memory = filled();
    memory.end_lease();
    assert!(memory.epoch().is_none());
    memory.lease_until(Duration::from_micros(1));
    assert!(memory.epoch().is_none(), "the lease is over");
}

#[test]
fn the_memory_is_bounded() {
    let memory = memory();
    let epoch = memory.epoch().unwrap();
    for number in 0..10_000 {
        memory.keep_token(epoch, &found_token(number, number));
        memory.keep_client(epoch, &found_client(number));
    }
    let stats = memory.stats();
    assert!(stats.tokens <= 100 && stats.clients <= 100, "{stats:?}");
    let by_key = memory.by_key.lock().unwrap().clients.len();
    assert!(by_key <= 2 * (200 + 16) + 16, "{by_key}");
}

#[test]
fn a_token_takes_no_more_than_is_reckoned() {
    let entry = size_of::<TokenId>() + size_of::<CachedToken>();
    // Two links, the state, and the slot in the index of the table.
    assert!(entry + 24 <= TOKEN_BYTES, "{entry}");
}
