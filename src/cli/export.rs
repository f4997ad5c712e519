//! `jeton export`: writes clients as a file that declares them as they are.

use std::collections::BTreeSet;

use clap::Args;

use super::{
    administration::{At, Site},
    deadline::Deadline,
    declared::{Format, write_file},
    exit::Exit,
    node, output, unreadable,
};

#[derive(Debug, Args)]
#[command(after_help = "\
The file has the clients of one set, or those that are in none. Applied as it is, it changes
nothing. Secrets and states are not in it.

Examples:
  jeton export > clients.toml
  jeton export --server unix:jeton-data/control.sock > clients.toml")]
pub(super) struct Export {
    /// Name of the set [default: the clients that are in no set]
    #[arg(long, value_name = "NAME")]
    set: Option<String>,

    /// Language of the file
    #[arg(long, value_name = "FORMAT", default_value = "toml")]
    format: Format,

    #[command(flatten)]
    at: At,
}

impl Export {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let site = Site::of(self.at)?;
        let clients = site.clients(node::this_user());
        let listed = Box::pin(site.look(deadline, clients.records())).await?;
        let records = listed.iter().flatten();
        let sets: BTreeSet<_> =
            records.clone().filter_map(|record| record.about.labels.set_name()).collect();
        let set = self.set.as_deref();
        if let Some(set) = set.filter(|set| !sets.contains(set)) {
            let there = sets.into_iter().collect::<Vec<_>>().join(", ");
            let there = if there.is_empty() { "none".to_owned() } else { there };
            let why = format!("there is no client in set {set}; sets with clients: {there}");
            return Err(Exit::NotFound.error(why));
        }
        let records: Vec<_> =
            records.filter(|record| record.about.labels.set_name() == set).cloned().collect();
        output::say(write_file(self.format, set, &records).trim_end());
        if set.is_none() && !sets.is_empty() {
            let sets = sets.into_iter().collect::<Vec<_>>().join(", ");
            output::remark(&format!(
                "Clients in sets are not among these; --set exports one of: {}.",
                output::printable(&sets)
            ));
        }
        unreadable::check(unreadable::rows(&listed))
    }
}
