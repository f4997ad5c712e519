//! Values of a Postgres row.

use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgRow, PgTypeInfo, PgValueRef},
};
use uuid::Uuid;

use super::moment::Moment;
use crate::{
    domain::Timestamp,
    store::row::{BadCell, Cell, Cells, cell},
};

impl Cells for PgRow {
    fn maybe_uuid(&self, column: &'static str) -> Cell<Option<Uuid>> {
        cell(self, column)
    }

    fn maybe_text(&self, column: &'static str) -> Cell<Option<String>> {
        cell(self, column)
    }

    fn maybe_texts(&self, column: &'static str) -> Cell<Option<Vec<String>>> {
        let members: Option<Vec<Option<String>>> = cell(self, column)?;
        let present = members.map(|members| members.into_iter().collect::<Option<Vec<_>>>());
        match present {
            Some(None) => Err(BadCell::new(column, "a member of it is null")),
            Some(Some(members)) => Ok(Some(members)),
            None => Ok(None),
        }
    }

    fn maybe_bytes(&self, column: &'static str) -> Cell<Option<Vec<u8>>> {
        cell(self, column)
    }

    fn maybe_integer(&self, column: &'static str) -> Cell<Option<i64>> {
        Ok(cell::<_, Integer>(self, column)?.map(|Integer(value)| value))
    }

    fn maybe_moment(&self, column: &'static str) -> Cell<Option<Timestamp>> {
        Ok(cell::<_, Moment>(self, column)?.map(|Moment(timestamp)| timestamp))
    }

    fn maybe_flag(&self, column: &'static str) -> Cell<Option<bool>> {
        cell(self, column)
    }
}

/// An integer of any width: `smallint`, `integer` or `bigint`.
struct Integer(i64);

impl Type<Postgres> for Integer {
    fn type_info() -> PgTypeInfo {
        <i64 as Type<Postgres>>::type_info()
    }

    fn compatible(of_type: &PgTypeInfo) -> bool {
        <i64 as Type<Postgres>>::compatible(of_type)
            || <i32 as Type<Postgres>>::compatible(of_type)
            || <i16 as Type<Postgres>>::compatible(of_type)
    }
}

impl Decode<'_, Postgres> for Integer {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        // The decoder reads integers of all three widths.
        <i64 as Decode<Postgres>>::decode(value).map(Self)
    }
}
