//! What has to change so that the clients are as the files declare them.

use std::collections::BTreeMap;

use crate::{
    cli::{declared::Declarations, exit::Exit},
    domain::{
        Client, ClientId, ClientQuota, ClientRecord, ClientState, Etag, FieldChange, FieldValue,
        LimitChange, QuotaChange, QuotaLimit,
    },
    registry::{AudienceChange, ClientUpdate, Updated},
    store::Readable,
};

/// What is done to a client.
#[derive(Debug)]
pub(super) enum Action {
    /// It is created, without a secret.
    Create(ClientRecord),
    /// Its declared fields are changed.
    Update(Box<Updated>),
    /// It is disabled, because no file declares it any more, and gets a label that says when it may
    /// be deleted.
    Prune(Box<Updated>),
    /// It is deleted, because no file has declared it since it was disabled.
    Delete(ClientRecord),
}

/// A change of one client.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) client_id: ClientId,
    pub(super) action: Action,
    /// Where the client is declared, as `file:line:column`; `None` if no file at hand does so.
    pub(super) place: Option<String>,
}

/// What has to change, in the order in which it is done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    /// How many declared clients are as they are declared.
    pub(super) unchanged: usize,
    /// What people should know beside it.
    pub(super) remarks: Vec<String>,
}

/// All clients by their id. A row that cannot be read has an error in its place.
pub(super) type Existing = BTreeMap<String, Readable<ClientRecord>>;

impl Plan {
    /// Compares what is declared with the clients that exist.
    ///
    /// # Errors
    /// If a declared client belongs to another set, or its row cannot be read.
    pub(super) fn of(declared: Declarations, clients: &Existing) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        let mut strangers = Vec::new();
        for (client_id, declared) in declared.clients {
            let before = match clients.get(client_id.as_str()) {
                None => {
                    let (action, place) = (Action::Create(declared.record), Some(declared.place));
                    plan.changes.push(Change { client_id, action, place });
                    continue;
                }
                Some(Ok(before)) => before,
                Some(Err(row)) => {
                    let why =
                        format!("nothing was changed: client {client_id} is declared, but {row}");
                    return Err(anyhow::anyhow!(why));
                }
            };
            let (theirs, ours) =
                (before.about.labels.set_name(), declared.record.about.labels.set_name());
            if theirs != ours && !declared.adopts {
                let theirs = theirs.map_or("no set".to_owned(), |set| format!("set {set}"));
                strangers.push(format!("{client_id} ({theirs}, declared at {})", declared.place));
                continue;
            }
            if before.client.state == ClientState::Disabled {
                plan.remarks.push(format!(
                    "Client {client_id} is disabled and stays so; `jeton client enable \
                     {client_id}` enables it."
                ));
            }
            let updated = Updated { before: before.clone(), after: onto(&declared.record, before) };
            if updated.before == updated.after {
                plan.unchanged += 1;
            } else {
                let action = Action::Update(Box::new(updated));
                plan.changes.push(Change { client_id, action, place: Some(declared.place) });
            }
        }
        if !strangers.is_empty() {
            return Err(Exit::Conflict.error(format!(
                "nothing was changed, because these clients do not belong to the set of the file \
                 that declares them: {}. Add `adopt = true` to those that it is to take over",
                strangers.join(", ")
            )));
        }
        plan.sort();
        Ok(plan)
    }

    /// Adds what is to be done to clients that no file declares.
    pub(super) fn prune(&mut self, actions: impl IntoIterator<Item = Action>) {
        let change = |action: Action| {
            let client_id = action.client_id().clone();
            Change { client_id, action, place: None }
        };
        self.changes.extend(actions.into_iter().map(change));
        self.sort();
    }

    /// The clients that are to be disabled.
    pub(super) fn pruned(&self) -> Vec<&ClientId> {
        let pruned = self.changes.iter().filter(|of| matches!(of.action, Action::Prune(_)));
        pruned.map(|change| &change.client_id).collect()
    }

    /// First what gives access and then what takes it away, so that nothing is missing in between
    /// that one client hands over to another.
    pub(super) fn sort(&mut self) {
        self.changes.sort_by_key(|change| match &change.action {
            Action::Create(_) => 0,
            Action::Update(updated)
                if !takes_away(&updated.before.client, &updated.after.client) =>
            {
                1
            }
            Action::Update(_) => 2,
            Action::Prune(_) => 3,
            Action::Delete(_) => 4,
        });
    }
}

fn takes_away(before: &Client, after: &Client) -> bool {
    !before.scopes.is_subset(&after.scopes)
        || !before.audiences.is_subset(&after.audiences)
        || !before.serves.is_subset(&after.serves)
        || !before.grants.is_subset(&after.grants)
}

/// The client as it is declared, with what no file declares as it is now.
pub(super) fn onto(declared: &ClientRecord, now: &ClientRecord) -> ClientRecord {
    let client = Client {
        key: now.client.key,
        client_id: now.client.client_id.clone(),
        state: now.client.state,
        not_before: now.client.not_before,
        created_at: now.client.created_at,
        version: now.client.version,
        ..declared.client.clone()
    };
    ClientRecord { client, about: declared.about.clone() }
}

impl Action {
    /// The client as it is afterwards; as it was, if it is deleted.
    pub(super) fn record(&self) -> &ClientRecord {
        match self {
            Self::Create(record) | Self::Delete(record) => record,
            Self::Update(updated) | Self::Prune(updated) => &updated.after,
        }
    }

    fn client_id(&self) -> &ClientId {
        &self.record().client.client_id
    }
}

impl Change {
    /// The client, and where it is declared, for people.
    pub(super) fn named(&self) -> String {
        let place = self.place.as_ref().map(|place| format!(", declared at {place}"));
        format!("client {}{}", self.client_id, place.unwrap_or_default())
    }

    /// Etag of the client as the plan saw it; `None` if it did not exist.
    pub(super) fn etag(&self) -> Option<Etag> {
        match &self.action {
            Action::Create(_) => None,
            Action::Update(updated) | Action::Prune(updated) => Some(Etag::of(&updated.before)),
            Action::Delete(before) => Some(Etag::of(before)),
        }
    }

    /// The fields that get another value. Of a new client, those that are not empty.
    pub(super) fn fields(&self) -> Vec<FieldChange> {
        match &self.action {
            Action::Create(record) => {
                let unsaid = ["id", "client_id", "state", "not_before", "created_at"];
                let fields = ClientRecord::FIELDS.into_iter().zip(record.values());
                let said =
                    fields.filter(|(field, value)| !unsaid.contains(field) && !is_empty(value));
                let change = |(field, after): (_, FieldValue)| FieldChange {
                    field,
                    before: FieldValue::MaybeText(None),
                    after,
                };
                said.map(change).collect()
            }
            Action::Update(updated) | Action::Prune(updated) => updated.changes(),
            Action::Delete(_) => vec![],
        }
    }
}

fn is_empty(value: &FieldValue) -> bool {
    match value {
        FieldValue::Text(text) => text.is_empty(),
        FieldValue::MaybeText(text) => text.is_none(),
        FieldValue::Flag(flag) => !flag,
        FieldValue::List(members) => members.is_empty(),
        FieldValue::Labels(labels) => labels.texts().is_empty(),
        FieldValue::Number(number) => number.is_none(),
        FieldValue::Moment(moment) => moment.is_none(),
    }
}

/// The update that makes a client like this one.
pub(super) fn update(ClientRecord { client, about }: &ClientRecord) -> ClientUpdate {
    let limit = |limit: Option<QuotaLimit>| limit.map_or(LimitChange::UseDefault, LimitChange::Set);
    let ClientQuota { tokens_per_second, burst, live_tokens } = client.quota;
    let default_audience = client.default_audience.clone();
    ClientUpdate {
        name: Some(client.name.clone()),
        grants: Some(client.grants.clone()),
        scopes: Some(client.scopes.clone()),
        default_scopes: Some(client.default_scopes.clone()),
        audiences: Some(client.audiences.clone()),
        default_audience: default_audience.map_or(AudienceChange::Clear, AudienceChange::Set),
        several_audiences: Some(client.several_audiences),
        serves: Some(client.serves.clone()),
        token_lifetime: Some(client.token_lifetime),
        quota: QuotaChange {
            tokens_per_second: limit(tokens_per_second),
            burst: limit(burst),
            live_tokens: limit(live_tokens),
        },
        labels: Some(about.labels.clone()),
        owner: Some(about.owner.clone()),
        note: Some(about.note.clone()),
        grantable_scopes: Some(about.grantable.scopes.clone()),
        grantable_audiences: Some(about.grantable.audiences.clone()),
    }
}
