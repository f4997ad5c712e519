//! Whether what was told can have been the truth.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    time::Duration,
};

use tonic::Code;

use super::{
    history::{Asked, Call, Moment, Told},
    model::Model,
};

/// How many calls are shown of a violation.
const SHOWN: usize = 60;

/// The ways in which an answer cannot have been the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lie {
    /// An acknowledged token is inactive, and nothing can have ended it (I1, I5).
    Lost,
    /// A token is active for a call that began after its end was acknowledged (I2, I3).
    DeadAndActive,
    /// A caller was let in by a call that began after its secret's or its own end was
    /// acknowledged (I3).
    Admitted,
    /// A caller was turned away that nothing can have barred.
    TurnedAway,
    /// The registry does not know what it has acknowledged.
    Missing,
    /// When all had come to rest, a token was active and inactive.
    Undecided,
    /// The answer is about something else (I6).
    Garbled,
    /// A failure that does not tell the caller to come back (I5).
    Dishonest,
}

impl Lie {
    pub(super) const ALL: [Self; 8] = [
        Self::Lost,
        Self::DeadAndActive,
        Self::Admitted,
        Self::TurnedAway,
        Self::Missing,
        Self::Undecided,
        Self::Garbled,
        Self::Dishonest,
    ];
}

/// What a history shows.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Calls that had an answer.
    pub(super) answered: usize,
    pub(super) issued: usize,
    pub(super) active: usize,
    pub(super) inactive: usize,
    pub(super) refused: usize,
    /// Revocations by token that were acknowledged.
    pub(super) revoked: usize,
    /// Changes of clients and secrets that were acknowledged.
    pub(super) changed: usize,
    pub(super) failed: BTreeMap<String, usize>,
    /// How long acknowledged revocations took, in order.
    revocations: Vec<Moment>,
    changes: Vec<Moment>,
    /// The lies, and which calls they are.
    pub(super) lies: Vec<(Lie, usize)>,
}

/// Judges calls that stand in the order in which they began. From `rest` on nothing changed.
pub(super) fn judge(calls: &[Call], rest: Moment) -> Verdict {
    let model = Model::of(calls);
    let mut verdict = Verdict::default();
    for (number, call) in calls.iter().enumerate() {
        verdict.count(call);
        verdict.lies.extend(lie(&model, call).map(|lie| (lie, number)));
    }
    verdict.lies.extend(undecided(&model, calls, rest));
    verdict.revocations.sort_unstable();
    verdict.changes.sort_unstable();
    verdict
}

fn lie(model: &Model, call: &Call) -> Option<Lie> {
    match call.told {
        Told::Fault(_) => return Some(Lie::Dishonest),
        Told::Garbled => return Some(Lie::Garbled),
        Told::Failed(_) => return None,
        _ => {}
    }
    if let Some(secret) = call.caller {
        if call.told == Told::Refused {
            return model.must_be_admitted(secret, call).then_some(Lie::TurnedAway);
        }
        if model.must_be_refused(secret, call) {
            return Some(Lie::Admitted);
        }
    }
    match (call.asked, call.told) {
        (Asked::Introspect { token }, Told::Active) => {
            model.must_be_dead(token, call).then_some(Lie::DeadAndActive)
        }
        (Asked::Introspect { token }, Told::Inactive) => {
            model.must_live(token, call).then_some(Lie::Lost)
        }
        (asked, Told::Missing) => {
            let client = client_of(model, asked)?;
            model.must_exist(client, call).then_some(Lie::Missing)
        }
        _ => None,
    }
}

/// A change whose outcome nobody knows took effect or did not, for all alike.
fn undecided<'a>(
    model: &'a Model,
    calls: &'a [Call],
    rest: Moment,
) -> impl Iterator<Item = (Lie, usize)> + 'a {
    let mut first = HashMap::new();
    calls.iter().enumerate().filter_map(move |(number, call)| {
        let Asked::Introspect { token } = call.asked else { return None };
        let is_word = matches!(call.told, Told::Active | Told::Inactive);
        if call.began < rest || !is_word || model.may_expire(token, call) {
            return None;
        }
        (*first.entry(token).or_insert(call.told) != call.told).then_some((Lie::Undecided, number))
    })
}

/// The client that a call to the registry is about.
fn client_of(model: &Model, asked: Asked) -> Option<u32> {
    match asked {
        Asked::Create { client, .. }
        | Asked::AddSecret { client, .. }
        | Asked::Disable { client }
        | Asked::Enable { client }
        | Asked::Delete { client } => Some(client),
        Asked::Retire { secret } | Asked::Burn { secret } => Some(model.client_number(secret)),
        Asked::Issue | Asked::Introspect { .. } | Asked::Revoke { .. } => None,
    }
}

impl Verdict {
    fn count(&mut self, call: &Call) {
        let took = call.ended - call.began;
        self.answered += 1;
        match call.told {
            Told::Issued { .. } => self.issued += 1,
            Told::Active => self.active += 1,
            Told::Inactive => self.inactive += 1,
            Told::Refused => self.refused += 1,
            Told::Done if matches!(call.asked, Asked::Revoke { .. }) => {
                self.revoked += 1;
                self.revocations.push(took);
            }
            Told::Done => {
                self.changed += 1;
                self.changes.push(took);
            }
            Told::Failed(code) | Told::Fault(code) => self.fail(code),
            Told::Missing => self.fail(Code::NotFound),
            Told::Garbled => {}
        }
    }

    fn fail(&mut self, code: Code) {
        self.answered -= 1;
        *self.failed.entry(format!("{code:?}")).or_default() += 1;
    }

    pub(super) fn lies_of(&self, kind: Lie) -> usize {
        self.lies.iter().filter(|(lie, _)| *lie == kind).count()
    }

    /// The figures, for people.
    pub(super) fn table(&self) -> String {
        let mut table = String::from("| | figure |\n|---|--:|\n");
        let mut row = |name: &str, figure: String| {
            writeln!(table, "| {name} | {figure} |").unwrap();
        };
        row("calls with an answer", self.answered.to_string());
        row("tokens issued", self.issued.to_string());
        row("told active", self.active.to_string());
        row("told inactive", self.inactive.to_string());
        row("callers turned away", self.refused.to_string());
        row("tokens revoked", self.revoked.to_string());
        row("clients and secrets changed", self.changed.to_string());
        for (code, times) in &self.failed {
            row(&format!("failed with {code}"), times.to_string());
        }
        row("revocation acknowledged after, p50, p99, worst", spread(&self.revocations));
        row("change acknowledged after, p50, p99, worst", spread(&self.changes));
        row("**acknowledged tokens lost**", self.lies_of(Lie::Lost).to_string());
        row("**seen active after their end**", self.lies_of(Lie::DeadAndActive).to_string());
        row("**let in after their end**", self.lies_of(Lie::Admitted).to_string());
        let rest = [Lie::TurnedAway, Lie::Missing, Lie::Undecided, Lie::Garbled, Lie::Dishonest];
        let rest: usize = rest.into_iter().map(|kind| self.lies_of(kind)).sum();
        row("**other lies**", rest.to_string());
        table
    }
}

fn spread(took: &[Moment]) -> String {
    let Some(last) = took.len().checked_sub(1) else { return "none".to_owned() };
    let [p50, p99, worst] =
        [last / 2, last * 99 / 100, last].map(|index| Duration::from_nanos(took[index]));
    format!("{p50:.1?}, {p99:.1?}, {worst:.1?}")
}

/// The calls that matter for whether this one is a lie, in the order in which they began, up to
/// the moment when it ended.
pub(super) fn trail(calls: &[Call], liar: usize, faults: &[(Moment, String)]) -> String {
    let model = Model::of(calls);
    let told = &calls[liar];
    let (token, secret, client) = concerned(&model, told);
    let concerns = |call: &Call| {
        let (other, used, whose) = concerned(&model, call);
        match call.asked {
            Asked::Issue => {
                matches!(call.told, Told::Issued { token: made } if Some(made) == token)
                    || token.is_none() && used == secret
            }
            Asked::Introspect { .. } | Asked::Revoke { .. } => token.is_some() && other == token,
            Asked::Retire { .. } | Asked::Burn { .. } | Asked::AddSecret { .. } => used == secret,
            _ => whose == client,
        }
    };
    let mut lines: Vec<(Moment, String)> = faults
        .iter()
        .filter(|(when, _)| *when <= told.ended)
        .map(|(when, fault)| (*when, format!("{:12.3} ms  {fault}", millis(*when))))
        .collect();
    for (number, call) in calls.iter().enumerate() {
        if number == liar || call.began <= told.ended && concerns(call) {
            let mark = if number == liar { "  <== cannot be true" } else { "" };
            let place = call.node.map_or("registry".to_owned(), |node| format!("node {node}"));
            let shown = format!(
                "{:12.3} to {:.3} ms  {place}: {:?} by {:?}: {:?}{mark}",
                millis(call.began),
                millis(call.ended),
                call.asked,
                call.caller,
                call.told,
            );
            lines.push((call.began, shown));
        }
    }
    lines.sort();
    let skipped = lines.len().saturating_sub(SHOWN);
    let lines: Vec<_> = lines.into_iter().skip(skipped).map(|(_, line)| line).collect();
    format!("({skipped} earlier lines are not shown)\n{}", lines.join("\n"))
}

/// The token, the secret and the client that a call is about.
fn concerned(model: &Model, call: &Call) -> (Option<u32>, Option<u32>, Option<u32>) {
    let token = match (call.asked, call.told) {
        (Asked::Introspect { token } | Asked::Revoke { token }, told) if told != Told::Refused => {
            Some(token)
        }
        (Asked::Issue, Told::Issued { token }) => Some(token),
        _ => None,
    };
    let secret = match call.asked {
        Asked::AddSecret { secret, .. }
        | Asked::Create { secret, .. }
        | Asked::Retire { secret }
        | Asked::Burn { secret } => Some(secret),
        _ => token.map(|token| model.secret_of(token)).or(call.caller),
    };
    let client = client_of(model, call.asked)
        .or_else(|| call.caller.and(secret).map(|secret| model.client_number(secret)));
    (token, secret, client)
}

#[expect(clippy::cast_precision_loss, reason = "a history of years would lose a nanosecond")]
fn millis(moment: Moment) -> f64 {
    moment as f64 / 1e6
}
