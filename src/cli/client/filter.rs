//! The flags that say which clients `jeton client list` shows.

use clap::Args;

use crate::{
    domain::{Audience, ClientState, Clock, Label, Scope, SystemClock},
    store::ClientFilter,
};

/// Which clients are listed: those that fulfil every condition.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filter {
    /// Only clients with this text in their client id or name, in letters of either case
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,

    /// Only clients in this state: active or disabled
    #[arg(long, value_name = "STATE", value_parser = ClientState::parse)]
    state: Option<ClientState>,

    /// Only clients that may request this scope
    #[arg(long, value_name = "SCOPE", value_parser = Scope::parse)]
    scope: Option<Scope>,

    /// Only clients whose tokens may be for this audience
    #[arg(long, value_name = "AUDIENCE", value_parser = Audience::parse)]
    audience: Option<Audience>,

    /// Only clients that serve this audience
    #[arg(long, value_name = "AUDIENCE", value_parser = Audience::parse)]
    serves: Option<Audience>,

    /// Only clients with this label; may be repeated, for clients that have all of them
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = Label::parse)]
    labels: Vec<Label>,

    /// Only clients of exactly this owner
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,

    /// Only clients that have no live secret, and so cannot authenticate
    #[arg(long)]
    without_live_secret: bool,
}

impl From<Filter> for ClientFilter {
    fn from(filter: Filter) -> Self {
        let Filter { text, state, scope, audience, serves, labels, owner, without_live_secret } =
            filter;
        let without_live_secret_at = without_live_secret.then(|| SystemClock.now());
        Self { text, state, scope, audience, serves, labels, owner, without_live_secret_at }
    }
}
