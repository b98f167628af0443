//! Connections without a kernel.

use super::*;
use crate::{
    model::Role,
    stitch::{SequentialIds, StitchConfig},
};

struct Everything;

impl Scope for Everything {
    fn covers(&mut self, _: &Connection) -> bool {
        true
    }
}

fn connection(id: u64, local: &str, remote: &str, positions: [u64; 2]) -> Connection {
    Connection {
        id: ConnectionId(id),
        address: Address::Tcp {
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
        },
        netns: 1,
        role: Role::Unknown,
        from_start: true,
        nonblocking: false,
        positions,
        now: positions,
        pid: 1,
        time: Timestamp(0),
    }
}

/// The ends of the agent's own traffic, told in either order; a virtual address lies between.
#[test]
fn what_the_agent_sends_is_not_traced_where_it_arrives() {
    let agent = connection(1, "10.0.0.1:40000", "10.96.0.10:4318", [7, 9]);
    let others = [
        ("10.78.2.2:4318", "10.0.0.1:40000", [9, 7], true),
        ("10.96.0.10:4318", "10.0.0.1:40000", [1, 1], true),
        ("10.78.2.2:4318", "10.0.0.1:40000", [9, 8], false),
        ("10.78.2.2:4318", "10.0.0.1:40000", [7, 9], false),
    ];
    for (local, remote, positions, ignored) in others {
        for agent_first in [true, false] {
            let metrics = Metrics::default();
            let config = StitchConfig::default();
            let ids = Box::new(SequentialIds::default());
            let mut stitcher = Stitcher::new(config, ids, metrics.clone());
            let mut ingest = Ingest::new(9, 1 << 20, Settings::default(), metrics);
            let mut out = Outcome::default();
            let other = connection(2, local, remote, positions);
            let mut told = [(agent.clone(), true), (other, false)];
            if !agent_first {
                told.reverse();
            }
            for (connection, own) in told {
                ingest.opened(connection, own, 0, &mut Everything, &mut stitcher, &mut out);
            }
            let expected = match ignored {
                true => vec![ignore(ConnectionId(2))],
                false => Vec::new(),
            };
            assert_eq!(
                out.commands, expected,
                "{local} {positions:?} {agent_first}"
            );
        }
    }
}
