//! Numbers with a unit and a range. The range is part of the type, so the flag, the environment
//! variable and the file share it, and code that receives such a number need not check it again.

use std::{fmt, marker::PhantomData, str::FromStr, time::Duration};

/// Unit of a [`Quantity`].
pub trait Unit: fmt::Debug + Clone + Copy + PartialEq + Eq + Send + Sync + 'static {
    /// Name of the unit in the plural, with a leading space; empty for a bare count.
    const NAME: &'static str;
}

macro_rules! units {
    ($($unit:ident = $name:literal;)+) => {$(
        #[doc = concat!("Unit whose name in messages is `\"", $name, "\"`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $unit {}

        impl Unit for $unit {
            const NAME: &'static str = $name;
        }
    )+};
}

units! {
    Millisecond = " milliseconds";
    Second = " seconds";
    Day = " days";
    Byte = " bytes";
    Kibibyte = " KiB";
    Mebibyte = " MiB";
    Thing = "";
}

/// A whole number of units from `MIN` to `MAX`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Quantity<U, const MIN: u64, const MAX: u64>(u64, PhantomData<U>);

/// A duration in milliseconds.
pub type Millis<const MIN: u64, const MAX: u64> = Quantity<Millisecond, MIN, MAX>;
/// A duration in seconds.
pub type Seconds<const MIN: u64, const MAX: u64> = Quantity<Second, MIN, MAX>;
/// A duration in days.
pub type Days<const MIN: u64, const MAX: u64> = Quantity<Day, MIN, MAX>;
/// A size in bytes.
pub type Bytes<const MIN: u64, const MAX: u64> = Quantity<Byte, MIN, MAX>;
/// A size in KiB.
pub type Kibibytes<const MIN: u64, const MAX: u64> = Quantity<Kibibyte, MIN, MAX>;
/// A size in MiB.
pub type Mebibytes<const MIN: u64, const MAX: u64> = Quantity<Mebibyte, MIN, MAX>;
/// A bare count, without a unit.
pub type Count<const MIN: u64, const MAX: u64> = Quantity<Thing, MIN, MAX>;

/// Error for a text that is not a whole number within the range. The message states the range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from {min} to {max}{unit}")]
pub struct OutOfRange {
    pub(super) min: u64,
    pub(super) max: u64,
    unit: &'static str,
}

impl<U: Unit, const MIN: u64, const MAX: u64> FromStr for Quantity<U, MIN, MAX> {
    type Err = OutOfRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
        let refused = OutOfRange { min: MIN, max: MAX, unit: U::NAME };
        number.map(|number| Self(number, PhantomData)).ok_or(refused)
    }
}

impl<U: Unit, const MIN: u64, const MAX: u64> fmt::Debug for Quantity<U, MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, U::NAME)
    }
}

impl<const MIN: u64, const MAX: u64> Millis<MIN, MAX> {
    /// The duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Seconds<MIN, MAX> {
    /// The duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// Accessors for the units that callers use as plain numbers. A range that exceeds `u32` is a
/// compile-time error.
macro_rules! small {
    ($($unit:ident),+) => {$(
        impl<const MIN: u64, const MAX: u64> Quantity<$unit, MIN, MAX> {
            const FITS: () = assert!(MAX <= u32::MAX as u64);

            /// The number, without its unit.
            #[must_use]
            #[expect(clippy::cast_possible_truncation, reason = "`FITS` rules truncation out")]
            pub const fn get(self) -> u32 {
                () = Self::FITS;
                self.0 as u32
            }

            /// The number as a `usize`, for capacities and lengths.
            #[must_use]
            pub const fn size(self) -> usize {
                self.get() as usize
            }
        }
    )+};
}

small!(Day, Byte, Kibibyte, Mebibyte, Thing);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_outside_of_its_range_is_refused_with_the_range() {
        let parse = |text: &str| text.parse::<Millis<1, 600_000>>();
        assert_eq!(parse("1").unwrap().duration(), Duration::from_millis(1));
        assert_eq!(parse("600000").unwrap().duration(), Duration::from_mins(10));
        for text in ["0", "600001", "-1", "1.5", "5s", "", " 5", "18446744073709551616"] {
            let refused = parse(text).unwrap_err().to_string();
            assert_eq!(refused, "must be a whole number from 1 to 600000 milliseconds", "{text}");
        }
        let refused = "x".parse::<Count<0, 9>>().unwrap_err().to_string();
        assert_eq!(refused, "must be a whole number from 0 to 9");
        assert_eq!("9".parse::<Count<0, 9>>().unwrap().size(), 9);
    }
}
