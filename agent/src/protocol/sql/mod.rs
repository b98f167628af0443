//! What may be told of an SQL statement: its text without literals, and a summary that names what it
//! does to which tables (OpenTelemetry's "Sanitization of `db.query.text`" and "Generating a summary
//! of the query").
//!
//! The text is only lexed, never parsed: it may be cut off, or in a dialect's corner that no parser
//! knows. What cannot be lexed ends the text, so that a literal whose beginning was not recognised is
//! dropped rather than shown.

mod comments;
mod lexer;
mod operation;
#[cfg(test)]
mod properties;
mod summary;
#[cfg(test)]
mod tests;
mod told;

use lexer::{Kind, Lexer, Token};
use summary::Summary;

pub use comments::Fields;
pub use told::{Found, Remembered, Session, Told, query_text};

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL's. `backslashes`: they escape in plain strings too, because
    /// `standard_conforming_strings` is off.
    Postgres {
        /// Whether they do.
        backslashes: bool,
    },
    /// That of MySQL and MariaDB. `backslashes`: they escape in strings, unless the SQL mode
    /// `NO_BACKSLASH_ESCAPES` is on. What stands in `"` is taken for a string in every mode.
    Mysql {
        /// Whether they do.
        backslashes: bool,
    },
    /// Cassandra's CQL.
    Cql,
}

/// What is told of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// The text without comments, with `?` for its literals, of lists in `IN` and `VALUES` only the
    /// first element, and at most as long as was asked for.
    pub sanitized: String,
    /// Operations and their targets, at most [`SUMMARY_MAX`] bytes: `INSERT orders SELECT items`.
    /// Empty where no operation is known.
    pub summary: String,
    /// The operation in upper case, where it is a known one. Of several statements `BATCH`, followed
    /// by their operation where they have the same.
    pub operation: Option<String>,
    /// The table, where there is exactly one.
    pub collection: Option<String>,
    /// The stored procedure that is called.
    pub procedure: Option<String>,
    /// How many statements there are, empty ones not counted.
    pub statements: usize,
}

/// Longest summary, in bytes (semantic conventions: 255 characters).
pub const SUMMARY_MAX: usize = 255;

/// Describes a text of at most `limit` bytes sanitized. `truncated`: it goes on, unseen.
#[must_use]
pub fn describe(text: &str, dialect: Dialect, limit: usize, truncated: bool) -> Statement {
    let mut sanitized = Sanitized::new(text.len().min(limit), limit);
    let mut summary = Summary::new(dialect);
    for token in Lexer::new(whole(text, truncated), dialect) {
        if token.kind != Kind::Comment {
            sanitized.take(&token);
            summary.take(&token);
        }
    }
    let mut statement = summary.finish();
    statement.sanitized = sanitized.text;
    statement
}

/// The text without its last token, which may be cut: half of a UUID looks like a name.
fn whole(text: &str, truncated: bool) -> &str {
    const BETWEEN: &[char] = &[' ', '\t', '\r', '\n', ',', '(', '=', ';'];
    match truncated {
        true => &text[..text.rfind(BETWEEN).map_or(0, |at| at + 1)],
        false => text,
    }
}

/// A list whose elements are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    None,
    /// `IN` came: a list may follow.
    MayBegin,
    /// In the parentheses of `IN`, which have held nothing but values. `first`: where the text of
    /// the first one ends, once it has.
    In {
        first: Option<usize>,
    },
    /// `VALUES` came: a row may follow.
    Row,
    /// In the first row.
    InFirst {
        depth: u32,
    },
    /// Behind a row that ended at `end` of the text.
    After {
        end: usize,
    },
    /// Behind a row and its comma.
    Comma {
        end: usize,
    },
    /// In a further row.
    InFurther {
        end: usize,
        depth: u32,
    },
}

/// The text without literals, as it grows.
struct Sanitized {
    text: String,
    limit: usize,
    /// No more fits.
    full: bool,
    list: List,
    /// The token before was a `:`, as of a cast.
    after_colon: bool,
}

impl Sanitized {
    fn new(capacity: usize, limit: usize) -> Self {
        Self {
            text: String::with_capacity(capacity),
            limit,
            full: false,
            list: List::None,
            after_colon: false,
        }
    }

    fn take(&mut self, token: &Token<'_>) {
        let before = self.text.len();
        self.write(token);
        self.list = match (self.list, token.kind) {
            (List::MayBegin, Kind::Symbol(b'(')) => List::In { first: None },
            (List::In { first }, Kind::Symbol(b')')) => {
                self.collapse(first, ")");
                List::None
            }
            (List::In { first: None }, Kind::Symbol(b',')) if !self.full => List::In {
                first: Some(before),
            },
            (List::In { first }, _) if self.is_value(token) => List::In { first },
            (List::Row, Kind::Symbol(b'(')) => List::InFirst { depth: 0 },
            (List::InFirst { depth: 0 }, Kind::Symbol(b')')) if !self.full => List::After {
                end: self.text.len(),
            },
            (List::InFirst { depth: 0 }, Kind::Symbol(b')')) => List::None,
            (List::InFirst { depth }, kind) => List::InFirst {
                depth: deeper(depth, kind),
            },
            (List::After { end }, Kind::Symbol(b',')) => List::Comma { end },
            (List::Comma { end }, Kind::Symbol(b'(')) => List::InFurther { end, depth: 0 },
            // MySQL also has `VALUES ROW(1), ROW(2)`.
            (List::Comma { .. }, Kind::Word) if token.is("ROW") => self.list,
            (List::Row, Kind::Word) if token.is("ROW") => List::Row,
            (List::InFurther { end, depth: 0 }, Kind::Symbol(b')')) => {
                self.collapse(Some(end), "");
                List::After { end }
            }
            (List::InFurther { end, depth }, kind) => List::InFurther {
                end,
                depth: deeper(depth, kind),
            },
            (_, Kind::Word) if token.is("IN") => List::MayBegin,
            (_, Kind::Word) if token.is("VALUES") || token.is("VALUE") => List::Row,
            _ => List::None,
        };
        self.after_colon = token.kind == Kind::Symbol(b':');
    }

    /// Whether it is part of a list of nothing but values.
    fn is_value(&self, token: &Token<'_>) -> bool {
        match token.kind {
            Kind::Literal | Kind::Parameter => true,
            Kind::Symbol(symbol) => matches!(symbol, b',' | b'-' | b'+' | b':'),
            Kind::Word if self.after_colon => true,
            Kind::Word => ["NULL", "TRUE", "FALSE"].iter().any(|word| token.is(word)),
            Kind::Quoted | Kind::Comment => false,
        }
    }

    fn write(&mut self, token: &Token<'_>) {
        let text = match token.kind {
            Kind::Literal => "?",
            _ => token.text,
        };
        let space = token.spaced && !self.text.is_empty();
        self.full |= self.text.len() + text.len() + usize::from(space) > self.limit;
        if self.full {
            return;
        }
        if space {
            self.text.push(' ');
        }
        self.text.push_str(text);
    }

    /// Leaves out what has come since `end`; if not all of that fitted, nothing else was left out.
    fn collapse(&mut self, end: Option<usize>, close: &str) {
        let Some(end) = end else { return };
        self.text.truncate(end);
        self.full = end + close.len() > self.limit;
        if !self.full {
            self.text.push_str(close);
        }
    }
}

const fn deeper(depth: u32, kind: Kind) -> u32 {
    match kind {
        Kind::Symbol(b'(') => depth + 1,
        Kind::Symbol(b')') => depth - 1,
        _ => depth,
    }
}
