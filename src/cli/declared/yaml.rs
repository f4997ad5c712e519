//! YAML 1.2 as a tree of values. A plain scalar keeps its text, and its field decides what it is:
//! so `no` and `1.10` are texts where a text is wanted. Anchors and tags are refused: they hide
//! what a file says, and an alias of an alias makes a small file a huge one.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::{
    document::{Member, Node, Value},
    position::Position,
};

/// Maximum depth of the tree. A field needs five.
const MAX_DEPTH: usize = 16;

type Fault = (Position, String);

/// Parses a file with one document.
///
/// # Errors
/// The position and what is wrong there.
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader { parser: Parser::new_from_str(text) };
    let mut root = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(_), at) if root.is_some() => {
                return Err((at, "this file has a second document: split it".to_owned()));
            }
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd, _) => {}
            (event, at) => root = Some(reader.node(event, at, 0)?),
        }
    }
    let nothing = Node { at: Position::START, value: Value::Table(Vec::new()) };
    Ok(root.unwrap_or(nothing))
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Position), Fault> {
        match self.parser.next() {
            Some(Ok((event, Span { start, .. }))) => Ok((event, position(start))),
            Some(Err(error)) => Err((position(*error.marker()), error.info().to_owned())),
            None => Ok((Event::StreamEnd, Position::START)),
        }
    }

    /// The value that begins with this event.
    fn node(&mut self, event: Event<'a>, at: Position, depth: usize) -> Result<Node, Fault> {
        let refused = |why: &str| Err((at, why.to_owned()));
        if depth > MAX_DEPTH {
            return refused("this is nested too deeply");
        }
        let value = match event {
            Event::Alias(_) => return refused("aliases are not supported: repeat the value"),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return refused("anchors are not supported: use [defaults], or repeat the value");
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return refused("tags are not supported: write the value without `!`");
            }
            Event::Scalar(text, ScalarStyle::Plain, ..) => Value::Plain(text.into_owned()),
            Event::Scalar(text, ..) => Value::Text(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut nodes = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Value::List(nodes),
                        (event, at) => nodes.push(self.node(event, at, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => self.members(depth)?,
            _ => return refused("a value is missing"),
        };
        Ok(Node { at, value })
    }

    fn members(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut members = Vec::new();
        let mut keys = std::collections::HashSet::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Table(members));
            }
            let (Value::Text(key) | Value::Plain(key)) = self.node(event, at, depth + 1)?.value
            else {
                return Err((at, "a key is a text".to_owned()));
            };
            if !keys.insert(key.clone()) {
                return Err((at, format!("the key `{}` is there twice", key.escape_debug())));
            }
            let (event, value_at) = self.next()?;
            members.push(Member { key, at, node: self.node(event, value_at, depth + 1)? });
        }
    }
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}
