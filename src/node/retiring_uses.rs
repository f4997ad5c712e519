//! Warnings about retiring secrets that are still used: what uses them will be refused soon.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use crate::{
    credentials::RetiringUses,
    domain::{ClientId, SecretId},
};

/// Interval of the lines about one secret and source.
const TELL: Duration = Duration::from_hours(1);

/// Maximum secrets and sources that are logged per interval.
const MOST: usize = 1_024;

/// What was logged within the interval, and when, by the uptime.
#[derive(Debug, Default)]
pub(super) struct RetiringWatch {
    told: HashMap<(SecretId, Option<IpAddr>), Duration>,
}

impl RetiringWatch {
    /// Logs uses of retiring secrets, each secret and source once an interval.
    pub(super) fn tell(&mut self, used: RetiringUses, uptime: Duration) {
        for (secret, source, client_id) in self.news(used, uptime) {
            let source = source.map(tracing::field::display);
            tracing::warn!(
                %client_id,
                secret_id = %secret.0,
                source,
                "a secret is still used that is being retired; `jeton client secrets` shows more",
            );
        }
    }

    /// What is to be logged now.
    fn news(
        &mut self,
        used: RetiringUses,
        uptime: Duration,
    ) -> Vec<(SecretId, Option<IpAddr>, ClientId)> {
        self.told.retain(|_, told| uptime.saturating_sub(*told) < TELL);
        let mut news = Vec::new();
        for ((secret, source), client_id) in used {
            let is_new = !self.told.contains_key(&(secret, source));
            if is_new && self.told.len() < MOST {
                self.told.insert((secret, source), uptime);
                news.push((secret, source, client_id));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn used(numbers: impl IntoIterator<Item = u128>, source: [u8; 4]) -> RetiringUses {
        let client = ClientId::parse("orders").unwrap();
        let one = |number| {
            ((SecretId(Uuid::from_u128(number)), Some(IpAddr::from(source))), client.clone())
        };
        numbers.into_iter().map(one).collect()
    }

    #[test]
    fn each_secret_and_source_is_logged_once_an_hour() {
        let (mut watch, here, there) = (RetiringWatch::default(), [10, 0, 0, 1], [10, 0, 0, 2]);
        let mut lines = |used, minute| watch.news(used, Duration::from_mins(minute)).len();
        assert_eq!(lines(used([1], here), 0), 1);
        assert_eq!(lines(used([1], here), 59), 0);
        assert_eq!(lines(used([1], there), 59), 1);
        assert_eq!(lines(used([2], here), 59), 1);
        assert_eq!(lines(used([1], here), 60), 1);
    }

    #[test]
    fn the_lines_of_an_hour_are_bounded() {
        let mut watch = RetiringWatch::default();
        let many = || used(0..2_000, [10, 0, 0, 1]);
        assert_eq!(watch.news(many(), Duration::ZERO).len(), MOST);
        assert_eq!(watch.news(many(), Duration::from_mins(59)).len(), 0);
        assert_eq!(watch.news(many(), Duration::from_hours(1)).len(), MOST);
    }
}
