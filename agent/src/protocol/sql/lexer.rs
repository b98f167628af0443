//! From a text to its tokens, by the quoting rules of its dialect.
//!
//! PostgreSQL's are in "Lexical Structure" of its manual, MySQL's in "Language Structure", Cassandra's
//! in "Definitions" of CQL.

use super::Dialect;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword, or a name without quotes.
    Word,
    /// A name in quotes.
    Quoted,
    /// A string, a number, or another value.
    Literal,
    /// A place for a value.
    Parameter,
    /// Any other character.
    Symbol(u8),
    /// A comment.
    Comment,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// As it is written.
    pub text: &'a str,
    /// Space or a comment was before it.
    pub spaced: bool,
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }
}

/// The tokens of a text, until its end or what cannot be lexed.
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
    spaced: bool,
    /// The token before may be what a `.` qualifies.
    after_name: bool,
}

impl<'a> Lexer<'a> {
    pub const fn new(text: &'a str, dialect: Dialect) -> Self {
        Self {
            text,
            at: 0,
            dialect,
            spaced: false,
            after_name: false,
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    const fn is_mysql(&self) -> bool {
        matches!(self.dialect, Dialect::Mysql { .. })
    }

    const fn is_postgres(&self) -> bool {
        matches!(self.dialect, Dialect::Postgres { .. })
    }

    const fn backslashes(&self) -> bool {
        match self.dialect {
            Dialect::Postgres { backslashes } | Dialect::Mysql { backslashes } => backslashes,
            Dialect::Cql => false,
        }
    }

    /// What begins here, and how long it is; nothing where it has no end.
    fn token(&self) -> Option<(Kind, usize)> {
        let rest = self.rest();
        let first = *rest.first()?;
        let second = rest.get(1).copied().unwrap_or(0);
        if let Some(length) = self.comment(rest) {
            return Some((Kind::Comment, length?));
        }
        match first {
            b'\'' => Some((Kind::Literal, self.string(0, self.backslashes())?)),
            b'"' if self.is_mysql() => Some((Kind::Literal, self.string(0, self.backslashes())?)),
            b'"' => Some((Kind::Quoted, quoted(rest, b'"', false)?)),
            b'`' if self.is_mysql() => Some((Kind::Quoted, quoted(rest, b'`', false)?)),
            b'$' if self.dialect == Dialect::Cql => Some((Kind::Literal, dollar(rest)?)),
            b'$' if self.is_postgres() && second.is_ascii_digit() => {
                Some((Kind::Parameter, 1 + digits(&rest[1..])))
            }
            b'$' if self.is_postgres() => Some((Kind::Literal, dollar(rest)?)),
            b'?' => Some((Kind::Parameter, 1)),
            b':' if self.dialect == Dialect::Cql && is_name_start(second) => {
                Some((Kind::Parameter, 1 + word(&rest[1..])))
            }
            b'0'..=b'9' => Some((Kind::Literal, self.number(rest))),
            b'.' if second.is_ascii_digit() && (self.spaced || !self.after_name) => {
                Some((Kind::Literal, self.number(rest)))
            }
            _ if is_name_start(first) || first == b'$' => self.word(rest),
            b'\\' | 0..=0x1f | 0x7f => None,
            _ => Some((Kind::Symbol(first), 1)),
        }
    }

    /// The length of a comment that begins here, nothing inside where it has no end.
    fn comment(&self, rest: &[u8]) -> Option<Option<usize>> {
        let line = || {
            let end = memchr::memchr2(b'\n', b'\r', rest);
            Some(Some(end.unwrap_or(rest.len())))
        };
        match (rest[0], rest.get(1)?) {
            (b'/', b'*') => Some(block(rest, self.is_postgres())),
            // MySQL wants space behind it, so that `5--3` is 8.
            (b'-', b'-') if !self.is_mysql() => line(),
            (b'-', b'-') if rest.get(2).is_none_or(|byte| *byte <= b' ') => line(),
            (b'/', b'/') if self.dialect == Dialect::Cql => line(),
            (b'#', _) if self.is_mysql() => line(),
            _ => None,
        }
    }

    /// A string whose quote is `prefix` bytes ahead, and those that continue it: PostgreSQL joins
    /// strings with a line break between them, and reads all as it does the first.
    fn string(&self, prefix: usize, backslashes: bool) -> Option<usize> {
        let rest = self.rest();
        let quote = rest[prefix];
        let mut end = prefix + quoted(&rest[prefix..], quote, backslashes)?;
        while self.is_postgres() {
            let Some(next) = continued(&rest[end..]) else {
                break;
            };
            end += next + quoted(&rest[end + next..], quote, backslashes)?;
        }
        Some(end)
    }

    /// A number and whatever sticks to it: no dialect has a name there that matters.
    fn number(&self, rest: &[u8]) -> usize {
        if self.dialect == Dialect::Cql && is_uuid(rest) {
            return UUID;
        }
        let hexadecimal = rest.get(1).is_some_and(|byte| byte | 0x20 == b'x');
        let mut end = 0;
        while let Some(&byte) = rest.get(end) {
            let signed = matches!(byte, b'+' | b'-')
                && !hexadecimal
                && rest[end - 1] | 0x20 == b'e'
                && rest.get(end + 1).is_some_and(u8::is_ascii_digit);
            if !(is_name(byte) || byte == b'.' || signed) {
                break;
            }
            end += 1;
        }
        end
    }

    fn word(&self, rest: &[u8]) -> Option<(Kind, usize)> {
        let cql = self.dialect == Dialect::Cql;
        if cql && is_uuid(rest) {
            return Some((Kind::Literal, UUID));
        }
        let length = word(rest);
        let name = &rest[..length];
        // Durations as ISO 8601 has them.
        if cql && name[0] | 0x20 == b'p' && name.get(1).is_some_and(u8::is_ascii_digit) {
            return Some((Kind::Literal, self.number(rest)));
        }
        let quote = match rest.get(length) {
            Some(b'\'') => b'\'',
            Some(b'"') if self.is_mysql() => b'"',
            Some(b'&') if self.is_postgres() && name.eq_ignore_ascii_case(b"u") => {
                return match rest.get(length + 1) {
                    // The server refuses it there, and nobody says how a string that continues it reads.
                    Some(b'\'') if self.backslashes() => None,
                    Some(b'\'') => Some((Kind::Literal, self.string(2, false)?)),
                    Some(b'"') => Some((Kind::Quoted, 2 + quoted(&rest[2..], b'"', false)?)),
                    _ => Some((Kind::Word, length)),
                };
            }
            _ => return Some((Kind::Word, length)),
        };
        let backslashes = match name {
            [b'e' | b'E'] if self.is_postgres() => true,
            [b'x' | b'X' | b'b' | b'B' | b'n' | b'N'] => self.backslashes(),
            // A character set.
            [b'_', ..] if self.is_mysql() => self.backslashes(),
            _ => return Some((Kind::Word, length)),
        };
        debug_assert_eq!(rest[length], quote);
        Some((Kind::Literal, self.string(length, backslashes)?))
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.rest();
        let space = rest.iter().take_while(|byte| is_space(**byte)).count();
        self.at += space;
        self.spaced |= space > 0;
        let Some((kind, length)) = self.token() else {
            self.at = self.text.len();
            return None;
        };
        // A token ends where a character does: names take all bytes of those beyond ASCII.
        let Some(text) = self.text.get(self.at..self.at + length) else {
            self.at = self.text.len();
            return None;
        };
        let token = Token {
            kind,
            text,
            spaced: self.spaced,
        };
        self.at += length;
        self.spaced = kind == Kind::Comment;
        self.after_name = matches!(kind, Kind::Word | Kind::Quoted | Kind::Symbol(b')' | b']'));
        Some(token)
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_name(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn word(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| is_name(**byte)).count()
}

fn digits(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The length of what stands in quotes, the quotes included. A quote that is doubled is part of it.
fn quoted(rest: &[u8], quote: u8, backslashes: bool) -> Option<usize> {
    let mut at = 1;
    loop {
        let found = match backslashes {
            true => memchr::memchr2(quote, b'\\', rest.get(at..)?)?,
            false => memchr::memchr(quote, rest.get(at..)?)?,
        };
        at += found + 1;
        let escapes = rest[at - 1] == b'\\' && backslashes;
        if escapes || rest.get(at) == Some(&quote) {
            at += 1;
        } else {
            return Some(at);
        }
    }
}

/// How far ahead the string goes on.
fn continued(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut line_break = false;
    loop {
        match rest.get(at)? {
            b'\n' | b'\r' => line_break = true,
            b'-' if rest.get(at + 1) == Some(&b'-') => {
                at += memchr::memchr2(b'\n', b'\r', &rest[at..])?;
                continue;
            }
            b'\'' if line_break => return Some(at),
            byte if is_space(*byte) => {}
            _ => return None,
        }
        at += 1;
    }
}

/// The length of a string in `$tag$`, or `$$`.
fn dollar(rest: &[u8]) -> Option<usize> {
    let tag = 1 + rest[1..]
        .iter()
        .take_while(|byte| is_name(**byte) && **byte != b'$')
        .count();
    if rest.get(tag) != Some(&b'$') {
        return None;
    }
    let tag = &rest[..=tag];
    let end = memchr::memmem::find(&rest[tag.len()..], tag)?;
    Some(end + 2 * tag.len())
}

/// The length of a comment in `/*` and `*/`.
fn block(rest: &[u8], nests: bool) -> Option<usize> {
    let mut at = 2;
    let mut depth = 1;
    while depth > 0 {
        at += memchr::memchr2(b'*', b'/', rest.get(at..)?)?;
        match (rest[at], rest.get(at + 1)?) {
            (b'*', b'/') => depth -= 1,
            (b'/', b'*') if nests => depth += 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    Some(at)
}

const UUID: usize = 36;

fn is_uuid(rest: &[u8]) -> bool {
    let Some(text) = rest.get(..UUID) else {
        return false;
    };
    let right = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.iter().enumerate().all(right) && rest.get(UUID).is_none_or(|byte| !is_name(*byte))
}
