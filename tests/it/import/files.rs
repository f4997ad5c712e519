//! What is taken from each system, and what is refused, with its place and the remedy.

use jeton::domain::{ADMINISTRATION, ClientState, Scope};
use serde_json::json;

use super::{BCRYPT, PBKDF2, TEXT, World, file, row, why};
use crate::support::Kind;

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_hydra_become_clients() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let rows = [
            row(
                "shop@example.com",
                &json!({
                    "scope": "a.read b.*",
                    "rotated_secrets": [BCRYPT, PBKDF2, BCRYPT],
                    "client_credentials_grant_access_token_lifespan": 600_000_000_000_u64,
                    "owner": "team-shop",
                    "metadata": { "team": "shop", "size": 3 },
                }),
            ),
            row(
                "old",
                &json!({
                    "client_secret": BCRYPT,
                    "grant_types": "client_credentials|refresh_token",
                    "audience": "",
                    "client_credentials_grant_access_token_lifespan": "48h0m0s",
                }),
            ),
            row("none", &json!({ "client_secret": "" })),
        ];
        let file = file(&world.database, "clients.jsonl", &rows.concat());
        let arguments = ["--from", "hydra", &file];
        let (planned, status) = world.report(&[&arguments[..], &["--plan"]].concat());
        assert_eq!((planned["new"].as_u64(), status, world.clients().await), (Some(3), 3, 0));
        let (report, status) = world.report(&arguments);
        assert_eq!((report["imported"].as_u64(), status), (Some(3), 0), "{report}");

        let shop = world.record("shop@example.com").await;
        assert_eq!(shop.client.token_lifetime.seconds(), 600);
        assert_eq!(shop.client.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(), ["a.read"]);
        assert_eq!(shop.about.owner, "team-shop");
        assert_eq!(shop.about.labels.texts(), ["team=shop"]);
        let remarks = report["clients"][0]["remarks"].to_string();
        for part in ["b.*", "size", "two newest"] {
            assert!(remarks.contains(part), "{part} in {remarks}");
        }
        assert_eq!(world.record("old").await.client.token_lifetime.seconds(), 86_400);
        let secrets = "select count(*) from client_secret where foreign_hash is not null";
        assert_eq!(world.database.number(secrets).await, 4);
        assert!(report["clients"][2]["remarks"].to_string().contains("add-secret"));

        let (again, status) = world.report(&arguments);
        assert_eq!((again["unchanged"].as_u64(), status), (Some(3), 0), "{again}");
        assert_eq!((world.clients().await, world.database.number(secrets).await), (3, 4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imported_is_skipped_with_the_reason() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let rows = [
            ("expensive", json!({ "client_secret": PBKDF2.replace("i=1000", "i=2000001") })),
            ("bcrypt", json!({ "client_secret": BCRYPT.replace("$04$", "$14$") })),
            ("sha3", json!({ "client_secret": PBKDF2.replace("sha256", "sha384") })),
            ("public", json!({ "token_endpoint_auth_method": "none" })),
            ("browser", json!({ "grant_types": ["authorization_code"] })),
            ("a b", json!({})),
            ("twice", json!({})),
            ("twice", json!({ "client_name": "again" })),
            ("reserved", json!({ "scope": "jeton:write" })),
            (
                "administrator",
                json!({
                    "scope": "jeton:read jeton:write jeton:security",
                    "audience": [ADMINISTRATION],
                    "client_credentials_grant_access_token_lifespan": 900_000_000_000_u64,
                }),
            ),
        ];
        let text: String = rows.iter().map(|(id, fields)| row(id, fields)).collect();
        let file = file(&world.database, "clients.jsonl", &text);
        let (report, status) = world.report(&["--from", "hydra", &file]);
        assert_eq!((report["imported"].as_u64(), status), (Some(1), 3), "{report}");
        for (client_id, part) in [
            ("expensive", "2000000"),
            ("bcrypt", "4 to 12"),
            ("sha3", "SHA3"),
            ("public", "by none"),
            ("browser", "client_credentials"),
            ("a b", "a client id is"),
            ("reserved", "jeton:"),
            ("administrator", "would be an administrator"),
        ] {
            let why = why(&report, client_id);
            assert!(why.contains(part), "{client_id}: {why}");
        }
        assert_eq!(report["clients"][7]["place"], "line 8");
        assert!(report["clients"][7]["why"].as_str().unwrap().contains("before"));
        // Neither a report nor a message has a hash.
        let text = report.to_string();
        assert!(!text.contains("$2b$") && !text.contains("pbkdf2-sha256$"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realm_of_keycloak_becomes_clients() {
    let realm = |secret: &str| {
        json!({
            "realm": "r", "accessTokenLifespan": 300,
            "clientScopes": [{ "name": "a.read", "protocolMappers": [{
                "protocolMapper": "oidc-audience-mapper",
                "config": { "included.custom.audience": "https://api.test" } }] }],
            "clients": [
                { "clientId": "worker", "enabled": false, "protocol": "openid-connect",
                  "serviceAccountsEnabled": true, "clientAuthenticatorType": "client-secret",
                  "secret": secret, "notBefore": 1_700_000_000,
                  "defaultClientScopes": ["a.read", "profile"], "optionalClientScopes": ["a.write"],
                  "attributes": { "client.secret.rotated": "an earlier secret of it",
                                  "client.secret.rotated.expiration.time": "32503680000" } },
                { "clientId": "https://api.test/v1", "bearerOnly": true, "secret": "" },
                { "clientId": "page", "publicClient": true, "serviceAccountsEnabled": false },
                { "clientId": "sp", "protocol": "saml" },
            ],
        })
        .to_string()
    };
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let file_of = |secret: &str| file(&world.database, "realm.json", &realm(secret));
        let path = file_of(TEXT);
        let (refused, status) = world.refused(&["--from", "keycloak", &path]);
        assert!(refused.contains("clients[0]") && refused.contains("--clear-secrets"), "{refused}");
        assert_eq!((status, world.clients().await), (2, 0));
        let arguments = ["--from", "keycloak", &path, "--clear-secrets"];
        file_of("**********");
        let (masked, _) = world.report(&[&arguments[..], &["--plan"]].concat());
        assert!(why(&masked, "worker").contains("kc.sh export"), "{masked}");
        file_of("short");
        let (short, _) = world.report(&[&arguments[..], &["--plan"]].concat());
        assert!(why(&short, "worker").contains("16 characters"), "{short}");

        file_of(TEXT);
        let (report, status) = world.report(&arguments);
        assert_eq!((report["imported"].as_u64(), status), (Some(2), 3), "{report}");
        let worker = world.record("worker").await.client;
        assert_eq!(worker.state, ClientState::Disabled);
        assert_eq!((worker.scopes.len(), worker.default_scopes.len()), (2, 1));
        assert_eq!((worker.audiences.len(), worker.token_lifetime.seconds()), (1, 300));
        assert!(worker.not_before.is_some());
        let server = world.record("https://api.test/v1").await.client;
        assert_eq!((server.grants.len(), server.serves.len()), (0, 1));
        let hashed = "select count(*) from client_secret where foreign_hash like '$argon2id$%'";
        assert_eq!(world.database.number(hashed).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_becomes_clients() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let write = |text: &str| file(&world.database, "clients.csv", text);
        let path = write(&format!(
            "\u{feff}client_id,name,scopes,audiences,token_lifetime,secret_hash,labels\r\n\
             orders,\"Orders, \"\"all\"\"\",a.read a.write,https://api.test,15m,\"{PBKDF2}\",\
             team=a\r\n\
             reports,,a.read,,,,\r\n"
        ));
        let arguments = ["--from", "csv", &path];
        let (report, status) = world.report(&arguments);
        assert_eq!((report["imported"].as_u64(), status), (Some(2), 0), "{report}");
        let orders = world.record("orders").await;
        assert_eq!(orders.client.name, "Orders, \"all\"");
        assert_eq!(orders.client.token_lifetime.seconds(), 900);
        for (text, part) in [
            ("client_id,colour\na,b\n", "line 1, column 2"),
            ("name\na\n", "client_id is missing"),
            ("client_id,client_id\na,b\n", "twice"),
            ("client_id,name\na\n", "line 2: 1 cells"),
            ("client_id,name\na,\"b\n", "line 2: a quote"),
            ("client_id\n", "no client"),
            ("", "which is empty"),
        ] {
            write(text);
            let (refused, status) = world.refused(&arguments);
            assert!(refused.contains(part) && refused.contains("clients.csv"), "{refused}");
            assert_eq!(status, 2);
        }
        write(&format!("client_id,secret_expires,secret_hash\nlate,2001-01-01,{BCRYPT}\n"));
        let (report, _) = world.report(&arguments);
        assert!(why(&report, "late").contains("still to come"), "{report}");
        write("client_id,labels\nfirst,team=a\nlost,team=a jeton/delete-after=2001-01-01\n");
        let (report, status) = world.report(&arguments);
        assert_eq!((&report["clients"][1]["place"], status), (&json!("line 3"), 3), "{report}");
        assert!(why(&report, "lost").contains("leave the label out"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_there_already_is_left_as_it_is() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let old = file(&world.database, "old.jsonl", &row("orders", &json!({})));
        assert_eq!(world.report(&["--from", "hydra", &old]).1, 0);
        let rows = [row("orders", &json!({ "scope": "other" })), row("stock", &json!({}))].concat();
        let new = file(&world.database, "new.jsonl", &rows);
        let fail = ["--from", "hydra", &new, "--on-conflict", "fail"];
        let (refused, status) = world.refused(&fail);
        assert!(refused.contains("orders") && refused.contains("scopes"), "{refused}");
        assert_eq!((status, world.clients().await), (6, 1));
        let lines = world.database.dir.path().join("report.jsonl");
        let lines = lines.to_str().unwrap();
        let arguments = ["--from", "hydra", &new, "--report", lines];
        let (report, status) = world.report(&arguments);
        assert_eq!((report["imported"].as_u64(), status), (Some(1), 3));
        assert!(why(&report, "orders").contains("differs in scopes, default_scopes"), "{report}");
        assert_eq!(std::fs::read_to_string(lines).unwrap().lines().count(), 2);
        let (refused, status) = world.refused(&arguments);
        assert!(refused.contains("exists already") && status == 6, "{refused}");
    }
}
