//! Against recordings of real clients and servers.

use super::ENTRY;
use crate::protocol::testing::{check, survives};

const RECORDINGS: &str = "src/protocol/nats/recordings";
const NAMES: [&str; 2] = ["jetstream-go", "python"];

#[test]
fn recordings() {
    for name in NAMES {
        check(RECORDINGS, name, ENTRY.make);
    }
}

#[test]
fn spoiled_recordings() {
    for name in NAMES {
        survives(RECORDINGS, name, ENTRY.make);
    }
}
