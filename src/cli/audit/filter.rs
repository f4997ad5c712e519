//! The flags that say which entries of the audit trail are shown.

use clap::Args;

use crate::{
    cli::duration::parse_moment,
    domain::{ClientId, Timestamp},
    registry::AuditQuery,
    store::AuditFilter,
};

/// Which entries are shown: those that fulfil every condition.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filter {
    /// Only entries about this client, also under the names that it had before and has now
    #[arg(long, value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client: Option<ClientId>,

    /// Only changes by this actor: an operator such as alice, a client such as client:orders, or
    /// the role of an edit by hand
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,

    /// Only this act, such as secret.retire, acts with one beginning, such as client.scopes, or all
    /// on one kind of thing, such as client
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    /// Only entries from this date or time on, or not older than this, such as 7d
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    since: Option<Timestamp>,

    /// Only entries before this date or time, or older than this
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    until: Option<Timestamp>,

    /// Only entries that changed this field, such as scopes
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,

    /// Only entries that gave a field this value, or a list this member
    #[arg(long, value_name = "VALUE")]
    gained: Option<String>,

    /// Only entries that took this value from a field, or this member from a list
    #[arg(long, value_name = "VALUE")]
    lost: Option<String>,
}

impl From<Filter> for AuditQuery {
    fn from(filter: Filter) -> Self {
        let Filter { client, actor, action, since, until, field, gained, lost } = filter;
        let rows = AuditFilter { client_id: client, actor, id: None, action: None, since, until };
        Self { rows, act: None, field, gained, lost }.of_action(action)
    }
}
