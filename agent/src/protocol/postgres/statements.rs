//! What is remembered of a connection: its database, its statements and its portals.

use std::sync::Arc;

use crate::model::Note;
use crate::protocol::sql::{Dialect, Found, Remembered, Session, Told};
use crate::protocol::{Limits, Settings};

use super::note;

/// See the module.
#[derive(Debug)]
pub struct Statements {
    /// The database.
    pub namespace: Option<String>,
    /// Backslashes escape in plain strings.
    pub backslashes: bool,
    prepared: Remembered,
    portals: Remembered,
}

impl Statements {
    pub fn new(limits: &Limits) -> Self {
        Self {
            namespace: None,
            backslashes: false,
            prepared: Remembered::new(limits.remembered),
            portals: Remembered::new(limits.remembered),
        }
    }

    fn session(&self) -> Session<'_> {
        Session {
            system: "postgresql",
            namespace: self.namespace.as_deref(),
            dialect: Dialect::Postgres {
                backslashes: self.backslashes,
            },
        }
    }

    /// What is told of a text.
    pub fn describe(&self, text: &[u8], cut: bool, settings: &Settings) -> (Arc<Told>, Found) {
        let cut = cut.then_some(note::STATEMENT_CUT);
        self.session().describe(text, cut, settings)
    }

    /// What is told of something that has no text.
    pub fn told(&self, name: &str, note: Option<Note>) -> Arc<Told> {
        self.session().without_text(name, note)
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
            None => self.told("", Some(note::STATEMENT_UNSEEN)),
        }
    }

    /// A statement is closed.
    pub fn close(&mut self, name: &[u8]) {
        self.prepared.remove(name);
    }

    /// Bytes were lost in which any of them may have been made anew.
    pub fn forget_unnamed(&mut self) {
        self.prepared.remove(b"");
        self.portals.clear();
    }

    pub fn memory(&self) -> usize {
        self.prepared.memory() + self.portals.memory()
    }
}
