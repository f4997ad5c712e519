//! Attacks of callers who hold no secret, or an old one, beside honest callers that open a new
//! connection for each call. The honest ones must keep their service, the memory of the node must
//! stay within its bound, and the probes must tell the truth.
//!
//! `./test --attacks` runs each for half a minute at full size and prints a table. With the other
//! tests a small version runs for moments: the node has an eighth of its limits, the attackers an
//! eighth of their number, and how long a call takes is not judged, because other tests run beside
//! it. `JETON_ATTACK` runs only those whose name contains this text.

mod attackers;
mod honest;
mod sources;

use std::{env, fmt::Write as _, path::PathBuf, time::Duration};

use tokio::time::sleep;

use self::{
    attackers::{Attack, Target},
    honest::{Figures, Honest},
    sources::attacker_runtime,
};
use crate::support::{
    Database, Kind,
    binary::{LogReader, Served, jeton, run, run_json},
};

/// Settings of the node: the defaults, with a cheap hash, so that the attack is not on argon2.
const SETTINGS: [&str; 4] = ["--argon2-memory-kib", "7168", "--argon2-passes", "5"];

/// Share of the honest calls that must succeed, in thousandths. Beside other tests there are few
/// calls, and one that takes too long is one of a hundred.
const SUCCESS: usize = 950;
const SUCCESS_BESIDE_OTHERS: usize = 800;

/// How many times slower than in calm the slowest percent of the honest calls may be, and what is
/// never too slow: on two cores the attackers take their share of the time.
const SLOWER: u32 = 3;
const ALWAYS_ALLOWED: Duration = Duration::from_millis(50);

/// Memory of the node in MiB that no attack may exceed; docs/reliability.md declares it.
const MAX_MEMORY_MIB: u64 = 256;

/// How long after an attack its memory should have been given back.
const SETTLED: Duration = Duration::from_secs(15);

struct Row {
    attack: Attack,
    calm: Figures,
    attacked: Figures,
    memory_before: u64,
    memory_after: u64,
}

impl Row {
    fn faults(&self, size: Size) -> Vec<String> {
        let Figures { p99, memory_mib, .. } = self.attacked;
        let mut faults = Vec::new();
        let success = if size == Size::Full { SUCCESS } else { SUCCESS_BESIDE_OTHERS };
        if self.attacked.success() < success {
            faults.push(format!("only {} of 1,000 calls succeed", self.attacked.success()));
        }
        if size == Size::Full && p99 > (self.calm.p99 * SLOWER).max(ALWAYS_ALLOWED) {
            faults.push(format!("p99 is {p99:?}, in calm {:?}", self.calm.p99));
        }
        if memory_mib > MAX_MEMORY_MIB {
            faults.push(format!("the node takes {memory_mib} MiB"));
        }
        // Beside other tests a probe may be late.
        let Figures { probes, live, ready, .. } = self.attacked;
        let missing = if size == Size::Full { 0 } else { probes / 2 };
        if live + missing < probes {
            faults.push("a liveness probe is not answered".to_owned());
        }
        if ready + missing < probes {
            faults.push("it serves and says that it is not ready".to_owned());
        }
        faults
    }
}

/// How large the attacks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// As `./test --attacks` runs them.
    Full,
    /// With an eighth of the attackers, on a node with an eighth of the limits.
    Small,
}

impl Size {
    fn chosen() -> (Self, Duration) {
        env::var("JETON_ATTACK_SECONDS").map_or((Self::Small, Duration::from_secs(2)), |seconds| {
            (Self::Full, Duration::from_secs(seconds.parse().unwrap()))
        })
    }

    const fn divisor(self) -> usize {
        match self {
            Self::Full => 1,
            Self::Small => 8,
        }
    }

    const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Full => &[],
            Self::Small => &["--max-connections", "128", "--max-open-requests", "512"],
        }
    }

    /// How long the honest callers are measured before the attack.
    const fn calm(self) -> Duration {
        match self {
            Self::Full => Duration::from_secs(5),
            Self::Small => Duration::from_millis(500),
        }
    }
}

/// The binary under attack: this build's, or another one, for example with optimisation.
fn binary() -> std::process::Command {
    match env::var_os("JETON_ATTACK_BINARY") {
        Some(path) => {
            let mut command = std::process::Command::new(PathBuf::from(path));
            command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
            command
        }
        None => jeton(),
    }
}

async fn run_attack(attack: Attack, size: Size, period: Duration) -> Row {
    let database = Database::ready(Kind::Sqlite).await;
    let secret = |client_id: &str| {
        let created = run_json(&["client", "create", "--client-id", client_id], &database);
        created["client_secret"].as_str().unwrap().to_owned()
    };
    let (good, old, greedy) = (secret("good"), secret("gone"), secret("greedy"));
    assert!(run(&["client", "delete", "--yes", "gone"], &database).status.success());
    let mut settings = [&SETTINGS[..], size.settings()].concat();
    if attack == Attack::Greedy {
        settings.extend(["--quota", "enforce"]);
        // The honest client issues more than the default allows.
        let quota = ["client", "set-quota", "good", "--tokens-per-second", "1000"];
        assert!(run(&quota, &database).status.success());
    }
    let node = Served::start_as(&mut binary(), &database, &settings);
    let target = Target {
        grpc: node.grpc,
        http: node.http,
        probes: node.probes(),
        old_secret: old,
        greedy_secret: greedy,
        divisor: size.divisor(),
    };

    let honest = Honest::new(&node, &good);
    let _warm = honest.measure(Duration::from_millis(500)).await;
    let calm = honest.measure(size.calm()).await;
    let memory_before = honest.memory_mib();
    if attack == Attack::UnreadLog {
        node.set_log_reader(LogReader::StandsStill);
    }
    let attackers = attacker_runtime();
    let attacking = attackers.spawn(attack.run(target));
    // Until the attack is at its height.
    sleep(Duration::from_millis(500)).await;
    let attacked = honest.measure(period).await;
    assert!(!attacking.is_finished(), "{attack:?} ended: {:?}", attacking.await);
    attacking.abort();
    attackers.shutdown_background();
    if size == Size::Full {
        sleep(SETTLED).await;
    }
    let after = honest.measure(Duration::from_millis(500)).await;
    assert_eq!(after.succeeded, after.calls, "{attack:?}: not the same as before");
    Row { attack, calm, attacked, memory_before, memory_after: honest.memory_mib() }
}

fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| Attack | Calls | Succeeded | p50, ms | p99, ms | p99 in calm | Memory, MiB: before, most, \
         15 s after | Live | Ready |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    for Row { attack, calm, attacked, memory_before, memory_after } in rows {
        let Figures { calls, p50, p99, memory_mib, live, ready, probes, .. } = attacked;
        let _ = writeln!(
            table,
            "| {} | {calls} | {} of 1,000 | {} | {} | {} | {memory_before}, {memory_mib}, \
             {memory_after} | {live}/{probes} | {ready}/{probes} |",
            attack.name(),
            attacked.success(),
            ms(*p50),
            ms(*p99),
            ms(calm.p99),
        );
    }
    table
}

#[test]
fn honest_callers_keep_their_service_beside_every_attack() {
    let wanted = env::var("JETON_ATTACK").unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (size, period) = Size::chosen();
    let mut rows = Vec::new();
    for attack in Attack::ALL.into_iter().filter(|attack| attack.name().contains(&wanted)) {
        rows.push(runtime.block_on(run_attack(attack, size, period)));
        println!("{}", table(&rows[rows.len() - 1..]).lines().last().unwrap());
    }
    println!("\n{}", table(&rows));
    let faults: Vec<_> = rows
        .iter()
        .flat_map(|row| {
            let name = row.attack.name();
            row.faults(size).into_iter().map(move |fault| format!("{name}: {fault}"))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
