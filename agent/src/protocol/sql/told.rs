//! What spans tell of statements, and which statements are remembered by a name.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use crate::context::{Carrier, NotUnderstood};
use crate::model::{Attribute, Note, RemoteContext};
use crate::protocol::{QueryText, Settings};

use super::{Dialect, Fields};

/// The statement was prepared where nobody saw it.
const STATEMENT_UNSEEN: Note = "statement prepared before tracing";
/// Only the beginning of the statement is known.
const STATEMENT_CUT: Note = "statement cut";

/// What all statements of a connection have in common.
#[derive(Debug)]
pub struct Session {
    /// `db.system.name`.
    pub system: &'static str,
    /// `db.namespace`.
    pub namespace: Option<String>,
    /// Whose SQL it is.
    pub dialect: Dialect,
}

/// What spans tell of a statement.
#[derive(Debug)]
pub struct Told {
    /// Name of the span.
    pub name: Cow<'static, str>,
    /// Attributes.
    pub attributes: Vec<Attribute>,
    /// Why that is not all.
    pub note: Option<Note>,
    /// It consists of several.
    pub several: bool,
    size: usize,
}

impl Session {
    /// What is told of a text, and the context in its comments. `cut`: it goes on, unseen.
    #[must_use]
    pub fn describe(&self, text: &[u8], cut: bool, settings: &Settings) -> (Arc<Told>, Found) {
        let text = String::from_utf8_lossy(text);
        let limit = settings.limits.text;
        let statement = super::describe(&text, self.dialect, limit, cut);
        let mut attributes = self.common();
        let mut add = |key, value: Option<String>| {
            attributes.extend(value.map(|value| Attribute::new(key, value)));
        };
        add("db.operation.name", statement.operation);
        add("db.collection.name", statement.collection);
        add("db.stored_procedure.name", statement.procedure);
        let summary = Some(&statement.summary).filter(|summary| !summary.is_empty());
        add("db.query.summary", summary.cloned());
        add(
            "db.query.text",
            query_text(statement.sanitized, &text, settings),
        );
        if statement.statements > 1 {
            let count = i64::try_from(statement.statements).unwrap_or(i64::MAX);
            attributes.push(Attribute::new("db.operation.batch.size", count));
        }
        let told = Told {
            name: self.name(statement.summary),
            attributes,
            note: cut.then_some(STATEMENT_CUT),
            several: statement.statements > 1,
            size: limit.min(text.len()) + 512,
        };
        let found = Found::of_text(&text, self.dialect, settings);
        (Arc::new(told), found)
    }

    /// What is told of something that has no text. The name begins with the operation; empty where that is
    /// not known.
    #[must_use]
    pub fn without_text(&self, name: &str, note: Option<Note>) -> Arc<Told> {
        let mut attributes = self.common();
        if let Some(operation) = name.split(' ').next().filter(|name| !name.is_empty()) {
            attributes.push(Attribute::new("db.operation.name", operation.to_owned()));
        }
        Arc::new(Told {
            name: self.name(name.to_owned()),
            attributes,
            note,
            several: false,
            size: 256,
        })
    }

    /// What is told of a statement of which only that it was executed was seen.
    #[must_use]
    pub fn unseen(&self) -> Arc<Told> {
        self.without_text("", Some(STATEMENT_UNSEEN))
    }

    fn name(&self, summary: String) -> Cow<'static, str> {
        match summary.is_empty() {
            false => summary.into(),
            true => self.system.into(),
        }
    }

    fn common(&self) -> Vec<Attribute> {
        let mut attributes = Vec::with_capacity(8);
        attributes.push(Attribute::new("db.system.name", self.system));
        if let Some(namespace) = &self.namespace {
            attributes.push(Attribute::new("db.namespace", namespace.clone()));
        }
        attributes
    }
}

/// What is exported of a text: nothing, the text without its literals, or, where all of it is asked for,
/// its beginning. Passwords are not shown even so.
#[must_use]
pub fn query_text(sanitized: String, text: &str, settings: &Settings) -> Option<String> {
    if sanitized.is_empty() {
        return None;
    }
    match settings.query_text {
        QueryText::Off => None,
        QueryText::Full if !sets_password(text) => {
            let end = text.floor_char_boundary(settings.limits.text);
            Some(text[..end].to_owned())
        }
        QueryText::Sanitized | QueryText::Full => Some(sanitized),
    }
}

fn sets_password(text: &str) -> bool {
    let has = |word: &str| {
        let mut words = text.as_bytes().windows(word.len());
        words.any(|one| one.eq_ignore_ascii_case(word.as_bytes()))
    };
    has("password") || has("identified")
}

/// The context that a request names.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// It, if it is understood.
    pub context: Option<RemoteContext>,
    /// Why it is not.
    pub note: Option<Note>,
}

impl Found {
    /// Nothing is said of one.
    pub const NONE: Self = Self {
        context: None,
        note: None,
    };

    /// In a text's comments.
    #[must_use]
    pub fn of_text(text: &str, dialect: Dialect, settings: &Settings) -> Self {
        let fields = Fields::of(text, dialect);
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value));
        Self::of_fields(fields, settings)
    }

    /// In fields, by name and value.
    pub fn of_fields<'a>(
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        settings: &Settings,
    ) -> Self {
        let mut carrier = Carrier::default();
        for (name, value) in fields {
            carrier.set(name, value, settings.context.custom_headers());
        }
        match settings.context.extract(&carrier) {
            Ok(found) => Self {
                context: found.map(|found| found.context),
                note: None,
            },
            Err(NotUnderstood) => Self {
                context: None,
                note: Some(NotUnderstood::NOTE),
            },
        }
    }
}

/// Statements by a name of the connection's, the oldest of which are forgotten.
#[derive(Debug)]
pub struct Remembered {
    all: VecDeque<(Box<[u8]>, Arc<Told>)>,
    limit: usize,
    size: usize,
}

impl Remembered {
    /// At most so many, and at least one.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            all: VecDeque::new(),
            limit: limit.max(1),
            size: 0,
        }
    }

    /// The name is this statement's from now on.
    pub fn set(&mut self, name: &[u8], told: &Arc<Told>) {
        self.remove(name);
        if self.all.len() >= self.limit
            && let Some((name, told)) = self.all.pop_front()
        {
            self.size -= name.len() + told.size;
        }
        self.size += name.len() + told.size;
        self.all.push_back((name.into(), Arc::clone(told)));
    }

    /// The statement that has a name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Told>> {
        let mut all = self.all.iter().rev();
        all.find(|(other, _)| **other == *name)
            .map(|(_, told)| told)
    }

    /// The name is nobody's any more.
    pub fn remove(&mut self, name: &[u8]) {
        if let Some(at) = self.all.iter().position(|(other, _)| **other == *name)
            && let Some((name, told)) = self.all.remove(at)
        {
            self.size -= name.len() + told.size;
        }
    }

    /// No name is.
    pub fn clear(&mut self) {
        self.all.clear();
        self.size = 0;
    }

    /// Bytes of heap memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.size + self.all.capacity() * size_of::<(Box<[u8]>, Arc<Told>)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_by_what_is_asked_for() {
        const SECRET: &str = "CREATE USER u IDENTIFIED BY 'hunter2'";
        const PLAIN: &str = "SELECT 'hunter2'";
        for (asked, text, expected) in [
            (QueryText::Off, PLAIN, None),
            (QueryText::Sanitized, PLAIN, Some("x")),
            (QueryText::Full, PLAIN, Some(PLAIN)),
            (QueryText::Full, SECRET, Some("x")),
            (
                QueryText::Full,
                "alter role a PassWord 'hunter2'",
                Some("x"),
            ),
        ] {
            let settings = Settings {
                query_text: asked,
                ..Settings::default()
            };
            let found = query_text("x".to_owned(), text, &settings);
            assert_eq!(found.as_deref(), expected, "{asked:?}: {text}");
            assert_eq!(query_text(String::new(), text, &settings), None);
        }
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let session = Session {
            system: "mysql",
            namespace: None,
            dialect: Dialect::Cql,
        };
        let told = session.without_text("PREPARE", None);
        let mut remembered = Remembered::new(2);
        for name in [b"a", b"b", b"a", b"c"] {
            remembered.set(name, &told);
        }
        let known = [b"a", b"b", b"c"].map(|name| remembered.get(name).is_some());
        assert_eq!(known, [true, false, true]);
        remembered.remove(b"a");
        assert!(remembered.get(b"a").is_none());
        remembered.remove(b"c");
        assert_eq!(remembered.size, 0);
    }
}
