//! Operations of clients of databases, caches and brokers, as the clients themselves log them, against
//! the spans that come of them.
//!
//! A client prints a line of JSON for each operation that it has carried out: `name` is the span's that
//! must come of it; `error` what its status says, if it is an error; `kind` (`client`, `producer`,
//! `consumer`) and `attributes` what it must be and say besides, where that is known; `contexts`
//! (`TRACE-SPAN`) what it must be linked to, or the child of; `ms` how long it took; `served` (`false`) that
//! the server has no span for it. Other lines are for people.

use std::collections::BTreeMap;
use std::time::Duration;

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
    /// That the server has no span for it, where it is `false`: it handed a message over.
    pub served: Option<bool>,
    /// Its kind.
    pub kind: Option<OperationKind>,
    /// Attributes that it has.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Those that the server's span has, where it cannot show all of them.
    pub server_attributes: Option<BTreeMap<String, serde_json::Value>>,
    /// Contexts that its messages carried.
    #[serde(default)]
    pub contexts: Vec<String>,
    /// Milliseconds from the client's call to its return.
    pub ms: Option<f64>,
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
    /// The same as the server's span must show it, if it has one.
    #[must_use]
    pub fn at_server(&self) -> Option<Self> {
        if self.served == Some(false) {
            return None;
        }
        let mut served = self.clone();
        if let Some(error) = self.server_error {
            served.error = error.into();
        }
        served.kind = None;
        if let Some(attributes) = &self.server_attributes {
            served.attributes.clone_from(attributes);
        }
        // They are the client's span's, which is its parent.
        served.contexts.clear();
        Some(served)
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
            && self.contexts.iter().all(|context| {
                let parent = span.parent.as_ref();
                let is_parent = parent.is_some_and(|id| format!("{}-{id}", span.trace) == *context);
                is_parent || span.links.contains(context)
            })
    }

    fn essence(&self) -> Essence {
        (self.name.clone(), self.is_error())
    }
}

/// What tells operations apart.
type Essence = (String, bool);

/// What a client's clock and a span's may differ by: the client stamps its call before or after it did
/// anything else.
const SLACK_MS: f64 = 50.0;

/// What differs between the operations of a client and its spans, one line each; nothing where each
/// operation has its span and each span its operation.
#[must_use]
pub fn differences(operations: &[Operation], spans: &[Span]) -> Vec<String> {
    let mut balance: BTreeMap<Essence, i64> = BTreeMap::new();
    for operation in operations {
        *balance.entry(operation.essence()).or_default() += 1;
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
    counts
        .chain(unlike)
        .chain(too_long(operations, spans))
        .collect()
}

/// The spans that cannot have taken place within the operations of their name. Where both are sorted,
/// each span is within the operation of its rank if there is any way to pair them so.
fn too_long(operations: &[Operation], spans: &[Span]) -> Vec<String> {
    let mut times: BTreeMap<Essence, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for operation in operations {
        let (asked, _) = times.entry(operation.essence()).or_default();
        asked.push(operation.ms.unwrap_or(f64::INFINITY));
    }
    for span in spans {
        if let Some((_, took)) = times.get_mut(&(span.name.clone(), span.error)) {
            took.push(
                Duration::from_nanos(span.end.saturating_sub(span.start)).as_secs_f64() * 1e3,
            );
        }
    }
    let mut found = Vec::new();
    for ((name, _), (mut asked, mut took)) in times {
        asked.sort_by(f64::total_cmp);
        took.sort_by(f64::total_cmp);
        for (asked, took) in asked.iter().zip(&took) {
            if *took > asked + SLACK_MS {
                found.push(format!(
                    "{name}: a span of {took} ms in an operation of {asked} ms"
                ));
            }
        }
    }
    found
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
            links: Vec::new(),
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
             \"error\": true, \"ms\": 1}\n{\"name\": \"send a\", \"kind\": \"producer\", \"contexts\": \
             [\"a-b\"]}\n",
        )
        .unwrap();
        let mut spans = vec![
            span("SET", Kind::Client, true),
            span("GET", Kind::Client, false),
            span("send a", Kind::Producer, false),
        ];
        spans[2].links.push("a-b".to_owned());
        assert_eq!(differences(&operations, &spans), Vec::<String>::new());
        spans[0].end = 60_000_000;
        spans[2].links.clear();
        assert_eq!(differences(&operations, &spans).len(), 2);
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
