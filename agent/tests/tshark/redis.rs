//! Redis: the name of each command and how many arguments it has, and the codes of all errors.

use clew::protocol::QueryText;

use crate::compare::{Comparison, Exchange, compare};
use crate::dissector::{Message, text_of};

#[test]
fn recordings() {
    compare(&Comparison {
        query_text: QueryText::Sanitized,
        ..Comparison::of("redis", "resp", clew, tshark)
    });
}

/// Clew has no spans of these but for failures, which are compared as such.
const HIDDEN: [&str; 6] = ["AUTH", "CLIENT", "HELLO", "PING", "QUIT", "SELECT"];

/// What servers answer that are older than what a client asks for; Clew tells of none.
const REFUSED: &str = "Try CLIENT HELP.";

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let commands = exchanges.iter().filter_map(|one| {
        let text = one.get("db.query.text");
        let name = text.split(' ').next().unwrap_or_default();
        let count = text.split(' ').count();
        (!HIDDEN.contains(&name)).then(|| format!("{name} {count}"))
    });
    let errors = exchanges.iter().filter_map(|one| {
        let code = one.get("db.response.status_code");
        (!code.is_empty()).then(|| format!("error {code}"))
    });
    commands.chain(errors).collect()
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut commands = Vec::new();
    let mut errors = Vec::new();
    for Message {
        from_client, tree, ..
    } in messages
    {
        if !from_client {
            let errors_here = tree.values("resp.error").into_iter();
            let codes = errors_here
                .filter(|text| !text.ends_with(REFUSED))
                .filter_map(|text| text.split(' ').next());
            errors.extend(codes.map(|code| format!("error {code}")));
            continue;
        }
        for command in tree.all("resp.array") {
            let words = command.values("resp.bulk_string.value");
            let name = text_of(words.first().unwrap_or(&"")).to_uppercase();
            if !HIDDEN.contains(&name.as_str()) {
                commands.push(format!("{name} {}", words.len()));
            }
        }
    }
    commands.extend(errors);
    commands
}
