//! DNS: each question's name and type, and the code of its answer.

use clew::protocol::QueryText;

use crate::capture::Transport;
use crate::compare::{Comparison, Exchange, compare};
use crate::dissector::Message;

const BY_TCP: Comparison = Comparison {
    protocol: "dns",
    transport: Transport::Tcp,
    dissector: "dns",
    query_text: QueryText::Full,
    clew,
    tshark,
    skipped: &[],
    exceptions: &[],
};

#[test]
fn by_tcp() {
    compare(&BY_TCP);
}

#[test]
fn by_udp() {
    compare(&Comparison {
        transport: Transport::Udp,
        ..BY_TCP
    });
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let name = one.get("dns.question.name");
        let kind = one.get("clew.dns.question.type");
        let code = one.get("clew.dns.response_code");
        format!("{name} {kind} {code}")
    };
    exchanges.iter().map(line).collect()
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut found: Vec<(&str, String, &str)> = Vec::new();
    for message in messages {
        let get = |name| message.tree.first(name).unwrap();
        let id = get("dns.id");
        if message.from_client {
            // A name is the same in any case (RFC 4343).
            let name = get("dns.qry.name").to_lowercase();
            let kind = match get("dns.qry.type") {
                "1" => "A",
                "15" => "MX",
                "16" => "TXT",
                "28" => "AAAA",
                "33" => "SRV",
                other => other,
            };
            // Sent again.
            if !found.iter().any(|one| one.0 == id && one.2.is_empty()) {
                found.push((id, format!("{name} {kind}"), ""));
            }
        } else {
            let mut open = found.iter_mut();
            let asked = open.find(|one| one.0 == id && one.2.is_empty()).unwrap();
            asked.2 = match get("dns.flags.rcode") {
                "0" => "NOERROR",
                "3" => "NXDOMAIN",
                "5" => "REFUSED",
                other => other,
            };
        }
    }
    let line = |(_, asked, code): &(_, String, &str)| format!("{asked} {code}");
    found.iter().map(line).collect()
}
