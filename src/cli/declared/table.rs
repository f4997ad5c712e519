//! A table of a file whose keys are known: each is read with its type, and every other key is
//! refused.

use std::{collections::BTreeSet, fmt::Display};

use super::{
    document::{Document, Member, Node, Value, fault, is_null},
    position::Position,
};
use crate::{
    config::nearest,
    domain::{Malformed, is_unprintable},
};

/// A table, and what its messages need.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Table<'a> {
    file: &'a str,
    /// How its keys are reached, such as `client.orders`; empty for the whole file.
    path: String,
    at: Position,
    members: &'a [Member],
}

impl<'a> Table<'a> {
    pub(in crate::cli) fn whole(document: &'a Document) -> anyhow::Result<Self> {
        Self::of(&document.name, String::new(), &document.root)
    }

    fn of(file: &'a str, path: String, node: &'a Node) -> anyhow::Result<Self> {
        match &node.value {
            Value::Table(members) => Ok(Self { file, path, at: node.at, members }),
            // YAML has nothing where a table without keys is meant.
            Value::Plain(text) if is_null(text) => {
                Ok(Self { file, path, at: node.at, members: &[] })
            }
            other => {
                let what = if path.is_empty() { "the file" } else { &path };
                let why = format!("{what} must be a table, and not {}", other.kind());
                Err(fault(file, node.at, why))
            }
        }
    }

    /// Where the table is, as `file:line:column`.
    pub(in crate::cli) fn place(&self) -> String {
        format!("{}:{}", self.file, self.at)
    }

    /// An error about the whole table.
    pub(in crate::cli) fn refuse(&self, why: impl Display) -> anyhow::Error {
        fault(self.file, self.at, why)
    }

    /// Refuses every key that is not among `known`. `hints` has keys that people expect, and what
    /// to do instead.
    pub(in crate::cli) fn check_keys(
        &self,
        known: &[&str],
        hints: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let Some(member) = self.members.iter().find(|member| !known.contains(&&*member.key)) else {
            return Ok(());
        };
        let (key, hint) = (self.path_of(&member.key), hints.iter().find(|(k, _)| *k == member.key));
        if let Some((_, instead)) = hint {
            return Err(fault(
                self.file,
                member.at,
                format!("{key} is not part of a file: {instead}"),
            ));
        }
        let nearest = nearest(known.iter().map(ToString::to_string), &member.key);
        let nearest = nearest.map(|nearest| format!("; did you mean `{nearest}`?"));
        let nearest =
            nearest.unwrap_or_else(|| format!("; the keys here are {}", known.join(", ")));
        Err(fault(self.file, member.at, format!("there is no key `{key}`{nearest}")))
    }

    fn path_of(&self, key: &str) -> String {
        let key = key.escape_debug();
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.members.iter().find(|member| member.key == key).map(|member| &member.node)
    }

    /// The tables below a key, each with its own key.
    pub(in crate::cli) fn tables(&self, key: &str) -> anyhow::Result<Vec<(&'a str, Self)>> {
        let Some(below) = self.table(key)? else { return Ok(Vec::new()) };
        let member = |member: &'a Member| {
            let mut table = Self::of(self.file, below.path_of(&member.key), &member.node)?;
            table.at = member.at;
            Ok((member.key.as_str(), table))
        };
        below.members.iter().map(member).collect()
    }

    pub(in crate::cli) fn table(&self, key: &str) -> anyhow::Result<Option<Self>> {
        self.get(key).map(|node| Self::of(self.file, self.path_of(key), node)).transpose()
    }

    /// A text, as `parse` accepts it.
    pub(in crate::cli) fn text<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Malformed>,
    ) -> anyhow::Result<Option<T>> {
        self.get(key).map(|node| self.text_of(key, node, parse)).transpose()
    }

    /// A number or a text, of which `parse` gets the text.
    pub(in crate::cli) fn number_or_text<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Malformed>,
    ) -> anyhow::Result<Option<T>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let Value::Number(number) = &node.value else { return self.text(key, parse) };
        parse(&number.to_string()).map(Some).map_err(|why| self.wrong(key, node, why))
    }

    /// A number, as `parse` accepts it.
    pub(in crate::cli) fn number<T>(
        &self,
        key: &str,
        parse: impl Fn(i64) -> Result<T, Malformed>,
    ) -> anyhow::Result<Option<T>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let number = match &node.value {
            Value::Number(number) => Some(*number),
            Value::Plain(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.wrong_kind(key, node, "a number"))?;
        parse(number).map(Some).map_err(|why| self.wrong(key, node, why))
    }

    pub(in crate::cli) fn flag(&self, key: &str) -> anyhow::Result<Option<bool>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        match &node.value {
            Value::Flag(flag) => Ok(Some(*flag)),
            Value::Plain(text) if matches!(&**text, "true" | "True" | "TRUE") => Ok(Some(true)),
            Value::Plain(text) if matches!(&**text, "false" | "False" | "FALSE") => Ok(Some(false)),
            _ => Err(self.wrong_kind(key, node, "true or false")),
        }
    }

    /// A list of texts, as `parse` accepts each.
    pub(in crate::cli) fn list<T: Ord>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Malformed>,
    ) -> anyhow::Result<Option<BTreeSet<T>>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let Value::List(nodes) = &node.value else {
            return Err(self.wrong_kind(key, node, "a list of texts"));
        };
        nodes.iter().map(|node| self.text_of(key, node, &parse)).collect::<Result<_, _>>().map(Some)
    }

    /// A table of texts: `parse` gets each key and its value.
    pub(in crate::cli) fn pairs<T>(
        &self,
        key: &str,
        parse: impl Fn(&str, &str) -> Result<T, Malformed>,
    ) -> anyhow::Result<Option<Vec<T>>> {
        let Some(table) = self.table(key)? else { return Ok(None) };
        let pair = |member: &Member| {
            let parsed = |text: &str| parse(&member.key, text);
            table.text_of(&member.key, &member.node, parsed)
        };
        table.members.iter().map(pair).collect::<Result<_, _>>().map(Some)
    }

    fn text_of<T>(
        &self,
        key: &str,
        node: &Node,
        parse: impl Fn(&str) -> Result<T, Malformed>,
    ) -> anyhow::Result<T> {
        let text = match &node.value {
            Value::Text(text) => text,
            Value::Plain(text) if !is_null(text) => text,
            _ => return Err(self.wrong_kind(key, node, "a text in quotes")),
        };
        // An escape in quotes can make one of a file that has none.
        if text.contains(is_unprintable) {
            let why = Malformed("there is a control character or an invisible one in this text");
            return Err(self.wrong(key, node, why));
        }
        parse(text).map_err(|why| self.wrong(key, node, why))
    }

    fn wrong(&self, key: &str, node: &Node, why: Malformed) -> anyhow::Error {
        fault(self.file, node.at, format!("{}: {why}", self.path_of(key)))
    }

    fn wrong_kind(&self, key: &str, node: &Node, wanted: &str) -> anyhow::Error {
        let found = node.value.kind();
        let why = format!("{} must be {wanted}, and not {found}", self.path_of(key));
        fault(self.file, node.at, why)
    }
}
