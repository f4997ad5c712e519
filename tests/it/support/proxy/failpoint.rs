//! Lets the k-th statement fail that a node sends. It reads the protocol of Postgres, version 3, so
//! that it is a statement that fails and not whatever came in one piece.

use std::{
    collections::HashMap,
    io,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Notify,
};

/// How a statement fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The database refuses it.
    Refused,
    /// The connection breaks before it.
    CutBefore,
    /// It runs, and the connection breaks before its answer.
    CutAfter,
    /// It runs, and its answer never comes.
    Silence,
}

impl Failure {
    pub(crate) const ALL: [Self; 4] =
        [Self::Refused, Self::CutBefore, Self::CutAfter, Self::Silence];

    /// Whether the statement runs nonetheless.
    pub(crate) const fn runs(self) -> bool {
        matches!(self, Self::CutAfter | Self::Silence)
    }
}

/// How statements begin that nodes send by themselves, and not for a request.
const OF_NO_REQUEST: [&str; 8] = [
    "select end_lease",
    "select require_lease",
    "\n    select set_config",
    "select pg_terminate_backend",
    "LISTEN",
    "select node_id, place from join_feed",
    "select id, kind, subject from change",
    "select renewals, newest, micros from renew_lease",
];

#[derive(Default)]
struct Armed {
    /// The failure, and the number of the statement.
    next: Option<(Failure, usize)>,
    /// What was sent since then, up to the one that failed.
    sent: Vec<String>,
    failed: bool,
}

#[derive(Default)]
pub(crate) struct Failpoint {
    armed: Mutex<Armed>,
    /// The statement that failed ran nonetheless.
    ran: Notify,
}

impl Failpoint {
    fn armed(&self) -> MutexGuard<'_, Armed> {
        self.armed.lock().unwrap()
    }

    /// Lets the `number`th statement from now on fail, counted from 1.
    pub(crate) fn arm(&self, failure: Failure, number: usize) {
        *self.armed() = Armed { next: Some((failure, number)), ..Armed::default() };
    }

    /// Lets nothing fail any more. The statements that were sent meanwhile, and whether the last of
    /// them failed.
    pub(crate) fn disarm(&self) -> (Vec<String>, bool) {
        let Armed { sent, failed, .. } = std::mem::take(&mut *self.armed());
        (sent, failed)
    }

    /// Waits until the database has run the statement that failed.
    pub(crate) async fn ran(&self) {
        self.ran.notified().await;
    }

    /// Counts a statement; how it fails, if it is the one.
    fn count(&self, statement: &str, what: &str) -> Option<Failure> {
        if OF_NO_REQUEST.iter().any(|start| statement.starts_with(start)) {
            return None;
        }
        let mut armed = self.armed();
        if armed.failed {
            return None;
        }
        armed.sent.push(format!("{what} {statement}"));
        let (failure, number) = armed.next?;
        armed.failed = armed.sent.len() == number;
        armed.failed.then_some(failure)
    }

    /// Carries a connection.
    pub(super) async fn pump(
        &self,
        (from_client, to_client): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
        (from_server, to_server): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    ) {
        let unheard = Unheard::default();
        let asked = self.ask(from_client, to_server, &unheard);
        let answered = self.answer(from_server, to_client, &unheard);
        // Whoever ends first ends both.
        let _ = tokio::select! { ended = asked => ended, ended = answered => ended };
    }

    async fn ask(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        unheard: &Unheard,
    ) -> io::Result<()> {
        // The first message has no kind.
        let start = body(&mut from).await?;
        send(&mut to, None, &start).await?;
        let mut prepared = HashMap::<Vec<u8>, String>::new();
        let mut bound = String::new();
        loop {
            let kind = from.read_u8().await?;
            let message = body(&mut from).await?;
            let failure = match kind {
                PARSE => {
                    let (name, rest) = text(&message);
                    let statement = String::from_utf8_lossy(text(rest).0).into_owned();
                    let failure = self.count(&statement, "prepare");
                    prepared.insert(name.to_vec(), statement);
                    failure
                }
                BIND => {
                    let (_, rest) = text(&message);
                    bound = prepared.get(text(rest).0).cloned().unwrap_or_default();
                    None
                }
                EXECUTE => self.count(&bound, "run"),
                QUERY => self.count(&String::from_utf8_lossy(text(&message).0), "run"),
                _ => None,
            };
            match failure {
                None => send(&mut to, Some(kind), &message).await?,
                Some(Failure::CutBefore) => return Ok(()),
                // What is not there and what is no SQL: errors of the database itself, which
                // leave the connection in step.
                Some(Failure::Refused) if kind == EXECUTE => {
                    send(&mut to, Some(kind), b"not there\0\0\0\0\0").await?;
                }
                Some(Failure::Refused) if kind == QUERY => {
                    send(&mut to, Some(kind), b"no SQL\0").await?;
                }
                Some(Failure::Refused) => {
                    let (name, _) = text(&message);
                    send(&mut to, Some(kind), &[name, b"\0no SQL\0\0\0"].concat()).await?;
                }
                Some(failure) => {
                    unheard.since(failure);
                    send(&mut to, Some(kind), &message).await?;
                }
            }
        }
    }

    async fn answer(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        unheard: &Unheard,
    ) -> io::Result<()> {
        loop {
            let kind = from.read_u8().await?;
            let message = body(&mut from).await?;
            if !unheard.is_so.load(Ordering::SeqCst) {
                send(&mut to, Some(kind), &message).await?;
            } else if kind == READY {
                self.ran.notify_one();
                if unheard.is_cut.load(Ordering::SeqCst) {
                    return Ok(());
                }
            }
        }
    }
}

/// Whether the answers on a connection get lost from now on.
#[derive(Default)]
struct Unheard {
    is_so: AtomicBool,
    /// And it is cut at the end of the first one.
    is_cut: AtomicBool,
}

impl Unheard {
    fn since(&self, failure: Failure) {
        self.is_cut.store(failure == Failure::CutAfter, Ordering::SeqCst);
        self.is_so.store(true, Ordering::SeqCst);
    }
}

const PARSE: u8 = b'P';
const BIND: u8 = b'B';
const EXECUTE: u8 = b'E';
const QUERY: u8 = b'Q';
/// The server has done all that it was asked, and committed it.
const READY: u8 = b'Z';

/// What follows the length, which counts itself.
async fn body(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = usize::try_from(from.read_u32().await?).map_err(io::Error::other)?;
    let mut body = vec![0; length - 4];
    from.read_exact(&mut body).await?;
    Ok(body)
}

async fn send(to: &mut (impl AsyncWrite + Unpin), kind: Option<u8>, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    let message: Vec<u8> =
        kind.into_iter().chain(length.to_be_bytes()).chain(body.iter().copied()).collect();
    to.write_all(&message).await
}

/// A text up to its NUL, and what follows.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap();
    (&bytes[..end], &bytes[end + 1..])
}
