//! Against recordings of real clients and servers.

use super::ENTRY;
use crate::protocol::testing::{check, survives};

const RECORDINGS: &str = "src/protocol/nats/recordings";
const NAMES: [&str; 2] = ["jetstream-go", "python"];

/// Where a loss may hide a refusal.
const REFUSED: [&str; 2] = ["login", "verbose"];

#[test]
fn recordings() {
    for name in NAMES.into_iter().chain(REFUSED) {
        check(RECORDINGS, name, ENTRY.make);
    }
}

#[test]
fn spoiled_recordings() {
    for name in NAMES {
        survives(RECORDINGS, name, ENTRY.make);
    }
}
