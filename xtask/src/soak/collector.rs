//! The receiver of a soak: it knows which spans have come, and can stay away.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use memchr::memmem;

use super::world::KINDS;
use crate::bench::otlp;
use crate::bench::receiver::Endpoint;

/// What has come.
#[derive(Clone, Debug, Default)]
pub struct Come {
    /// Spans of each kind of traffic, in the order of [`KINDS`].
    pub kinds: [u64; KINDS.len()],
    /// Spans of none.
    pub others: u64,
    /// Spans that came again: a request that was taken before the connection was cut.
    pub again: u64,
}

impl Come {
    /// All different spans.
    pub fn all(&self) -> u64 {
        self.kinds.iter().sum::<u64>() + self.others
    }
}

#[derive(Default)]
struct Known {
    ids: HashSet<u64>,
    come: Come,
}

/// A receiver that counts each span once.
pub struct Collector {
    endpoint: Endpoint,
    known: Arc<Mutex<Known>>,
}

impl Collector {
    /// Starts to receive.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start() -> Result<Self> {
        let known = Arc::<Mutex<Known>>::default();
        let finders = KINDS.map(|kind| memmem::Finder::new(kind.marker));
        let endpoint = Endpoint::start({
            let known = Arc::clone(&known);
            move |content| {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                for span in otlp::each(content) {
                    let Some(id) = otlp::id(span) else {
                        continue;
                    };
                    if !known.ids.insert(id) {
                        known.come.again += 1;
                        continue;
                    }
                    match finders
                        .iter()
                        .position(|finder| finder.find(span).is_some())
                    {
                        Some(kind) => known.come.kinds[kind] += 1,
                        None => known.come.others += 1,
                    }
                }
            }
        })?;
        Ok(Self { endpoint, known })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.endpoint.url()
    }

    /// Goes away, with all connections cut, or comes back.
    pub fn stay_away(&self, away: bool) {
        self.endpoint.stay_away(away);
    }

    /// What has come so far.
    pub fn come(&self) -> Come {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.come.clone()
    }
}
