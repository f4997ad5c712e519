//! Carries a plan out, one client after the other.

use anyhow::Context;

use super::plan::{Action, Change, Plan, update};
use crate::{
    cli::{
        administration::{Clients, Site},
        deadline::Deadline,
    },
    domain::{ClientState, Etag},
    registry::{ClientUpdate, Updated},
};

/// Makes all changes of a plan. Each is atomic.
///
/// # Errors
/// For the first change that fails. Those before it are made, which the message says.
pub(super) async fn carry_out(
    plan: &Plan,
    site: &Site,
    clients: &Clients<'_>,
    deadline: Deadline,
) -> anyhow::Result<()> {
    let all = plan.changes.len();
    for (done, change) in plan.changes.iter().enumerate() {
        let undecided = format!(
            "Of {all} changes {done} are made, and that of client {} may still take effect: run \
             `jeton apply` with the same files again, which makes the rest.",
            change.client_id
        );
        let made = Box::pin(site.step(deadline, &undecided, make(change, clients))).await;
        let made = made.with_context(|| change.named());
        if done == 0 {
            made?;
        } else {
            made.with_context(|| {
                format!(
                    "of {all} changes only the first {done} are made; run `jeton apply` with the \
                     same files again, which makes the rest"
                )
            })?;
        }
    }
    Ok(())
}

async fn make(change: &Change, clients: &Clients<'_>) -> anyhow::Result<()> {
    match &change.action {
        Action::Create(record) => clients.create_without_secret(record.clone().into()).await,
        Action::Update(updated) => {
            let (before, etag) = (updated.before.clone(), Etag::of(&updated.before));
            clients.update(before, &update(&updated.after), &etag, false).await?;
            Ok(())
        }
        Action::Prune(pruned) => prune(pruned, clients).await,
        Action::Delete(before) => {
            clients.delete_unchanged(&change.client_id, &Etag::of(before)).await
        }
    }
}

/// Disables a client, and gives it the label that says when it may be deleted. A client that is not
/// disabled must not have the label: if somebody disabled it later, it would be deleted.
async fn prune(pruned: &Updated, clients: &Clients<'_>) -> anyhow::Result<()> {
    let Updated { before, after } = pruned;
    let labels = Some(after.about.labels.clone());
    let label = ClientUpdate { labels, ..ClientUpdate::default() };
    let etag = Etag::of(before);
    // A caller that may not give the label disables nothing.
    clients.update(before.clone(), &label, &etag, true).await?;
    clients.disable_unchanged(&before.client.client_id, &etag).await?;
    let mut disabled = before.clone();
    disabled.client.state = ClientState::Disabled;
    let etag = Etag::of(&disabled);
    clients.update(disabled, &label, &etag, false).await?;
    Ok(())
}
