//! What spans tell of statements, and which of them are prepared.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::mem::size_of;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::Settings;
use super::super::sql::{self, Dialect};
use super::note;
use crate::model::{Attribute, Note};

/// What is told of a statement, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Operation and targets; empty where they are not known.
    pub summary: String,
    pub operation: Option<Cow<'static, str>>,
    pub collection: Option<String>,
    pub text: Option<String>,
    /// The session's keyspace.
    pub keyspace: Option<Arc<str>>,
    /// Why that is not all.
    pub note: Option<Note>,
}

impl Told {
    /// A text. `cut`: it goes on, unseen.
    pub fn of(text: &str, cut: bool, keyspace: Option<&Arc<str>>, settings: &Settings) -> Self {
        let limit = settings.limits.text;
        let statement = sql::describe(text, Dialect::Cql, limit, cut);
        Self {
            summary: statement.summary,
            operation: statement.operation.map(Cow::Owned),
            collection: statement.collection,
            text: sql::query_text(statement.sanitized, text, settings),
            keyspace: keyspace.cloned(),
            note: cut.then_some(note::REQUEST_CUT),
        }
    }

    /// What has no text.
    pub fn named(operation: &'static str, keyspace: Option<&Arc<str>>, note: Option<Note>) -> Self {
        Self {
            summary: String::new(),
            operation: (!operation.is_empty()).then_some(operation.into()),
            keyspace: keyspace.cloned(),
            note,
            ..Self::default()
        }
    }

    /// Several statements that are sent as one batch: what they have in common.
    pub fn batch(
        all: &[Arc<Self>],
        note: Option<Note>,
        keyspace: Option<&Arc<str>>,
        limit: usize,
    ) -> Self {
        let mut told = Self::named("BATCH", keyspace, note);
        let Some((first, others)) = all.split_first() else {
            return told;
        };
        told.note = told.note.or_else(|| all.iter().find_map(|one| one.note));
        if told.note.is_none() {
            if let Some(operation) = &first.operation
                && others.iter().all(|one| one.operation == first.operation)
            {
                told.operation = Some(format!("BATCH {operation}").into());
            }
            if others.iter().all(|one| one.collection == first.collection) {
                told.collection.clone_from(&first.collection);
            }
            told.summary = match (&told.operation, &told.collection) {
                (Some(operation), Some(collection)) => format!("{operation} {collection}"),
                (Some(operation), None) => operation.clone().into_owned(),
                (None, _) => String::new(),
            };
        }
        let mut text = String::new();
        for one in all.iter().filter_map(|one| one.text.as_deref()) {
            let between = if text.is_empty() { "" } else { "; " };
            if text.len() + between.len() + one.len() > limit {
                break;
            }
            text.push_str(between);
            text.push_str(one);
        }
        told.text = Some(text).filter(|text| !text.is_empty());
        told
    }

    /// Span name.
    pub fn name(&self) -> Cow<'static, str> {
        match (&self.operation, &self.collection) {
            _ if !self.summary.is_empty() => self.summary.clone().into(),
            (Some(operation), Some(collection)) => format!("{operation} {collection}").into(),
            (Some(operation), None) => operation.clone(),
            (None, _) => "cassandra".into(),
        }
    }

    /// Its attributes.
    pub fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = Vec::with_capacity(12);
        attributes.push(Attribute::new("db.system.name", "cassandra"));
        if let Some(keyspace) = &self.keyspace {
            attributes.push(Attribute::new("db.namespace", keyspace.to_string()));
        }
        if let Some(operation) = self.operation.clone() {
            let value = crate::model::Value::Text(operation);
            attributes.push(Attribute::new("db.operation.name", value));
        }
        let mut add = |key, value: &str| attributes.push(Attribute::new(key, value.to_owned()));
        if let Some(collection) = &self.collection {
            add("db.collection.name", collection);
        }
        if !self.summary.is_empty() {
            add("db.query.summary", &self.summary);
        }
        if let Some(text) = &self.text {
            add("db.query.text", text);
        }
        attributes
    }

    /// Bytes of heap memory.
    pub fn memory(&self) -> usize {
        let texts = [&self.collection, &self.text];
        let texts = texts.into_iter().flatten().map(String::len);
        texts.sum::<usize>() + self.summary.len() + size_of::<Self>()
    }
}

/// Most prepared statements that are kept.
const PREPARED_MAX: usize = 1024;
/// The longest id of a prepared statement that is kept: it is an MD5 sum.
const ID_MAX: usize = 32;

/// Statements by the id under which they are prepared.
///
/// Drivers prepare a statement on one connection and execute it on all of them, and on all nodes: its
/// id is a sum of its keyspace and its text. So all connections share what is known.
#[derive(Debug, Default)]
pub struct Prepared(Mutex<Shared>);

#[derive(Debug, Default)]
struct Shared {
    told: HashMap<Box<[u8]>, Arc<Told>, ahash::RandomState>,
    /// Ids in the order in which they came.
    order: VecDeque<Box<[u8]>>,
}

impl Prepared {
    /// Remembers a statement.
    pub(super) fn learn(&self, id: &[u8], told: &Arc<Told>) {
        if id.is_empty() || id.len() > ID_MAX {
            return;
        }
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.told.get_mut(id) {
            // What was cut before may be known better now.
            if known.note.is_some() || told.note.is_none() {
                *known = Arc::clone(told);
            }
            return;
        }
        if shared.order.len() >= PREPARED_MAX
            && let Some(oldest) = shared.order.pop_front()
        {
            shared.told.remove(&oldest);
        }
        shared.order.push_back(id.into());
        shared.told.insert(id.into(), Arc::clone(told));
    }

    /// A statement.
    pub(super) fn find(&self, id: &[u8]) -> Option<Arc<Told>> {
        let shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.told.get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::QueryText;

    fn told(text: &str) -> Arc<Told> {
        Arc::new(Told::of(text, false, None, &Settings::default()))
    }

    #[test]
    fn batches() {
        type Case<'a> = (&'a [&'a str], &'a str, Option<&'a str>);
        let cases: [Case<'_>; 4] = [
            (
                &[
                    "INSERT INTO a (x) VALUES (1)",
                    "INSERT INTO a (y) VALUES (2)",
                ],
                "BATCH INSERT a",
                Some("a"),
            ),
            (
                &["INSERT INTO a (x) VALUES (1)", "UPDATE a SET x = 1"],
                "BATCH a",
                Some("a"),
            ),
            (&["DELETE FROM a", "DELETE FROM b"], "BATCH DELETE", None),
            (&[], "BATCH", None),
        ];
        for (texts, name, collection) in cases {
            let all: Vec<_> = texts.iter().map(|text| told(text)).collect();
            let batch = Told::batch(&all, None, None, 2048);
            assert_eq!(batch.name(), name);
            assert_eq!(batch.collection.as_deref(), collection);
        }
        let all = [
            told("DELETE FROM a WHERE x = 'secret'"),
            told("DELETE FROM b"),
        ];
        let batch = Told::batch(&all, None, None, 2048);
        let text = "DELETE FROM a WHERE x = ?; DELETE FROM b";
        assert_eq!(batch.text.as_deref(), Some(text));
        assert_eq!(
            Told::batch(&all, None, None, 30)
                .text
                .map(|text| text.len()),
            Some(25)
        );
        let unseen = Told::batch(&all, Some(note::STATEMENT_UNSEEN), None, 2048);
        assert_eq!(unseen.name(), "BATCH");
    }

    #[test]
    fn passwords_are_not_told() {
        let mut settings = Settings::default();
        for level in [QueryText::Off, QueryText::Sanitized, QueryText::Full] {
            settings.query_text = level;
            let text = "CREATE ROLE a WITH PASSWORD = 'hunter2' AND LOGIN = true";
            let told = Told::of(text, false, None, &settings);
            assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
        }
    }

    #[test]
    fn bounded() {
        let prepared = Prepared::default();
        let one = told("SELECT 1");
        for id in 0..5000_u32 {
            prepared.learn(&id.to_be_bytes(), &one);
        }
        let known = (0..5000_u32).filter(|id| prepared.find(&id.to_be_bytes()).is_some());
        assert_eq!(known.count(), PREPARED_MAX);
        prepared.learn(&[1; 100], &one);
        assert!(prepared.find(&[1; 100]).is_none());
        let other = told("SELECT 2 FROM t");
        prepared.learn(&4999_u32.to_be_bytes(), &other);
        assert_eq!(prepared.find(&4999_u32.to_be_bytes()), Some(other));
    }
}
