//! What is remembered of a connection: its database and its statements.

use std::sync::Arc;

use crate::protocol::Limits;
use crate::protocol::sql::{Dialect, Remembered, Session, Told};

/// See the module.
#[derive(Debug)]
pub struct Statements {
    pub session: Session,
    /// By their id.
    prepared: Remembered,
    /// The one that was prepared last: MariaDB's clients may execute it before they know its id.
    pub last: Option<Arc<Told>>,
}

/// MariaDB's id of the statement that was prepared last.
const LAST: u32 = u32::MAX;

impl Statements {
    pub fn new(limits: &Limits) -> Self {
        Self {
            session: Session {
                system: "mysql",
                namespace: None,
                dialect: Dialect::Mysql { backslashes: true },
            },
            prepared: Remembered::new(limits.remembered),
            last: None,
        }
    }

    /// A statement is prepared.
    pub fn prepare(&mut self, id: u32, told: &Arc<Told>) {
        self.prepared.set(&id.to_be_bytes(), told);
    }

    /// The statement with an id.
    pub fn get(&self, id: Option<u32>) -> Arc<Told> {
        let told = match id {
            Some(LAST) => self.last.as_ref(),
            Some(id) => self.prepared.get(&id.to_be_bytes()),
            None => None,
        };
        told.map_or_else(|| self.session.unseen(), Arc::clone)
    }

    /// A statement is closed.
    pub fn close(&mut self, id: u32) {
        self.prepared.remove(&id.to_be_bytes());
    }

    /// All are closed.
    pub fn clear(&mut self) {
        self.prepared.clear();
        self.last = None;
    }

    pub fn memory(&self) -> usize {
        self.prepared.memory()
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
