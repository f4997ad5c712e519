//! `jeton client …`: manages clients and their secrets, in the database or through a node.

mod create;
mod filter;
mod notes;
mod quota;
mod report;
mod retire;
mod revoke;
mod secrets;
mod show;
mod state;
mod unused;
mod update;
mod update_secret;

use clap::Subcommand;

use super::{
    administration::{Shown, Site},
    deadline::Deadline,
    node, output,
    target::UNCHANGED,
    unreadable,
};
use crate::{
    domain::{ClientId, Clock, StoredSecret, SystemClock},
    store::Readable,
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  jeton client create --client-id orders --scope orders.read --audience https://a.example.com")]
pub(super) enum ClientCommand {
    /// Register a client and create its first secret, which is shown once
    #[command(after_help = "\
Examples:
  jeton client create --client-id orders --scope orders.read --audience https://stock.example.com
  jeton client create --client-id orders --label team=payments --owner payments@example.com
  jeton client create --client-id stock --serves https://stock.example.com --no-grant --json
  jeton client create --client-id billing --out billing.secret")]
    Create(Box<create::Create>),
    /// List all clients, or those that a filter selects
    #[command(after_help = "\
Examples:
  jeton client list --database-url postgres://jeton@localhost/jeton
  jeton client list --label team=payments --scope orders.write
  jeton client list --server unix:jeton-data/control.sock
  jeton client list --without-live-secret --json")]
    List(show::List),
    /// Show a client and its secrets
    #[command(after_help = "\
Example:
  jeton client show orders --json")]
    Show(show::Show),
    /// Disable a client: it cannot authenticate, and its tokens become inactive
    #[command(after_help = "\
Example:
  jeton client disable orders --yes")]
    Disable(state::Ended),
    /// Enable a disabled client; its tokens that have not expired become active again
    #[command(after_help = "\
Example:
  jeton client enable orders")]
    Enable(state::Changed),
    /// Change some fields of a client; all others stay as they are
    #[command(after_help = "\
The table shows each field that changed, before and after. If somebody else changes the client in
between, it is read again, up to three times. With --etag the client must still be as you saw it.

Examples:
  jeton client update orders --add-scope orders.write --token-lifetime 15m
  jeton client update orders --label team=payments --owner payments@example.com
  jeton client update orders --remove-scope orders.read --dry-run")]
    Update(Box<update::Update>),
    /// Set the quota of a client: how fast tokens are issued to it, and how many may live
    #[command(after_help = "\
Limits that are not named stay as they are, and `default` is the setting of the node. A running node
applies the change at once; whether it refuses or only counts is its setting --quota.

Examples:
  jeton client set-quota orders --tokens-per-second 200 --token-burst 2000
  jeton client set-quota orders --live-tokens default")]
    SetQuota(quota::SetQuota),
    /// Revoke all current tokens of a client, or of all clients; they can request new ones
    #[command(after_help = "\
Examples:
  jeton client revoke-tokens orders
  jeton client revoke-tokens --all --yes")]
    RevokeTokens(revoke::RevokeTokens),
    /// Delete a client and its secrets; its tokens stay inactive even if the name is reused
    #[command(after_help = "\
For 30 days `jeton client undelete` takes that back.

Example:
  jeton client delete orders --yes")]
    Delete(state::Ended),
    /// Take the deletion of a client back; it is disabled, and its secrets are retired
    #[command(after_help = "\
It is possible for 30 days, while no other client has the name. Secrets that were live are retired,
because one of them may have leaked meanwhile: `jeton client restore-secret` restores each that is
wanted, and `jeton client enable` lets the client work again.

Example:
  jeton client undelete orders")]
    Undelete(state::Changed),
    /// Add a secret, which is shown once; existing secrets keep working
    #[command(after_help = "\
Example:
  jeton client add-secret orders --label 2027
  jeton client add-secret orders --out orders-2027.secret")]
    AddSecret(secrets::Add),
    /// Rotate: add a secret, which is shown once, and tell what to do with the others
    #[command(after_help = "\
Example:
  jeton client rotate orders --label 2027 --out orders-2027.secret")]
    Rotate(secrets::Rotate),
    /// Show when and from where the secrets of a client were used, and which can be retired
    #[command(after_help = "\
A secret is safe to retire if it was not used for the window and a newer one is. A time in which a
node may have counted uses that it could not write down never counts as unused.

Example:
  jeton client secrets orders")]
    Secrets(report::Report),
    /// Change the label of a secret, or let it expire earlier
    #[command(after_help = "\
An expiry can only be brought forward: to go on for longer, add another secret.

Example:
  jeton client update-secret orders 0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a --expires-in 30d")]
    UpdateSecret(update_secret::UpdateSecret),
    /// Retire a secret, so that it no longer authenticates
    #[command(after_help = "\
A secret that was used within the last day is retired only with --even-if-in-use, and the last live
secret of a client only after a confirmation. A retired secret can be restored for 30 days, a leaked
one cannot.

Examples:
  jeton client retire-secret orders 0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a --after 24h
  jeton client retire-secret orders 0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a --leaked --yes")]
    RetireSecret(retire::Retire),
    /// Take the retirement of a secret back: it authenticates again
    #[command(after_help = "\
Example:
  jeton client restore-secret orders 0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a")]
    RestoreSecret(retire::Restore),
    /// List secrets that expire soon, and their last use; exits with 3 if there are any
    #[command(after_help = "\
Example:
  jeton client expiring --within 14d")]
    Expiring(unused::Expiring),
    /// List clients that have not authenticated for a while; exits with 3 if there are any
    #[command(after_help = "\
Clients of which this is not known, because uses were not counted all the time, are listed as
unknown.

Example:
  jeton client dead --since 90d")]
    Dead(unused::Dead),
}

impl ClientCommand {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => Box::pin(create.run(deadline)).await,
            Self::List(list) => list.run(deadline).await,
            Self::Show(show) => show.run(deadline).await,
            Self::Disable(ended) => ended.disable(deadline).await,
            Self::Enable(changed) => changed.enable(deadline).await,
            Self::Update(update) => update.run(deadline).await,
            Self::SetQuota(set) => set.run(deadline).await,
            Self::RevokeTokens(revoke) => revoke.run(deadline).await,
            Self::Delete(ended) => ended.delete(deadline).await,
            Self::Undelete(changed) => changed.undelete(deadline).await,
            Self::AddSecret(add) => add.run(deadline).await,
            Self::Rotate(rotate) => Box::pin(rotate.run(deadline)).await,
            Self::Secrets(report) => report.run(deadline).await,
            Self::UpdateSecret(update) => update.run(deadline).await,
            Self::RetireSecret(retire) => retire.run(deadline).await,
            Self::RestoreSecret(restore) => restore.run(deadline).await,
            Self::Expiring(expiring) => expiring.run(deadline).await,
            Self::Dead(dead) => dead.run(deadline).await,
        }
    }
}

/// A client and its secrets, looked up before the operator is asked to confirm a change of it.
async fn found(site: &Site, deadline: Deadline, client: &ClientId) -> anyhow::Result<Shown> {
    let clients = site.clients(node::this_user());
    site.step(deadline, UNCHANGED, clients.show(client)).await
}

/// Whether a secret is live, as far as its row can be read.
pub(super) fn may_be_live(secret: &Readable<StoredSecret>) -> bool {
    secret.as_ref().map_or(true, |secret| secret.is_live(SystemClock.now()))
}

/// Message if a change of a client times out. Such a change can be repeated safely.
fn undecided(client: &ClientId, what: &str) -> String {
    format!(
        "{what}, and the change may still take effect: check with `jeton client show {client}`, \
         then run the command again."
    )
}
