//! Session settings in the parameter `options`.

use super::error::AddressError;

/// Settings that a node sets itself, because its guarantees or its driver depend on them. They
/// would silently override the URL.
const OWN: [&str; 12] = [
    "statement_timeout",
    "lock_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
    "session_replication_role",
    "client_encoding",
    "datestyle",
    "timezone",
    "extra_float_digits",
];

const FORM: &str =
    "must be settings such as -c search_path=jeton, where a space within a value is written \\%20";
const DURABILITY: &str = "must leave synchronous_commit at on or set it to remote_apply: \
                          otherwise a crash would lose acknowledged commits";

/// Parses settings in the command-line syntax of Postgres: `-c name=value` or `--name=value`.
///
/// # Errors
/// If the syntax is wrong, or if Jeton sets one of the settings itself.
pub(super) fn read(text: &str, name: &'static str) -> Result<Vec<(String, String)>, AddressError> {
    let form = || AddressError::Value { name, rule: FORM };
    let mut settings = Vec::new();
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let assignment = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (None, Some("")) => words.next().ok_or_else(form)?,
            (Some(assignment), _) | (None, Some(assignment)) => assignment.to_owned(),
            (None, None) => return Err(form()),
        };
        let (key, value) = assignment.split_once('=').ok_or_else(form)?;
        settings.push(setting(key, value, name)?);
    }
    Ok(settings)
}

/// Checks one setting.
///
/// # Errors
/// If the name or the value is malformed, or if Jeton sets the setting itself.
pub(super) fn setting(
    key: &str,
    value: &str,
    name: &'static str,
) -> Result<(String, String), AddressError> {
    // Postgres reads a dash as an underscore here, and ignores case.
    let key = key.replace('-', "_").to_ascii_lowercase();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
    // The driver escapes spaces. Other whitespace would end the value.
    let is_odd = |c: char| c != ' ' && (c.is_whitespace() || c.is_control());
    if key.is_empty() || !key.bytes().all(is_name) || value.contains(is_odd) {
        return Err(AddressError::Value { name, rule: FORM });
    }
    if let Some(setting) = OWN.into_iter().find(|own| *own == key) {
        return Err(AddressError::Setting { name, setting });
    }
    if key.starts_with("jeton.") {
        // `jeton.actor` names the actor in the audit trail.
        return Err(AddressError::Setting { name, setting: "jeton.*" });
    }
    if key == "application_name" {
        return Err(AddressError::Value {
            name,
            rule: "must leave application_name to the \
            parameter of that name",
        });
    }
    if key == "synchronous_commit" && !["on", "remote_apply"].contains(&value) {
        return Err(AddressError::Value { name, rule: DURABILITY });
    }
    Ok((key, value.to_owned()))
}

/// Splits a line at its spaces, except those after a backslash.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let is_escape = character == '\\';
        let plain = if is_escape { characters.next() } else { Some(character) };
        word.get_or_insert_default().extend(plain);
    }
    words.extend(word);
    words
}
