//! What the runs of each fault came to.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use super::{figures::Footprint, model::Verdict, world::Settled};

/// What one run of a fault showed.
pub(super) struct Run {
    pub(super) settled: Settled,
    pub(super) recovery: Duration,
    pub(super) p99: Duration,
    /// Successes in a second while the fault lasted, as a part of those before it.
    pub(super) goodput: f64,
}

impl Run {
    /// What must not have been.
    pub(super) fn complaint(&self) -> Option<String> {
        let Settled { verdict, amiss, footprint, found, panics, .. } = &self.settled;
        let is_clean = verdict.is_clean() && amiss.is_empty() && footprint.is_bounded();
        let is_clean = is_clean && found.is_empty() && *panics == 0;
        (!is_clean)
            .then(|| format!("{verdict:?}, {amiss:?}, {footprint:?}, {panics} panics, {found:?}"))
    }
}

/// All runs of a fault: sums of what was counted, and the worst of what was measured.
#[derive(Default)]
pub(super) struct Sum {
    runs: usize,
    verdict: Verdict,
    amiss: usize,
    footprint: Footprint,
    recovery: Duration,
    p99: Duration,
    exit: Duration,
    goodputs: Vec<f64>,
    canaries: usize,
    searched: usize,
    found: usize,
    panics: usize,
}

impl Sum {
    pub(super) fn add(&mut self, run: &Run) {
        let Run { settled, recovery, p99, goodput } = run;
        self.runs += 1;
        self.verdict.add(settled.verdict);
        self.amiss += settled.amiss.len();
        self.footprint = self.footprint.most(settled.footprint);
        self.recovery = self.recovery.max(*recovery);
        self.p99 = self.p99.max(*p99);
        self.exit = self.exit.max(settled.exit);
        self.goodputs.push(*goodput);
        self.canaries += settled.canaries;
        self.searched += settled.searched;
        self.found += settled.found.len();
        self.panics += settled.panics;
    }

    fn median_goodput(&self) -> f64 {
        // Infinite where nothing succeeded in the moment before the fault.
        let mut goodputs = self.goodputs.clone();
        goodputs.retain(|goodput| goodput.is_finite());
        goodputs.sort_by(f64::total_cmp);
        goodputs.get(goodputs.len() / 2).copied().unwrap_or_default()
    }
}

/// One table of what callers were told, and one of what it took.
#[derive(Default)]
pub(super) struct Table {
    told: String,
    took: String,
}

const TOLD: &str = "\
| | fault | runs | issued | revoked | changed | failed | lost or revived | dead and active | \
stopped and served | false inactive | mixed up | dishonest | audit amiss |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";
const TOOK: &str = "\
| | fault | recovery | p99 during | goodput | memory | descriptors | threads | connections | \
to the end | secrets and tokens | found in MiB | panics |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

impl Table {
    /// Adds the rows of a fault, and returns them.
    pub(super) fn row(&mut self, id: &str, name: &str, is_overload: bool, sum: &Sum) -> String {
        let Verdict {
            issued,
            revoked,
            changed,
            failed,
            lost_or_revived,
            dead_and_active,
            stopped_and_served,
            false_inactive,
            mixed_up,
            dishonest,
        } = sum.verdict;
        let told = format!(
            "| {id} | {name} | {} | {issued} | {revoked} | {changed} | {failed} | \
             {lost_or_revived} | {dead_and_active} | {stopped_and_served} | {false_inactive} | \
             {mixed_up} | {dishonest} | {} |",
            sum.runs, sum.amiss
        );
        let goodput = sum.median_goodput() * 100.0;
        let goodput = if is_overload { format!("{goodput:.0} %") } else { String::new() };
        let Footprint { memory, descriptors, threads, connections } = sum.footprint;
        let took = format!(
            "| {id} | {name} | {} ms | {} ms | {goodput} | {memory} MiB | {descriptors} | \
             {threads} | {connections} | {} ms | {} | {} in {} | {} |",
            sum.recovery.as_millis(),
            sum.p99.as_millis(),
            sum.exit.as_millis(),
            sum.canaries,
            sum.found,
            sum.searched >> 20,
            sum.panics
        );
        writeln!(self.told, "{told}").unwrap();
        writeln!(self.took, "{took}").unwrap();
        format!("{told}\n{took}")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TOLD}{}\n{TOOK}{}", self.told, self.took)
    }
}
