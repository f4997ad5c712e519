//! What was asked and told, and when, by one clock that everybody shares.
//!
//! Clients, secrets and tokens are numbered as they are made, so that a history holds no text.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tonic::Code;

/// Nanoseconds since the history began.
pub(super) type Moment = u64;

/// What was asked. The first three are asked of a node, the others of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Issue,
    Introspect {
        token: u32,
    },
    Revoke {
        token: u32,
    },
    /// The tokens of the client live for so many seconds.
    Create {
        client: u32,
        secret: u32,
        lifetime: u32,
    },
    AddSecret {
        client: u32,
        secret: u32,
    },
    Disable {
        client: u32,
    },
    Enable {
        client: u32,
    },
    Delete {
        client: u32,
    },
    Retire {
        secret: u32,
    },
    Burn {
        secret: u32,
    },
}

/// What was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Issued {
        token: u32,
    },
    Active,
    Inactive,
    /// What was asked for is the case.
    Done,
    /// The caller is not authenticated; nothing was done.
    Refused,
    /// There is no such client, or no such secret.
    Missing,
    /// Come back later. What was done is unknown.
    Failed(Code),
    /// Something that no caller in the right should ever be told.
    Fault(Code),
    /// The answer is about another token than the one asked about.
    Garbled,
}

/// One call, from before it was sent until its answer was there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// The node; none for the registry, which writes to the database itself.
    pub(super) node: Option<usize>,
    /// The secret that the caller presented.
    pub(super) caller: Option<u32>,
    pub(super) asked: Asked,
    pub(super) told: Told,
    pub(super) began: Moment,
    pub(super) ended: Moment,
}

pub(super) struct History {
    start: Instant,
    calls: Mutex<Vec<Call>>,
    /// What was done to the nodes and the database, for whoever reads a violation.
    faults: Mutex<Vec<(Moment, String)>>,
}

impl History {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), calls: Mutex::default(), faults: Mutex::default() }
    }

    pub(super) fn now(&self) -> Moment {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap()
    }

    pub(super) fn add(&self, call: Call) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    pub(super) fn mark(&self, fault: &str) {
        self.faults.lock().unwrap().push((self.now(), fault.to_owned()));
    }

    pub(super) fn faults(&self) -> Vec<(Moment, String)> {
        self.faults.lock().unwrap().clone()
    }

    /// All calls, in the order in which they began.
    pub(super) fn calls(&self) -> Vec<Call> {
        let mut calls = self.calls.lock().unwrap().clone();
        calls.sort_by_key(|call| (call.began, call.ended));
        calls
    }
}
