//! What programs write into the comments of their statements: `/*traceparent='00-…'*/`, as the
//! sqlcommenter specification has it.

use std::borrow::Cow;

use super::Dialect;
use super::lexer::{Kind, Lexer};

/// Longest value that is kept, in bytes.
const VALUE_MAX: usize = 1024;

/// Most fields that are kept.
const FIELDS_MAX: usize = 16;

/// The fields in a statement's comments.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields<'a>(Vec<(&'a str, Cow<'a, [u8]>)>);

impl<'a> Fields<'a> {
    /// Those of a text. Statements without such comments cost next to nothing.
    #[must_use]
    pub fn of(text: &'a str, dialect: Dialect) -> Self {
        let mut fields = Vec::new();
        if memchr::memmem::find(text.as_bytes(), b"/*").is_some() {
            for token in Lexer::new(text, dialect) {
                if token.kind == Kind::Comment && token.text.starts_with("/*") {
                    read(token.text, &mut fields);
                }
            }
        }
        Self(fields)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &[u8])> {
        self.0.iter().map(|(name, value)| (*name, value.as_ref()))
    }
}

/// `name='value',name='value'`, in URL encoding.
fn read<'a>(comment: &'a str, fields: &mut Vec<(&'a str, Cow<'a, [u8]>)>) {
    let text = comment.trim_start_matches("/*").trim_end_matches("*/");
    for field in text.split(',') {
        let Some((name, value)) = field.split_once('=') else {
            continue;
        };
        let value = value.trim().strip_prefix('\'');
        let Some(value) = value.and_then(|value| value.strip_suffix('\'')) else {
            continue;
        };
        if fields.len() < FIELDS_MAX && value.len() <= VALUE_MAX {
            fields.push((name.trim(), decoded(value.as_bytes())));
        }
    }
}

fn decoded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'%') {
        return Cow::Borrowed(value);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        let digits = value.get(at + 1..at + 3);
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(decoded)) if byte == b'%' => {
                bytes.push(decoded);
                at += 3;
            }
            _ => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(bytes)
}
