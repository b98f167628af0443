//! What is remembered of a connection: its database, its statements and its portals.

use std::sync::Arc;

use crate::protocol::Limits;
use crate::protocol::sql::{Dialect, Remembered, Session, Told};

/// See the module.
#[derive(Debug)]
pub struct Statements {
    pub session: Session,
    prepared: Remembered,
    portals: Remembered,
}

impl Statements {
    pub fn new(limits: &Limits) -> Self {
        Self {
            session: Session {
                system: "postgresql",
                namespace: None,
                dialect: Dialect::Postgres { backslashes: false },
            },
            prepared: Remembered::new(limits.remembered),
            portals: Remembered::new(limits.remembered),
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
            None => self.session.unseen(),
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
