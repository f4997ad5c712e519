//! `jeton client secrets`: when and from where secrets were used, and which can be retired.

use std::{net::IpAddr, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use super::{output, show::secret_json, unreadable};
use crate::{
    cli::{
        administration::{Reach, Reading, Site},
        deadline::Deadline,
        duration::{ago, in_words, parse_duration},
        node,
        table::Column,
    },
    domain::{Advice, ClientId, Clock, SecretUse, SystemClock, Timestamp, Verdict},
    registry::SecretReport,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Report {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// How long a secret must not have been used before it is safe to retire; at least the lifetime
    /// of the client's tokens
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    window: Duration,

    #[command(flatten)]
    on: Reading,
}

impl Report {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let site = Site::of(self.on.at)?;
        let clients = site.clients(node::this_user());
        let report = Box::pin(clients.report_secrets(&self.client_id, self.window));
        let report = site.look(deadline, report).await?;
        let (evidence, now) = (&report.evidence, SystemClock.now());
        if self.on.format.json {
            let secrets = report.secrets.iter().map(|secret| report_json(secret, now));
            output::json(&json!({
                "client_id": self.client_id.as_str(),
                "window_seconds": report.window.as_secs(),
                "secrets": secrets.collect::<Vec<_>>(),
                "evidence": evidence_json(evidence),
            }));
        } else {
            let row = |secret| (cells(secret, evidence, now), [advice(secret)]);
            let rows: Vec<_> = report.secrets.iter().map(row).collect();
            output::table_with_notes(COLUMNS, ["advice"], &rows);
            output::remark(&evidence_line(evidence));
        }
        let secrets = report.secrets.iter().filter_map(|report| report.secret.as_ref().err());
        let uses = report.secrets.iter().filter_map(|report| report.uses.as_ref().err());
        unreadable::check(secrets.chain(uses))
    }
}

/// The columns. On a terminal the advice has a line of its own below its row.
const COLUMNS: [Column; 9] = [
    Column::whole("secret"),
    Column::whole("state"),
    Column::whole("last used"),
    Column::text("from"),
    Column::text("label"),
    Column::whole("uses"),
    Column::whole("refused"),
    Column::whole("ends"),
    Column::whole("created"),
];

fn cells(report: &SecretReport, evidence: &Reach, now: Timestamp) -> [String; 9] {
    let secret = match &report.secret {
        Ok(secret) => secret,
        Err(row) => return unreadable::cells(row, 1),
    };
    let unread = SecretUse::default();
    let uses = report.uses.as_ref().unwrap_or(&unread);
    let last_used = match (uses.last_used_at(), &report.uses) {
        (_, Err(_)) => "unreadable".to_owned(),
        (Some(last), _) => ago(last, now),
        (None, _) => unused(secret.created_at, evidence),
    };
    [
        secret.id.0.to_string(),
        secret.state(now).as_str().to_owned(),
        last_used,
        from(uses),
        secret.label.clone(),
        uses.uses.to_string(),
        refusals(uses, now),
        secret.expires_at.map_or_else(|| "never".to_owned(), |end| end.to_string()),
        secret.created_at.to_string(),
    ]
}

/// What to do with a secret; empty if its row cannot be read.
fn advice(report: &SecretReport) -> String {
    report.advice.map(in_sentence).unwrap_or_default()
}

/// What it means that no use of a secret was counted.
fn unused(created_at: Timestamp, evidence: &Reach) -> String {
    match evidence.complete_since {
        None => "unknown".to_owned(),
        Some(since) if since <= created_at => "never".to_owned(),
        Some(since) => format!("not since {since}"),
    }
}

/// The last source of a secret, and how many others there are.
fn from(uses: &SecretUse) -> String {
    let Some(last) = uses.last_source else { return String::new() };
    let others = uses.sources.iter().filter(|source| source.source != last).count();
    if others == 0 { last.to_string() } else { format!("{last} +{others}") }
}

fn refusals(uses: &SecretUse, now: Timestamp) -> String {
    let Some(last) = uses.last_refused_at else { return "0".to_owned() };
    let from = uses.last_refused_source.map(|from| format!(" from {from}")).unwrap_or_default();
    format!("{}, last {}{from}", uses.refused, ago(last, now))
}

fn in_sentence(advice: Advice) -> String {
    let text = match advice.verdict {
        Verdict::Safe => "safe to retire",
        Verdict::InUse => "in use",
        Verdict::NoSuccessor => "no newer secret",
        Verdict::SuccessorUnused => "the newer secret is not used yet",
        Verdict::TooEarly => "too early to tell",
        Verdict::EvidenceGap => "unknown: uses were not counted all the time",
    };
    match advice.safe_from {
        Some(moment) => format!("{text}; safe from {moment} if not used until then"),
        None => text.to_owned(),
    }
}

/// How far the evidence goes, for people.
pub(super) fn evidence_line(evidence: &Reach) -> String {
    let since = match evidence.complete_since {
        Some(since) => format!("complete since {since}"),
        None => "not complete now, because no node counts uses, or one was killed or is of an \
                 earlier version"
            .to_owned(),
    };
    let age = match evidence.age {
        Some(age) => format!("{} old", in_words(age)),
        None => "no node is running".to_owned(),
    };
    format!("Evidence of use: {since}; {age}.")
}

pub(super) fn evidence_json(evidence: &Reach) -> Value {
    let since = evidence.complete_since;
    json!({
        "is_complete": since.is_some(),
        "complete_since": since.map(|since| since.to_string()),
        "age_seconds": evidence.age.map(|age| age.as_secs()),
    })
}

fn report_json(report: &SecretReport, now: Timestamp) -> Value {
    let mut object = secret_json(&report.secret, now);
    let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    let source = |source: Option<IpAddr>| source.map(|source| source.to_string());
    let more = match (&report.secret, &report.uses) {
        (Err(_), _) => return object,
        (_, Err(row)) => json!({ "unreadable": row.reason() }),
        (_, Ok(uses)) => json!({
            "first_used_at": moment(uses.used.map(|used| used.first)),
            "last_used_at": moment(uses.last_used_at()),
            "last_source": source(uses.last_source),
            "uses": uses.uses,
            "refused": uses.refused,
            "last_refused_at": moment(uses.last_refused_at),
            "last_refused_source": source(uses.last_refused_source),
            "sources": uses.sources.iter().map(|source| json!({
                "source": source.source.to_string(),
                "first_used_at": source.used.first.to_string(),
                "last_used_at": source.used.last.to_string(),
                "uses": source.uses,
            })).collect::<Vec<_>>(),
            "verdict": report.advice.map(|advice| advice.verdict.as_str()),
            "safe_from": moment(report.advice.and_then(|advice| advice.safe_from)),
        }),
    };
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}
