//! Carries a plan out, one client after the other.

use anyhow::Context;

use super::plan::{Action, Change, Plan, creation, update};
use crate::{
    cli::{deadline::Deadline, target::Target},
    domain::{ClientState, Etag},
    registry::{ClientUpdate, Registry, RegistryError},
};

/// Makes all changes of a plan. Each is atomic.
///
/// # Errors
/// For the first change that fails. Those before it are made, which the message says.
pub(super) async fn carry_out(
    plan: &Plan,
    target: &Target,
    registry: &Registry,
    deadline: Deadline,
) -> anyhow::Result<()> {
    let all = plan.changes.len();
    for (done, change) in plan.changes.iter().enumerate() {
        let undecided = format!(
            "Of {all} changes {done} are made, and that of client {} may still take effect: run \
             `jeton apply` with the same files again, which makes the rest.",
            change.client_id
        );
        let made = target.step(deadline, &undecided, make(change, registry)).await;
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

async fn make(change: &Change, registry: &Registry) -> anyhow::Result<()> {
    let client_id = &change.client_id;
    match &change.action {
        Action::Create(record) => {
            registry.create_client_without_secret(creation(record.clone())).await?;
        }
        Action::Update(updated) => {
            let etag = Etag::of(&updated.before);
            registry.update_client(client_id, &update(&updated.after), Some(&etag)).await?;
        }
        Action::Prune(pruned) => {
            let etag = Etag::of(&pruned.before);
            let labels = Some(pruned.after.about.labels.clone());
            let marked = ClientUpdate { labels, ..ClientUpdate::default() };
            registry.update_client(client_id, &marked, Some(&etag)).await?;
            registry.set_client_state(client_id, ClientState::Disabled).await?;
        }
        Action::Delete(before) => {
            let (etag, now) = (Etag::of(before), registry.record(client_id).await?);
            if !etag.matches(&now) {
                let differing = etag.differing(&now);
                return Err(RegistryError::EtagMismatch(client_id.clone(), differing).into());
            }
            registry.delete_client(client_id).await?;
        }
    }
    Ok(())
}
