//! SQL for an administrator that creates the Postgres roles of nodes and operators.

use crate::domain::Malformed;

/// The script that `jeton migrate --print-roles` prints. All grants are in it and nowhere else.
const ROLES: &str = include_str!("roles.sql");

/// Prefix of the role names. Roles belong to the whole server, so two installations on one server
/// need different prefixes.
#[derive(Debug, Clone)]
pub struct RolePrefix(String);

impl RolePrefix {
    /// Parses a prefix of 1 to 40 lower-case letters, digits and `_`. It is inserted into SQL
    /// without quotes.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
        // Postgres truncates names to 63 bytes, and reserves those that begin with `pg_`.
        if !begins || text.len() > 40 || text.starts_with("pg_") || !text.bytes().all(allowed) {
            return Err(Malformed(
                "a prefix is 1 to 40 characters from a-z 0-9 _, no digit first and not pg_",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns SQL that creates the roles and grants each its privileges. It may be run any number
    /// of times.
    #[must_use]
    pub fn roles_sql(&self) -> String {
        ["owner", "service", "operator", "reader"].iter().fold(ROLES.to_owned(), |sql, role| {
            sql.replace(&format!("jeton_{role}"), &format!("{}{role}", self.0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_in_all_names_and_the_default_changes_nothing() {
        assert_eq!(RolePrefix::parse("jeton_").unwrap().roles_sql(), ROLES);
        let other = RolePrefix::parse("other_").unwrap().roles_sql();
        for role in ["owner", "service", "operator", "reader"] {
            assert!(other.contains(&format!("other_{role}")), "{role}");
            assert!(!other.contains(&format!("jeton_{role}")), "{role}");
        }
    }

    #[test]
    fn a_prefix_cannot_end_a_name_in_sql() {
        for text in ["", "Jeton", "a-b", "a'b", "a\"b", "a b", "1a", "pg_", &"a".repeat(41)] {
            assert!(RolePrefix::parse(text).is_err(), "{text}");
        }
    }
}
