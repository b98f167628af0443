//! The names of topics by their ids (KIP-516).
//!
//! Requests to send and to fetch name topics by id since their versions 13; the names are in answers
//! about metadata, which a client often asks of another connection. So all connections share them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most names that are kept.
const MAX: usize = 1024;
/// The longest name of a topic that Kafka allows.
pub(super) const NAME_MAX: usize = 249;

/// Names of topics, of all connections.
#[derive(Debug, Default)]
pub struct Topics(Mutex<HashMap<u128, Arc<str>>>);

impl Topics {
    /// Remembers a topic's name.
    pub(super) fn learn(&self, id: u128, name: &str) {
        if id == 0 || name.is_empty() || name.len() > NAME_MAX {
            return;
        }
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.get(&id).is_some_and(|known| **known == *name) {
            return;
        }
        // Ids are random: which one goes is of no matter, and clients ask again every few minutes.
        if names.len() >= MAX
            && let Some(&other) = names.keys().next()
        {
            names.remove(&other);
        }
        names.insert(id, name.into());
    }

    /// A topic's name.
    pub(super) fn name(&self, id: u128) -> Option<Arc<str>> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&id).cloned()
    }
}

/// The topic in which controllers keep the cluster's metadata has a fixed id.
pub(super) const CLUSTER_METADATA: u128 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded() {
        let topics = Topics::default();
        for id in 0..5000 {
            topics.learn(id, "t");
        }
        let known = (0..5000).filter(|id| topics.name(*id).is_some());
        assert_eq!(known.count(), MAX);
        topics.learn(4999, "other");
        assert!(topics.name(0).is_none());
    }
}
