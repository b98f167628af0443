//! Cassandra: the text of each query, execution and batch, its consistency, and the code of its error.

use std::collections::HashMap;

use crate::compare::{Comparison, Exception, Exchange, Lines, Only, compare, head};
use crate::dissector::{Message, Tree};
use clew::model::SpanStatus;

const FIVE: &str = "tshark 4.0 does not know the frames of version 5";

const LEVEL: &str = "the consistency is behind the part of the text that was not recorded";

#[test]
fn recordings() {
    compare(&Comparison {
        skipped: &[
            ("python_five_batches", FIVE),
            ("python_five_large", FIVE),
            ("python_five_prepared", FIVE),
            ("python_five_simple", FIVE),
        ],
        exceptions: &[
            Exception {
                recording: "python_large",
                only: Only::Clew,
                line: "INSERT INTO orders (id, item) VALUES (99, *",
                times: 1,
                why: LEVEL,
            },
            Exception {
                recording: "python_large",
                only: Only::Tshark,
                line: "INSERT INTO orders (id, item) VALUES (99, *",
                times: 1,
                why: LEVEL,
            },
        ],
        ..Comparison::of("cassandra", "cql", clew, tshark)
    });
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let text = head(&one.get("db.query.text"));
        let code = one.get("db.response.status_code");
        if text.is_empty() {
            let failed = one.finished.status == SpanStatus::Error;
            let code = if failed && code.is_empty() {
                FAILED
            } else {
                &code
            };
            return format!("{} {code}", one.get("db.operation.name"));
        }
        match one.get("cassandra.consistency.level") {
            // Only what is prepared has none.
            level if level.is_empty() => format!("{text} {code}"),
            level => format!("{text} {level} {code}"),
        }
    };
    exchanges.iter().map(line).collect()
}

/// Clew does not decompress: it tells which operation it was, and whether it failed.
const FAILED: &str = "failed";

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut lines = Lines::default();
    let mut statements: HashMap<&str, &str> = HashMap::new();
    // By stream: the line, and the text that is prepared.
    let mut open = HashMap::new();
    for Message {
        from_client, tree, ..
    } in messages
    {
        let get = |name| tree.first(name).unwrap_or_default();
        let stream = get("cql.stream");
        let is_compressed = get("cql.flags.compression") == "1";
        if !from_client {
            let Some((line, prepared)) = open.remove(stream) else {
                continue;
            };
            if let Some(code) = tree.first("cql.error_code") {
                lines.fail(line, if is_compressed { FAILED } else { code });
            }
            if let (Some(text), Some(id)) = (prepared, tree.first("cql.query_id")) {
                statements.insert(id, text);
            }
            continue;
        }
        let prepared = (get("cql.opcode") == "9").then(|| get("cql.string"));
        let texts: Vec<_> = tree
            .leaves(&["cql.string", "cql.query_id"])
            .map(|text| statements.get(text).copied().unwrap_or(text))
            .collect();
        let text = |operation| match is_compressed {
            true => operation,
            false => texts.first().copied().unwrap_or_default(),
        };
        let told = |text: &str| match is_compressed {
            true => text.to_owned(),
            false => format!("{} {}", head(text), consistency(tree)),
        };
        let line = match get("cql.opcode") {
            "1" | "15" => lines.only_if_it_fails("connect"),
            "7" => lines.add(&told(text("QUERY"))),
            "9" => lines.only_if_it_fails(text("PREPARE")),
            "10" => lines.add(&told(text("EXECUTE"))),
            "13" if is_compressed => lines.add("BATCH"),
            "13" => lines.add(&told(&batch(texts))),
            _ => continue,
        };
        open.insert(stream, (line, prepared));
    }
    lines.into_lines()
}

/// The texts of a batch, each once where it follows itself.
fn batch(mut texts: Vec<&str>) -> String {
    texts.dedup();
    texts.join("; ")
}

fn consistency(tree: &Tree) -> &str {
    match tree.first("cql.consistency").unwrap_or_default() {
        "0x0001" => "one",
        "0x0004" => "quorum",
        "0x0006" => "local_quorum",
        "0x000a" => "local_one",
        other => other,
    }
}
