//! What a process tells the service manager that started it, by the protocol of systemd
//! (`sd_notify`, `Type=notify`). Without a service manager nothing is sent.

use sd_notify::NotifyState;

/// Tells it that the process serves.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// Tells it that the process drains and will end.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify the service manager at NOTIFY_SOCKET");
    }
}
