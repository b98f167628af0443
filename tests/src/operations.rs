//! Operations of clients of databases, caches and brokers, as the clients themselves log them, against
//! the spans that come of them.
//!
//! A client prints a line of JSON for each operation that it has carried out: `name` is the span's that
//! must come of it; `error` whether its status is an error; `kind` (`client`, `producer`, `consumer`)
//! where it is not a client's; `attributes` what it must say, as text. Other lines are for people.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::otlp::{Kind, Span};

/// An operation in a client's own log.
#[derive(Clone, Debug, Deserialize)]
pub struct Operation {
    /// The span's name.
    pub name: String,
    /// Its status is `Error`.
    #[serde(default)]
    pub error: bool,
    /// Its kind.
    #[serde(default)]
    pub kind: OperationKind,
    /// Attributes that it has.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
}

/// What a client did.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// It asked.
    #[default]
    Client,
    /// It sent a message.
    Producer,
    /// It took a message.
    Consumer,
}

impl From<OperationKind> for Kind {
    fn from(kind: OperationKind) -> Self {
        match kind {
            OperationKind::Client => Self::Client,
            OperationKind::Producer => Self::Producer,
            OperationKind::Consumer => Self::Consumer,
        }
    }
}

/// The operations in what a client wrote.
///
/// # Errors
/// When a line that begins like JSON is none, or there is no operation at all.
pub fn read(output: &str) -> Result<Vec<Operation>> {
    let lines = output.lines().filter(|line| line.starts_with('{'));
    let operations = lines
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<Vec<_>>>()?;
    ensure!(!operations.is_empty(), "no operations in:\n{output}");
    Ok(operations)
}

/// What tells operations apart.
type Essence = (String, Kind, bool);

/// What differs between the operations of a client and its spans, one line each; nothing where each
/// operation has its span and each span its operation.
#[must_use]
pub fn differences(operations: &[Operation], spans: &[Span]) -> Vec<String> {
    let mut balance: BTreeMap<Essence, i64> = BTreeMap::new();
    for operation in operations {
        let essence = (
            operation.name.clone(),
            operation.kind.into(),
            operation.error,
        );
        *balance.entry(essence).or_default() += 1;
    }
    for span in spans {
        let essence = (span.name.clone(), span.kind, span.error);
        *balance.entry(essence).or_default() -= 1;
    }
    let counts = balance
        .into_iter()
        .filter(|(_, balance)| *balance != 0)
        .map(|((name, kind, error), balance)| {
            let what = if balance > 0 { "missing" } else { "not asked" };
            let error = if error { ", error" } else { "" };
            format!("{what}: {} × {name} ({kind:?}{error})", balance.abs())
        });
    let attributes = operations.iter().filter_map(|operation| {
        let kind = Kind::from(operation.kind);
        let fits = |span: &&Span| {
            span.name == operation.name
                && span.kind == kind
                && operation
                    .attributes
                    .iter()
                    .all(|(key, value)| span.attribute(key) == text(value))
        };
        if operation.attributes.is_empty() || spans.iter().any(|span| fits(&span)) {
            return None;
        }
        Some(format!(
            "no span of {} says {:?}",
            operation.name, operation.attributes
        ))
    });
    counts.chain(attributes).collect()
}

fn text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str, kind: Kind, error: bool) -> Span {
        Span {
            trace: String::new(),
            id: String::new(),
            parent: None,
            state: String::new(),
            flags: 0,
            kind,
            name: name.to_owned(),
            start: 0,
            end: 0,
            error,
            attributes: [("db.namespace".to_owned(), "0".to_owned())].into(),
            resource: BTreeMap::new(),
        }
    }

    #[test]
    fn what_differs() {
        let operations = read(
            "started\n{\"name\": \"GET\", \"attributes\": {\"db.namespace\": 0}}\n{\"name\": \"SET\", \
             \"error\": true}\n{\"name\": \"send a\", \"kind\": \"producer\"}\n",
        )
        .unwrap();
        let mut spans = vec![
            span("SET", Kind::Client, true),
            span("GET", Kind::Client, false),
            span("send a", Kind::Producer, false),
        ];
        assert_eq!(differences(&operations, &spans), Vec::<String>::new());
        spans[0].error = false;
        spans[1].attributes.clear();
        assert_eq!(
            differences(&operations, &spans),
            [
                "not asked: 1 × SET (Client)",
                "missing: 1 × SET (Client, error)",
                "no span of GET says {\"db.namespace\": Number(0)}",
            ]
        );
        assert!(read("nothing").is_err());
    }
}
