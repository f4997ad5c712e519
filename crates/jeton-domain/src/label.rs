//! Labels of clients, by which operators group and find them.

use std::{collections::BTreeMap, fmt};

use super::Malformed;

/// Maximum number of labels of one client.
pub const MAX_LABELS: usize = 32;

/// Key of the label that names the set of a client: the clients that belong to the same files.
pub const SET_LABEL: &str = "jeton/set";

/// Key of the label of a client that no file declares any more: when it may be deleted.
pub const DELETE_AFTER_LABEL: &str = "jeton/delete-after";

/// Maximum length of the value of a label, in bytes.
const MAX_VALUE_LENGTH: usize = 128;

/// Key of a label, such as `team` or `example.com/cost-centre`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelKey(String);

impl LabelKey {
    /// Parses the key of a label.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'-');
        let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !starts_well || text.len() > 63 || !text.bytes().all(allowed) {
            return Err(Malformed(
                "the key of a label is 1 to 63 characters from A-Z a-z 0-9 . _ / -, of which the \
                 first is a letter or a digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One label: `key=value`. A value has the characters of a scope, and may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    key: LabelKey,
    value: String,
}

impl Label {
    /// Parses `key=value`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (key, value) = text
            .split_once('=')
            .ok_or(Malformed("a label reads key=value, such as team=payments"))?;
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if value.len() > MAX_VALUE_LENGTH || !value.bytes().all(allowed) {
            return Err(Malformed(
                "the value of a label is at most 128 printable ASCII characters without space, \
                 quote or backslash",
            ));
        }
        Ok(Self { key: LabelKey::parse(key)?, value: value.to_owned() })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// The labels of a client: at most [`MAX_LABELS`], each key once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<LabelKey, String>);

impl Labels {
    /// Parses a list of `key=value`.
    pub fn parse<I>(texts: I) -> Result<Self, Malformed>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let mut labels = Self::default();
        for text in texts {
            let label = Label::parse(text.as_ref())?;
            if labels.0.contains_key(&label.key) {
                return Err(Malformed("a client has at most one label of each key"));
            }
            labels.set(label)?;
        }
        Ok(labels)
    }

    /// Adds a label, in place of one that has its key.
    pub fn set(&mut self, Label { key, value }: Label) -> Result<(), Malformed> {
        self.0.insert(key, value);
        if self.0.len() > MAX_LABELS {
            return Err(Malformed("there can be at most 32 labels"));
        }
        Ok(())
    }

    /// Removes the label of this key. False if there is none.
    pub fn remove(&mut self, key: &LabelKey) -> bool {
        self.0.remove(key).is_some()
    }

    /// Name of the set that the client belongs to.
    #[must_use]
    pub fn set_name(&self) -> Option<&str> {
        self.get(SET_LABEL)
    }

    /// Value of the label of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(of, _)| of.as_str() == key).map(|(_, value)| value)
    }

    /// Keys and values, in order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelKey, &str)> {
        self.0.iter().map(|(key, value)| (key, value.as_str()))
    }

    /// Each label as `key=value`, in order of the keys.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_names_one_label_and_there_are_at_most_32() {
        let mut labels = Labels::parse(["team=payments", "tier=1", "note="]).unwrap();
        assert_eq!(labels.texts(), ["note=", "team=payments", "tier=1"]);
        labels.set(Label::parse("team=orders").unwrap()).unwrap();
        let key = LabelKey::parse("tier").unwrap();
        assert!(labels.remove(&key) && !labels.remove(&key));
        assert_eq!(labels.texts(), ["note=", "team=orders"]);
        Labels::parse(["team=a", "team=b"]).unwrap_err();
        Labels::parse((0..=MAX_LABELS).map(|n| format!("k{n}="))).unwrap_err();
        Labels::parse((0..MAX_LABELS).map(|n| format!("k{n}="))).unwrap();
    }

    #[test]
    fn what_a_terminal_obeys_is_in_no_label() {
        for text in ["team", "=a", "-a=b", "a b=c", "a=b c", "a=\u{1b}[2J", "a=\u{202e}b", "a=\"b"]
        {
            Label::parse(text).unwrap_err();
        }
        Label::parse(&format!("{}=", "a".repeat(64))).unwrap_err();
        Label::parse(&format!("a={}", "b".repeat(129))).unwrap_err();
    }

    proptest! {
        #[test]
        fn a_label_reads_back_as_it_was_written(text in "[a-z0-9./_-]{0,4}=?[ -~]{0,4}") {
            if let Ok(label) = Label::parse(&text) {
                prop_assert_eq!(label.to_string(), text.as_str());
                prop_assert!(!text.contains([' ', '"', '\\']));
            }
        }
    }
}
