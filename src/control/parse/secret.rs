//! Parses a change of a secret: the fields that its mask names, and their new values.

use prost_types::{FieldMask, Timestamp as ProtoTimestamp};

use super::{MAX_SECONDS, Parsed};
use crate::{
    control::refusal::Refusal,
    domain::{Timestamp, parse_label},
    pb::v1,
    store::SecretChange,
};

const MASK: &str = "update_mask";
const EXPIRY: &str = "secret.expire_time";

/// Parses which fields of a secret to change at `now`, and their new values.
pub(in crate::control) fn secret_change(
    secret: &v1::Secret,
    mask: Option<FieldMask>,
    now: Timestamp,
) -> Parsed<SecretChange> {
    let mut change = SecretChange::default();
    let paths = mask.unwrap_or_default().paths;
    if paths.is_empty() {
        return Err(Refusal::invalid(MASK, "name the fields to change: label, expire_time"));
    }
    for (index, path) in paths.iter().enumerate() {
        let is_named_twice = match path.as_str() {
            "label" => {
                let label =
                    parse_label(&secret.label).map_err(Refusal::of_field("secret.label"))?;
                change.label.replace(label).is_some()
            }
            "expire_time" => change.expires_at.replace(expiry(secret.expire_time, now)?).is_some(),
            // The path itself is not repeated.
            _ => {
                let remedy = "cannot be changed; those that can be are label and expire_time";
                return Err(Refusal::invalid(MASK, format!("path {}: {remedy}", index + 1)));
            }
        };
        if is_named_twice {
            return Err(Refusal::invalid(MASK, format!("names {path} twice: name it once")));
        }
    }
    Ok(change)
}

/// An expiry to come, within a hundred years.
fn expiry(asked: Option<ProtoTimestamp>, now: Timestamp) -> Parsed<Timestamp> {
    let missing = || Refusal::invalid(EXPIRY, "send the new expiry; it cannot be taken away");
    let ProtoTimestamp { seconds, nanos } = asked.ok_or_else(missing)?;
    let whole = seconds.checked_mul(1_000_000);
    let moment = whole.and_then(|micros| micros.checked_add(i64::from(nanos / 1_000)));
    let moment = moment.map(Timestamp::from_unix_micros);
    let latest = now.plus(std::time::Duration::from_secs(MAX_SECONDS));
    let moment = moment.filter(|moment| *moment > now && *moment <= latest);
    let remedy = "is a time to come, within 100 years: to end the secret now, use RetireSecret";
    moment.ok_or_else(|| Refusal::invalid(EXPIRY, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::parse::refused;

    const NOW: Timestamp = Timestamp::from_unix_micros(1_000_000);

    fn mask(paths: &[&str]) -> FieldMask {
        FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
    }

    fn expiring(seconds: i64) -> v1::Secret {
        let expire_time = Some(ProtoTimestamp { seconds, nanos: 0 });
        v1::Secret { label: "2027".to_owned(), expire_time, ..v1::Secret::default() }
    }

    #[test]
    fn what_the_mask_names_is_changed_and_nothing_else() {
        let change = |paths| secret_change(&expiring(9), Some(mask(paths)), NOW).unwrap();
        let label = Some("2027".to_owned());
        let expires_at = Some(Timestamp::from_unix_micros(9_000_000));
        assert_eq!(change(&["label"]), SecretChange { label: label.clone(), expires_at: None });
        assert_eq!(change(&["expire_time"]), SecretChange { label: None, expires_at });
        assert_eq!(change(&["expire_time", "label"]), SecretChange { label, expires_at });
    }

    #[test]
    fn a_mask_without_a_field_or_with_another_is_refused() {
        for paths in [&[][..], &["*"], &["state"], &["label", "label"], &["expire_time"; 2]] {
            let told = refused(secret_change(&expiring(9), Some(mask(paths)), NOW)).unwrap();
            assert_eq!(told.0, MASK, "{paths:?}");
        }
        assert_eq!(refused(secret_change(&expiring(9), None, NOW)).unwrap().0, MASK);
    }

    #[test]
    fn an_expiry_is_to_come_and_not_too_far_away() {
        for seconds in [i64::MIN, -1, 0, 1, 3_155_760_002, i64::MAX] {
            let told =
                refused(secret_change(&expiring(seconds), Some(mask(&["expire_time"])), NOW));
            assert_eq!(told.unwrap().0, EXPIRY, "{seconds}");
        }
        let none = v1::Secret::default();
        let told = refused(secret_change(&none, Some(mask(&["expire_time"])), NOW)).unwrap();
        assert_eq!(told.0, EXPIRY);
    }
}
