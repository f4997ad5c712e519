//! `jeton apply` and `jeton export`.

use std::time::Duration;

use jeton::{
    domain::{ClientId, ClientState, Labels},
    node::ControlPlace,
    registry::{ClientUpdate, NewSecret},
};

use super::*;

const BEFORE: &str = r#"
format = 1
set = "NAME"

[client.NAME-1]
name = "One"
scopes = ["read", "write"]
default_scopes = []
audiences = ["https://a.test", "https://b.test"]
labels = { team = "a" }
live_tokens = 7

[client.NAME-2]
grants = []
serves = ["https://a.test"]

[client.NAME-3]
"#;

const AFTER: &str = r#"
format = 1
set = "NAME"

[client.NAME-1]
name = "First"
scopes = ["read", "refund"]
token_lifetime = "15m"
owner = "payments"

[client.NAME-2]
grants = []
serves = ["https://a.test"]
"#;

/// States of the file, the arguments with which it is applied, and the exit status.
const STEPS: [(&str, &[&str], i32); 11] = [
    (BEFORE, &["FILE", "--plan"], 3),
    (BEFORE, &["FILE", "--plan", "--json"], 3),
    (BEFORE, &["FILE"], 2),
    (BEFORE, &["FILE", "--yes"], 0),
    (BEFORE, &["FILE", "--plan", "--json"], 0),
    (AFTER, &["FILE", "--plan"], 3),
    (
        AFTER,
        &["FILE", "--prune", "--prune-limit", "1", "--delete-after", "0", "--plan-out", "PLAN"],
        3,
    ),
    (AFTER, &["PLAN"], 0),
    (AFTER, &["PLAN"], 6),
    (AFTER, &["FILE", "--prune", "--yes", "--json"], 0),
    (AFTER, &["FILE", "--prune", "--plan"], 0),
];

/// A node that writes uses of secrets down often, and both ways to its clients.
struct Both {
    node: TestNode,
    /// Name of the database for people.
    place: String,
    socket: String,
}

impl Both {
    async fn on(database: Database) -> Self {
        let directory = database.dir.path();
        let place = match database.kind {
            Kind::Sqlite => directory.join("jeton.db").display().to_string(),
            Kind::Postgres => DatabaseUrl::from(database.url.clone()).redacted(),
        };
        let socket = directory.join("control.sock");
        let options = TestNodeOptions {
            control: Some(ControlPlace::Socket(socket.clone())),
            secret_use_interval: Duration::from_millis(200),
            ..TestNodeOptions::default()
        };
        let node = TestNode::on(database, options).await;
        Self { node, place, socket: format!("unix:{}", socket.display()) }
    }

    fn path(&self, name: &str) -> String {
        self.node.database.dir.path().join(name).display().to_string()
    }

    /// Writes a file for the set and the clients of this name, and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(&format!("{name}.toml"));
        fs::write(&path, text.replace("NAME", name)).unwrap();
        path
    }

    fn direct(&self, arguments: &[&str]) -> Output {
        ask(arguments, &self.node.database.flags())
    }

    fn remote(&self, arguments: &[&str]) -> Output {
        ask(arguments, &["--server".to_owned(), self.socket.clone()])
    }
}

/// All that a command said, without what differs from one way to the other.
fn said(output: &Output, name: &str, place: &str) -> String {
    let remarks = String::from_utf8_lossy(&output.stderr);
    let remarks: Vec<_> = remarks.lines().filter(|line| !line.starts_with("Waiting")).collect();
    let remarks = Output { stdout: remarks.join("\n").into_bytes(), ..output.clone() };
    let remarks = masked(&remarks, name, place).replacen("Database: ", "Node: ", 1);
    masked(output, name, place) + &remarks
}

fn id(client_id: &str) -> ClientId {
    ClientId::parse(client_id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_applied_and_exported_with_the_same_words() {
    for kind in Kind::BOTH {
        let at = Both::on(Database::new(kind).await).await;
        for (text, arguments, status) in STEPS {
            let filled = |name: &str| -> Vec<String> {
                let (file, plan) = (at.file(name, text), at.path(&format!("{name}.plan")));
                let arguments = arguments.iter().map(|one| match *one {
                    "FILE" => file.clone(),
                    "PLAN" => plan.clone(),
                    other => other.to_owned(),
                });
                [String::from("apply")].into_iter().chain(arguments).collect()
            };
            let (one, other) = (filled("direct"), filled("remote"));
            let direct = at.direct(&one.iter().map(String::as_str).collect::<Vec<_>>());
            let through = at.remote(&other.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(direct.status.code(), Some(status), "{arguments:?}: {direct:?}");
            assert_eq!(through.status.code(), Some(status), "{arguments:?}: {through:?}");
            // An etag tells which fields differ, but for one in 256.
            if status != 6 {
                assert_eq!(
                    said(&direct, "direct", &at.place),
                    said(&through, "remote", &at.socket),
                    "{arguments:?}"
                );
            }
        }
        for flags in [
            &["--set", "direct"][..],
            &["--set", "remote"],
            &["--set", "direct", "--format", "yaml"],
        ] {
            let command = [&["export"], flags].concat();
            let (direct, through) = (at.direct(&command), at.remote(&command));
            assert!(direct.status.success() && through.status.success(), "{through:?}");
            assert_eq!(direct.stdout, through.stdout, "{flags:?}");
            let text = String::from_utf8(direct.stdout).unwrap();
            assert!(text.contains("refund") && !text.contains("-3"), "{text}");
            let file = at.path(if flags.len() == 2 { "exported.toml" } else { "exported.yaml" });
            fs::write(&file, text).unwrap();
            let planned = at.remote(&["apply", &file, "--plan"]);
            assert_eq!(planned.status.code(), Some(0), "{planned:?}");
        }
        for missing in [at.direct(&["export", "--set", "x"]), at.remote(&["export", "--set", "x"])]
        {
            assert_eq!(missing.status.code(), Some(4), "{missing:?}");
            assert!(complaint(&missing).contains("direct, remote"), "{missing:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_one_way_is_applied_in_the_other_to_what_it_saw() {
    for kind in Kind::BOTH {
        let at = Both::on(Database::new(kind).await).await;
        let plans = ["a.plan", "b.plan", "c.plan", "d.plan"].map(|name| at.path(name));
        let [first, second, third, fourth] = &plans;
        let file = at.file("set", BEFORE);
        at.direct(&["apply", &file, "--plan-out", first]);
        at.remote(&["apply", &file, "--plan-out", second]);
        assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
        let applied = at.remote(&["apply", first]);
        assert!(applied.status.success(), "{applied:?}");
        let stale = at.direct(&["apply", second]);
        assert_eq!(stale.status.code(), Some(6), "{stale:?}");
        assert!(complaint(&stale).contains("set-1 (exists by now)"), "{stale:?}");

        at.file("set", AFTER);
        at.direct(&["apply", &file, "--plan-out", third]);
        let updated = at.remote(&["client", "update", "set-1", "--owner", "bob"]);
        assert!(updated.status.success(), "{updated:?}");
        let stale = at.remote(&["apply", third]);
        assert_eq!(stale.status.code(), Some(6), "{stale:?}");
        assert!(complaint(&stale).contains("set-1 (owner)"), "{stale:?}");
        at.remote(&["apply", &file, "--plan-out", fourth]);
        let applied = at.direct(&["apply", fourth]);
        assert!(applied.status.success(), "{applied:?}");
        let planned = at.remote(&["apply", &file, "--plan"]);
        assert_eq!(planned.status.code(), Some(0), "{planned:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_does_what_it_may_and_is_told_how_far_it_came() {
    for kind in Kind::BOTH {
        let at = Secured::start(kind).await;
        let all = ["jeton:read", "jeton:write", "jeton:security"];
        let reader = at.flags(&administrator(&at.node, "reader", &all[..1]).await);
        let writer = at.flags(&administrator(&at.node, "writer", &all[..2]).await);
        let security = at.flags(&administrator(&at.node, "security", &all).await);
        let file = at.folder.path().join("a.toml");
        let path = file.display().to_string();
        fs::write(&file, "format = 1\nset = 'a'\n[client.kept]\n[client.old]\n").unwrap();

        let planned = ask(&["apply", &path, "--plan"], &reader);
        assert_eq!(planned.status.code(), Some(3), "{planned:?}");
        let refused = ask(&["apply", &path, "--yes"], &reader);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        let why = complaint(&refused);
        let declared = format!("client kept, declared at {path}:3:");
        assert!(why.contains(&declared) && why.contains("jeton:write"), "{why}");
        let applied = ask(&["apply", &path, "--yes"], &writer);
        assert!(applied.status.success(), "{applied:?}");

        // The caller is in the set as well, and no file declares it.
        let labels = Some(Labels::parse(["jeton/set=a"]).unwrap());
        let member = ClientUpdate { labels, ..ClientUpdate::default() };
        for caller in ["writer", "security"] {
            at.node.registry.update_client(&id(caller), &member, None).await.unwrap();
        }
        fs::write(&file, "format = 1\nset = 'a'\n[client.kept]\n[client.new]\n").unwrap();
        let prune = ["apply", &path, "--prune", "--prune-limit", "9", "--prune-used", "--yes"];
        let refused = ask(&prune, &writer);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        let why = complaint(&refused);
        for told in ["of 2 changes only the first 1 are made", "client old: ", "jeton:security"] {
            assert!(why.contains(told), "{told}: {why}");
        }
        let remarks = String::from_utf8_lossy(&refused.stderr);
        assert!(remarks.contains("security, writer. Administrators are never"), "{remarks}");
        at.node.registry.record(&id("new")).await.unwrap();
        let is_due = |labels: &Labels| labels.get("jeton/delete-after").is_some();
        let old = at.node.registry.record(&id("old")).await.unwrap();
        assert_eq!((old.client.state, is_due(&old.about.labels)), (ClientState::Active, false));

        let pruned = ask(&prune, &security);
        assert!(pruned.status.success(), "{pruned:?}");
        let old = at.node.registry.record(&id("old")).await.unwrap();
        assert_eq!((old.client.state, is_due(&old.about.labels)), (ClientState::Disabled, true));
        let caller = at.node.registry.record(&id("security")).await.unwrap();
        assert_eq!(caller.client.state, ClientState::Active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_used_or_may_be_is_not_pruned_in_either_way() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let file = database.dir.path().join("a.toml");
        let path = file.display().to_string();
        let (head, early) = ("format = 1\nset = 'a'\n", "[client.early]\n");
        fs::write(&file, format!("{head}{early}")).unwrap();
        for command in [&["apply", &path, "--yes"][..], &["client", "add-secret", "early"]] {
            let done = ask(command, &database.flags());
            assert!(done.status.success(), "{done:?}");
        }
        let at = Both::on(database).await;
        let busy = "[client.busy]\nscopes = ['read']\naudiences = ['https://api.test']\n";
        fs::write(&file, format!("{head}{early}[client.idle]\n{busy}")).unwrap();
        let applied = at.remote(&["apply", &path, "--yes"]);
        assert!(applied.status.success(), "{applied:?}");
        let registry = &at.node.registry;
        let (_, unused) = registry.add_secret(&id("idle"), NewSecret::default()).await.unwrap();
        let (_, secret) = registry.add_secret(&id("busy"), NewSecret::default()).await.unwrap();
        everything::note_secrets_in(&format!("{} {}", unused.expose(), secret.expose()));
        let client = registry.record(&id("busy")).await.unwrap().client;
        at.node.issue(&Credentials { client, secret }).await.unwrap();
        fs::write(&file, head).unwrap();

        let prune = ["apply", &path, "--prune", "--allow-empty", "--prune-limit", "9", "--plan"];
        let both_refuse = || {
            let (direct, through) = (at.direct(&prune), at.remote(&prune));
            assert_eq!(through.status.code(), Some(6), "{through:?}");
            assert_eq!(complaint(&direct), complaint(&through));
            complaint(&through)
        };
        let why = both_refuse();
        assert!(why.contains("these were used within 7 days: busy."), "{why}");
        registry.delete_client(&id("busy")).await.unwrap();
        // Nothing was counted when its secret was made.
        let why = both_refuse();
        assert!(why.contains("not known") && why.contains("within 7 days: early."), "{why}");
        registry.delete_client(&id("early")).await.unwrap();
        for planned in [at.direct(&prune), at.remote(&prune)] {
            assert_eq!(planned.status.code(), Some(3), "{planned:?}");
            assert!(String::from_utf8_lossy(&planned.stdout).contains("- idle"), "{planned:?}");
        }
    }
}
