//! TOML as a tree of values.

use toml::de::{DeTable, DeValue};

use super::{
    document::{Member, Node, Value},
    position::{Position, Positions},
};

/// Parses a file. The parser refuses a key that stands there twice.
///
/// # Errors
/// The position and what is wrong there.
pub(super) fn parse(text: &str, positions: &Positions<'_>) -> Result<Node, (Position, String)> {
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        (positions.at(offset), error.message().to_owned())
    })?;
    Ok(Node { at: Position::START, value: members(table.into_inner(), positions) })
}

fn members(table: DeTable<'_>, positions: &Positions<'_>) -> Value {
    let members = table.into_iter().map(|(key, value)| {
        let at = positions.at(key.span().start);
        let node = Node {
            at: positions.at(value.span().start),
            value: value_of(value.into_inner(), positions),
        };
        (key.span().start, Member { key: key.into_inner().into_owned(), at, node })
    });
    // As they stand in the file, so that the first fault is told first.
    let mut members: Vec<_> = members.collect();
    members.sort_by_key(|(offset, _)| *offset);
    Value::Table(members.into_iter().map(|(_, member)| member).collect())
}

fn value_of(value: DeValue<'_>, positions: &Positions<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number that is too large"), Value::Number),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(nodes) => {
            let node = |node: toml::Spanned<DeValue<'_>>| Node {
                at: positions.at(node.span().start),
                value: value_of(node.into_inner(), positions),
            };
            Value::List(nodes.into_iter().map(node).collect())
        }
        DeValue::Table(table) => members(table, positions),
    }
}
