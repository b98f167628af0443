//! What is remembered of a connection: its database and its statements.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::context::{Carrier, NotUnderstood};
use crate::model::{Attribute, Note, RemoteContext};
use crate::protocol::sql::{self, Dialect, Fields};
use crate::protocol::{Limits, QueryText, Settings};

use super::note;

/// What spans tell of a request.
#[derive(Debug)]
pub struct Told {
    pub name: Cow<'static, str>,
    pub attributes: Vec<Attribute>,
    /// Why that is not all.
    pub note: Option<Note>,
    size: usize,
}

/// A context in a statement's comments.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub context: Option<RemoteContext>,
    pub note: Option<Note>,
}

/// See the module.
#[derive(Debug)]
pub struct Statements {
    /// `mysql` or `mariadb`.
    pub system: &'static str,
    /// The database.
    pub namespace: Option<String>,
    /// Backslashes escape in strings.
    pub backslashes: bool,
    /// Prepared ones by their id, the oldest of which are forgotten.
    prepared: VecDeque<(u32, Arc<Told>)>,
    /// The one that was prepared last: MariaDB's clients may execute it before they know its id.
    pub last: Option<Arc<Told>>,
    size: usize,
    limit: usize,
}

/// MariaDB's id of the statement that was prepared last.
const LAST: u32 = u32::MAX;

impl Statements {
    pub fn new(limits: &Limits) -> Self {
        Self {
            system: "mysql",
            namespace: None,
            backslashes: true,
            prepared: VecDeque::new(),
            last: None,
            size: 0,
            limit: limits.remembered.max(1),
        }
    }

    /// What is told of a text.
    pub fn describe(&self, text: &[u8], cut: bool, settings: &Settings) -> (Arc<Told>, Found) {
        let text = String::from_utf8_lossy(text);
        let dialect = Dialect::Mysql {
            backslashes: self.backslashes,
        };
        let limit = settings.limits.text;
        let statement = sql::describe(&text, dialect, limit, cut);
        let mut attributes = self.common();
        let mut add = |key, value: String| attributes.push(Attribute::new(key, value));
        if let Some(operation) = statement.operation {
            add("db.operation.name", operation);
        }
        if let Some(collection) = statement.collection {
            add("db.collection.name", collection);
        }
        if let Some(procedure) = statement.procedure {
            add("db.stored_procedure.name", procedure);
        }
        if !statement.summary.is_empty() {
            add("db.query.summary", statement.summary.clone());
        }
        match settings.query_text {
            QueryText::Off => {}
            _ if statement.sanitized.is_empty() => {}
            QueryText::Sanitized => add("db.query.text", statement.sanitized),
            // Passwords are not shown even so.
            QueryText::Full if sets_password(&text) => add("db.query.text", statement.sanitized),
            QueryText::Full => {
                let end = text.floor_char_boundary(limit);
                add("db.query.text", text[..end].to_owned());
            }
        }
        if statement.statements > 1 {
            let count = i64::try_from(statement.statements).unwrap_or(i64::MAX);
            attributes.push(Attribute::new("db.operation.batch.size", count));
        }
        let told = Told {
            name: self.name(statement.summary),
            attributes,
            note: cut.then_some(note::STATEMENT_CUT),
            size: limit.min(text.len()) + 512,
        };
        (Arc::new(told), found(&text, dialect, settings))
    }

    /// What is told of something that has no text.
    pub fn told(&self, name: &str, note: Option<Note>) -> Arc<Told> {
        let mut attributes = self.common();
        if !name.is_empty() {
            attributes.push(Attribute::new("db.operation.name", name.to_owned()));
        }
        Arc::new(Told {
            name: self.name(name.to_owned()),
            attributes,
            note,
            size: 256,
        })
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

    /// A statement is prepared.
    pub fn prepare(&mut self, id: u32, told: &Arc<Told>) {
        self.close(id);
        if self.prepared.len() >= self.limit
            && let Some((_, told)) = self.prepared.pop_front()
        {
            self.size -= told.size;
        }
        self.size += told.size;
        self.prepared.push_back((id, Arc::clone(told)));
    }

    /// The statement with an id.
    pub fn get(&self, id: Option<u32>) -> Arc<Told> {
        let told = match id {
            Some(LAST) => self.last.as_ref(),
            Some(id) => {
                let mut all = self.prepared.iter().rev();
                all.find(|(other, _)| *other == id).map(|(_, told)| told)
            }
            None => None,
        };
        told.map_or_else(|| self.told("", Some(note::STATEMENT_UNSEEN)), Arc::clone)
    }

    /// A statement is closed.
    pub fn close(&mut self, id: u32) {
        if let Some(at) = self.prepared.iter().position(|(other, _)| *other == id)
            && let Some((_, told)) = self.prepared.remove(at)
        {
            self.size -= told.size;
        }
    }

    /// All are closed.
    pub fn clear(&mut self) {
        self.prepared.clear();
        self.last = None;
        self.size = 0;
    }

    pub fn memory(&self) -> usize {
        self.size + self.prepared.capacity() * size_of::<(u32, Arc<Told>)>()
    }
}

/// The database that a statement changes to.
pub fn used(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (word, rest) = text.split_once(char::is_whitespace)?;
    let name = rest.trim_matches(|one: char| one.is_whitespace() || one == ';');
    let name = match name.strip_prefix('`') {
        Some(quoted) => quoted.strip_suffix('`')?,
        None if name.contains(|one: char| one.is_whitespace() || one == ';') => return None,
        None => name,
    };
    (word.eq_ignore_ascii_case("use") && !name.is_empty() && name.len() <= NAME_MAX)
        .then(|| name.to_owned())
}

/// Longest name of a database, in bytes: 64 characters.
pub const NAME_MAX: usize = 256;

fn sets_password(text: &str) -> bool {
    let has = |word: &str| {
        let mut words = text.as_bytes().windows(word.len());
        words.any(|one| one.eq_ignore_ascii_case(word.as_bytes()))
    };
    has("password") || has("identified")
}

fn found(text: &str, dialect: Dialect, settings: &Settings) -> Found {
    let fields = Fields::of(text, dialect);
    let mut carrier = Carrier::default();
    for (name, value) in fields.iter() {
        carrier.set(name.as_bytes(), value, settings.context.custom_headers());
    }
    match settings.context.extract(&carrier) {
        Ok(found) => Found {
            context: found.map(|found| found.context),
            note: None,
        },
        Err(NotUnderstood) => Found {
            context: None,
            note: Some(note::CONTEXT_INVALID),
        },
    }
}
