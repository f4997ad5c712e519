//! How a token is ended before its time (7.10). That a database which is away is told, and not
//! answered with 200, stands in `refusals`.

use jeton::domain::{Clock, OsRandom, SystemClock, TokenText};

use super::{House, INTROSPECT, REVOKE, Row, assert_sound, post};
use crate::support::http::{Answer, basic};

/// 80, 82, 84: 200 and an empty object, for what there is to revoke and for what there is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_succeeds_once_or_twice_alike() {
    let house = House::new().await;
    for wire in &house.wires {
        let token = house.issue().await;
        for (rule, form) in [
            ("82: an unknown hint", format!("token={token}&token_type_hint=canary")),
            ("82: another hint", format!("token={token}&token_type_hint=refresh_token")),
            ("84: again", format!("token={token}")),
            ("80: malformed", "token=garbage".to_owned()),
            ("80: unknown", format!("token={}A", &token[..78])),
            ("80: a secret", format!("token={}", house.client.secret())),
        ] {
            let answer = wire.send(house.post(REVOKE, &form)).await;
            let context = format!("{rule} ({})", wire.name());
            assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"{}"[..]), "{context}");
            assert_eq!(answer.header("content-type"), "application/json", "{context}");
            assert_sound(&answer, REVOKE, &context);
            let seen = wire.send(house.post(INTROSPECT, &format!("token={token}"))).await;
            assert_eq!(seen.body, r#"{"active":false}"#, "{context}");
        }
        let authorization = basic(house.client.id(), house.client.secret());
        assert_eq!(house.basic(), authorization, "a revoked token is no blame to its client");
    }
}

/// 80, 81: the token of another client is not ended, and who tries learns nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_revoked_by_its_owner_alone() {
    let house = House::new().await;
    let form = format!("token={}", house.issue().await);
    let thief = house.nodes[0].client("thief").await;
    let thief = basic(thief.id(), thief.secret());
    let server = basic(house.server.id(), house.server.secret());
    let rows: [Row; 3] = [
        ("80: nobody", post(REVOKE, &form, None), 401, "invalid_client"),
        ("80: a wrong secret", post(REVOKE, &form, Some(&basic("x", "y"))), 401, "invalid_client"),
        ("80: no token", house.post(REVOKE, "x=y"), 400, "invalid_request"),
    ];
    house.check(rows).await;
    let installation = house.nodes[0].store.installation().await.unwrap();
    let key = installation.tag_keys.current();
    let unknown = TokenText::mint(SystemClock.now(), &OsRandom, key).unwrap();
    let unknown = format!("token={}", unknown.expose());
    for wire in &house.wires {
        for caller in [&thief, &server] {
            let [foreign, unknown] = [
                wire.send(post(REVOKE, &form, Some(caller))).await,
                wire.send(post(REVOKE, &unknown, Some(caller))).await,
            ];
            for answer in [&foreign, &unknown] {
                let seen = (answer.status.as_u16(), &*answer.body);
                assert_eq!(seen, (200, &b"{}"[..]), "81: {}", wire.name());
            }
            let names = |answer: &Answer| {
                answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>()
            };
            assert_eq!(names(&foreign), names(&unknown), "81: {}", wire.name());
        }
        let seen = wire.send(house.post(INTROSPECT, &form)).await;
        assert_eq!(seen.json()["active"], true, "81: it stays active ({})", wire.name());
    }
}
