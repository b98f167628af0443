//! How long the stitcher waits and how much it keeps.

use std::time::Duration;

/// Waiting times and budgets of a [`super::Stitcher`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StitchConfig {
    /// How long after a server exchange's start its peer may still appear on this host. An exchange
    /// whose peer has not appeared by then is resolved as coming from elsewhere.
    pub peer_wait: Duration,
    /// How long after a server exchange's end its peer may still appear.
    pub peer_grace: Duration,
    /// The longest time that a finished span is held, whatever it waits for.
    pub max_hold: Duration,
    /// Exchanges that may be open. Beyond it the oldest is let go.
    pub max_open: usize,
    /// Finished spans that may wait. Beyond it the oldest stops waiting.
    pub max_held: usize,
    /// Serving processes about which something is remembered. Of one beyond it nothing is learned,
    /// and only what needs no learning is asserted.
    pub max_processes: usize,
    /// Tasks begun for open requests that are remembered. What one beyond it sends is judged as if
    /// nothing were known of its beginning.
    pub max_offspring: usize,
    /// Unix socket pairs that are followed. The ends of one beyond it are not matched.
    pub max_unix_pairs: usize,
    /// Whether spans name the thread that received or sent their request: for who compares Clew's
    /// parents with those that thread ids alone would give.
    pub thread_ids: bool,
    /// After how many exchanges that prove it a process is believed to do all work for a request on
    /// the thread that received it, if nothing ever spoke against it.
    pub stable_after: u32,
}

impl Default for StitchConfig {
    fn default() -> Self {
        Self {
            peer_wait: Duration::from_millis(500),
            peer_grace: Duration::from_millis(200),
            max_hold: Duration::from_secs(1),
            max_open: 100_000,
            max_held: 100_000,
            max_processes: 16_384,
            max_offspring: 65_536,
            max_unix_pairs: 65_536,
            thread_ids: false,
            stable_after: 16,
        }
    }
}
