//! PostgreSQL: the text of each query, and the code of its error.

use std::collections::{HashMap, VecDeque};

use crate::compare::{Comparison, Exchange, Lines, compare};
use crate::dissector::Message;

#[test]
fn recordings() {
    compare(&Comparison::of("postgres", "pgsql", clew, tshark));
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| match one.finished.name.starts_with("connect") {
        true => format!("connect {}", one.get("error.type")),
        false => format!("{} {}", one.get("db.query.text"), one.get("error.type")),
    };
    exchanges.iter().map(line).collect()
}

/// What the server has yet to answer.
enum Step {
    /// A simple query, or the login; up to `Ready for query`.
    Query(usize),
    Execute(usize),
    /// Parses a text.
    Parse(String),
    /// Everything up to here is skipped after an error.
    Sync,
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut lines = Lines::default();
    let mut statements: HashMap<&str, &str> = HashMap::new();
    let mut portals: HashMap<&str, &str> = HashMap::new();
    let mut steps = VecDeque::new();
    for Message { tree, .. } in messages {
        let get = |name| tree.first(name).unwrap_or_default();
        match get("pgsql.type") {
            "Startup message" => steps.push_back(Step::Query(lines.only_if_it_fails("connect"))),
            "Simple query" => steps.push_back(Step::Query(lines.add(get("pgsql.query")))),
            "Parse" => {
                statements.insert(get("pgsql.statement"), get("pgsql.query"));
                steps.push_back(Step::Parse(get("pgsql.query").to_owned()));
            }
            "Bind" => {
                let text = statements.get(get("pgsql.statement")).copied();
                portals.insert(get("pgsql.portal"), text.unwrap_or_default());
            }
            "Execute" => {
                let text = portals.get(get("pgsql.portal")).copied();
                steps.push_back(Step::Execute(lines.add(text.unwrap_or_default())));
            }
            "Sync" => steps.push_back(Step::Sync),
            "Parse completion" => {
                if let Some(Step::Parse(_)) = steps.front() {
                    steps.pop_front();
                }
            }
            "Command completion" | "Empty query" | "Portal suspended" => {
                if let Some(Step::Execute(_)) = steps.front() {
                    steps.pop_front();
                }
            }
            "Ready for query" => {
                while let Some(Step::Execute(_) | Step::Parse(_)) = steps.pop_front() {}
            }
            "Error" => fail(&mut steps, &mut lines, get("pgsql.code")),
            _ => {}
        }
    }
    lines.into_lines()
}

/// The first step that waits fails, and those behind it, up to the next `Sync`, are skipped.
fn fail(steps: &mut VecDeque<Step>, lines: &mut Lines, code: &str) {
    let mut code = code.to_owned();
    let mut alone = None;
    for step in steps.iter() {
        match step {
            Step::Query(line) => {
                lines.fail(*line, &code);
                return;
            }
            Step::Execute(line) => {
                lines.fail(*line, &code);
                "pipeline_aborted".clone_into(&mut code);
            }
            Step::Parse(text) => alone = alone.or(Some(text)),
            Step::Sync => break,
        }
    }
    // What was executed tells of it.
    if let (Some(text), true) = (alone, code != "pipeline_aborted") {
        let line = lines.add(text);
        lines.fail(line, &code);
    }
    while !matches!(steps.front(), Some(Step::Sync) | None) {
        steps.pop_front();
    }
}
