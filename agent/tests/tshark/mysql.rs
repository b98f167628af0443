//! MySQL and MariaDB: the text of each query and of each execution of a statement, and the number of its
//! error.

use std::collections::HashMap;

use crate::compare::{Comparison, Exchange, Lines, compare, head};
use crate::dissector::Message;

#[test]
fn recordings() {
    compare(&Comparison {
        skipped: &[
            ("go_compressed", "Clew leaves compressed connections alone"),
            ("mariadb_cli_tls", "encrypted"),
        ],
        ..Comparison::of("mysql", "mysql", clew, tshark)
    });
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let text = match one.get("db.query.text") {
            text if text.is_empty() => one.get("db.operation.name"),
            text => text,
        };
        format!("{} {}", head(&text), one.get("error.type"))
    };
    exchanges.iter().map(line).collect()
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut lines = Lines::default();
    let mut statements: HashMap<&str, &str> = HashMap::new();
    // The client waits for each answer before it goes on.
    let mut asked = None;
    let mut prepared = None;
    for Message {
        from_client, tree, ..
    } in messages
    {
        let get = |name| tree.first(name).unwrap_or_default();
        if !from_client {
            if let (Some(text), Some(id)) = (prepared, tree.first("mysql.stmt_id")) {
                statements.insert(id, text);
                prepared = None;
            }
            if let (Some(line), Some(code)) = (asked, tree.first("mysql.error_code")) {
                lines.fail(line, code);
            }
            continue;
        }
        if !tree.all("mysql.login_request").is_empty() {
            asked = Some(lines.only_if_it_fails("connect"));
            continue;
        }
        let statement = statements.get(get("mysql.stmt_id")).copied();
        asked = match tree.first("mysql.command") {
            Some("2") => Some(lines.only_if_it_fails("USE")),
            Some("3") => Some(lines.add(&head(get("mysql.query")))),
            Some("22") => {
                prepared = tree.first("mysql.query");
                Some(lines.only_if_it_fails(get("mysql.query")))
            }
            // Execute, fetch, execute in bulk.
            Some("23" | "28" | "250") => Some(lines.add(statement.unwrap_or_default())),
            Some(_) => None,
            None => asked,
        };
    }
    lines.into_lines()
}
