//! The configuration file as a tree that knows where each of its parts stands.
//!
//! Only what a configuration needs of YAML: mappings with plain keys, sequences, scalars. Every
//! scalar stays text; what it means is for the setting to say that reads it, so `on`, `1e3` or
//! `0777` never become something else on the way.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Deeper nesting than any setting has; a file beyond it is a mistake or an attack on the stack.
const DEPTH_MAX: usize = 16;

/// A place in the file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl From<saphyr_parser::Marker> for Mark {
    fn from(marker: saphyr_parser::Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub mark: Mark,
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing was written, or `~` or `null`: as if the key were not there.
    Null,
    /// Text, a number, a truth value: not yet interpreted.
    Scalar(String),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in the order of the file.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it stands.
    pub mark: Mark,
    /// Its text.
    pub name: String,
}

/// The file is not a YAML document of the kind described above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub mark: Mark,
    /// What is wrong.
    pub message: String,
}

impl SyntaxError {
    fn new(mark: impl Into<Mark>, message: impl Into<String>) -> Self {
        Self {
            mark: mark.into(),
            message: message.into(),
        }
    }
}

/// Reads a document. An empty one is [`Value::Null`].
///
/// # Errors
///
/// The first place that is not YAML, or is YAML that no configuration needs (anchors, tags, several
/// documents, a key twice).
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
    };
    let mut root = None;
    loop {
        let (event, mark) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            _ if root.is_some() => {
                return Err(SyntaxError::new(
                    mark,
                    "a second document begins here; one is all that is read",
                ));
            }
            event => root = Some(reader.node(event, mark, 0)?),
        }
    }
    Ok(root.unwrap_or(Node {
        mark: Mark { line: 1, column: 1 },
        value: Value::Null,
    }))
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Mark), SyntaxError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.into())),
            Some(Err(error)) => Err(SyntaxError::new(*error.marker(), error.info())),
            // The parser gives nothing more after the end of the stream, and `parse` stops there.
            None => Ok((Event::StreamEnd, Mark::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, mark: Mark, depth: usize) -> Result<Node, SyntaxError> {
        if depth > DEPTH_MAX {
            return Err(SyntaxError::new(mark, "nested too deeply"));
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_extras(anchor, tag.is_some(), mark)?;
                let plain = style == ScalarStyle::Plain;
                if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Value::Null
                } else {
                    Value::Scalar(text.into_owned())
                }
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_extras(anchor, tag.is_some(), mark)?;
                self.sequence(depth)?
            }
            Event::MappingStart(anchor, tag) => {
                refuse_extras(anchor, tag.is_some(), mark)?;
                self.mapping(depth)?
            }
            Event::Alias(_) => return Err(SyntaxError::new(mark, NO_ANCHORS)),
            _ => return Err(SyntaxError::new(mark, "a value is missing here")),
        };
        Ok(Node { mark, value })
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Sequence(items)),
                (event, mark) => items.push(self.node(event, mark, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, mark) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(Value::Mapping(entries)),
                Event::Scalar(text, _, anchor, tag) => {
                    refuse_extras(anchor, tag.is_some(), mark)?;
                    text.into_owned()
                }
                Event::Alias(_) => return Err(SyntaxError::new(mark, NO_ANCHORS)),
                _ => return Err(SyntaxError::new(mark, "a key must be plain text")),
            };
            if let Some((first, _)) = entries.iter().find(|(key, _)| key.name == name) {
                return Err(SyntaxError::new(
                    mark,
                    format!(
                        "`{name}` is here for the second time (first in line {})",
                        first.mark.line
                    ),
                ));
            }
            let (event, value_mark) = self.next()?;
            let value = self.node(event, value_mark, depth + 1)?;
            entries.push((Key { mark, name }, value));
        }
    }
}

const NO_ANCHORS: &str = "anchors and aliases are not understood here: write the value out";

fn refuse_extras(anchor: usize, tagged: bool, mark: Mark) -> Result<(), SyntaxError> {
    if anchor != 0 {
        return Err(SyntaxError::new(mark, NO_ANCHORS));
    }
    if tagged {
        return Err(SyntaxError::new(
            mark,
            "tags (`!something`) are not understood here",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        let Mark { line, column } = node.mark;
        match &node.value {
            Value::Null => format!("{line}:{column} null"),
            Value::Scalar(text) => format!("{line}:{column} {text:?}"),
            Value::Sequence(items) => {
                let items: Vec<_> = items.iter().map(show).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Mapping(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{}@{}: {}", key.name, key.mark.line, show(value)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    #[test]
    fn documents() {
        for (text, wanted) in [
            ("", "1:1 null"),
            ("# only a comment\n", "1:1 null"),
            (
                "otlp:\n  endpoint: http://h:1\n",
                "{otlp@1: {endpoint@2: 2:13 \"http://h:1\"}}",
            ),
            (
                "a: [x, 'null', \"\"]\nb:\nc: ~\n",
                "{a@1: [1:5 \"x\", 1:8 \"null\", 1:16 \"\"], b@2: 2:2 null, c@3: 3:4 null}",
            ),
            ("---\na: on\n...\n", "{a@2: 2:4 \"on\"}"),
        ] {
            let node = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
            assert_eq!(show(&node), wanted, "{text:?}");
        }
    }

    #[test]
    fn refused() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        for (text, line, part) in [
            ("a: 1\na: 2\n", 2, "second time (first in line 1)"),
            ("a: &x 1\nb: *x\n", 1, "anchors"),
            ("a: !!int 1\n", 1, "tags"),
            ("a: 1\n---\nb: 1\n", 3, "second document"),
            ("[a]: 1\n", 1, "key must be plain"),
            ("a: [1\nb: 2\n", 2, ""),
            ("a: \"open\n", 1, ""),
            (deep.as_str(), 1, "too deeply"),
        ] {
            match parse(text) {
                Err(error) => {
                    assert_eq!(error.mark.line, line, "{text:?}: {error:?}");
                    assert!(error.message.contains(part), "{text:?}: {error:?}");
                }
                Ok(node) => panic!("{text:?} was taken as {}", show(&node)),
            }
        }
    }
}
