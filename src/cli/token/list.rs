//! `jeton token list`: the live tokens of a client, without their texts, which are not stored.

use clap::Args;
use serde_json::json;

use super::explain::token_json;
use crate::{
    cli::{
        administration::{Reading, ShownToken, ShownTokens, Site},
        deadline::Deadline,
        node, output,
        table::Column,
        unreadable,
    },
    domain::ClientId,
    store::Readable,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// Maximum number of tokens, the newest first
    #[arg(long, value_name = "N", default_value = "50",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    #[command(flatten)]
    on: Reading,
}

impl List {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = &self.client_id;
        let site = Site::of(self.on.at)?;
        let of = site.tokens(node::this_user());
        let work = of.list(client, self.limit as usize);
        let ShownTokens { tokens, has_more } = Box::pin(site.look(deadline, work)).await?;
        if self.on.format.json {
            let object = |row: &Readable<ShownToken>| match row {
                Ok(token) => token_json(token),
                Err(row) => json!({ "token_id": row.id, "unreadable": row.reason() }),
            };
            let objects: Vec<_> = tokens.iter().map(object).collect();
            output::json(&json!({ "tokens": objects, "has_more": has_more }));
        } else if tokens.is_empty() {
            output::remark(&format!("Client {client} has no live tokens."));
        } else {
            let columns = [
                Column::whole("token"),
                Column::whole("issued"),
                Column::whole("expires"),
                Column::text("scopes"),
                Column::text("audiences"),
                Column::whole("secret"),
            ];
            output::table(columns, tokens.iter().map(cells).collect());
        }
        if has_more {
            let limit = self.limit;
            output::remark(&format!("There are more: these are the newest {limit}; see --limit."));
        }
        unreadable::check(unreadable::rows(&tokens))
    }
}

fn cells(row: &Readable<ShownToken>) -> [String; 6] {
    let token = match row {
        Ok(token) => token,
        Err(row) => return unreadable::cells(row, 3),
    };
    [
        token.id.to_string(),
        token.issued_at.to_string(),
        token.expires_at.to_string(),
        token.now.scopes.join(" "),
        token.now.audiences.join(" "),
        token.secret.to_string(),
    ]
}
