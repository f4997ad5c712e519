//! A plan in a file: what to do, and the etags of the clients as the plan saw them. It is applied
//! to exactly those clients, or not at all.

use std::path::Path;

use serde_json::json;

use super::{
    plan::{Action, Change, Existing, Plan, onto},
    prune::{delete_after, disabled},
};
use crate::{
    cli::{
        declared::{Document, Fields, Format, Table, Written, entries, write_toml_table},
        duration::parse_moment,
        exit::Exit,
    },
    data_dir::Draft,
    domain::{ClientId, ClientRecord, ClientState, Clock, Etag, Malformed, SystemClock, Timestamp},
    registry::{Updated, check_record},
};

/// Ending of the names of these files.
pub(super) const ENDING: &str = "plan";

const FORMAT: i64 = 1;

/// Version of Jeton that made a plan. Another one may have other defaults.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a plan does to a client.
#[derive(Clone, Copy)]
enum Verb {
    Create,
    Update,
    Prune,
    Delete,
}

impl Verb {
    fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "create" => Ok(Self::Create),
            "update" => Ok(Self::Update),
            "prune" => Ok(Self::Prune),
            "delete" => Ok(Self::Delete),
            _ => Err(Malformed("this is create, update, prune or delete")),
        }
    }
}

/// A change as it stands in the file.
pub(super) struct Saved {
    client_id: ClientId,
    verb: Verb,
    etag: Option<Etag>,
    /// When a client that is disabled may be deleted.
    delete_after: Option<Timestamp>,
    declared: Option<ClientRecord>,
}

/// Whether a file holds a plan, by its name.
pub(super) fn is_plan(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == ENDING)
}

/// Writes a plan to a file that appears whole, and is readable by its owner only.
///
/// # Errors
/// If the file exists already, or cannot be written.
pub(super) fn write(path: &Path, plan: &Plan) -> anyhow::Result<()> {
    let mut text = format!("plan = {FORMAT}\njeton = {}\n", json!(VERSION));
    for change in &plan.changes {
        let path = ["change", change.client_id.as_str()];
        let mut about = vec![("action", Written::text(change.verb()))];
        about.extend(change.etag().map(|etag| ("etag", Written::text(&etag.to_string()))));
        let record = change.action.record();
        if matches!(change.action, Action::Prune(_) | Action::Delete(_)) {
            let due = delete_after(record).map(|due| Written::text(&due.to_string()));
            about.extend(due.map(|due| ("delete_after", due)));
            write_toml_table(&mut text, &path, &about);
            continue;
        }
        about.extend(record.about.labels.set_name().map(|set| ("set", Written::text(set))));
        write_toml_table(&mut text, &path, &about);
        write_toml_table(&mut text, &[path[0], path[1], "client"], &entries(record));
    }
    let draft = Draft::file_beside(path)?;
    std::fs::write(draft.path(), text)?;
    Ok(draft.become_file(path)?)
}

/// Reads a plan.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Saved>> {
    let document = Document::read(path, Format::Toml)?;
    let file = Table::whole(&document)?;
    file.check_keys(&["plan", "jeton", "change"], &[])?;
    let is_ours = |number| (number == FORMAT).then_some(()).ok_or(Malformed("this is not 1"));
    if file.number("plan", is_ours)?.is_none() {
        return Err(file.refuse("this is not a plan that `jeton apply --plan-out` has written"));
    }
    let version = file.text("jeton", |text| Ok(text.to_owned()))?.unwrap_or_default();
    if version != VERSION {
        return Err(Exit::Conflict.error(format!(
            "nothing was changed: {} was made by version {version} and this is {VERSION}: make the \
             plan again",
            path.display()
        )));
    }
    let changes = file.tables("change")?;
    changes.iter().map(|(client_id, table)| saved(client_id, table)).collect()
}

fn saved(client_id: &str, table: &Table<'_>) -> anyhow::Result<Saved> {
    table.check_keys(&["action", "etag", "delete_after", "set", "client"], &[])?;
    let client_id = ClientId::parse(client_id).map_err(|why| table.refuse(why))?;
    let verb = table.text("action", Verb::parse)?;
    let verb = verb.ok_or_else(|| table.refuse("the key `action` is missing"))?;
    let etag = table.text("etag", Etag::parse)?;
    let delete_after = table.text("delete_after", parse_moment)?;
    let set = table.text("set", |text| Ok(text.to_owned()))?;
    let fields = table.table("client")?.as_ref().map(Fields::read).transpose()?;
    let declared = fields.map(|fields| {
        let record = fields.record(client_id.clone(), set.as_deref())?;
        check_record(&record).map(|()| record)
    });
    let declared = declared.transpose().map_err(|why: Malformed| table.refuse(why))?;
    Ok(Saved { client_id, verb, etag, delete_after, declared })
}

/// Why `--prune` would not do this to a client, although a plan says so.
fn kept(verb: Verb, now: &ClientRecord) -> Option<&'static str> {
    let is_due = || {
        let due = delete_after(now).is_some_and(|due| due <= SystemClock.now());
        due && now.client.state == ClientState::Disabled
    };
    match verb {
        Verb::Create | Verb::Update => None,
        _ if !now.client.permissions().is_empty() => Some("it is an administrator"),
        _ if now.about.labels.set_name().is_none() => Some("it belongs to no set"),
        Verb::Delete if !is_due() => Some("it was not disabled long enough"),
        Verb::Prune | Verb::Delete => None,
    }
}

/// The plan, if every client is as it was when the plan was made.
///
/// # Errors
/// If some are not; the message names each, and its fields that differ.
pub(super) fn restored(saved: Vec<Saved>, clients: &Existing) -> anyhow::Result<Plan> {
    let (mut plan, mut moved) = (Plan::default(), Vec::new());
    for Saved { client_id, verb, etag, delete_after, declared } in saved {
        let now = match clients.get(client_id.as_str()) {
            Some(Err(row)) => return Err(anyhow::anyhow!("nothing was changed: {row}")),
            Some(Ok(now)) => Some(now),
            None => None,
        };
        if let Some(why) = now.and_then(|now| kept(verb, now)) {
            let why =
                format!("nothing was changed: client {client_id} is not pruned, because {why}");
            return Err(Exit::Conflict.error(why));
        }
        let action = match (verb, declared, now, etag) {
            (Verb::Create, Some(record), None, _) => Action::Create(record),
            (Verb::Create, _, Some(_), _) => {
                moved.push(format!("{client_id} (exists by now)"));
                continue;
            }
            (Verb::Update | Verb::Prune | Verb::Delete, _, None, _) => {
                moved.push(format!("{client_id} (does not exist any more)"));
                continue;
            }
            (_, _, Some(now), Some(etag)) if !etag.matches(now) => {
                moved.push(format!("{client_id} ({})", etag.differing(now).join(", ")));
                continue;
            }
            (Verb::Update, Some(declared), Some(now), Some(_)) => {
                let after = onto(&declared, now);
                Action::Update(Box::new(Updated { before: now.clone(), after }))
            }
            (Verb::Prune, _, Some(now), Some(_)) => {
                let delete_after = delete_after.unwrap_or(Timestamp::MAX);
                Action::Prune(Box::new(disabled(now, delete_after)))
            }
            (Verb::Delete, _, Some(now), Some(_)) => Action::Delete(now.clone()),
            _ => {
                let why =
                    format!("nothing was changed: the plan for client {client_id} lacks a key");
                return Err(Exit::Usage.error(why));
            }
        };
        plan.changes.push(Change { client_id, action, place: None });
    }
    if !moved.is_empty() {
        return Err(Exit::Conflict.error(format!(
            "nothing was changed, because these clients were changed since the plan was made: {}. \
             Make the plan again",
            moved.join(", ")
        )));
    }
    plan.sort();
    Ok(plan)
}
