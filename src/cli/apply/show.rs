//! A plan for people and for programs.

use serde_json::{Value, json};

use super::plan::{Action, Change, Plan};
use crate::{
    cli::output,
    domain::{FieldChange, FieldValue},
};

impl Change {
    /// What is done, as one word.
    pub(super) const fn verb(&self) -> &'static str {
        match self.action {
            Action::Create(_) => "create",
            Action::Update(_) => "update",
            Action::Prune(_) => "prune",
            Action::Delete(_) => "delete",
        }
    }

    const fn sign(&self) -> char {
        match self.action {
            Action::Create(_) => '+',
            Action::Update(_) => '~',
            Action::Prune(_) => '-',
            Action::Delete(_) => 'x',
        }
    }

    fn must_name_audience(&self) -> bool {
        let now = self.action.record().client.must_name_audience();
        match &self.action {
            Action::Create(_) => now,
            Action::Update(updated) => now && !updated.before.client.must_name_audience(),
            Action::Prune(_) | Action::Delete(_) => false,
        }
    }
}

/// Prints what is to change: a line for each client, and one below it for each field.
pub(super) fn show(plan: &Plan) {
    for change in &plan.changes {
        output::say(&format!("{} {}", change.sign(), change.client_id));
        let fields = change.fields();
        let rows: Vec<_> = fields.iter().map(|field| (field.field, difference(field))).collect();
        let indented = |line: &str| format!("    {line}");
        let lines = output::properties_text(&rows);
        let lines: Vec<_> = lines.lines().map(indented).collect();
        output::say(&lines.join("\n"));
    }
    output::say(&format!("= {} unchanged", plan.unchanged));
    for remark in &plan.remarks {
        output::remark(&output::printable(remark));
    }
    for change in plan.changes.iter().filter(|change| change.must_name_audience()) {
        output::remark(&format!(
            "Client {} will have several audiences and no default, so each of its requests for a \
             token must name one as resource.",
            change.client_id
        ));
    }
}

/// A field for people: what a list gains and loses, and any other value before and after.
fn difference(FieldChange { before, after, .. }: &FieldChange) -> String {
    match (members(before), members(after)) {
        (Some(before), Some(after)) => {
            let gained = after.iter().filter(|member| !before.contains(member));
            let lost = before.iter().filter(|member| !after.contains(member));
            let gained = gained.map(|member| format!("+{member}"));
            let lost = lost.map(|member| format!("-{member}"));
            gained.chain(lost).collect::<Vec<_>>().join(" ")
        }
        // A new client has nothing before.
        (None, Some(_)) => after.to_string(),
        _ if *before == FieldValue::MaybeText(None) => after.to_string(),
        _ => format!("{} → {}", shown(before), shown(after)),
    }
}

fn shown(value: &FieldValue) -> String {
    match value {
        FieldValue::Text(text) if text.is_empty() => "none".to_owned(),
        value => value.to_string(),
    }
}

fn members(value: &FieldValue) -> Option<Vec<String>> {
    match value {
        FieldValue::List(members) => Some(members.clone()),
        FieldValue::Labels(labels) => Some(labels.texts()),
        _ => None,
    }
}

/// The plan for programs.
pub(super) fn to_json(plan: &Plan, is_applied: bool) -> Value {
    let field = |field: &FieldChange| {
        json!({
            "field": field.field,
            "before": field.before.to_json(),
            "after": field.after.to_json(),
        })
    };
    let change = |change: &Change| {
        json!({
            "client_id": change.client_id.as_str(),
            "action": change.verb(),
            "fields": change.fields().iter().map(field).collect::<Vec<_>>(),
        })
    };
    json!({
        "changes": plan.changes.iter().map(change).collect::<Vec<_>>(),
        "unchanged": plan.unchanged,
        "remarks": plan.remarks,
        "applied": is_applied,
    })
}
