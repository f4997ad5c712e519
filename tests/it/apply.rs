//! Clients as files declare them: `jeton apply` and `jeton export`.

mod files;
mod limits;
mod model;
mod plans;

use std::{path::PathBuf, process::Output, sync::Arc};

use jeton::{
    domain::{ClientId, ClientRecord, ClientState, OsRandom, SystemClock},
    registry::{NewClient, NewSecret, Registry},
};
use serde_json::{Value, json};

use crate::support::{
    Database, Kind,
    binary::{complaint, run},
    node::{CHEAP, new_client, operator},
};

/// A database with a registry, and a folder for files.
struct World {
    database: Database,
    registry: Registry,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let store = database.migrated().await;
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        let registry = Registry::open(store, clock, random, CHEAP, operator()).await.unwrap();
        Self { database, registry }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.database.dir.path().join(name)
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(arguments, &self.database)
    }

    fn apply(&self, arguments: &[&str]) -> Output {
        self.run(&[&["apply"], arguments].concat())
    }

    /// Applies and returns what it printed.
    fn applied(&self, arguments: &[&str]) -> String {
        let output = self.apply(&[arguments, &["--yes"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The plan in JSON, and the exit status.
    fn planned(&self, arguments: &[&str]) -> (Value, i32) {
        let output = self.apply(&[arguments, &["--plan", "--json"]].concat());
        let plan = serde_json::from_slice(&output.stdout);
        let plan = plan.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (plan, output.status.code().unwrap())
    }

    /// Why an apply was refused, and the exit status.
    fn refused(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.apply(&[arguments, &["--yes"]].concat());
        (complaint(&output), output.status.code().unwrap())
    }

    fn export(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["export"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn client(&self, new: NewClient) {
        self.registry.create_client(new, NewSecret::default()).await.unwrap();
    }

    async fn record(&self, client_id: &str) -> ClientRecord {
        self.registry.record(&id(client_id)).await.unwrap()
    }

    async fn is_active(&self, client_id: &str) -> bool {
        self.record(client_id).await.client.state == ClientState::Active
    }

    async fn clients(&self) -> i64 {
        self.database.number("select count(*) from client").await
    }
}

fn id(client_id: &str) -> ClientId {
    ClientId::parse(client_id).unwrap()
}

const TOML: &str = r#"
format = 1
set = "payments"

[defaults]
token_lifetime = "15m"
labels = { team = "payments", env = "prod" }

[client.orders]
name = "Order service"
scopes = ["orders.read", "orders.write"]
audiences = ["https://stock.example.com"]

[client.stock]
serves = ["https://stock.example.com"]
grants = []
labels = { env = "test" }
token_lifetime = 600
live_tokens = 7
"#;

const YAML: &str = r"
format: 1
set: payments
defaults:
  token_lifetime: 15m
  labels: {team: payments, env: prod}
client:
  orders:
    name: Order service
    scopes: [orders.read, orders.write]
    audiences: [https://stock.example.com]
  stock:
    serves:
      - https://stock.example.com
    grants: []
    labels:
      env: test
    token_lifetime: 600
    live_tokens: 7
";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_creates_clients_and_toml_and_yaml_say_the_same() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let (toml, yaml) = (world.file("a.toml", TOML), world.file("a.yaml", YAML));
        let (plan, status) = world.planned(&[&toml]);
        assert_eq!((status, world.clients().await), (3, 0), "{plan}");
        assert_eq!(world.planned(&[&yaml]), (plan.clone(), 3));
        let verbs: Vec<_> =
            plan["changes"].as_array().unwrap().iter().map(|one| &one["action"]).collect();
        assert_eq!(verbs, ["create", "create"]);

        let output = world.apply(&[&toml, "--yes"]);
        let remarks = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{remarks}");
        assert!(remarks.contains("jeton client add-secret orders"), "{remarks}");
        let orders = world.record("orders").await;
        assert_eq!(orders.client.token_lifetime.seconds(), 900);
        assert_eq!(orders.client.default_scopes, orders.client.scopes);
        let labels = ["env=prod", "jeton/set=payments", "team=payments"];
        assert_eq!(orders.about.labels.texts(), labels);
        let stock = world.record("stock").await;
        assert!(stock.client.grants.is_empty() && stock.client.scopes.is_empty());
        assert_eq!(stock.client.token_lifetime.seconds(), 600);
        assert_eq!(stock.client.quota.live_tokens.unwrap().get(), 7);
        assert_eq!(stock.about.labels.texts()[0], "env=test");
        assert_eq!(world.database.number("select count(*) from client_secret").await, 0);

        let (plan, status) = world.planned(&[&yaml]);
        assert_eq!((status, &plan["unchanged"]), (0, &json!(2)), "{plan}");
        world.registry.add_secret(&id("orders"), NewSecret::default()).await.unwrap();
        assert_eq!(world.planned(&[&toml]).1, 0, "secrets are left alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_changes_what_it_names_and_a_field_that_it_does_not_name_has_its_default() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let file = world.file("a.toml", TOML);
        world.applied(&[&file]);
        let id = id("orders");
        world.registry.set_client_state(&id, ClientState::Disabled).await.unwrap();
        world.database.execute("update client set owner = 'bob' where client_id = 'orders'").await;
        let changed = TOML.replace("\"orders.write\"", "\"orders.refund\"").replace("15m", "10m");
        world.file("a.toml", &changed);

        let (plan, _) = world.planned(&[&file]);
        let change = &plan["changes"][0];
        assert_eq!(change["client_id"], "orders");
        let fields: Vec<_> = change["fields"].as_array().unwrap().iter().collect();
        let names: Vec<_> = fields.iter().map(|field| field["field"].as_str().unwrap()).collect();
        assert_eq!(names, ["scopes", "default_scopes", "token_lifetime_seconds", "owner"]);
        assert_eq!(fields[3], &json!({ "field": "owner", "before": "bob", "after": "" }));

        let shown = world.applied(&[&file]);
        let expected = [
            "~ orders",
            "    scopes                  +orders.refund -orders.write",
            "    token_lifetime_seconds  900 → 600",
            "    owner                   bob → none",
            "= 1 unchanged",
        ];
        for line in expected {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        let orders = world.record("orders").await;
        assert_eq!(orders.about.owner, "");
        assert_eq!(orders.client.state, ClientState::Disabled, "the state is left alone");
        let trail = world.database.number("select count(*) from audit").await;
        world.applied(&[&file]);
        assert_eq!(world.database.number("select count(*) from audit").await, trail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_changes_nothing_when_it_is_applied() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        world.applied(&[&world.file("a.toml", TOML)]);
        let mut odd = new_client("9.no~");
        odd.name = "a \"b\" \\ é: {x} #y".to_owned();
        odd.about.note = "- yes".to_owned();
        odd.default_scopes = Some(std::collections::BTreeSet::new());
        world.client(odd).await;
        world.client(new_client("null")).await;
        for format in ["toml", "yaml"] {
            for (set, clients) in [(&["--set", "payments"][..], 2), (&[], 2)] {
                let text = world.export(&[set, &["--format", format]].concat());
                let file = world.file(&format!("export.{format}"), &text);
                let (plan, status) = world.planned(&[&file]);
                assert_eq!((status, &plan["unchanged"]), (0, &json!(clients)), "{text}\n{plan}");
                // All there is, in an empty database.
                let elsewhere = World::new(kind).await;
                elsewhere.applied(&[&file]);
                assert_eq!(elsewhere.export(&[set, &["--format", format]].concat()), text);
            }
        }
        let missing = world.run(&["export", "--set", "billing"]);
        assert_eq!(missing.status.code(), Some(4));
        assert!(complaint(&missing).contains("payments"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_set_or_of_none_is_taken_over_only_if_the_file_says_so() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        world.client(new_client("orders")).await;
        let file = world.file("a.toml", TOML);
        let (why, status) = world.refused(&[&file]);
        assert_eq!(status, 6);
        assert!(why.contains("orders (no set, declared at ") && why.contains("adopt"), "{why}");
        assert_eq!(world.clients().await, 1, "nothing is applied halfway");
        world.file("a.toml", &TOML.replace("[client.orders]", "[client.orders]\nadopt = true"));
        world.applied(&[&file]);
        assert_eq!(world.record("orders").await.about.labels.set_name(), Some("payments"));

        let other = "format = 1\nset = \"other\"\n[client.orders]\n";
        let (why, _) = world.refused(&[&world.file("b.toml", other)]);
        assert!(why.contains("orders (set payments, "), "{why}");
    }
}
