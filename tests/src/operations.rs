//! Operations of clients of databases, caches and brokers, as the clients themselves log them, against
//! the spans that come of them.
//!
//! A client prints a line of JSON for each operation that it has carried out: `name` is the span's that
//! must come of it; `error` what its status says, if it is an error; `kind` (`client`, `producer`,
//! `consumer`) and `attributes` what it must be and say besides, where that is known. Other lines are
//! for people.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::otlp::{Kind, Span};

/// An operation in a client's own log.
#[derive(Clone, Debug, Deserialize)]
pub struct Operation {
    /// The span's name.
    pub name: String,
    /// What went wrong: anything but `null` and `false` means that its status is `Error`.
    #[serde(default)]
    pub error: serde_json::Value,
    /// Whether it is an error for the server, where that is not the same: conventions do not blame a
    /// server for its clients' mistakes.
    pub server_error: Option<bool>,
    /// Its kind.
    pub kind: Option<OperationKind>,
    /// Attributes that it has.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
}

/// What a client did.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// It asked.
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

impl Operation {
    /// The same as the server's span must show it.
    #[must_use]
    pub fn at_server(&self) -> Self {
        let mut served = self.clone();
        if let Some(error) = self.server_error {
            served.error = error.into();
        }
        served.kind = None;
        served
    }

    fn is_error(&self) -> bool {
        !matches!(
            self.error,
            serde_json::Value::Null | serde_json::Value::Bool(false)
        )
    }

    /// Whether a span is what must come of it.
    fn fits(&self, span: &Span) -> bool {
        span.name == self.name
            && span.error == self.is_error()
            && self.kind.is_none_or(|kind| span.kind == kind.into())
            && self
                .attributes
                .iter()
                .all(|(key, value)| span.attribute(key) == text(value))
    }
}

/// What tells operations apart.
type Essence = (String, bool);

/// What differs between the operations of a client and its spans, one line each; nothing where each
/// operation has its span and each span its operation.
#[must_use]
pub fn differences(operations: &[Operation], spans: &[Span]) -> Vec<String> {
    let mut balance: BTreeMap<Essence, i64> = BTreeMap::new();
    for operation in operations {
        let essence = (operation.name.clone(), operation.is_error());
        *balance.entry(essence).or_default() += 1;
    }
    for span in spans {
        let essence = (span.name.clone(), span.error);
        *balance.entry(essence).or_default() -= 1;
    }
    let counts = balance
        .into_iter()
        .filter(|(_, balance)| *balance != 0)
        .map(|((name, error), balance)| {
            let what = if balance > 0 { "missing" } else { "not asked" };
            let error = if error { " (error)" } else { "" };
            format!("{what}: {} × {name}{error}", balance.abs())
        });
    let unlike = operations
        .iter()
        .filter(|operation| !spans.iter().any(|span| operation.fits(span)))
        .map(|operation| format!("no span is like {operation:?}"));
    counts.chain(unlike).collect()
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
        spans[2].kind = Kind::Client;
        let found = differences(&operations, &spans);
        assert_eq!(found.len(), 5, "{found:#?}");
        assert_eq!(found[0], "not asked: 1 × SET");
        assert_eq!(found[1], "missing: 1 × SET (error)");
        assert!(read("nothing").is_err());
    }
}
