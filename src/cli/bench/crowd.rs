//! Clients of a benchmark, which are registered before the run and deleted after it.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Context;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{caller::Caller, work::Call};
use crate::{
    cli::{node, output, target},
    config::Database,
    domain::{
        About, ClientId, ClientQuota, GrantType, HashCost, OsRandom, Random, SystemClock,
        TokenLifetime,
    },
    pb::v1::ClientAuthentication,
    registry::{NewClient, NewSecret, Registry},
    store::Store,
};

/// Maximum number of clients whose secrets are hashed at the real cost. More use [`LEAST`].
const REAL_HASHES: usize = 1_000;
const LEAST: HashCost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };

/// Number of clients that are registered or deleted concurrently. The embedded database has one
/// connection that writes, and on a busy machine more would wait for it beyond its timeout.
const AT_ONCE: usize = 8;

/// Clients of this run.
pub(super) struct Crowd {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    credentials: Vec<ClientAuthentication>,
}

/// Registers `count` clients, whose names contain a random number for this run.
pub(super) async fn register(
    database: &Database,
    cost: HashCost,
    count: usize,
) -> anyhow::Result<Crowd> {
    let store = node::open_store(database)?;
    output::remark(&format!("Database: {}", target::place(database)));
    store.check_schema().await.with_context(|| target::place(database))?;
    let cost = if count > REAL_HASHES { LEAST } else { cost };
    let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
    let registry = Registry::open(Arc::clone(&store), clock, random, cost, node::this_user()).await;
    let registry = Arc::new(registry.context("the database cannot be used")?);

    let mut run = [0; 4];
    OsRandom.fill(&mut run)?;
    let run = u32::from_be_bytes(run);
    let mut registering = JoinSet::new();
    let mut crowd = Crowd { store, registry, credentials: Vec::with_capacity(count) };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for number in 0..count {
        let (registry, place) = (Arc::clone(&crowd.registry), Arc::clone(&places));
        let place = place.acquire_owned().await?;
        registering.spawn(async move {
            let _place = place;
            registry
                .create_client(new(&format!("bench-{run:08x}-{number}"))?, NewSecret::default())
                .await
        });
        if number % 1_000 == 999 {
            output::progress(&format!("{} of {count} clients registered", number + 1));
        }
    }
    while let Some(registered) = registering.join_next().await {
        match registered? {
            Ok((client, secret)) => crowd.credentials.push(ClientAuthentication {
                client_id: client.client_id.to_string(),
                client_secret: secret.expose().to_owned(),
            }),
            Err(error) => {
                crowd.delete().await?;
                return Err(error.into());
            }
        }
    }
    Ok(crowd)
}

fn new(client_id: &str) -> Result<NewClient, crate::domain::Malformed> {
    Ok(NewClient {
        client_id: Some(ClientId::parse(client_id)?),
        name: "made by jeton bench".to_owned(),
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: BTreeSet::new(),
        default_scopes: None,
        audiences: BTreeSet::new(),
        default_audience: None,
        several_audiences: false,
        serves: BTreeSet::new(),
        token_lifetime: TokenLifetime::DEFAULT,
        // The node is measured and not its quotas, also where they are enforced.
        quota: ClientQuota::UNLIMITED,
        about: About::default(),
    })
}

impl Crowd {
    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    pub(super) fn credentials(&self) -> &[ClientAuthentication] {
        &self.credentials
    }

    /// Issues `count` tokens, and returns each with the credentials of its client.
    pub(super) async fn issue(
        &self,
        callers: &[Caller],
        count: usize,
    ) -> anyhow::Result<Vec<(ClientAuthentication, String)>> {
        let mut issuing = JoinSet::new();
        for (first, caller) in callers.iter().enumerate() {
            let (mut caller, clients) = (caller.clone(), self.credentials.clone());
            let numbers = (first..count).step_by(callers.len());
            issuing.spawn(async move {
                let mut tokens = Vec::new();
                for number in numbers {
                    let client = clients[number % clients.len()].clone();
                    let token = caller.issue(Call::Issue(client.clone())).await?;
                    tokens.push((client, token));
                }
                anyhow::Ok(tokens)
            });
        }
        let mut tokens = Vec::with_capacity(count);
        while let Some(issued) = issuing.join_next().await {
            tokens.extend(issued??);
        }
        Ok(tokens)
    }

    /// Deletes the clients, which makes their tokens inactive.
    pub(super) async fn delete(self) -> anyhow::Result<()> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut deleting = JoinSet::new();
        for client in self.credentials {
            let client = client.client_id;
            let (registry, place) = (Arc::clone(&self.registry), Arc::clone(&places));
            let place = place.acquire_owned().await?;
            deleting.spawn(async move {
                let _place = place;
                registry.delete_client(&ClientId::parse(&client)?).await
            });
        }
        while let Some(deleted) = deleting.join_next().await {
            deleted??;
        }
        Ok(())
    }
}
