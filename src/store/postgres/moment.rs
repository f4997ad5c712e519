//! Encoding of moments for Postgres.
//!
//! The decoder of sqlx panics on every moment outside the range of its own type, including
//! `infinity`, which operators write for "never". This decoder accepts every value of Postgres and
//! clamps it to the range of [`Timestamp`].

use sqlx::{
    Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef},
    types::time::OffsetDateTime,
};

use crate::domain::Timestamp;

/// Epoch of Postgres, the start of the year 2000 in UTC, in microseconds after 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// `infinity` and `-infinity` in the binary format of Postgres.
const INFINITY: i64 = i64::MAX;
const MINUS_INFINITY: i64 = i64::MIN;

/// Earliest moment of Postgres, 4714-11-24 BC. Postgres accepts every later moment that a
/// [`Timestamp`] can hold.
const FIRST: i64 = -211_813_488_000_000_000;

/// A moment in a column of type `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

impl Moment {
    /// Converts from the microseconds of Postgres.
    const fn from_postgres(micros: i64) -> Self {
        Self(match micros {
            INFINITY => Timestamp::MAX,
            MINUS_INFINITY => Timestamp::MIN,
            finite => Timestamp::from_unix_micros(finite.saturating_add(EPOCH)),
        })
    }

    /// Converts to the microseconds of Postgres. The ends of [`Timestamp`], and moments before
    /// [`FIRST`], become infinite.
    pub(super) const fn to_postgres(self) -> i64 {
        match self.0.unix_micros() {
            i64::MAX => INFINITY,
            finite if finite >= FIRST + EPOCH => finite - EPOCH,
            _ => MINUS_INFINITY,
        }
    }
}

impl Type<Postgres> for Moment {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Moment {
    fn array_type_info() -> PgTypeInfo {
        OffsetDateTime::array_type_info()
    }
}

impl Encode<'_, Postgres> for Moment {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.to_postgres().to_be_bytes());
        Ok(IsNull::No)
    }

    fn size_hint(&self) -> usize {
        size_of::<i64>()
    }
}

impl Decode<'_, Postgres> for Moment {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                Ok(Self::from_postgres(i64::from_be_bytes(value.as_bytes()?.try_into()?)))
            }
            PgValueFormat::Text => Err("a moment is decoded from binary format only".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_are_infinite_and_moments_are_counted_from_2000() {
        let read = |micros| Moment::from_postgres(micros).0;
        assert_eq!((read(i64::MAX), read(i64::MIN)), (Timestamp::MAX, Timestamp::MIN));
        assert_eq!(read(0).to_string(), "2000-01-01T00:00:00Z");
        assert_eq!(read(FIRST).to_string(), "-004713-11-24T00:00:00Z");
        // The latest moment of Postgres, in the year 294276, is out of range and becomes the end.
        assert_eq!(read(9_223_371_331_199_999_999), Timestamp::MAX);
        let written = |micros| Moment(Timestamp::from_unix_micros(micros)).to_postgres();
        assert_eq!((written(i64::MAX), written(i64::MIN)), (i64::MAX, i64::MIN));
        assert_eq!((written(0), written(EPOCH)), (-EPOCH, 0));
        assert_eq!((written(FIRST + EPOCH), written(FIRST + EPOCH - 1)), (FIRST, i64::MIN));
        assert_eq!(written(i64::MAX - 1), i64::MAX - 1 - EPOCH);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_or_is_an_end(micros: i64) {
            let (moment, stored) = (Moment(Timestamp::from_unix_micros(micros)), micros);
            let read = Moment::from_postgres(moment.to_postgres());
            prop_assert!(read == moment || read.0 == Timestamp::MIN && micros < FIRST + EPOCH);
            // Every stored value can be read.
            let Moment(read) = Moment::from_postgres(stored);
            prop_assert!(read.unix_micros() >= stored);
        }
    }
}
