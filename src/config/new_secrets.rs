//! Policy for new client secrets.

use std::{str::FromStr, time::Duration};

use clap::Args;

use super::{Days, OutOfRange};
use crate::domain::Timestamp;

/// Policy for new client secrets. Used by commands that create secrets.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Client secrets")]
pub struct NewSecrets {
    /// Lifetime of a new client secret, in days, unless the command names another; `never` for
    /// secrets that do not expire
    #[arg(long, value_name = "DAYS", env = "JETON_SECRET_LIFETIME_DAYS", default_value = "365")]
    pub secret_lifetime_days: LifetimeDays,
}

/// Lifetime of a secret in days, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifetimeDays(SecretLifetime);

/// How long a secret lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretLifetime {
    /// It expires after this time.
    Limited(Duration),
    /// It does not expire.
    Never,
}

/// Text that stands for no expiry.
pub const NEVER: &str = "never";

/// Error for a text that is neither a lifetime nor `never`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}, or never")]
pub struct NoLifetime(OutOfRange);

impl FromStr for LifetimeDays {
    type Err = NoLifetime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == NEVER {
            return Ok(Self(SecretLifetime::Never));
        }
        let days: Days<1, 36_500> = text.parse().map_err(NoLifetime)?;
        let hours = u64::from(days.get()) * 24;
        Ok(Self(SecretLifetime::Limited(Duration::from_hours(hours))))
    }
}

impl NewSecrets {
    /// Lifetime of a new secret; `None` if it does not expire.
    #[must_use]
    pub const fn lifetime(&self) -> Option<Duration> {
        match self.secret_lifetime_days.0 {
            SecretLifetime::Limited(lifetime) => Some(lifetime),
            SecretLifetime::Never => None,
        }
    }

    /// Expiry of a secret that is created at `now`; `None` if it does not expire. `asked` is the
    /// lifetime that the command names.
    #[must_use]
    pub fn expiry(&self, asked: Option<SecretLifetime>, now: Timestamp) -> Option<Timestamp> {
        match asked.unwrap_or(self.secret_lifetime_days.0) {
            SecretLifetime::Limited(lifetime) => Some(now.plus(lifetime)),
            SecretLifetime::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_applies_unless_the_command_names_a_lifetime() {
        let now = Timestamp::from_unix_micros(0);
        let policy = |text: &str| NewSecrets { secret_lifetime_days: text.parse().unwrap() };
        let day = now.plus(Duration::from_hours(24));
        let one_day = SecretLifetime::Limited(Duration::from_hours(24));
        assert_eq!(policy("1").expiry(None, now), Some(day));
        assert_eq!(policy("never").expiry(None, now), None);
        assert_eq!(policy("never").expiry(Some(one_day), now), Some(day));
        assert_eq!(policy("1").expiry(Some(SecretLifetime::Never), now), None);
        for text in ["0", "36501", "Never", "", "-1"] {
            let refused = text.parse::<LifetimeDays>().unwrap_err().to_string();
            assert_eq!(refused, "must be a whole number from 1 to 36500 days, or never", "{text}");
        }
    }
}
