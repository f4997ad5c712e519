//! Gaps of the evidence: a node that was killed, one that does not count, a database that was away,
//! and a restore.

use std::time::Duration;

use jeton::{
    domain::{Clock, Recorder, SystemClock, Timestamp, Verdict},
    pb::v1::{ListSecretsRequest, RetirementVerdict, client_service_client::ClientServiceClient},
    registry::Registry,
};
use sqlx::{Connection, PgConnection};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{NEVER, OFTEN, more, until, uses, writing};
use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::Served,
    control::{self, administrator, bearer, channel},
    http::post_form,
    node::Credentials,
};

const DAY: Duration = Duration::from_hours(24);

/// Lets the evidence be as old as it has to be, and the first secret unused for as long.
async fn age(database: &Database) {
    let long_ago = match database.kind {
        Kind::Postgres => "now() - interval '40 days'",
        Kind::Sqlite => "(unixepoch() - 40 * 86400) * 1000000",
    };
    let statements = format!(
        "update evidence_gap set until = {long_ago};
         update secret_use set first_used_at = {long_ago}, last_used_at = {long_ago} where secret =
             (select id from client_secret order by created_at limit 1);"
    );
    database.execute_all(&statements).await;
}

/// The verdict on the oldest secret of a client, by what is written now.
pub(super) async fn verdict(
    registry: &Registry,
    client: &Credentials,
    patience: Duration,
) -> Verdict {
    let id = &client.client.client_id;
    let report = registry.report_secrets(id, DAY, patience).await.unwrap();
    report.secrets[0].advice.unwrap().verdict
}

/// A client whose first secret is old and unused, and whose second one is used. The node writes
/// when it is drained.
pub(super) async fn rotated(database: &Database) -> Credentials {
    let node = TestNode::on(database.shared(), writing(NEVER)).await;
    let old = node.client("orders").await;
    let new = more(&node, &old).await;
    node.issue(&old).await.unwrap();
    node.issue(&new).await.unwrap();
    assert!(node.node.drain().await);
    age(database).await;
    old
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_between_two_writings_never_makes_a_secret_safe() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let old = rotated(&database).await;
        let watcher = TestNode::on(database.shared(), writing(OFTEN)).await;
        let patience = Duration::from_secs(20);
        let before = verdict(&watcher.registry, &old, patience).await;
        assert_eq!(before, Verdict::Safe, "{kind:?}: otherwise nothing is shown below");

        // It is used on another node, which is killed before it says so.
        let served = Served::start(&database, &["--secret-use-seconds", "3600"]);
        let (path, form) = ("/oauth2/token", "grant_type=client_credentials");
        let answer = post_form(served.http, path, old.id(), old.secret(), form).await;
        assert_eq!(answer.status, 200, "{kind:?}");
        served.end();
        let known = uses(&watcher.store, &old).await;
        assert_eq!(known[&old.secret.id()].uses, 1, "the use is lost");

        // While its lease may still run, when it is over, and later.
        for _ in 0..30 {
            let verdict = verdict(&watcher.registry, &old, Duration::ZERO).await;
            assert_eq!(verdict, Verdict::EvidenceGap, "{kind:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Also when the row of the node has become a gap. It is overdue, as after three hours.
        let overdue = match kind {
            Kind::Postgres => {
                "update evidence set due_at = now() - interval '1 s'
                               where due_at > now() + interval '1 hour'; delete from node
                               where recorder in (select recorder from evidence
                                                  where due_at <= now() - interval '1 s')"
            }
            Kind::Sqlite => {
                "update evidence set due_at = 1 where due_at > \
                             (unixepoch() + 3600) * 1000000"
            }
        };
        database.execute_all(overdue).await;
        while database.number("select count(*) from evidence").await > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let after = verdict(&watcher.registry, &old, patience).await;
        assert_eq!(after, Verdict::EvidenceGap, "{kind:?}");
        let unused = watcher.registry.unused_clients(DAY, patience, None).await.unwrap();
        assert!(!unused.is_known(), "{kind:?}");
    }
}

/// It writes nothing, so only the list of leases shows it, and a gap when it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_an_earlier_version_is_a_gap_for_as_long_as_it_serves() {
    let database = Database::new(Kind::Postgres).await;
    let old = rotated(&database).await;
    let watcher = TestNode::on(database.shared(), writing(OFTEN)).await;
    let patience = Duration::from_secs(20);
    assert_eq!(verdict(&watcher.registry, &old, patience).await, Verdict::Safe);

    let mut earlier = PgConnection::connect(&database.url).await.unwrap();
    let join = "select node_id::text from join_feed(4000, 12)";
    let node: String = sqlx::query_scalar(join).fetch_one(&mut earlier).await.unwrap();
    let recorders = watcher.store.evidence(SystemClock.now()).await.unwrap().recorders;
    assert!(recorders.iter().any(|node| matches!(node, Recorder::Mute { .. })), "{recorders:?}");
    assert_eq!(verdict(&watcher.registry, &old, patience).await, Verdict::EvidenceGap);

    let leave = sqlx::query("select leave_feed($1::uuid)").bind(node);
    leave.execute(&mut earlier).await.unwrap();
    let stored = watcher.store.evidence(SystemClock.now()).await.unwrap();
    assert_eq!((stored.gaps.len(), stored.recorders.len()), (2, 1), "{stored:?}");
    assert_eq!(verdict(&watcher.registry, &old, patience).await, Verdict::EvidenceGap);
    // A node of this version leaves none.
    watcher.node.drain().await;
    assert_eq!(database.number("select count(*) from evidence_gap").await, 2);
}

/// Whatever cannot be written waits in memory, with the time at which it happened.
#[tokio::test(flavor = "multi_thread")]
async fn uses_that_cannot_be_written_are_written_later_and_leave_no_gap() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, writing(OFTEN)).await;
        let client = node.client("orders").await;
        node.issue(&client).await.unwrap();
        until(&node.store, &client, |known| known.uses == 1).await;
        let fails = match kind {
            Kind::Postgres => "alter table secret_use rename to hidden",
            Kind::Sqlite => "drop table secret_use",
        };
        let mends = match kind {
            Kind::Postgres => "alter table hidden rename to secret_use".to_owned(),
            Kind::Sqlite => {
                let sql = include_str!("../../../migrations/sqlite/0016_secret_use.sql");
                let begin = sql.find("create table secret_use (").unwrap();
                // Comments have semicolons as well.
                let end = begin + sql[begin..].find("\n)").unwrap();
                let end = end + sql[end..].find(';').unwrap();
                sql[begin..end].to_owned()
            }
        };
        node.database.execute_all(fails).await;
        let used_from = SystemClock.now();
        node.issue(&client).await.unwrap();
        node.issue(&client).await.unwrap();
        let used_until = SystemClock.now();
        tokio::time::sleep(OFTEN * 5).await;
        node.database.execute_all(&mends).await;
        let known = until(&node.store, &client, |known| known.uses >= 2).await;
        let last = known.last_used_at().unwrap();
        assert!(used_from <= last && last <= used_until, "{kind:?}");
        assert_eq!(node.database.number("select count(*) from evidence_gap").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_leaves_a_gap_from_the_newest_row_of_the_backup_on() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let node = TestNode::on(database.shared(), writing(NEVER)).await;
        node.client("orders").await;
        node.node.drain().await;
        let store = database.store();
        let before = store.evidence(SystemClock.now()).await.unwrap().gaps;
        assert_eq!((before.len(), before[0].since), (1, Timestamp::MIN), "{kind:?}");
        let actor = &crate::support::node::operator();
        let finished = store.finish_restore(SystemClock.now(), actor).await.unwrap();
        let after = store.evidence(SystemClock.now()).await.unwrap().gaps;
        let gap = after.iter().find(|gap| gap.since != Timestamp::MIN).unwrap();
        assert_eq!(Some(gap.since), finished.found.newest, "{kind:?}");
        assert!(gap.until > gap.since);
    }
}

/// The node writes only when it stops, so each of these calls would wait for it, and together they
/// would take all permits for administration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_for_evidence_leave_room_for_other_administrators() {
    const WAIT: usize = 4;
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        rotated(&database).await;
        let options = TestNodeOptions { secret_use_interval: NEVER, ..control::options() };
        let node = TestNode::on(database.shared(), options).await;
        let ops = administrator(&node, "ops", &["jeton:read"]).await;
        let token = node.issue(&ops).await.unwrap().access_token;
        let client = ClientServiceClient::new(channel(&node));
        let (answered, mut answers) = mpsc::unbounded_channel();
        let ask = || {
            let (mut client, token) = (client.clone(), token.clone());
            let answered = answered.clone();
            tokio::spawn(async move {
                let list =
                    ListSecretsRequest { client_id: "orders".to_owned(), ..Default::default() };
                let _ = answered.send(client.list_secrets(bearer(&token, list)).await);
            })
        };
        let mut calls: Vec<_> = (0..WAIT).map(|_| ask()).collect();
        // While as many wait, each other one is answered, and says that it does not know.
        for _ in 0..16 {
            calls.push(ask());
            let answer = timeout(Duration::from_secs(10), answers.recv()).await.unwrap().unwrap();
            let secrets = answer.unwrap().into_inner().secrets;
            let verdict = secrets[0].advice.as_ref().unwrap().verdict();
            assert_eq!(verdict, RetirementVerdict::EvidenceGap, "{kind:?}");
        }
        calls.iter().for_each(JoinHandle::abort);
    }
}
