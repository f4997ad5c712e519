//! I10: whether the audit trail has what happened, once, and nothing else.

use std::{collections::HashMap, sync::Arc};

use jeton::{
    domain::{AuditEntry, AuditReader, TokenText},
    store::Store,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::{
    history::{Asked, History, Past, Thing, Told},
    operator::{CLIENTS, DISABLED, STEADY},
};
use crate::support::{Kind, TestNode};

/// What of the trail cannot be: each line one thing. Asked when nobody changes anything any more.
pub(super) async fn amiss(store: &Arc<dyn Store>, url: &str, history: &History) -> Vec<String> {
    let mut amiss = Vec::new();
    let mut trail = Vec::new();
    let mut reader = AuditReader::default();
    loop {
        let page = store.audit_after(reader.position(), 1_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        for entry in page {
            let entry = match entry {
                Ok(entry) => entry,
                Err(row) => return vec![row.to_string()],
            };
            trail.push(entry.clone());
            amiss.extend(reader.read(entry).err().map(|error| error.to_string()));
        }
    }
    amiss.extend(reader.finish().err().map(|error| error.to_string()));
    amiss.extend(differs_from_tables(url).await);
    amiss.extend(differs_from_history(&trail, &history.past()));
    amiss
}

/// Rows of tables that the trail does not have once, and rows of the trail that no table bears out:
/// they are of something that was rolled back.
async fn differs_from_tables(url: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let of = |actions: &str| format!("(select * from audit where action in ({actions}))");
    let created = of("'client.create'");
    let secrets = of("'secret.create'");
    let revocations = of("'token.revoke', 'token.unrevoke'");
    // A client or secret is there as often as it was created and not deleted; the state and the
    // ends that it has are those of the last change; its version counts the changes.
    let query = format!(
        "select 'client ' || coalesce(client.id, trail.client)
         from client full join (select client, count(*) as times from {created} as created
              where not exists (select from audit as gone where gone.client = created.client
                                and gone.action = 'client.delete') group by client) as trail
              on trail.client = client.id
         where trail.times is distinct from 1 or client.id is null
         union all
         select 'twice gone: ' || client from audit where action = 'client.delete'
         group by client having count(*) > 1
         union all
         select 'state of ' || client.id from client
         where state <> coalesce(
                   (select detail -> 'state' ->> 1 from audit where audit.client = client.id
                    and action = 'client.update' and detail ? 'state' order by seq desc limit 1),
                   'active')
            or version <> 1 + (select count(*) from audit where audit.client = client.id
                               and action = 'client.update')
         union all
         select 'secret ' || coalesce(secret.id, trail.subject)
         from client_secret as secret
              full join (select subject, count(*) as times from {secrets} as created
                         where exists (select from client where client.id = created.client)
                         group by subject) as trail on trail.subject = secret.id
         where trail.times is distinct from 1 or secret.id is null
         union all
         select 'ends of ' || secret.id from client_secret as secret
         where (retired_at is not null) <> exists (
                   select from audit where subject = secret.id and detail ? 'retired_at'
                   and action = 'secret.update')
            or (burnt_at is not null) <> exists (
                   select from audit where subject = secret.id and detail ? 'burnt_at'
                   and action = 'secret.update')
         union all
         select 'revocation ' || coalesce(revoked.id, trail.subject)
         from revoked_token as revoked
              full join (select subject, count(*) as times from {revocations} as ended
                         group by subject) as trail on trail.subject = revoked.id
         where trail.times is distinct from 1 or revoked.id is null"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap()
}

/// What was acknowledged and is not there as often as it was.
fn differs_from_history(trail: &[AuditEntry], past: &Past) -> Vec<String> {
    let mut amiss = Vec::new();
    let mut times: HashMap<(&str, Option<Uuid>), usize> = HashMap::new();
    for entry in trail {
        *times.entry((&entry.action, entry.subject)).or_default() += 1;
    }
    // Who ends a token of its own that nothing else can have ended.
    let of_steady =
        |registration: usize| past.registrations[registration].client_id == CLIENTS[STEADY];
    let issued = past.calls.iter().filter_map(|call| match &call.told {
        Told::Issued(token, _) if of_steady(call.who.registration) => Some(token),
        _ => None,
    });
    let issued: std::collections::HashSet<_> = issued.collect();
    for call in &past.calls {
        let (Asked::Revoke(token), Told::Revoked) = (&call.asked, &call.told) else { continue };
        if !issued.contains(token) || !of_steady(call.who.registration) {
            continue;
        }
        let id = TokenText::parse(token).unwrap().id().0;
        if times.get(&("token.revoke", Some(id))) != Some(&1) {
            amiss.push(format!("the end of {id} was acknowledged"));
        }
    }
    let switched = |wanted: fn(&Thing) -> bool| {
        let changes = past.changes.iter().filter(move |change| wanted(&change.thing));
        (changes.clone().filter(|change| change.acknowledged).count(), changes.count())
    };
    let (acknowledged, tried) = switched(|thing| matches!(thing, Thing::Enabled(_)));
    let updates = trail.iter().filter(|entry| {
        entry.action == "client.update" && entry.client_id.as_deref() == Some(CLIENTS[DISABLED])
    });
    let updates = updates.count();
    if !(acknowledged..=tried).contains(&updates) {
        amiss.push(format!("{updates} changes of {acknowledged} to {tried}"));
    }
    for change in past.changes.iter().filter(|change| change.acknowledged) {
        let Thing::InUse(secret) = change.thing else { continue };
        if times.get(&("secret.update", Some(secret.0))) != Some(&1) {
            amiss.push(format!("the end of secret {} was acknowledged", secret.0));
        }
    }
    amiss
}

/// A trail that lacks something or has something made up is found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_does_not_match_is_found_out() {
    let tables = ["client", "client_secret", "revoked_token", "audit"];
    let unseen = tables.map(|table| format!("alter table {table} disable trigger user; ")).concat();
    let falsehoods = [
        ("update client set state = 'disabled'", "state of"),
        ("update client set version = 7", "state of"),
        ("delete from client", "client "),
        ("delete from client_secret", "secret "),
        ("update client_secret set burnt_at = now()", "ends of"),
        (
            "insert into revoked_token select gen_random_uuid(), now(), now() + interval '1 day'",
            "revocation ",
        ),
        ("select record_audit('client.create', gen_random_uuid(), 'x', null, '{}')", "client "),
        (
            "select record_audit('secret.create', id, client_id, gen_random_uuid(), '{}') from client",
            "secret ",
        ),
        ("select record_audit('token.revoke', null, null, gen_random_uuid(), '{}')", "revocation "),
        ("delete from audit where seq = 1", "no row says that it was cut there"),
        ("update client set version = 1", ""),
    ];
    for (falsehood, expected) in falsehoods {
        let node = TestNode::start(Kind::Postgres).await;
        node.client("orders").await;
        let mut admin = PgConnection::connect(&node.database.url).await.unwrap();
        let statement = AssertSqlSafe(format!("{unseen}{falsehood}"));
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
        let found = amiss(&node.store, &node.database.url, &History::default()).await;
        let is_found = found.iter().any(|line| line.contains(expected));
        assert_eq!(is_found, !expected.is_empty(), "{falsehood}: {found:?}");
    }
}
