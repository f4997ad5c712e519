//! etcd and two members of Patroni on this machine, with synchronous replication. All of it goes
//! away with this process, however that ends.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{
    binary::free_port,
    postgres::{binaries, signal_family, unprivileged},
};

/// How long the cluster may take to be whole again, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_mins(3);

const NAMES: [&str; 2] = ["one", "two"];

/// As a service manager does, it starts Patroni again where it ended, unless its machine is away.
/// At the end of the pipe everything is stopped; what does not stop in time is killed, also a
/// Postgres whose Patroni was killed. A number that is not of a process of ours is left alone.
const GUARD: &str = r#"
supervise() {
    until [ -e stop ]; do
        if [ ! -e "$1/away" ]; then
            patroni "$PWD/$1.yml" >>"$1.log" 2>&1 &
            echo $! >"$1/patroni.pid"
            wait $!
        fi
        [ -e stop ] || sleep 0.3
    done
}
is_ours() { tr '\0' ' ' <"/proc/$1/cmdline" | grep -q "$PWD/$2"; }
etcd --data-dir etcd --listen-client-urls "http://$ETCD" --advertise-client-urls "http://$ETCD" \
    --listen-peer-urls "http://$PEER" --initial-advertise-peer-urls "http://$PEER" \
    --initial-cluster "default=http://$PEER" >etcd.log 2>&1 &
etcd=$!
supervise one &
supervise two &
cat
touch stop
# Signals those that are there; fails if there is none.
patronis() { none=1; for name in one two; do
    pid=$(cat $name/patroni.pid) && is_ours "$pid" "$name.yml" && kill "-$1" "$pid" && none=0
done; return $none; }
postgreses() { none=1; for name in one two; do
    pid=$(head -n 1 $name/data/postmaster.pid) && is_ours "$pid" "$name/data" &&
        kill "-$1" "$pid" && none=0
done; return $none; }
{
    patronis TERM
    for _ in 1 2 3 4 5 6 7 8 9 10; do patronis 0 || break; sleep 0.5; done
    patronis KILL
    postgreses INT
    for _ in 1 2 3 4 5 6 7 8 9 10; do postgreses 0 || break; sleep 0.5; done
    postgreses QUIT
    kill $etcd
} 2>/dev/null
wait
rm -rf "$PWD"
"#;

/// What Patroni is told. It looks each second, so that a run takes minutes and not hours.
const CONFIG: &str = r#"
scope: jeton
name: NAME
restapi: {listen: "REST", connect_address: "REST"}
etcd3: {host: "ETCD"}
bootstrap:
  dcs:
    ttl: 8
    loop_wait: 1
    retry_timeout: 3
    primary_start_timeout: 0
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 100
        shared_buffers: 32MB
        wal_keep_size: 256MB
        wal_log_hints: "on"
        wal_retrieve_retry_interval: 100ms
  initdb: [{encoding: UTF8}, {wal-segsize: "1"}, no-sync]
postgresql:
  listen: "POSTGRES"
  connect_address: "POSTGRES"
  data_dir: HOME/NAME/data
  bin_dir: BINARIES
  pgpass: HOME/NAME/pgpass
  authentication:
    superuser: {username: postgres}
    replication: {username: postgres}
    rewind: {username: postgres}
  parameters: {unix_socket_directories: "HOME/NAME"}
  pg_hba:
    - local all all trust
    - host all all 127.0.0.1/32 trust
    - host replication all 127.0.0.1/32 trust
"#;

/// A machine with Postgres and Patroni.
pub(super) struct Member {
    home: PathBuf,
    /// Of Postgres.
    pub(super) postgres: SocketAddr,
    /// Of Patroni.
    rest: SocketAddr,
}

pub(super) struct Cluster {
    /// Holds the pipe whose end tells everything to stop.
    _guard: Child,
    pub(super) members: [Member; 2],
}

/// Whether there are the programs for it.
pub(super) fn is_installed() -> bool {
    let has = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).exists())
    };
    binaries().is_some() && has("patroni") && has("etcd")
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let binaries = binaries().unwrap();
        let home = tempfile::Builder::new().prefix("jeton-patroni-").tempdir().unwrap().keep();
        let owner = rustix::process::getuid().is_root().then(unprivileged);
        let (etcd, peer) = (free_port(), free_port());
        let members = NAMES.map(|name| {
            let (postgres, rest) = (free_port(), free_port());
            let config = CONFIG
                .replace("NAME", name)
                .replace("HOME", home.to_str().unwrap())
                .replace("BINARIES", binaries.to_str().unwrap())
                .replace("POSTGRES", &postgres.to_string())
                .replace("REST", &rest.to_string())
                .replace("ETCD", &etcd.to_string());
            fs::create_dir(home.join(name)).unwrap();
            fs::write(home.join(format!("{name}.yml")), config).unwrap();
            give(&home.join(name), owner);
            Member { home: home.join(name), postgres, rest }
        });
        give(&home, owner);
        let mut guard = Command::new("sh");
        if let Some((uid, gid)) = owner {
            guard.uid(uid).gid(gid);
        }
        guard.args(["-c", GUARD]).current_dir(&home).stdin(Stdio::piped());
        guard.stdout(Stdio::null()).stderr(Stdio::null());
        // Both take settings from the environment too, which must not be those of somebody else.
        let path = std::env::var_os("PATH").unwrap_or_default();
        guard.env_clear().env("PATH", path).env("HOME", &home).env("LC_ALL", "C.UTF-8");
        guard.env("ETCD", etcd.to_string()).env("PEER", peer.to_string());
        let cluster = Self { _guard: guard.spawn().unwrap(), members };
        cluster.until_whole().await;
        cluster
    }

    /// Which member is the primary; none while there is none.
    pub(super) async fn leader(&self) -> Option<usize> {
        for (number, member) in self.members.iter().enumerate() {
            if member.ask("GET", "/primary", "").await.is_some_and(|(status, _)| status == 200) {
                return Some(number);
            }
        }
        None
    }

    /// Waits until there is a primary with a synchronous standby, and returns it.
    pub(super) async fn until_whole(&self) -> usize {
        self.until("there is a primary with a synchronous standby", async || {
            let leader = self.leader().await?;
            let standby = self.members[1 - leader].ask("GET", "/synchronous", "").await?;
            (standby.0 == 200).then_some(leader)
        })
        .await
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn() -> Option<usize>) -> usize {
        let waiting = async {
            loop {
                if let Some(number) = is_so().await {
                    return number;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| {
            let home = self.members[0].home.parent().unwrap();
            let said = |name: &&str| fs::read_to_string(home.join(format!("{name}.log")));
            let said: Vec<_> = NAMES.iter().flat_map(said).collect();
            let said = said.iter().map(|said| said.lines().rev().take(15).collect::<Vec<_>>());
            panic!("not within {PATIENCE:?}: {what}; {:#?}", said.collect::<Vec<_>>())
        })
    }

    /// Tells Patroni to make the standby the primary.
    pub(super) async fn switch_over(&self, leader: usize) {
        let wish =
            format!(r#"{{"leader": "{}", "candidate": "{}"}}"#, NAMES[leader], NAMES[1 - leader]);
        let told = self.members[leader].ask("POST", "/switchover", &wish).await;
        assert!(told.as_ref().is_some_and(|(status, _)| *status == 200), "{told:?}");
    }

    /// Waits until another member is the primary than this one.
    pub(super) async fn until_not(&self, former: usize) {
        self.until("another one is the primary", async || {
            self.leader().await.filter(|leader| *leader != former)
        })
        .await;
    }
}

/// Gives a folder to the user of the servers.
fn give(path: &Path, owner: Option<(u32, u32)>) {
    if let Some((uid, gid)) = owner {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

impl Member {
    fn pid_in(&self, file: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.home.join(file)).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }

    pub(super) fn kill_postgres(&self) {
        if let Some(parent) = self.pid_in("data/postmaster.pid") {
            signal_family(parent, Signal::KILL);
        }
    }

    pub(super) fn kill_patroni(&self) {
        if let Some(pid) = self.pid_in("patroni.pid") {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// The machine loses its power, and is away until it is there again.
    pub(super) fn go_away(&self) {
        fs::write(self.home.join("away"), "").unwrap();
        self.kill_patroni();
        self.kill_postgres();
    }

    pub(super) fn come_back(&self) {
        fs::remove_file(self.home.join("away")).unwrap();
    }

    /// Status and body of an answer of Patroni's; none if there is no answer.
    async fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}");
        let asked = async {
            let mut stream = TcpStream::connect(self.rest).await.ok()?;
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            let status = answer.split(' ').nth(1)?.parse().ok()?;
            Some((status, answer))
        };
        // A switchover is answered when it is over.
        timeout(Duration::from_secs(30), asked).await.ok()?
    }
}
