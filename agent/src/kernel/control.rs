//! Telling the kernel programs what is wanted: verdicts on connections, processes out of scope.

use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use clew_common::control::{Control, FLOW_WORDS};
use tracing::debug;

use super::{KernelError, description::Flows, missing};

/// The maps that the agent writes. A failed write costs efficiency, never correctness: the kernel
/// then sends chunks that the agent drops.
pub struct Controls {
    connections: HashMap<MapData, u64, [u32; 5]>,
    excluded: HashMap<MapData, u32, u32>,
    /// Where it is in the table: the kernel's state of connections, by socket address; its
    /// first word is the connection's identity.
    flows: Option<HashMap<MapData, u64, [u64; FLOW_WORDS]>>,
    habits: HashMap<MapData, u32, u32>,
}

impl Controls {
    pub(super) fn take(ebpf: &mut Ebpf, flows: Flows) -> Result<Self, KernelError> {
        Ok(Self {
            connections: take_map(ebpf, "CONTROL")?,
            excluded: take_map(ebpf, "EXCLUDED")?,
            flows: match flows {
                Flows::Storage => None,
                Flows::Table => Some(take_map(ebpf, "FLOW_TABLE")?),
            },
            habits: take_map(ebpf, "HABITS")?,
        })
    }

    /// Sets what is wanted of a connection.
    pub fn set(&mut self, connection: u64, control: Control) {
        let value = [
            control.verdict,
            control.flags,
            control.received_until,
            control.sent_until,
            control.request_at,
        ];
        if let Err(error) = self.connections.insert(connection, value, 0) {
            debug!(connection, "setting a connection's verdict: {error}");
        }
    }

    /// Forgets a connection. `socket` is the address of its kernel socket.
    pub fn remove(&mut self, connection: u64, socket: u64) {
        // It may not be there: nothing was ever decided.
        let _ = self.connections.remove(&connection);
        // The kernel removes what it sees close; Unix sockets it does not. Another socket may have
        // the address since, and that one's state must stay.
        if let Some(flows) = &mut self.flows
            && flows
                .get(&socket, 0)
                .is_ok_and(|flow| flow[0] == connection)
        {
            let _ = flows.remove(&socket);
        }
    }

    /// Tells what was learned of a process: bits of [`clew_common::context::habit`].
    pub fn set_habits(&mut self, pid: u32, habits: u32) {
        if habits == 0 {
            // Most processes are not there.
            let _ = self.habits.remove(&pid);
        } else if let Err(error) = self.habits.insert(pid, habits, 0) {
            debug!(pid, "telling the kernel of a process's habits: {error}");
        }
    }

    /// Leaves a process out from now on.
    pub fn exclude(&mut self, pid: u32) {
        if let Err(error) = self.excluded.insert(pid, 1, 0) {
            debug!(pid, "leaving a process out in the kernel: {error}");
        }
    }

    /// Takes a process in again: it ended and its id may be used by another, or it became another
    /// program.
    pub fn include(&mut self, pid: u32) {
        // Most processes are not there.
        let _ = self.excluded.remove(&pid);
    }
}

fn take_map<K: aya::Pod, V: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<HashMap<MapData, K, V>, KernelError> {
    let map = ebpf.take_map(name).ok_or_else(|| missing(name))?;
    HashMap::try_from(map).map_err(|error| KernelError::Map(name, error))
}
