//! UDP sockets: the kernel does not tell their end, so they are let go of when they are quiet. One that
//! speaks again is told again ([`clew_common::connection::UDP_TOLD_AFTER_NANOS`]).

use std::collections::{HashMap, HashSet, VecDeque};

use super::connection::Tracked;
use crate::model::{Connection, ConnectionEnd, ConnectionId, EndReason, Timestamp};

/// How long a socket must be quiet on which nothing waits for an answer: longer than the kernel
/// waits before it tells of it again.
const QUIET_NANOS: u64 = 4_000_000_000;
/// The same where something waits.
const UNANSWERED_NANOS: u64 = 30_000_000_000;
/// `ETIMEDOUT` (errno(3)).
const TIMED_OUT: u32 = 110;

/// The sockets that are followed.
#[derive(Debug, Default)]
pub(super) struct DatagramSockets {
    /// By the process that was seen using them first.
    of_process: HashMap<u32, HashSet<ConnectionId>>,
    /// When each was looked at last.
    checked: VecDeque<(Timestamp, ConnectionId)>,
}

impl DatagramSockets {
    /// A socket is followed from now on.
    pub fn add(&mut self, connection: &Connection) {
        let Connection { id, pid, time, .. } = *connection;
        self.of_process.entry(pid).or_default().insert(id);
        self.checked.push_back((time, id));
    }

    /// A socket is no longer followed.
    pub fn remove(&mut self, connection: &Connection) {
        // It stays among `checked` until its turn comes: that is soon.
        if let Some(sockets) = self.of_process.get_mut(&connection.pid) {
            sockets.remove(&connection.id);
            if sockets.is_empty() {
                self.of_process.remove(&connection.pid);
            }
        }
    }

    /// Whether none is followed.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.of_process.is_empty() && self.checked.is_empty()
    }

    /// The sockets of a process that has ended.
    pub fn take_of(&mut self, pid: u32) -> HashSet<ConnectionId> {
        self.of_process.remove(&pid).unwrap_or_default()
    }

    /// The sockets that have been quiet for long enough.
    pub fn quiet(
        &mut self,
        now: Timestamp,
        connections: &HashMap<ConnectionId, Tracked>,
    ) -> Vec<ConnectionEnd> {
        let mut quiet = Vec::new();
        while let Some(&(checked, connection)) = self.checked.front()
            && now.since(checked) >= QUIET_NANOS
        {
            self.checked.pop_front();
            let Some(tracked) = connections.get(&connection) else {
                continue;
            };
            let (enough, reason) = match tracked.is_idle() {
                true => (QUIET_NANOS, EndReason::Closed),
                false => (UNANSWERED_NANOS, EndReason::Failed(TIMED_OUT)),
            };
            if now.since(tracked.last_seen) >= enough {
                quiet.push(ConnectionEnd {
                    connection,
                    reason,
                    time: tracked.last_seen,
                });
            } else {
                self.checked.push_back((now, connection));
            }
        }
        quiet
    }
}
