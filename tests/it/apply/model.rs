//! Random states of a file, applied one after the other: the clients are then what a model says, and
//! a second plan is empty.

use std::{collections::BTreeMap, fmt::Write as _};

use jeton::{domain::QuotaLimit, store::ClientFilter};
use proptest::{
    collection::{btree_set, vec},
    option,
    prelude::*,
    strategy::ValueTree,
    test_runner::TestRunner,
};

use super::*;

const NAMES: [&str; 5] = ["orders", "stock", "billing", "a.b~c", "null"];
const SCOPES: [&str; 3] = ["read", "write", "admin:all"];

/// A client as the file has it; nothing where its line is missing.
#[derive(Debug, Clone, PartialEq, Default)]
struct Known {
    name: Option<String>,
    scopes: Vec<usize>,
    lifetime: Option<u32>,
    several: Option<bool>,
    grants: bool,
    tier: Option<u8>,
    owner: Option<String>,
    live_tokens: Option<u32>,
}

/// An edit of the file: the client is there like this, or it is taken out.
#[derive(Debug, Clone)]
enum Edit {
    Put(usize, Known),
    Remove(usize),
}

fn known() -> impl Strategy<Value = Known> {
    let texts = || option::of("[a-zé\"\\\\#: -]{1,6}");
    let scopes = btree_set(0..SCOPES.len(), 0..=SCOPES.len());
    let first = (texts(), scopes, option::of(1..=1440_u32), option::of(any::<bool>()));
    let second = (any::<bool>(), option::of(0..3_u8), texts(), option::of(1..9_u32));
    (first, second).prop_map(|((name, scopes, minutes, several), (grants, tier, owner, live))| {
        Known {
            name,
            scopes: scopes.into_iter().collect(),
            lifetime: minutes.map(|minutes| minutes * 60),
            several,
            grants,
            tier,
            owner,
            live_tokens: live,
        }
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        5 => (0..NAMES.len(), known()).prop_map(|(at, known)| Edit::Put(at, known)),
        1 => (0..NAMES.len()).prop_map(Edit::Remove),
    ]
}

/// The file, in either language. JSON texts and lists are both.
fn file(clients: &BTreeMap<usize, Known>, is_yaml: bool) -> String {
    let (is, mut text) = if is_yaml {
        (": ", "format: 1\nset: s\nclient:\n".to_owned())
    } else {
        (" = ", "format = 1\nset = \"s\"\n".to_owned())
    };
    for (at, known) in clients {
        let id = json!(NAMES[*at]);
        let indent = if is_yaml { "    " } else { "" };
        let head = if is_yaml { format!("  {id}:") } else { format!("[client.{id}]") };
        let scopes: Vec<_> = known.scopes.iter().map(|at| SCOPES[*at]).collect();
        let mut fields = vec![("scopes", json!(scopes).to_string())];
        let mut add = |key, value: Option<Value>| {
            fields.extend(value.map(|value| (key, value.to_string())));
        };
        add("name", known.name.as_ref().map(|name| json!(name)));
        add("token_lifetime", known.lifetime.map(|seconds| json!(seconds)));
        add("several_audiences", known.several.map(|several| json!(several)));
        add("grants", (!known.grants).then(|| json!([])));
        add("owner", known.owner.as_ref().map(|owner| json!(owner)));
        add("live_tokens", known.live_tokens.map(|number| json!(number)));
        if let Some(tier) = known.tier {
            fields.push(("labels", format!("{{ tier{is}\"{tier}\" }}")));
        }
        writeln!(text, "{head}").unwrap();
        for (key, value) in fields {
            writeln!(text, "{indent}{key}{is}{value}").unwrap();
        }
    }
    text
}

fn assert_is(record: &ClientRecord, known: &Known) {
    let ClientRecord { client, about } = record;
    assert_eq!(client.name, known.name.clone().unwrap_or_default());
    let scopes: Vec<_> = client.scopes.iter().map(ToString::to_string).collect();
    let mut expected: Vec<_> = known.scopes.iter().map(|at| SCOPES[*at]).collect();
    expected.sort_unstable();
    assert_eq!(scopes, expected);
    assert_eq!(client.default_scopes, client.scopes);
    assert_eq!(client.token_lifetime.seconds(), known.lifetime.unwrap_or(3_600));
    assert_eq!(client.several_audiences, known.several.unwrap_or(false));
    assert_eq!(client.grants.is_empty(), !known.grants);
    assert_eq!(client.quota.live_tokens.map(QuotaLimit::get), known.live_tokens);
    assert_eq!(about.owner, known.owner.clone().unwrap_or_default());
    let tier = known.tier.map(|tier| format!("tier={tier}"));
    let labels: Vec<_> = ["jeton/set=s".to_owned()].into_iter().chain(tier).collect();
    let mut stored = about.labels.texts();
    stored.retain(|label| !label.starts_with("jeton/delete-after="));
    assert_eq!(stored, labels);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_200_random_edits_the_clients_are_what_the_file_says() {
    let edits = vec(edit(), 8);
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let mut runner = TestRunner::deterministic();
        // The clients of the file, and those that were ever in it: they stay, but disabled.
        let (mut clients, mut ever) = (BTreeMap::new(), BTreeMap::new());
        for round in 0..25 {
            for edit in edits.new_tree(&mut runner).unwrap().current() {
                match edit {
                    Edit::Put(at, known) => drop(clients.insert(at, known)),
                    Edit::Remove(at) => drop(clients.remove(&at)),
                }
            }
            let is_yaml = round % 2 == 0 && !clients.is_empty();
            let name = if is_yaml { "a.yaml" } else { "a.toml" };
            let path = world.file(name, &file(&clients, is_yaml));
            let flags = [&*path, "--prune", "--prune-limit", "9", "--allow-empty"];
            world.applied(&flags);
            let (plan, status) = world.planned(&flags);
            assert_eq!(status, 0, "{plan}");
            for (at, known) in &clients {
                // What a file names again stays disabled until somebody enables it.
                let is_active = ever.get(at).is_none_or(|(_, is_active)| *is_active);
                ever.insert(*at, (known.clone(), is_active));
            }
            for (at, (_, is_active)) in &mut ever {
                *is_active &= clients.contains_key(at);
            }
            let records = world.registry.list_clients(&ClientFilter::default()).await.unwrap();
            assert_eq!(records.len(), ever.len());
            for record in records {
                let record = record.unwrap();
                let at = NAMES.iter().position(|name| *name == record.client.client_id.as_str());
                let (known, is_active) = &ever[&at.unwrap()];
                assert_is(&record, known);
                assert_eq!(record.client.state == ClientState::Active, *is_active);
            }
        }
    }
}
