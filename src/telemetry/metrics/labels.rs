//! Labels of the metrics. Each has a fixed set of values.

use prometheus_client::encoding::EncodeLabelSet;

/// A kind of listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// RPCs over gRPC.
    Grpc,
    /// The same operations over HTTP.
    Http,
    /// RPCs of administrators over gRPC.
    Control,
    /// Metrics and probes.
    Probes,
}

impl ListenerKind {
    /// Whether it speaks gRPC.
    #[must_use]
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::Control)
    }

    /// Name in labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Control => "control",
            Self::Probes => "probes",
        }
    }
}

/// Why a TLS handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The peer closed the connection.
    Closed,
    /// The peer does not accept the certificate of this node, or something else about it.
    Refused,
    /// The certificate of the client is missing or cannot be verified.
    ClientCertificate,
    /// The peer has no version or cipher in common.
    Incompatible,
    /// What the peer sent is not TLS.
    Malformed,
    /// It was not complete in time.
    Timeout,
}

impl HandshakeFailure {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::Closed,
        Self::Refused,
        Self::ClientCertificate,
        Self::Incompatible,
        Self::Malformed,
        Self::Timeout,
    ];

    /// Name in labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::ClientCertificate => "client_certificate",
            Self::Incompatible => "incompatible",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HandshakeLabels {
    pub(super) listener: &'static str,
    pub(super) cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) listener: &'static str,
    pub(super) rpc: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    pub(super) listener: &'static str,
    pub(super) rpc: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ListenerLabels {
    pub(super) listener: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CheckLabels {
    pub(super) lane: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PartLabels {
    pub(super) part: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RoundLabels {
    pub(super) outcome: &'static str,
}
