//! A row that is written beside Jeton, by whatever statement, is true on a running node, and what
//! was changed is in the audit trail.

mod absence;
mod lifetime;
mod partitions;
mod postgres;
mod replicas;
mod scopes;
mod sqlite;

use jeton::domain::AuditReader;

use crate::support::{Kind, TestNode, http::get, node::Credentials};

/// What is written by hand, and what a running node has to say afterwards. The names in braces
/// stand for the values of the client that the edit is about.
struct Edit {
    /// Written before the node reads the client and its token.
    before: &'static str,
    /// Written while the node has both in its cache.
    sql: &'static str,
    /// Whether the client is given a token afterwards.
    issues: bool,
    /// Whether its old token is active afterwards.
    active: bool,
    /// The rows of the audit trail that `sql` adds.
    audit: Vec<&'static str>,
    /// Written at the end, for the edits that follow.
    after: &'static str,
}

/// An edit without anything before and after it.
fn edit(sql: &'static str, issues: bool, active: bool, audit: &[&'static str]) -> Edit {
    Edit { before: "", sql, issues, active, audit: audit.to_vec(), after: "" }
}

/// A node, and a resource server that asks it about tokens.
struct Scene {
    node: TestNode,
    server: Credentials,
}

/// A client, and a token of it.
struct Known {
    owner: Credentials,
    token: String,
    token_id: String,
}

impl Scene {
    async fn new(kind: Kind) -> Self {
        Self::of(TestNode::start(kind).await).await
    }

    async fn of(node: TestNode) -> Self {
        let server = node.resource_server("api").await;
        Self { node, server }
    }

    /// A client that has a token, which the node has not looked up yet.
    async fn client(&self, name: &str) -> Known {
        let owner = self.node.client(name).await;
        let token = self.node.issue(&owner).await.unwrap().access_token;
        let token_id = self.node.introspect(&owner, &token).await.unwrap().token_id;
        Known { owner, token, token_id }
    }

    /// Whether the resource server is told that the token is active. A resource server that is
    /// refused itself is told nothing.
    async fn is_active(&self, known: &Known) -> bool {
        let told = self.node.introspect(&self.server, &known.token).await;
        told.is_ok_and(|told| told.active)
    }

    /// Makes the node cache the client, its secret and its token.
    async fn cache(&self, known: &Known, active: bool) {
        until_trusted(&self.node).await;
        for _ in 0..2 {
            assert_eq!(self.is_active(known).await, active);
            self.node.issue(&known.owner).await.unwrap();
        }
    }

    /// Runs statements by hand and waits until the node has heard of them.
    async fn write(&self, prefix: &str, sql: &str, known: &Known) {
        if !sql.is_empty() {
            let sql = named(self.node.database.kind, sql, known);
            self.node.database.execute_all(&format!("{prefix}{sql}")).await;
            self.node.database.heard().await;
        }
    }

    /// Tries one edit on a client of its own.
    async fn try_edit(&self, number: usize, prefix: &str, edit: &Edit) {
        let known = self.client(&format!("client-{number}")).await;
        self.write(prefix, edit.before, &known).await;
        self.cache(&known, !edit.before.contains("revoked_token")).await;
        let (written, noted) = (self.last_change().await, self.trail().await.len());

        self.write(prefix, edit.sql, &known).await;
        let case = format!("{prefix}{}", edit.sql);
        assert_eq!(self.is_active(&known).await, edit.active, "{case}");
        assert_eq!(self.node.issue(&known.owner).await.is_ok(), edit.issues, "{case}");
        assert!(self.last_change().await > written, "nothing was announced: {case}");
        assert_eq!(self.trail().await.split_off(noted), edit.audit, "{case}");
        self.write(prefix, edit.after, &known).await;
    }

    /// Tries edits one after the other on one node, and whether the audit trail verifies then.
    async fn try_all(&self, prefix: &str, edits: &[Edit]) {
        for (number, edit) in edits.iter().enumerate() {
            self.try_edit(number, prefix, edit).await;
        }
        self.trail().await;
    }

    /// The actions of the audit trail, which has to verify.
    async fn trail(&self) -> Vec<String> {
        let mut reader = AuditReader::default();
        let trail = self.node.store.audit_after(0, 100_000).await.unwrap();
        let trail: Vec<_> = trail.into_iter().map(Result::unwrap).collect();
        for entry in &trail {
            reader.read(entry.clone()).unwrap();
        }
        reader.finish().unwrap();
        trail.into_iter().map(|entry| entry.action).collect()
    }

    async fn last_change(&self) -> i64 {
        self.node.database.number("select coalesce(max(id), 0) from change").await
    }
}

/// Puts the values of a client into a statement.
fn named(kind: Kind, sql: &str, known: &Known) -> String {
    let id = |id: &str| match kind {
        Kind::Postgres => format!("'{id}'::uuid"),
        Kind::Sqlite => format!("x'{}'", id.replace('-', "")),
    };
    let (client, secret) = (known.owner.client.key.0, known.owner.secret.id().0);
    sql.replace("{name}", &format!("'{}'", known.owner.id()))
        .replace("{other}", &format!("'other-{}'", known.owner.id()))
        .replace("{client}", &id(&client.to_string()))
        .replace("{secret}", &id(&secret.to_string()))
        .replace("{token}", &id(&known.token_id))
}

/// Waits until the node relies on its cache.
pub(crate) async fn until_trusted(node: &TestNode) {
    loop {
        let page = get(node.node.probe_addr(), "/metrics").await;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        let trusted = page.lines().find_map(|line| line.strip_prefix("jeton_lease_held "));
        if trusted.and_then(|value| value.parse::<f64>().ok()) > Some(0.0) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The version is the etag of the row: it must not name two different ones.
#[tokio::test(flavor = "multi_thread")]
async fn every_edit_of_a_client_makes_a_new_version_of_it() {
    let version = "select version from client where client_id = 'orders'";
    for (kind, session) in [
        (Kind::Postgres, ""),
        (Kind::Postgres, "set session_replication_role = replica; "),
        (Kind::Sqlite, ""),
        (Kind::Sqlite, "pragma recursive_triggers = on; "),
    ] {
        let scene = Scene::new(kind).await;
        let known = scene.client("orders").await;
        for (set, grows_by) in [
            ("name = 'Orders'", 1),
            ("name = 'Orders'", 0),
            ("name = 'orders', version = version + 1", 1),
            ("name = 'ORDERS', version = 1", 1),
            ("version = 1", 1),
            ("name = '', version = version + 5", 5),
        ] {
            let before = scene.node.database.number(version).await;
            let noted = scene.trail().await.len();
            let update = format!("update client set {set} where id = {{client}}");
            scene.write(session, &update, &known).await;
            let grown = scene.node.database.number(version).await - before;
            assert_eq!(grown, grows_by, "{kind:?}: {session}{set}");
            let rows = scene.trail().await.len() - noted;
            assert_eq!(rows, usize::from(grows_by > 0), "{kind:?}: {session}{set}");
        }
    }
}
