//! One suite for both stores: what a use case may rely on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jeton::{
    domain::{
        About, AccessToken, Audience, Client, ClientId, ClientKey, ClientQuota, ClientRecord,
        ClientState, GrantType, Granted, Labels, OsRandom, Scope, SecretHash, SecretId,
        StoredCredential, StoredSecret, Timestamp, TokenDigest, TokenId, TokenLifetime, uuid_v4,
        uuid_v7,
    },
    store::{ClientChange, ClientFilter, Creation, FoundToken, Readable, Retirement, Store},
};

use crate::support::{
    Database, Kind,
    node::{audiences, operator},
};

const PHC: &str = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn now() -> Timestamp {
    jeton::domain::Clock::now(&jeton::domain::SystemClock)
}

fn client(client_id: &str) -> Client {
    Client {
        key: ClientKey(uuid_v4(&OsRandom).unwrap()),
        client_id: ClientId::parse(client_id).unwrap(),
        name: "Größe \"a\\b\"".to_owned(),
        state: ClientState::Active,
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: Scope::parse_set(["b", "a{,}", "c'"]).unwrap(),
        default_scopes: Scope::parse_set(["b"]).unwrap(),
        audiences: audiences(&["https://api.test/x?y=1", "orders"]),
        default_audience: Some(Audience::parse("orders").unwrap()),
        several_audiences: true,
        serves: BTreeSet::new(),
        token_lifetime: TokenLifetime::from_seconds(77).unwrap(),
        quota: ClientQuota::UNLIMITED,
        not_before: None,
        created_at: now(),
        version: 1,
    }
}

fn record(client: &Client) -> ClientRecord {
    ClientRecord { client: client.clone(), about: About::default() }
}

fn secret(client: &Client) -> StoredSecret {
    StoredSecret {
        id: SecretId(uuid_v4(&OsRandom).unwrap()),
        client: client.key,
        hash: SecretHash::from_stored(PHC.to_owned()),
        label: "first".to_owned(),
        created_at: now(),
        expires_at: Some(now().plus(Duration::from_mins(1))),
        retired_at: None,
        leaked_at: None,
        retiring: None,
        forgotten_at: None,
    }
}

fn token(client: &Client, secret: &StoredSecret, issued_at: Timestamp) -> AccessToken {
    AccessToken {
        id: TokenId(uuid_v7(issued_at, &OsRandom).unwrap()),
        digest: TokenDigest::from_bytes([3; 32]),
        client: client.key,
        credential: secret.id.into(),
        granted: Arc::new(Granted {
            scopes: client.scopes.clone(),
            audiences: client.audiences.clone(),
        }),
        issued_at,
        expires_at: issued_at.plus(Duration::from_secs(77)),
    }
}

async fn find(store: &Arc<dyn Store>, id: TokenId) -> Option<FoundToken> {
    let mut found = store.find_tokens(&[id]).await.unwrap();
    assert!(found.len() <= 1);
    found.pop().map(|(found_id, found)| {
        assert_eq!(found_id, id);
        found.unwrap()
    })
}

struct Fixture {
    store: Arc<dyn Store>,
    client: Client,
    secret: StoredSecret,
    _database: Database,
}

async fn fixture(kind: Kind) -> Fixture {
    let database = Database::new(kind).await;
    let store = database.migrated().await;
    let client = client("orders");
    let secret = secret(&client);
    assert_eq!(
        store.create_client(&record(&client), &secret, &operator()).await.unwrap(),
        Creation::Created
    );
    Fixture { store, client, secret, _database: database }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_back_as_it_was_written_and_its_name_is_given_once() {
    for kind in Kind::BOTH {
        let Fixture { store, client, secret, _database } = fixture(kind).await;
        let found =
            store.find_client(&client.client_id, Some(secret.id.into())).await.unwrap().unwrap();
        assert_eq!(*found.client, client, "{kind:?}");
        let StoredCredential::Secret(stored) = found.credential.as_deref().unwrap();
        assert_eq!(stored.hash, secret.hash);
        assert_eq!(stored.expires_at, secret.expires_at);
        assert_eq!((stored.client, stored.label.clone()), (client.key, secret.label.clone()));

        let mut again = self::client("orders");
        again.name = "another".to_owned();
        let creation =
            store.create_client(&record(&again), &self::secret(&again), &operator()).await.unwrap();
        assert_eq!(creation, Creation::ClientIdTaken);
        let found = store.find_client(&client.client_id, None).await.unwrap().unwrap();
        assert_eq!(*found.client, client);
        assert!(found.credential.is_none());
        let unknown = ClientId::parse("unknown").unwrap();
        assert!(store.find_client(&unknown, Some(secret.id.into())).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_noted_of_a_client_reads_back_as_it_was_written() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let store = database.migrated().await;
        let labels = Labels::parse(["team=a'{,}", "url=https://x.test/?a=b", "empty="]).unwrap();
        let about = About {
            labels,
            owner: "Größe \"a\\b\"".to_owned(),
            note: "a 'b' {}".to_owned(),
            ..About::default()
        };
        let written = ClientRecord { about, ..record(&client("orders")) };
        store.create_client(&written, &secret(&written.client), &operator()).await.unwrap();
        let found = store.find_record(&written.client.client_id).await.unwrap();
        assert_eq!(found, Some(written.clone()), "{kind:?}");
        assert!(store.find_record(&ClientId::parse("other").unwrap()).await.unwrap().is_none());

        let mut changed = written;
        changed.about.labels = Labels::default();
        changed.client.scopes.clear();
        changed.client.default_scopes.clear();
        changed.client.version = 2;
        assert!(store.update_record(&changed, 1, &operator()).await.unwrap(), "{kind:?}");
        assert!(!store.update_record(&changed, 1, &operator()).await.unwrap(), "{kind:?}");
        let found = store.find_record(&changed.client.client_id).await.unwrap();
        assert_eq!(found, Some(changed), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_found_only_with_its_own_client() {
    for kind in Kind::BOTH {
        let Fixture { store, client, secret, _database } = fixture(kind).await;
        let other = self::client("billing");
        let others = self::secret(&other);
        store.create_client(&record(&other), &others, &operator()).await.unwrap();
        let found =
            store.find_client(&client.client_id, Some(others.id.into())).await.unwrap().unwrap();
        assert!(found.credential.is_none(), "{kind:?}");

        let second = self::secret(&client);
        assert!(store.add_secret(&second, &operator()).await.unwrap());
        let listed = store.list_secrets(&client.client_id).await.unwrap();
        let ids: Vec<_> = listed.into_iter().map(|secret| secret.unwrap().id).collect();
        assert_eq!(ids, [secret.id, second.id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_retired_once_and_can_still_be_burnt() {
    for kind in Kind::BOTH {
        let Fixture { store, client, secret, _database } = fixture(kind).await;
        let (first, second) = (now(), now().plus(Duration::from_secs(5)));
        let retire = |client_id, retirement, at| {
            let store = Arc::clone(&store);
            async move {
                store
                    .retire_secret(&client_id, secret.id, retirement, true, at, &operator())
                    .await
                    .unwrap()
            }
        };
        let other = ClientId::parse("billing").unwrap();
        assert!(!retire(other, Retirement::Retired, first).await);
        assert!(retire(client.client_id.clone(), Retirement::Retired, first).await);
        assert!(retire(client.client_id.clone(), Retirement::Leaked, second).await);
        assert!(retire(client.client_id.clone(), Retirement::Retired, second).await);
        let stored = store.list_secrets(&client.client_id).await.unwrap().remove(0).unwrap();
        assert_eq!(stored.retired_at, Some(first), "{kind:?}");
        assert_eq!(stored.leaked_at, Some(second), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_recorded_all_or_none_and_read_back_with_what_decides_their_worth() {
    for kind in Kind::BOTH {
        let Fixture { store, client, secret, _database } = fixture(kind).await;
        let mut tokens: Vec<_> = (0..50).map(|_| token(&client, &secret, now())).collect();
        tokens[7].granted = Arc::default();
        store.record_tokens(&tokens).await.unwrap();
        let unknown = TokenId(uuid_v7(now(), &OsRandom).unwrap());
        let asked = [tokens[3].id, unknown, tokens[1].id];
        let mut found: Vec<_> = store.find_tokens(&asked).await.unwrap();
        found.sort_by_key(|(id, _)| *id);
        let mut expected = [tokens[1].id, tokens[3].id];
        expected.sort_unstable();
        assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), expected, "{kind:?}");
        assert!(store.find_tokens(&[]).await.unwrap().is_empty());
        for expected in [&tokens[0], &tokens[7], &tokens[49]] {
            let found = find(&store, expected.id).await.unwrap();
            let facts = &found.facts;
            assert_eq!(*facts.client, client, "{kind:?}");
            assert_eq!(facts.granted.as_ref(), Some(&expected.granted));
            assert_eq!(facts.issued_at, expected.issued_at);
            assert_eq!(facts.expires_at, expected.expires_at);
            assert_eq!(found.credential, secret.id.into());
            assert!(found.digest.matches(&expected.digest));
            assert!(!facts.revoked && !facts.credential_leaked && facts.not_before.is_none());
        }

        let fresh = token(&client, &secret, now());
        let taken = tokens[0].clone();
        assert!(store.record_tokens(&[fresh.clone(), taken]).await.is_err());
        assert!(find(&store, fresh.id).await.is_none(), "{kind:?}: half a batch");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_token_is_seen_with_it() {
    for kind in Kind::BOTH {
        let Fixture { store, client, secret, _database } = fixture(kind).await;
        let tokens: Vec<_> = (0..3).map(|_| token(&client, &secret, now())).collect();
        store.record_tokens(&tokens).await.unwrap();
        for _ in 0..2 {
            store.revoke_tokens(&[tokens[0].id], now()).await.unwrap();
        }
        assert!(find(&store, tokens[0].id).await.unwrap().facts.revoked);
        assert!(!find(&store, tokens[1].id).await.unwrap().facts.revoked);

        store
            .change_client(
                &client.client_id,
                ClientChange::State(ClientState::Disabled),
                &operator(),
            )
            .await
            .unwrap();
        let found = find(&store, tokens[1].id).await.unwrap();
        assert_eq!(found.facts.client.state, ClientState::Disabled);
        assert_eq!(found.facts.client.version, client.version + 1);

        store
            .retire_secret(
                &client.client_id,
                secret.id,
                Retirement::Leaked,
                true,
                now(),
                &operator(),
            )
            .await
            .unwrap();
        assert!(find(&store, tokens[1].id).await.unwrap().facts.credential_leaked);

        assert!(store.delete_client(&client.client_id, &operator()).await.unwrap());
        assert!(!store.delete_client(&client.client_id, &operator()).await.unwrap());
        assert!(find(&store, tokens[1].id).await.is_none(), "{kind:?}");
        assert!(store.list_secrets(&client.client_id).await.unwrap().is_empty());
        let reborn = self::client("orders");
        store.create_client(&record(&reborn), &self::secret(&reborn), &operator()).await.unwrap();
        assert!(find(&store, tokens[1].id).await.is_none(), "{kind:?}");
    }
}

/// The secret may have leaked, and the installation may say that no token counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_missing_lets_no_token_live() {
    for kind in Kind::BOTH {
        let Fixture { store, client, secret, _database: database } = fixture(kind).await;
        let token = token(&client, &secret, now());
        store.record_tokens(std::slice::from_ref(&token)).await.unwrap();
        assert!(!find(&store, token.id).await.unwrap().facts.credential_leaked);
        database.execute("delete from client_secret").await;
        assert!(find(&store, token.id).await.unwrap().facts.credential_leaked, "{kind:?}");
        database.execute("delete from installation").await;
        let (_, found) = store.find_tokens(&[token.id]).await.unwrap().remove(0);
        assert!(found.unwrap_err().to_string().contains("internal"), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_listed_in_pages_in_the_same_order_on_both() {
    let mut orders = Vec::new();
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let store = database.migrated().await;
        for name in ["b", "A", "a", "B", "_", "a.b", "a-b", "Z"] {
            let client = client(name);
            store.create_client(&record(&client), &secret(&client), &operator()).await.unwrap();
        }
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().map(String::as_str);
            let page = store.list_records(&ClientFilter::default(), after, 3).await.unwrap();
            if page.is_empty() {
                break;
            }
            let name = |record: Readable<ClientRecord>| record.unwrap().client.client_id;
            names.extend(page.into_iter().map(|record| name(record).to_string()));
        }
        assert_eq!(names.len(), 8);
        orders.push(names);
    }
    assert_eq!(orders[0], orders[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_key_is_made_once_and_migrating_again_changes_nothing() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let (one, two) = (database.store(), database.store());
        let (first, second) =
            tokio::join!(one.migrate(now(), &OsRandom), two.migrate(now(), &OsRandom),);
        assert_eq!(first.unwrap().to, second.unwrap().to, "{kind:?}: two nodes start at once");
        let again = one.migrate(now(), &OsRandom).await.unwrap();
        assert_eq!(again.from, again.to);
        one.check_schema().await.unwrap();
        let secret = jeton::domain::ClientSecret::generate(
            &OsRandom,
            one.installation().await.unwrap().tag_keys.current(),
        );
        assert!(secret.unwrap().has_tag_of(&two.installation().await.unwrap().tag_keys));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_removes_what_is_long_dead_and_keeps_what_lives() {
    for kind in Kind::BOTH {
        let Fixture { store, client, secret, _database } = fixture(kind).await;
        let living = token(&client, &secret, now());
        store.record_tokens(std::slice::from_ref(&living)).await.unwrap();
        if kind == Kind::Sqlite {
            let long_ago = now().minus(Duration::from_hours(72));
            let dead: Vec<_> = (0..2_500).map(|_| token(&client, &secret, long_ago)).collect();
            store.record_tokens(&dead).await.unwrap();
            store.revoke_tokens(&[dead[0].id], long_ago).await.unwrap();
            let done = store.upkeep(now(), 90).await.unwrap();
            assert_eq!((done.expired_partitions_dropped, done.revocations_forgotten), (3, 1));
            assert!(find(&store, dead[0].id).await.is_none());
        } else {
            // Partitions of two days from now are made when a node's clock says so, and dropped
            // only when the database's own clock says so.
            let done = store.upkeep(now().plus(Duration::from_hours(48)), 90).await.unwrap();
            assert!(done.partitions_made > 0 && done.expired_partitions_dropped == 0, "{done:?}");
            let far = token(&client, &secret, now().plus(Duration::from_hours(48)));
            store.record_tokens(&[far]).await.unwrap();
            let long_ago = now().minus(Duration::from_hours(96));
            let done = store.upkeep(long_ago, 90).await.unwrap();
            assert!(done.partitions_made > 0 && done.expired_partitions_dropped == 0, "{done:?}");
            let dead = token(&client, &secret, long_ago);
            store.record_tokens(std::slice::from_ref(&dead)).await.unwrap();
            let done = store.upkeep(now(), 90).await.unwrap();
            assert!(done.expired_partitions_dropped > 0, "{done:?}");
            assert!(find(&store, dead.id).await.is_none());
        }
        assert!(find(&store, living.id).await.is_some(), "{kind:?}");
    }
}
