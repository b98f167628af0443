//! What is remembered of a connection: its database, its statements and its portals.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::context::{Carrier, NotUnderstood};
use crate::model::{Attribute, Note, RemoteContext};
use crate::protocol::sql::{self, Dialect, Fields};
use crate::protocol::{Limits, QueryText, Settings};

use super::note;

/// What spans tell of a statement.
#[derive(Debug)]
pub struct Told {
    pub name: Cow<'static, str>,
    pub attributes: Vec<Attribute>,
    /// Why that is not all.
    pub note: Option<Note>,
    /// It consists of several.
    pub several: bool,
    size: usize,
}

/// Things by their name, the oldest of which are forgotten.
#[derive(Debug)]
struct Named {
    all: VecDeque<(Box<[u8]>, Arc<Told>)>,
    limit: usize,
    size: usize,
}

impl Named {
    fn set(&mut self, name: &[u8], told: &Arc<Told>) {
        self.remove(name);
        if self.all.len() >= self.limit
            && let Some((name, told)) = self.all.pop_front()
        {
            self.size -= name.len() + told.size;
        }
        self.size += name.len() + told.size;
        self.all.push_back((name.into(), Arc::clone(told)));
    }

    fn get(&self, name: &[u8]) -> Option<&Arc<Told>> {
        let mut all = self.all.iter().rev();
        all.find(|(other, _)| **other == *name)
            .map(|(_, told)| told)
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(at) = self.all.iter().position(|(other, _)| **other == *name)
            && let Some((name, told)) = self.all.remove(at)
        {
            self.size -= name.len() + told.size;
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Statements {
    /// The database.
    pub namespace: Option<String>,
    /// Backslashes escape in plain strings.
    pub backslashes: bool,
    prepared: Named,
    portals: Named,
}

impl Statements {
    pub fn new(limits: &Limits) -> Self {
        let named = || Named {
            all: VecDeque::new(),
            limit: limits.remembered.max(1),
            size: 0,
        };
        Self {
            namespace: None,
            backslashes: false,
            prepared: named(),
            portals: named(),
        }
    }

    /// What is told of a text.
    pub fn describe(&self, text: &[u8], cut: bool, settings: &Settings) -> (Arc<Told>, Found) {
        let text = match std::str::from_utf8(text) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(text),
        };
        let dialect = self.dialect();
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
            name: Self::name(statement.summary),
            attributes,
            note: cut.then_some(note::STATEMENT_CUT),
            several: statement.statements > 1,
            size: limit.min(text.len()) + 512,
        };
        (Arc::new(told), found(&text, dialect, settings))
    }

    /// What is told of something that has no text.
    pub fn told(&self, name: String, note: Option<Note>) -> Arc<Told> {
        let mut attributes = self.common();
        if !name.is_empty() {
            let operation = name.split(' ').next().unwrap_or_default();
            attributes.push(Attribute::new("db.operation.name", operation.to_owned()));
        }
        Arc::new(Told {
            name: Self::name(name),
            attributes,
            note,
            several: false,
            size: 256,
        })
    }

    fn name(summary: String) -> Cow<'static, str> {
        match summary.is_empty() {
            false => summary.into(),
            true => "postgresql".into(),
        }
    }

    fn common(&self) -> Vec<Attribute> {
        let mut attributes = Vec::with_capacity(8);
        attributes.push(Attribute::new("db.system.name", "postgresql"));
        if let Some(namespace) = &self.namespace {
            attributes.push(Attribute::new("db.namespace", namespace.clone()));
        }
        attributes
    }

    const fn dialect(&self) -> Dialect {
        Dialect::Postgres {
            backslashes: self.backslashes,
        }
    }

    /// A statement is prepared.
    pub fn prepare(&mut self, name: &[u8], told: &Arc<Told>) {
        self.prepared.set(name, told);
    }

    /// A portal is made of a statement.
    pub fn bind(&mut self, portal: &[u8], statement: &[u8]) {
        match self.prepared.get(statement).map(Arc::clone) {
            Some(told) => self.portals.set(portal, &told),
            None => self.portals.remove(portal),
        }
    }

    /// What a portal executes.
    pub fn portal(&self, name: &[u8]) -> Arc<Told> {
        match self.portals.get(name) {
            Some(told) => Arc::clone(told),
            None => self.told(String::new(), Some(note::STATEMENT_UNSEEN)),
        }
    }

    /// A statement is closed.
    pub fn close(&mut self, name: &[u8]) {
        self.prepared.remove(name);
    }

    /// Bytes were lost in which any of them may have been made anew.
    pub fn forget_unnamed(&mut self) {
        self.prepared.remove(b"");
        self.portals.all.clear();
        self.portals.size = 0;
    }

    pub fn memory(&self) -> usize {
        [&self.prepared, &self.portals]
            .iter()
            .map(|named| named.size + named.all.capacity() * size_of::<(Box<[u8]>, Arc<Told>)>())
            .sum()
    }
}

fn sets_password(text: &str) -> bool {
    const PASSWORD: &[u8] = b"password";
    let mut words = text.as_bytes().windows(PASSWORD.len());
    words.any(|word| word.eq_ignore_ascii_case(PASSWORD))
}

/// A context in a statement's comments.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub context: Option<RemoteContext>,
    pub note: Option<Note>,
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
