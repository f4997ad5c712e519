//! `jeton token list`, `explain` and `simulate`, to the last byte.

use std::process::Output;

use serde_json::Value;

use super::ask;
use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton},
    everything,
};

/// A node, its clients `orders` and `stock`, and the flags of both ways.
struct Both {
    database: Database,
    node: Served,
    remote: [String; 2],
    secret: String,
}

impl Both {
    async fn start(kind: Kind) -> Self {
        let database = Database::ready(kind).await;
        let node = Served::start(&database, &[]);
        let socket = format!("unix:{}", database.dir.path().join("control.sock").display());
        let create = ["client", "create", "--json", "--client-id"];
        let scopes =
            ["orders", "--scope", "read", "--scope", "write", "--audience", "https://api.test"];
        let created = ask(&[&create[..], &scopes].concat(), &database.flags());
        let created: Value = serde_json::from_slice(&created.stdout).unwrap();
        let server =
            [&create[..], &["stock", "--no-grant", "--serves", "https://api.test"]].concat();
        assert!(ask(&server, &database.flags()).status.success());
        let secret = created["client_secret"].as_str().unwrap().to_owned();
        Self { database, node, remote: ["--server".to_owned(), socket], secret }
    }

    fn issue(&self) -> String {
        let server = format!("http://{}", self.node.grpc);
        let issued = jeton()
            .args(["token", "issue", "--client-id", "orders", "--token-only"])
            .args(["--scope", "read", "--scope", "write", "--resource", "https://api.test"])
            .args(["--server", &server])
            .env("JETON_CLIENT_SECRET", &self.secret)
            .output()
            .unwrap();
        assert!(issued.status.success(), "{issued:?}");
        let token = String::from_utf8(issued.stdout).unwrap();
        everything::note_secrets_in(&token);
        token.trim_end().to_owned()
    }

    /// Runs a command with the token in the environment both ways, which print the same as a table
    /// and as JSON; returns the JSON.
    fn same(&self, arguments: &[&str], token: &str, status: i32) -> Value {
        let run = |form: &[&str], place: &[String]| -> Output {
            let mut command = jeton();
            command.args(arguments).args(form).args(place).env("JETON_TOKEN", token);
            command.output().unwrap()
        };
        let mut last = Vec::new();
        for form in [&[] as &[&str], &["--json"]] {
            let direct = run(form, &self.database.flags());
            let through = run(form, &self.remote);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(
                (direct.status.code(), text(&direct.stdout)),
                (through.status.code(), text(&through.stdout)),
                "{arguments:?}: {direct:?} {through:?}"
            );
            assert_eq!(direct.status.code(), Some(status), "{arguments:?}: {direct:?}");
            assert!(text(&through.stderr).contains("Node: unix:"), "{through:?}");
            last = direct.stdout;
        }
        serde_json::from_slice(&last).unwrap()
    }

    fn change(&self, arguments: &[&str]) {
        let changed = ask(arguments, &self.database.flags());
        assert!(changed.status.success(), "{changed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_and_explained_the_same_both_ways() {
    for kind in Kind::BOTH {
        let at = Both::start(kind).await;
        let (explain, list) = (["token", "explain"], ["token", "list", "orders"]);
        assert_eq!(at.same(&list, "", 0)["tokens"].as_array().unwrap().len(), 0);
        let (first, second) = (at.issue(), at.issue());
        assert_eq!(at.same(&list, "", 0)["tokens"].as_array().unwrap().len(), 2);
        let one = at.same(&["token", "list", "orders", "--limit", "1"], "", 0);
        assert_eq!(one["has_more"], true, "{one}");

        let active = at.same(&explain, &first, 0);
        assert_eq!(active["text_compared"], true, "{active}");
        let id = active["token_id"].as_str().unwrap();
        let by_id = at.same(&["token", "explain", "--id", id], "", 0);
        assert_eq!(by_id["text_compared"], Value::Null, "{by_id}");
        let seen = at.same(&["token", "explain", "--as", "stock"], &first, 0);
        assert_eq!(seen["as"]["sees"]["audiences"][0], "https://api.test", "{seen}");
        let other = ["--client-id", "other", "--no-grant", "--serves", "https://other.test"];
        at.change(&[&["client", "create"][..], &other].concat());
        let hidden = at.same(&["token", "explain", "--as", "other"], &first, 3);
        assert_eq!(hidden["reasons"][0]["reason"], "not_served", "{hidden}");

        // Narrowed, revoked and disabled.
        at.change(&["client", "update", "orders", "--remove-scope", "write"]);
        let narrowed = at.same(&explain, &first, 0);
        assert_eq!(narrowed["token"]["lost_scopes"][0], "write", "{narrowed}");
        at.change(&["token", "revoke", "--id", id, "--actor", "ada"]);
        let revoked = at.same(&explain, &first, 3);
        assert_eq!(revoked["reasons"][0]["by"], "operator:ada", "{revoked}");
        at.change(&["client", "disable", "orders", "--yes"]);
        let disabled = at.same(&explain, &second, 3);
        assert_eq!(disabled["reasons"][0]["reason"], "client_disabled", "{disabled}");

        // Not ours, and not there.
        let foreign = at.same(&explain, "something else", 3);
        assert_eq!(foreign["text_compared"], false, "{foreign}");
        let nobody = "00000000-0000-0000-0000-000000000007";
        let missing = at.same(&["token", "explain", "--id", nobody], "", 3);
        assert_eq!(missing["token"], Value::Null, "{missing}");
        assert_eq!(missing["token_id"], nobody, "{missing}");
        let refused = ask(&["token", "list", "nobody"], &at.remote);
        assert_eq!(refused.status.code(), Some(4), "{refused:?}");
        assert!(complaint(&refused).contains("no client with this client id"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_simulated_the_same_both_ways() {
    for kind in Kind::BOTH {
        let at = Both::start(kind).await;
        at.change(&["client", "set-quota", "orders", "--tokens-per-second", "5"]);
        let simulate = ["token", "simulate", "orders", "--resource", "https://api.test", "--scope"];
        let issued = at.same(&[&simulate[..], &["read"]].concat(), "", 0);
        assert_eq!(issued["token"]["scopes"][0], "read", "{issued}");
        assert_eq!(issued["quota"]["tokens_per_second"], 5, "{issued}");
        let refused = at.same(&[&simulate[..], &["admin"]].concat(), "", 3);
        assert_eq!(refused["refusal"]["reason"], "INVALID_SCOPE", "{refused}");
        at.change(&["client", "disable", "orders", "--yes"]);
        let disabled = at.same(&simulate[..5], "", 3);
        assert_eq!(disabled["refusal"]["reason"], "INVALID_CLIENT", "{disabled}");
    }
}
