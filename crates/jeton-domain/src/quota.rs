//! The quota of a client: how fast tokens may be issued to it, and how many of them may live.

use std::time::Duration;

use super::Malformed;

/// One limit of a quota: 1 to 1,000,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaLimit(u32);

impl QuotaLimit {
    /// The largest limit, which no client reaches.
    pub const MAX: Self = Self(1_000_000_000);

    /// A limit of `number`, which must be within the range.
    pub fn new(number: i64) -> Result<Self, Malformed> {
        let number = u32::try_from(number).ok().filter(|number| (1..=Self::MAX.0).contains(number));
        number.map(Self).ok_or(Malformed("a limit of a quota is 1 to 1000000000"))
    }

    /// Parses a limit.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Self::new(text.parse().unwrap_or(0))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The limits that apply to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Tokens per second that may be issued to it for as long as it likes.
    pub tokens_per_second: QuotaLimit,
    /// Tokens that may be issued to it at once after a pause.
    pub burst: QuotaLimit,
    /// Tokens of it that may live at the same time.
    pub live_tokens: QuotaLimit,
}

/// The limits that an operator set for one client. The defaults of the node apply in place of those
/// that are `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientQuota {
    /// See [`Quota::tokens_per_second`].
    pub tokens_per_second: Option<QuotaLimit>,
    /// See [`Quota::burst`].
    pub burst: Option<QuotaLimit>,
    /// See [`Quota::live_tokens`].
    pub live_tokens: Option<QuotaLimit>,
}

impl ClientQuota {
    /// Limits that no client reaches.
    pub const UNLIMITED: Self = Self {
        tokens_per_second: Some(QuotaLimit::MAX),
        burst: Some(QuotaLimit::MAX),
        live_tokens: Some(QuotaLimit::MAX),
    };

    /// The limits that apply on a node with these defaults.
    #[must_use]
    pub fn over(self, defaults: Quota) -> Quota {
        Quota {
            tokens_per_second: self.tokens_per_second.unwrap_or(defaults.tokens_per_second),
            burst: self.burst.unwrap_or(defaults.burst),
            live_tokens: self.live_tokens.unwrap_or(defaults.live_tokens),
        }
    }
}

/// A change of one limit of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LimitChange {
    /// The limit stays as it is.
    #[default]
    Keep,
    /// The default of the node applies.
    UseDefault,
    /// The client gets this limit.
    Set(QuotaLimit),
}

impl LimitChange {
    /// Parses a limit, or `default`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "default" => Ok(Self::UseDefault),
            _ => QuotaLimit::parse(text)
                .map(Self::Set)
                .map_err(|_| Malformed("a limit of a quota is 1 to 1000000000, or `default`")),
        }
    }

    /// The limit to store; `None` for the default of the node, and if nothing is to be stored.
    #[must_use]
    pub const fn limit(self) -> Option<QuotaLimit> {
        match self {
            Self::Keep | Self::UseDefault => None,
            Self::Set(limit) => Some(limit),
        }
    }
}

/// A change of the limits of one client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaChange {
    /// See [`Quota::tokens_per_second`].
    pub tokens_per_second: LimitChange,
    /// See [`Quota::burst`].
    pub burst: LimitChange,
    /// See [`Quota::live_tokens`].
    pub live_tokens: LimitChange,
}

/// Sets all limits.
impl From<ClientQuota> for QuotaChange {
    fn from(quota: ClientQuota) -> Self {
        let set = |limit: Option<_>| limit.map_or(LimitChange::UseDefault, LimitChange::Set);
        Self {
            tokens_per_second: set(quota.tokens_per_second),
            burst: set(quota.burst),
            live_tokens: set(quota.live_tokens),
        }
    }
}

/// What a node does about a client that exceeds its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaMode {
    /// It does not count.
    Off,
    /// It counts and logs, and refuses nothing.
    Monitor,
    /// It refuses.
    Enforce,
}

/// One of the two limits of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaKind {
    /// The token bucket: rate and burst.
    Rate,
    /// The ceiling of live tokens.
    Live,
}

impl QuotaKind {
    /// All limits.
    pub const ALL: [Self; 2] = [Self::Rate, Self::Live];

    /// Name in metrics, in the log and in the `RateLimit` fields.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Live => "live",
        }
    }

    /// Text of the refusal of a client that exceeds it.
    #[must_use]
    pub const fn refusal(self) -> &'static str {
        match self {
            Self::Rate => {
                "the client requests tokens faster than its quota allows; use each token until it \
                 expires"
            }
            Self::Live => {
                "the client has as many live tokens as its quota allows; use each token until it \
                 expires"
            }
        }
    }
}

/// State of one limit, as the `RateLimit` fields report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState {
    /// Tokens per window.
    pub limit: u32,
    /// Length of the window.
    pub window: Duration,
    /// Tokens that may be issued now.
    pub remaining: u32,
    /// Time until the whole limit is free again, if no more tokens are issued.
    pub reset: Duration,
}

impl LimitState {
    /// How much of the limit is used, in percent.
    #[must_use]
    pub const fn percent(&self) -> u32 {
        let used = self.limit.saturating_sub(self.remaining) as u64 * 100;
        #[expect(clippy::cast_possible_truncation, reason = "at most 100")]
        let percent = (used / if self.limit == 0 { 1 } else { self.limit as u64 }) as u32;
        percent
    }
}

/// State of the quota of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaState {
    /// The token bucket.
    pub rate: LimitState,
    /// The ceiling of live tokens.
    pub live: LimitState,
}

impl QuotaState {
    /// State of one limit.
    #[must_use]
    pub const fn of(&self, kind: QuotaKind) -> LimitState {
        match kind {
            QuotaKind::Rate => self.rate,
            QuotaKind::Live => self.live,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_bounded_on_both_sides() {
        for (text, parsed) in [("1", Some(1)), ("1000000000", Some(1_000_000_000))] {
            assert_eq!(QuotaLimit::parse(text).ok().map(QuotaLimit::get), parsed);
        }
        for text in ["", "0", "-1", "1000000001", "1.5", "many", "99999999999999999999"] {
            QuotaLimit::parse(text).unwrap_err();
        }
    }

    #[test]
    fn a_limit_of_a_client_goes_before_the_default() {
        let limit = |number| QuotaLimit::new(number).unwrap();
        let defaults =
            Quota { tokens_per_second: limit(50), burst: limit(500), live_tokens: limit(1_000) };
        assert_eq!(ClientQuota::default().over(defaults), defaults);
        let own = ClientQuota { burst: Some(limit(7)), ..ClientQuota::default() };
        assert_eq!(own.over(defaults), Quota { burst: limit(7), ..defaults });
    }

    #[test]
    fn the_used_share_is_rounded_down() {
        let of = |limit, remaining| {
            let (window, reset) = (Duration::from_secs(1), Duration::ZERO);
            LimitState { limit, window, remaining, reset }.percent()
        };
        assert_eq!([of(3, 3), of(3, 1), of(3, 0)], [0, 66, 100]);
        assert_eq!(of(1_000_000_000, 1), 99);
    }
}
