//! Limits of the batches in front of the store.

use std::time::Duration;

use super::batcher::BatchLimits;

/// Maximum callers of one statement. A larger batch takes longer and gains nothing.
const LARGEST: usize = 512;

/// Timeout of a batch. Shorter than the timeout of its callers, so that they receive its error.
const PATIENCE: Duration = Duration::from_secs(2);

/// Limits of the batches that record tokens. A few concurrent statements keep a slow disk busy, but
/// a further one starts only for a full batch, because smaller batches mean more commits. With an
/// `overlap` of 64, the database spent a third more CPU time per token and recorded no more tokens.
pub(super) const RECORDING: BatchLimits = BatchLimits {
    waiting: 4_096,
    largest: LARGEST,
    statements: 4,
    overlap: LARGEST,
    patience: PATIENCE,
};

/// Limits of the batches that look tokens up.
pub(super) const LOOKING_UP: BatchLimits = BatchLimits {
    waiting: 4_096,
    largest: LARGEST,
    statements: 4,
    overlap: 16,
    patience: PATIENCE,
};

/// Limits of the batches that revoke tokens. One lock puts all changes in order, so a second
/// statement would only wait for the first. The lock is held for the whole batch, which is smaller
/// than others so that nobody waits long for it.
pub(super) const REVOKING: BatchLimits = BatchLimits {
    waiting: 4_096,
    largest: 128,
    statements: 4,
    overlap: 128,
    // Longer than the server waits for the lock, so that its error is reported.
    patience: Duration::from_secs(3),
};

/// Limits of the waits for the other nodes. A wait that began before a caller's change does not
/// count for that change, so a few overlap. The wait for a node that died is longer than any
/// statement, and the store itself limits it.
pub(super) const SETTLING: BatchLimits = BatchLimits {
    waiting: 4_096,
    largest: 4_096,
    statements: 4,
    overlap: 1,
    patience: Duration::MAX,
};
