//! Evidence of use reads the same on the database and through a node, and comes in pages.

use std::time::Duration;

use jeton::{
    domain::{Clock, SystemClock},
    node::ControlPlace,
    pb::v1::{
        ErrorReason, ListExpiringSecretsRequest, ListUnusedClientsRequest,
        ListUnusedClientsResponse,
    },
    registry::NewSecret,
    store::Retirement,
};
use prost_types::Duration as ProtoDuration;
use tokio::{task::JoinSet, time::timeout};

use super::ask;
use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    control::{Controlled, options, why},
    node::{Credentials, new_client},
};

const DAY: Duration = Duration::from_hours(24);

/// Nodes of most tests here write soon.
const OFTEN: Duration = Duration::from_millis(200);

/// Clients that nobody uses: more than the command asks for in one page.
const IDLE: usize = 205;

/// A moment as a statement writes it: so many and a half hours ago, so that the hours do not change
/// while a test runs.
fn ago(kind: Kind, hours: u32) -> String {
    match kind {
        Kind::Postgres => format!("now() - interval '{hours} hours 30 minutes'"),
        Kind::Sqlite => format!("(unixepoch() - {}) * 1000000", hours * 3_600 + 1_800),
    }
}

/// What a command printed and its status, without where it worked, the age of the evidence, and the
/// moment of the question.
fn told(arguments: &[&str], place: &[String]) -> (Option<i32>, String) {
    let output = ask(arguments, place);
    let (printed, said) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let is_of_moment = |line: &str| {
        ["\"age_seconds\"", "\"since\""].iter().any(|name| line.trim_start().starts_with(name))
    };
    let is_of_place =
        |line: &str| ["Database: ", "Node: ", "Waiting "].iter().any(|it| line.starts_with(it));
    let printed = printed.lines().filter(|line| !is_of_moment(line));
    let said = said.lines().filter(|line| !is_of_place(line)).map(|line| {
        let is_evidence = line.starts_with("Evidence of use: ");
        if is_evidence { line.rsplit_once(';').unwrap().0 } else { line }
    });
    (output.status.code(), printed.chain(said).collect::<Vec<_>>().join("\n"))
}

/// A node with a control socket, and what was done on its database.
struct World {
    node: TestNode,
    database: Database,
    /// The first secret of `orders`, and the last one.
    first: Credentials,
    last: Option<Credentials>,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let database = Database::ready(kind).await;
        let control = Some(ControlPlace::Socket(database.dir.path().join("control.sock")));
        let options = TestNodeOptions { control, secret_use_interval: OFTEN, ..Default::default() };
        let node = TestNode::on(database.shared(), options).await;
        let first = node.client("orders").await;
        let stock = node.client("stock").await;
        for number in 0..IDLE {
            let idle = new_client(&format!("idle-{number:03}"));
            node.registry.create_client_without_secret(idle).await.unwrap();
        }
        let mut world = Self { node, database, first, last: None };
        let end = SystemClock.now().plus(DAY * 9);
        let soon = || NewSecret { expires_at: Some(end), ..NewSecret::default() };
        world.add(&stock, soon()).await;
        let ending = world.add(&stock, soon()).await;
        world.node.issue(&ending).await.unwrap();
        world.last = world.use_and_end().await;
        world.age().await;
        world
    }

    async fn add(&self, client: &Credentials, new: NewSecret) -> Credentials {
        let client = client.client.clone();
        let added = self.node.registry.add_secret(&client.client_id, new).await.unwrap();
        Credentials { client, secret: added.1 }
    }

    /// Secrets of `orders` in every state: two that are used, three that are refused, and one that
    /// was never used and is going to be retired.
    async fn use_and_end(&self) -> Option<Credentials> {
        let mut more = Vec::new();
        for _ in 0..5 {
            more.push(self.add(&self.first, NewSecret::default()).await);
        }
        self.node.issue(&self.first).await.unwrap();
        self.node.issue(&more[0]).await.unwrap();
        let id = &self.first.client.client_id;
        let ends = [
            (1, Retirement::Retired),
            (2, Retirement::Leaked),
            (4, Retirement::At(SystemClock.now().plus(DAY))),
        ];
        for (at, retirement) in ends {
            let secret = more[at].secret.id();
            self.node.registry.retire_secret(id, secret, retirement).await.unwrap();
        }
        let expired = literal(self.database.kind, &more[3]);
        let expire =
            format!("update client_secret set expires_at = created_at where id = {expired}");
        self.database.execute(&expire).await;
        for ended in &more[1..4] {
            self.node.issue(ended).await.unwrap_err();
        }
        // Three uses, and as many refusals.
        let counted = "select cast(coalesce(sum(uses + refused), 0) as bigint) from secret_use";
        while self.database.number(counted).await < 6 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        more.pop()
    }

    /// Moves what happened to so long ago that each command prints the same hours.
    async fn age(&self) {
        let kind = self.database.kind;
        let (before, lately, created) = (ago(kind, 50), ago(kind, 30), ago(kind, 2_400));
        let statements = format!(
            "update secret_use set first_used_at = {before}, last_used_at = {lately}
                 where last_used_at is not null;
             update secret_use set last_refused_at = {lately} where last_refused_at is not null;
             update secret_source set first_used_at = {before}, last_used_at = {lately};
             insert into secret_source (secret, source, first_used_at, last_used_at, uses)
                 select secret, '10.0.3.9', first_used_at, last_used_at, 1 from secret_source;
             update client set created_at = {created};"
        );
        self.database.execute_all(&statements).await;
        self.database.heard().await;
    }

    /// Asks both ways, with and without `--json`. Returns the status and what was printed as text.
    fn ask(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let socket = format!("unix:{}", self.database.dir.path().join("control.sock").display());
        let remote = ["--server".to_owned(), socket];
        let [_, text] = [&["--json"][..], &[]].map(|format| {
            let arguments = [&["client"][..], arguments, format].concat();
            let (direct, through) =
                (told(&arguments, &self.database.flags()), told(&arguments, &remote));
            assert_eq!(direct, through, "{arguments:?}");
            through
        });
        text
    }
}

/// The id of a secret as a statement writes it.
fn literal(kind: Kind, of: &Credentials) -> String {
    let id = of.secret.id().0;
    match kind {
        Kind::Postgres => format!("'{id}'"),
        Kind::Sqlite => format!("x'{}'", id.simple()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_and_clients_are_judged_the_same_on_the_database_and_through_a_node() {
    for kind in Kind::BOTH {
        let world = World::new(kind).await;
        let (status, young) = world.ask(&["secrets", "orders"]);
        assert_eq!(status, Some(0), "{kind:?}: {young}");
        for part in ["127.0.0.1 +1", "1, last 30 h ago from 127.0.0.1", "too early to tell"] {
            assert!(young.contains(part), "{kind:?}: {part}: {young}");
        }
        for state in ["live", "retiring", "retired", "leaked", "expired"] {
            assert!(young.contains(&format!("\t{state}\t")), "{kind:?}: {state}: {young}");
        }
        let (status, unknown) = world.ask(&["dead", "--since", "35h"]);
        let lines = unknown.lines().filter(|line| line.contains("\tunknown\t")).count();
        assert_eq!((status, lines), (Some(0), IDLE), "{kind:?}: {unknown}");

        // Once uses were counted for long enough.
        let counted = format!("update evidence_gap set until = {}", ago(kind, 50));
        world.database.execute(&counted).await;
        let (_, old) = world.ask(&["secrets", "orders"]);
        assert!(old.contains("safe to retire"), "{kind:?}: {old}");
        for window in ["0", "40h"] {
            world.ask(&["secrets", "orders", "--window", window]);
        }
        let (status, dead) = world.ask(&["dead", "--since", "35h"]);
        let lines = dead.lines().filter(|line| line.contains("\tdead\t")).count();
        assert_eq!((status, lines), (Some(3), IDLE), "{kind:?}: {dead}");
        let (status, nobody) = world.ask(&["dead", "--since", "200d"]);
        assert!(status == Some(0) && nobody.contains("No client is known"), "{kind:?}: {nobody}");

        let (status, expiring) = world.ask(&["expiring", "--within", "11d"]);
        let lines = expiring.lines().filter(|line| line.starts_with("stock\t")).count();
        assert_eq!((status, lines), (Some(3), 2), "{kind:?}: {expiring}");
        assert!(expiring.contains("30 h ago") && expiring.contains("no use counted"), "{expiring}");
        assert_eq!(world.ask(&["expiring", "--within", "0"]).0, Some(0), "{kind:?}");

        // Uses that cannot be read are not taken for none.
        let first = literal(kind, &world.first);
        let last = literal(kind, world.last.as_ref().unwrap());
        let edit = match kind {
            Kind::Postgres => format!(
                "alter table secret_use alter uses drop not null;
                 alter table client_secret alter label drop not null;
                 update secret_use set uses = null where secret = {first};
                 update client_secret set label = null where id = {last};"
            ),
            Kind::Sqlite => format!(
                "update secret_use set last_source = cast(x'ff' as text)
                     where secret = {first};"
            ),
        };
        world.database.execute_all(&edit).await;
        let (status, broken) = world.ask(&["secrets", "orders"]);
        assert!(status == Some(1) && broken.contains("\tunreadable\t"), "{kind:?}: {broken}");
    }
}

const fn seconds(seconds: i64) -> ProtoDuration {
    ProtoDuration { seconds, nanos: 0 }
}

/// Five old clients that nobody uses, each with a secret that expires at the same moment.
async fn five(at: &Controlled) {
    let end = SystemClock.now().plus(DAY);
    for name in ["a", "b", "c", "d", "e"] {
        let client = at.node.client(name).await.client.client_id;
        let secret = NewSecret { expires_at: Some(end), ..NewSecret::default() };
        at.node.registry.add_secret(&client, secret).await.unwrap();
    }
    let database = &at.node.database;
    let (created, counted) = (ago(database.kind, 100), ago(database.kind, 50));
    let old = format!("update client set created_at = {created} where client_id <> 'ops'");
    database.execute(&old).await;
    database.execute(&format!("update evidence_gap set until = {counted}")).await;
}

/// Clients that were not used for 35 hours, two a page.
fn unused(page_token: &str) -> ListUnusedClientsRequest {
    let page_token = page_token.to_owned();
    ListUnusedClientsRequest { unused_for: Some(seconds(35 * 3_600)), page_size: 2, page_token }
}

fn expiring(page_token: &str) -> ListExpiringSecretsRequest {
    let page_token = page_token.to_owned();
    ListExpiringSecretsRequest { within: Some(seconds(2 * 86_400)), page_size: 2, page_token }
}

impl Controlled {
    async fn refuse_unused(&self, asked: ListUnusedClientsRequest, field: &str) {
        let asked = self.ask(asked).await;
        let refused = self.control.clone().list_unused_clients(asked).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, field.to_owned()));
    }

    async fn refuse_expiring(&self, asked: ListExpiringSecretsRequest, field: &str) {
        let asked = self.ask(asked).await;
        let refused = self.control.clone().list_expiring_secrets(asked).await.unwrap_err();
        assert_eq!(why(&refused), (ErrorReason::InvalidRequest, field.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_with_evidence_come_in_pages_that_belong_to_their_request() {
    for kind in Kind::BOTH {
        let options = TestNodeOptions { secret_use_interval: OFTEN, ..options() };
        let at = Controlled::start_with(kind, options).await;
        five(&at).await;
        let mut control = at.control.clone();
        let (mut clients, mut since, mut next) = (Vec::new(), Vec::new(), String::new());
        let mut of_unused = String::new();
        for _ in 0..3 {
            let page = control.list_unused_clients(at.ask(unused(&next)).await).await;
            let page = page.unwrap().into_inner();
            assert!(
                page.known && page.evidence_complete_since_time.is_some(),
                "{kind:?}: {page:?}"
            );
            since.push(page.since_time);
            clients.extend(page.clients.into_iter().map(|client| client.client_id));
            of_unused = std::mem::replace(&mut next, page.next_page_token);
        }
        assert_eq!((clients.join(" "), &*next), ("a b c d e".to_owned(), ""), "{kind:?}");
        assert!(since.iter().all(|moment| moment.is_some() && *moment == since[0]), "{since:?}");

        let (mut secrets, mut of_expiring) = (Vec::new(), String::new());
        for _ in 0..3 {
            let page = control.list_expiring_secrets(at.ask(expiring(&next)).await).await;
            let page = page.unwrap().into_inner();
            secrets.extend(page.secrets.into_iter().map(|secret| secret.secret_id));
            of_expiring = std::mem::replace(&mut next, page.next_page_token);
        }
        let all = at.node.registry.expiring_secrets(DAY * 2).await.unwrap();
        let all: Vec<_> = all.iter().map(|one| one.secret.id.0.to_string()).collect();
        assert_eq!((secrets.len(), &secrets, &*next), (5, &all, ""), "{kind:?}");

        // A token that was altered, or that was made for another request.
        let bent = |token: &str| {
            let end = if token.ends_with('A') { "B" } else { "A" };
            format!("{}{end}", &token[..token.len() - 1])
        };
        for token in ["x", &*bent(&of_unused), &*of_expiring] {
            at.refuse_unused(unused(token), "page_token").await;
        }
        for token in ["x", &*bent(&of_expiring), &*of_unused] {
            at.refuse_expiring(expiring(token), "page_token").await;
        }
        let other = Some(seconds(36 * 3_600));
        at.refuse_unused(
            ListUnusedClientsRequest { unused_for: other, ..unused(&of_unused) },
            "page_token",
        )
        .await;
        at.refuse_expiring(
            ListExpiringSecretsRequest { within: other, ..expiring(&of_expiring) },
            "page_token",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_or_a_page_that_cannot_be_is_refused_by_its_field() {
    let at = Controlled::start(Kind::Sqlite).await;
    for wrong in [-1, 3_155_760_001].map(seconds) {
        let asked = ListUnusedClientsRequest { unused_for: Some(wrong), ..unused("") };
        at.refuse_unused(asked, "unused_for").await;
        let asked = ListExpiringSecretsRequest { within: Some(wrong), ..expiring("") };
        at.refuse_expiring(asked, "within").await;
    }
    let asked = ListUnusedClientsRequest { page_size: -1, ..unused("") };
    at.refuse_unused(asked, "page_size").await;
    at.refuse_expiring(ListExpiringSecretsRequest { page_size: -1, ..expiring("") }, "page_size")
        .await;
}

/// The node writes only when it stops, so each of these calls would wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fifth_call_and_the_second_page_do_not_wait_for_evidence() {
    for kind in Kind::BOTH {
        let at = Controlled::start(kind).await;
        five(&at).await;
        let mut calls = JoinSet::new();
        for _ in 0..5 {
            let (mut control, asked) = (at.control.clone(), at.ask(unused("")).await);
            calls.spawn(async move { control.list_unused_clients(asked).await });
        }
        let is_unknown = |page: &ListUnusedClientsResponse| !page.known && page.clients.len() == 2;
        let limit = Duration::from_secs(10);
        let page = timeout(limit, calls.join_next()).await.unwrap().unwrap().unwrap();
        let page = page.unwrap().into_inner();
        assert!(is_unknown(&page), "{kind:?}: {page:?}");
        let asked = at.ask(unused(&page.next_page_token)).await;
        let mut control = at.control.clone();
        let page = timeout(limit, control.list_unused_clients(asked)).await.unwrap();
        let page = page.unwrap().into_inner();
        assert!(is_unknown(&page), "{kind:?}: {page:?}");
        assert_eq!(page.clients[0].client_id, "c");
        // The others wait on.
        assert!(calls.try_join_next().is_none(), "{kind:?}");
    }
}
