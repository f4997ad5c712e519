//! Two nodes on one database, and one truth: what was acknowledged by anybody holds for everybody
//! who asks later, on whichever node, whatever befalls nodes, connections and database meanwhile.
//!
//! Racing callers and stewards act as seeded dice fall, while seeded faults come and go. The
//! history of all calls is then held against what can have been the case. A short version runs
//! with the other tests, with every fault once; `./test --races` goes on for a million calls. The
//! seed is printed: `JETON_RACE_SEED` makes the same choices again. What meets what is up to the
//! machine, so a seed that fails may have to be run more than once. `JETON_RACE_FAULT` leaves only
//! the faults whose name holds this text.

mod actor;
mod crowd;
mod history;
mod judge;
mod lies;
mod model;
mod patroni;
mod steward;
mod world;

use std::{
    env,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jeton::{
    domain::{OsRandom, Random, SystemClock},
    registry::Registry,
};
use tokio::task::JoinSet;

use self::{
    actor::{Actor, Dice, Secret, Shared, Token},
    crowd::Caller,
    history::{History, Moment, Told},
    judge::{Lie, judge, trail},
    steward::{Numbers, Recorded, Steward, resource_server},
    world::{Fault, World},
};
use crate::support::{
    Database,
    node::{CHEAP, new_client, operator},
    postgres,
};

const CALLERS: usize = 24;
const CLIENTS: usize = 6;

/// Who asks once more at the end, at once.
const SETTLERS: usize = 16;

/// Of how many tokens the end is asked for at most, evenly over the run.
const SETTLED: usize = 20_000;

/// How many lies of each kind are shown.
const SHOWN: usize = 2;

fn number_of(name: &str) -> Option<u64> {
    Some(env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The seed of a race, which is to be printed.
fn seed() -> u64 {
    number_of("JETON_RACE_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 4];
        OsRandom.fill(&mut bytes).unwrap();
        u64::from(u32::from_le_bytes(bytes))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_two_nodes_what_was_acknowledged_is_true_for_whoever_asks_later() {
    if !postgres::is_installed() {
        println!("not run: a Postgres that can be restarted must be one of our own");
        return;
    }
    let seed = seed();
    println!("JETON_RACE_SEED={seed}");
    let operations = number_of("JETON_RACE_OPERATIONS").unwrap_or(0);
    let report = race(seed, usize::try_from(operations).unwrap()).await;
    println!("{}", report.figures);
    assert!(report.lies.is_empty(), "JETON_RACE_SEED={seed}\n{}", report.lies);
}

/// What a race showed, for people.
struct Report {
    figures: String,
    /// Some of each kind, with the calls that show them to be lies. Must be empty.
    lies: String,
}

/// Races until each fault has happened and so many calls have been answered.
async fn race(seed: u64, operations: usize) -> Report {
    let mut world = World::start().await;
    let race = Race::begin(seed, &world.database(), world.addresses()).await;
    let mut dice = Dice::of(seed, 2_000);
    let mut rounds = 0;
    while rounds == 0 || race.shared.answered.load(Ordering::Relaxed) < operations {
        rounds += 1;
        for fault in shuffled(&mut dice) {
            let calm = if operations == 0 { 200..600 } else { 1_000..4_000 };
            let calm = calm.start + dice.below(calm.end - calm.start);
            tokio::time::sleep(Duration::from_millis(calm as u64)).await;
            world.suffer(fault, &mut dice, &race).await;
        }
    }
    race.end(&format!("every fault {rounds} times")).await
}

/// Callers and stewards who race on two nodes.
struct Race {
    shared: Arc<Shared>,
    watcher: Arc<Actor>,
    /// Of a client without a steward: nodes that issue tokens to it have recovered.
    untouched: Arc<Secret>,
    racers: JoinSet<()>,
}

impl Race {
    async fn begin(seed: u64, database: &Database, nodes: [SocketAddr; 2]) -> Self {
        let store = database.store();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        let registry = Registry::open(store, clock, random, CHEAP, operator()).await.unwrap();
        let recorded =
            Recorded { registry: Arc::new(registry), numbers: Arc::new(Numbers::default()) };
        let history = History::new();
        let (_, reader) = recorded.create(&history, None, resource_server()).await.unwrap();
        let untouched = new_client("named-later");
        let (_, untouched) = recorded.create(&history, None, untouched).await.unwrap();
        let shared = Arc::new(Shared::new(history, nodes, reader, CLIENTS));
        let watcher = Actor::new(Arc::clone(&shared), Duration::from_secs(1));

        let mut racers = JoinSet::new();
        for slot in 0..CLIENTS {
            racers.spawn(Steward::new(&shared, recorded.clone(), seed, slot).run());
        }
        for number in 0..CALLERS {
            racers.spawn(Caller::new(&shared, seed, number).run());
        }
        Self { shared, watcher, untouched, racers }
    }

    /// Waits until both nodes issue tokens. False if that takes too long.
    async fn both_issue(&self, limit: Duration) -> bool {
        let answers = async {
            for number in 0..2 {
                while self.watcher.issue(number, &self.untouched).await.is_none() {}
            }
        };
        tokio::time::timeout(limit, answers).await.is_ok()
    }

    /// Ends the race, asks once more about everything, and judges it.
    async fn end(self, what: &str) -> Report {
        let Self { shared, racers, .. } = self;
        let took = shared.history.now();
        shared.stop.store(true, Ordering::Relaxed);
        racers.join_all().await;
        shared.tracker.close();
        shared.tracker.wait().await;

        let rest = settle(&shared).await;
        report(&shared.history, what, took, rest)
    }
}

fn shuffled(dice: &mut Dice) -> Vec<Fault> {
    let wanted = env::var("JETON_RACE_FAULT").unwrap_or_default();
    let mut left = Fault::ALL.to_vec();
    left.retain(|fault| format!("{fault:?}").contains(&wanted));
    let mut order = Vec::new();
    while !left.is_empty() {
        order.push(left.swap_remove(dice.below(left.len())));
    }
    order
}

/// Asks both nodes once more about tokens of the whole run, and returns when this began.
async fn settle(shared: &Arc<Shared>) -> Moment {
    let tokens: Vec<Arc<Token>> = shared.tokens.lock().unwrap().clone();
    let step = tokens.len() / SETTLED + 1;
    let tokens: Vec<_> = tokens.into_iter().step_by(step).collect();
    let tokens = Arc::new(tokens);
    let rest = shared.history.now();
    let mut settlers = JoinSet::new();
    for first in 0..SETTLERS {
        let (shared, tokens) = (Arc::clone(shared), Arc::clone(&tokens));
        settlers.spawn(async move {
            let actor = Actor::new(shared, Duration::from_secs(20));
            for token in tokens.iter().skip(first).step_by(SETTLERS) {
                for node in 0..2 {
                    while matches!(actor.introspect(node, token).await, Told::Failed(_)) {}
                }
            }
        });
    }
    settlers.join_all().await;
    rest
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(history: &History, what: &str, took: Moment, rest: Moment) -> Report {
    let calls = history.calls();
    let verdict = judge(&calls, rest);
    let seconds = took as f64 / 1e9;
    let racing = calls.iter().filter(|call| call.began < took && call.node.is_some()).count();
    let figures = format!(
        "{what} within {seconds:.0} s, {:.0} calls a second\n\n{}",
        racing as f64 / seconds,
        verdict.table()
    );
    let faults = history.faults();
    let shown = Lie::ALL
        .into_iter()
        .flat_map(|kind| verdict.lies.iter().filter(move |(lie, _)| *lie == kind).take(SHOWN));
    let lies = shown.map(|(lie, call)| format!("{lie:?}:\n{}\n\n", trail(&calls, *call, &faults)));
    Report { lies: lies.collect(), figures }
}
