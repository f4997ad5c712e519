//! The checks. None of them stops the others: a question that the database does not answer is a
//! fault of its own check.

use std::time::Duration;

use crate::{
    config::Database,
    data_dir::{self, Worker},
    domain::{CLOCK_TOLERANCE, ClientState, Clock, Evidence, Recorder, SystemClock},
    registry::{Registry, RegistryError},
    store::{ClientFilter, Store},
};

/// Secrets that end within this time are named.
const SOON: Duration = Duration::from_hours(30 * 24);

/// Maximum names in one line.
const MOST_NAMES: usize = 5;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// There is nothing to do.
    Ok,
    /// Something will fail later, or is not as it should be.
    Advice,
    /// Something fails now.
    Fault,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Fault => "fault",
        }
    }
}

/// One check and its result.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) found: String,
    /// What an operator should do; empty if nothing.
    pub(super) to_do: String,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), to_do: String::new() }
    }

    fn advice(name: &'static str, found: String, to_do: &str) -> Self {
        Self { name, state: State::Advice, found, to_do: to_do.to_owned() }
    }

    fn fault(name: &'static str, found: String, to_do: &str) -> Self {
        Self { name, state: State::Fault, found, to_do: to_do.to_owned() }
    }
}

/// Whether nobody else can put files into the data directory.
pub(super) fn directory(database: &Database) -> Check {
    const NAME: &str = "data directory";
    let path = &database.directory.data_dir;
    if !path.exists() {
        return Check::ok(NAME, "there is none on this machine");
    }
    match data_dir::check(path, Worker::Command) {
        Ok(()) => Check::ok(NAME, format!("{} is closed to other users", path.display())),
        Err(error) => Check::fault(NAME, error.to_string(), "correct its owner and mode"),
    }
}

/// Whether the database answers and has the schema of this version.
pub(super) fn schema(checked: anyhow::Result<()>) -> Check {
    const NAME: &str = "schema";
    match checked {
        Ok(()) => Check::ok(NAME, "the database answers and has the schema of this version"),
        Err(error) => {
            let to_do = "start the database, or run `jeton migrate` of this version";
            Check::fault(NAME, format!("{error:#}"), to_do)
        }
    }
}

/// Everything that needs the database.
pub(super) async fn of_database(registry: &Registry, store: &dyn Store) -> Vec<Check> {
    let mut done = nodes(store).await;
    done.extend(clients(registry).await);
    done.push(asked("live secrets", live_secrets(registry).await));
    done.push(asked("secrets", secrets(registry).await));
    done.push(asked("tag key", tag_key(registry).await));
    done
}

/// A check, or the fault that it could not be made.
fn asked(name: &'static str, answered: Result<Check, RegistryError>) -> Check {
    answered.unwrap_or_else(|error| {
        let found = format!("{:#}", anyhow::Error::from(error));
        Check::fault(name, found, "use a role that may read this, or see the log of the database")
    })
}

/// The clocks, and the nodes as far as they count uses of secrets.
async fn nodes(store: &dyn Store) -> Vec<Check> {
    let here = SystemClock.now();
    let stored = match store.evidence(here).await {
        Ok(stored) => stored,
        Err(error) => return vec![asked("nodes", Err(error.into()))],
    };
    let apart = stored.now.since(here).max(here.since(stored.now));
    let clock = if apart > CLOCK_TOLERANCE {
        let found = format!("{} s apart from the database", apart.as_secs());
        Check::fault("clock", found, "set the clock of this machine by NTP")
    } else {
        Check::ok("clock", "this machine and the database agree")
    };
    let mute = stored.recorders.iter().filter(|one| matches!(one, Recorder::Mute { .. })).count();
    let running = stored.recorders.len();
    let nodes = if mute > 0 {
        let found = format!("{mute} of {running} nodes are of an earlier version");
        Check::advice("nodes", found, "replace them: they do not count uses of secrets")
    } else {
        Check::ok("nodes", format!("{running} known, all of this version"))
    };
    let evidence = Evidence::new(stored.now, stored.gaps, &stored.recorders);
    let evidence = match evidence.complete_since() {
        Some(since) => Check::ok("evidence of use", format!("complete since {since}")),
        None if running == 0 => Check::ok("evidence of use", "no node is running"),
        None => Check::advice(
            "evidence of use",
            "there is a gap now".to_owned(),
            "no secret counts as unused until a window without a gap has passed",
        ),
    };
    vec![clock, nodes, evidence]
}

/// Clients whose rows cannot be read, those whose requests are refused, and administrators.
async fn clients(registry: &Registry) -> Vec<Check> {
    let listed = match registry.list_clients(&ClientFilter::default()).await {
        Ok(listed) => listed,
        Err(error) => return vec![asked("clients", Err(error))],
    };
    let broken: Vec<_> = listed.iter().filter_map(|row| row.as_ref().err()).collect();
    let rows = match broken.first() {
        None => Check::ok("clients", format!("{} registered, all can be read", listed.len())),
        Some(first) => Check::fault(
            "clients",
            format!("{} cannot be read; the first: {first}", broken.len()),
            "correct the columns in the database; `jeton client list` marks them",
        ),
    };
    let refused = listed.iter().flatten().filter(|record| record.client.must_name_audience());
    let refused: Vec<_> = refused.map(|record| record.client.client_id.to_string()).collect();
    let audiences = if refused.is_empty() {
        Check::ok("default audiences", "every client with several has one")
    } else {
        let found = format!("none, with several audiences: {}", names(&refused));
        let to_do = "have them name one as resource, or `jeton client update --default-audience`";
        Check::advice("default audiences", found, to_do)
    };
    let able = listed.iter().flatten().filter(|record| record.may_grant_access());
    let able: Vec<_> = able.map(|record| record.client.client_id.to_string()).collect();
    let administrators = if able.is_empty() {
        "none over gRPC; `jeton bootstrap` makes the first".to_owned()
    } else {
        format!("may grant access: {}", names(&able))
    };
    vec![rows, audiences, Check::ok("administrators", administrators)]
}

/// Active clients that cannot authenticate.
async fn live_secrets(registry: &Registry) -> Result<Check, RegistryError> {
    const NAME: &str = "live secrets";
    let filter = ClientFilter {
        state: Some(ClientState::Active),
        without_live_secret_at: Some(SystemClock.now()),
        ..ClientFilter::default()
    };
    let listed = registry.list_clients(&filter).await?;
    let ids = listed.iter().flatten().map(|record| record.client.client_id.to_string());
    let ids: Vec<_> = ids.collect();
    let Some(first) = ids.first() else {
        return Ok(Check::ok(NAME, "every active client has one"));
    };
    let found = format!("none, so they cannot authenticate: {}", names(&ids));
    let to_do = format!("`jeton client add-secret {first}`, or `jeton client disable {first}`");
    Ok(Check::advice(NAME, found, &to_do))
}

/// Secrets of active clients that end soon.
async fn secrets(registry: &Registry) -> Result<Check, RegistryError> {
    let ending = registry.expiring_secrets(SOON).await?;
    if ending.is_empty() {
        return Ok(Check::ok("secrets", "none ends within 30 days"));
    }
    let mut clients: Vec<_> =
        ending.iter().map(|ending| ending.secret.client_id.to_string()).collect();
    clients.dedup();
    let found = format!("{} end within 30 days, of {}", ending.len(), names(&clients));
    Ok(Check::advice("secrets", found, "`jeton client expiring`, then `jeton client rotate`"))
}

async fn tag_key(registry: &Registry) -> Result<Check, RegistryError> {
    let rotation = registry.tag_key_rotation().await?;
    if rotation.has_next {
        let found = "a rotation was begun and not completed".to_owned();
        return Ok(Check::advice("tag key", found, "run `jeton tag-key rotate` again"));
    }
    if rotation.has_previous {
        let found = format!("{} secrets were made with the previous key", rotation.earlier_secrets);
        let to_do = "replace them, then run `jeton tag-key retire`";
        return Ok(Check::advice("tag key", found, to_do));
    }
    Ok(Check::ok("tag key", "there is one, and no rotation is open"))
}

/// The first names of a list, and how many there are beside them.
fn names(all: &[String]) -> String {
    let first = all.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(MOST_NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
