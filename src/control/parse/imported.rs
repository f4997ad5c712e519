//! Parses the secrets of a client that is imported.

use prost_types::Timestamp as ProtoTimestamp;

use super::Parsed;
use crate::{
    control::refusal::Refusal,
    domain::{SecretHash, Timestamp, parse_label},
    pb::v1,
    registry::{ImportedProof, ImportedSecret, MAX_IMPORTED_SECRETS},
};

/// The first second that is too late: the year 10000 cannot be stored.
const END: i64 = 253_402_300_800;

/// Parses the secrets of a client, each known by its hash.
pub(in crate::control) fn imported_secrets(
    secrets: &[v1::ImportedSecret],
) -> Parsed<Vec<ImportedSecret>> {
    if secrets.len() > MAX_IMPORTED_SECRETS {
        let remedy = "at most three secrets of a client are taken over: send the newest";
        return Err(Refusal::invalid("secrets", remedy));
    }
    secrets.iter().map(imported_secret).collect()
}

fn imported_secret(secret: &v1::ImportedSecret) -> Parsed<ImportedSecret> {
    let hash = SecretHash::parse_foreign(&secret.secret_hash);
    let expiry = secret.expire_time.map(|end| moment("secrets.expire_time", end));
    Ok(ImportedSecret {
        label: parse_label(&secret.label).map_err(Refusal::of_field("secrets.label"))?,
        proof: ImportedProof::Hash(hash.map_err(Refusal::of_field("secrets.secret_hash"))?),
        expires_at: expiry.transpose()?,
    })
}

/// Parses a moment of the years that can be stored.
pub(in crate::control) fn moment(field: &'static str, of: ProtoTimestamp) -> Parsed<Timestamp> {
    let micros = u32::try_from(of.nanos).ok().map(|nanos| i64::from(nanos / 1_000));
    let micros = micros.filter(|micros| *micros < 1_000_000 && (0..END).contains(&of.seconds));
    let micros = micros.map(|micros| of.seconds * 1_000_000 + micros);
    let invalid = || Refusal::invalid(field, "is a time from 1970 to the year 9999");
    micros.map(Timestamp::from_unix_micros).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::parse::refused;

    const HASH: &str = "$2b$04$abcdefghijklmnopqrstuurv9WxoE/rc/7N6hITQQm7Q4paPVzvXG";

    fn secret(hash: &str) -> v1::ImportedSecret {
        v1::ImportedSecret { secret_hash: hash.to_owned(), ..v1::ImportedSecret::default() }
    }

    #[test]
    fn a_client_has_few_secrets_and_each_is_a_hash_that_a_node_computes() {
        assert_eq!(imported_secrets(&vec![secret(HASH); 3]).unwrap().len(), 3);
        let told = refused(imported_secrets(&vec![secret(HASH); 4])).unwrap();
        assert_eq!(told.0, "secrets");
        for hash in ["", "a secret in clear", &HASH.replace("$04$", "$14$")] {
            let (field, remedy) = refused(imported_secrets(&[secret(hash)])).unwrap();
            assert_eq!(field, "secrets.secret_hash", "{hash}");
            assert!(hash.is_empty() || !remedy.contains(hash), "{remedy}");
        }
        let labelled = v1::ImportedSecret { label: "a\nb".to_owned(), ..secret(HASH) };
        assert_eq!(refused(imported_secrets(&[labelled])).unwrap().0, "secrets.label");
    }

    #[test]
    fn a_moment_can_be_stored() {
        let at = |seconds, nanos| moment("at", ProtoTimestamp { seconds, nanos });
        assert_eq!(at(1, 5_000).unwrap(), Timestamp::from_unix_micros(1_000_005));
        at(END - 1, 999_999_999).unwrap();
        for (seconds, nanos) in [(-1, 0), (END, 0), (i64::MAX, 0), (1, -1), (1, 1_000_000_000)] {
            assert_eq!(refused(at(seconds, nanos)).unwrap().0, "at", "{seconds} {nanos}");
        }
    }
}
