//! The flags that change what an administrator may give.

use std::collections::BTreeSet;

use clap::Args;

use super::members::Members;
use crate::domain::{AudiencePattern, Grantable, ScopePattern};

/// What an administrator may give to clients.
#[derive(Debug, Args)]
pub(super) struct GrantableFields {
    /// Scope that this administrator may give to clients over gRPC, or `orders.*` for all that
    /// begin with `orders.`, in place of all others; may be repeated
    #[arg(long = "grantable-scope", value_name = "PATTERN", value_parser = ScopePattern::parse,
          conflicts_with_all = ["add_grantable_scopes", "remove_grantable_scopes"])]
    grantable_scopes: Vec<ScopePattern>,

    /// One more scope that this administrator may give; may be repeated
    #[arg(long = "add-grantable-scope", value_name = "PATTERN",
          value_parser = ScopePattern::parse)]
    add_grantable_scopes: Vec<ScopePattern>,

    /// Scope that this administrator may no longer give; without any left, it may give all; may be
    /// repeated
    #[arg(long = "remove-grantable-scope", value_name = "PATTERN",
          value_parser = ScopePattern::parse)]
    remove_grantable_scopes: Vec<ScopePattern>,

    /// Audience that this administrator may give to clients, or `https://a.example.com/*` for all
    /// below, in place of all others; may be repeated
    #[arg(long = "grantable-audience", value_name = "PATTERN",
          value_parser = AudiencePattern::parse,
          conflicts_with_all = ["add_grantable_audiences", "remove_grantable_audiences"])]
    grantable_audiences: Vec<AudiencePattern>,

    /// One more audience that this administrator may give; may be repeated
    #[arg(long = "add-grantable-audience", value_name = "PATTERN",
          value_parser = AudiencePattern::parse)]
    add_grantable_audiences: Vec<AudiencePattern>,

    /// Audience that this administrator may no longer give; without any left, it may give all; may
    /// be repeated
    #[arg(long = "remove-grantable-audience", value_name = "PATTERN",
          value_parser = AudiencePattern::parse)]
    remove_grantable_audiences: Vec<AudiencePattern>,
}

impl GrantableFields {
    /// The patterns of scopes after the change; `None` if they stay as they are.
    pub(super) fn scopes(&self, now: &Grantable) -> anyhow::Result<Option<BTreeSet<ScopePattern>>> {
        let members = Members {
            flag: "--remove-grantable-scope",
            all: &self.grantable_scopes,
            add: &self.add_grantable_scopes,
            remove: &self.remove_grantable_scopes,
        };
        members.of(&now.scopes)
    }

    /// The patterns of audiences after the change; `None` if they stay as they are.
    pub(super) fn audiences(
        &self,
        now: &Grantable,
    ) -> anyhow::Result<Option<BTreeSet<AudiencePattern>>> {
        let members = Members {
            flag: "--remove-grantable-audience",
            all: &self.grantable_audiences,
            add: &self.add_grantable_audiences,
            remove: &self.remove_grantable_audiences,
        };
        members.of(&now.audiences)
    }
}
