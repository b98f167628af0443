//! Memcached: each command with its keys.

use crate::compare::{Comparison, Exception, Exchange, Only, compare};
use crate::dissector::Message;

const TOUCH: &str = "tshark 4.0 does not know this text command";

#[test]
fn recordings() {
    compare(&Comparison {
        skipped: &[("meta", "tshark 4.0 does not know meta commands")],
        exceptions: &[
            Exception {
                recording: "gomemcache",
                only: Only::Clew,
                line: "touch a",
                times: 1,
                why: TOUCH,
            },
            Exception {
                recording: "pymemcache",
                only: Only::Clew,
                line: "touch number",
                times: 1,
                why: TOUCH,
            },
            Exception {
                recording: "pymemcache",
                only: Only::Clew,
                line: "get large",
                times: 1,
                why: "tshark reads one text command in a segment; this one is behind another",
            },
        ],
        ..Comparison::of("memcached", "memcache", clew, tshark)
    });
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    exchanges
        .iter()
        .map(|one| one.get("db.query.text"))
        .collect()
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let requests = messages.iter().filter(|message| message.from_client);
    let told = requests.filter_map(|Message { tree, .. }| {
        let command = tree.first("memcache.command")?;
        // Clew has no spans of these.
        if ["quit", "version"].contains(&command) {
            return None;
        }
        let keys = tree.values("memcache.key");
        Some([vec![command], keys].concat().join(" "))
    });
    told.collect()
}
