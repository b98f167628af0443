//! A trace as a waterfall: one line per span, indented below its parent, with a bar to scale.
//!
//! The critical path is marked: the chain of spans that determines when the trace ends. On it, the
//! span that took longest by itself (its children's time taken off) is named as the slowest.

mod tree;

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::{ExportSpan, Parent, SpanKind, SpanStatus, Value};
use tree::{Row, Tree};

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// ANSI colours.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

/// Columns of the status and of the duration, each with a space before it.
const FIGURES: usize = 4 + 10;

/// Draws the spans of one trace. Everything that came from the network is made safe for a
/// terminal first.
#[must_use]
pub fn waterfall(spans: &[ExportSpan], look: Look) -> String {
    let Some(first) = spans.first() else {
        return String::new();
    };
    let paint = Paint(look.colour);
    let tree = Tree::new(spans);
    let start = spans
        .iter()
        .map(|span| span.start_unix_nanos)
        .min()
        .unwrap_or(0);
    let end = spans
        .iter()
        .map(|span| span.end_unix_nanos)
        .max()
        .unwrap_or(0);
    let total = end.saturating_sub(start).max(1);
    let width = look.width.clamp(60, 200);
    let bars = (width - FIGURES) * 2 / 5;
    let left = width - FIGURES - bars - 4;

    let mut text = String::new();
    let head = format!(
        "╭─ trace {}  {}  {} spans",
        first.span.trace_id,
        duration(total),
        spans.len()
    );
    let _ = writeln!(text, "{}", paint.bold(&head));
    for row in &tree.rows {
        let span = &spans[row.span];
        let slowest = tree.slowest == Some(row.span);
        let name = name(span, row, left);
        let pad = " ".repeat(left.saturating_sub(name.width()));
        let bar = bar(span, start, total, bars, row.critical);
        let error = is_error(span);
        let status = format!("{:>4}", status(span));
        let took = format!("{:>10}", duration(took(span)));
        let _ = writeln!(
            text,
            "│{} {}{pad}{}{}{}{}",
            if row.critical {
                paint.yellow("◆")
            } else {
                " ".to_owned()
            },
            if error { paint.red(&name) } else { name },
            if error {
                paint.red(&status)
            } else {
                paint.green(&status)
            },
            if slowest { paint.yellow(&took) } else { took },
            if slowest {
                paint.yellow("◀")
            } else {
                " ".to_owned()
            },
            match (error, row.critical) {
                (true, _) => paint.red(&bar),
                (false, true) => paint.yellow(&bar),
                (false, false) => paint.dim(&bar),
            },
        );
    }
    let mut foot = "╰─".to_owned();
    if let Some(slowest) = tree.slowest {
        let span = &spans[slowest];
        let own = tree.own[slowest];
        let what = format!(
            "{} {} {}",
            safe(&span.resource.service),
            arrow(span),
            label(span)
        );
        let _ = write!(
            foot,
            " ◆ critical path  ◀ slowest: {}, {} of its own ({} %)",
            cut(&what, width / 3),
            duration(own),
            own.saturating_mul(100) / total
        );
    }
    let _ = writeln!(text, "{}", paint.bold(&foot));
    text
}

/// Indentation, service, kind, method and path, and what is odd about the parent.
fn name(span: &ExportSpan, row: &Row, width: usize) -> String {
    // Deep trees keep room for the words: beyond a third of the width only the depth is given.
    let mut name = if row.indent.width() > width / 3 {
        format!("⋯{} ", row.depth)
    } else {
        row.indent.clone()
    };
    let odd = match span.span.parent {
        Parent::Span { .. } if row.orphan => " ‹parent elsewhere›".to_owned(),
        Parent::None(reason) if reason.is_doubt() => {
            format!(" ‹no parent: {}›", reason.label())
        }
        _ => String::new(),
    };
    let service = cut(&safe(&span.resource.service), 20);
    let _ = write!(name, "{service} {} ", arrow(span));
    let room = width.saturating_sub(name.width() + odd.width());
    name.push_str(&cut(&label(span), room));
    name.push_str(&odd);
    cut(&name, width)
}

fn bar(span: &ExportSpan, start: u64, total: u64, width: usize, critical: bool) -> String {
    let cell = |time: u64| {
        let at = u128::from(time.saturating_sub(start)) * width as u128 / u128::from(total);
        (at as usize).min(width)
    };
    let from = cell(span.start_unix_nanos).min(width - 1);
    let to = cell(span.end_unix_nanos).max(from + 1);
    let block = if critical { "█" } else { "░" };
    format!("{}{}", " ".repeat(from), block.repeat(to - from))
}

fn took(span: &ExportSpan) -> u64 {
    span.end_unix_nanos.saturating_sub(span.start_unix_nanos)
}

/// `→` a request sent, `▸` a request served.
pub(super) fn arrow(span: &ExportSpan) -> &'static str {
    match span.span.kind {
        SpanKind::Client | SpanKind::Producer => "→",
        SpanKind::Server | SpanKind::Consumer => "▸",
    }
}

/// Method and path, else the span's name; safe for a terminal.
pub(super) fn label(span: &ExportSpan) -> String {
    let path = text(span, "url.path").or_else(|| {
        let full = text(span, "url.full")?;
        let rest = &full[full.find("://")? + 3..];
        rest.find('/').map(|at| &rest[at..]).or(Some("/"))
    });
    match (text(span, "http.request.method"), path) {
        (Some(method), Some(path)) => {
            let path = path.split(['?', '#']).next().unwrap_or_default();
            safe(&format!("{method} {path}"))
        }
        _ => safe(&span.span.name),
    }
}

/// The status code; `ERR` for a failure without one.
pub(super) fn status(span: &ExportSpan) -> String {
    match find(span, "http.response.status_code") {
        Some(Value::Integer(code)) => code.to_string(),
        _ if span.span.status == SpanStatus::Error => "ERR".to_owned(),
        _ => "-".to_owned(),
    }
}

pub(super) fn is_error(span: &ExportSpan) -> bool {
    span.span.status == SpanStatus::Error
        || matches!(
            find(span, "http.response.status_code"),
            Some(Value::Integer(500..))
        )
}

/// How the parent was found, or why there is none.
pub(super) fn evidence(span: &ExportSpan) -> String {
    match span.span.parent {
        Parent::Span { evidence, .. } => format!("by {}", evidence.label()),
        Parent::None(reason) if reason.is_doubt() => reason.label().replace('_', " "),
        Parent::None(_) => "root".to_owned(),
    }
}

fn find<'a>(span: &'a ExportSpan, key: &str) -> Option<&'a Value> {
    let attribute = span.span.attributes.iter().find(|a| a.key == key)?;
    Some(&attribute.value)
}

fn text<'a>(span: &'a ExportSpan, key: &str) -> Option<&'a str> {
    match find(span, key)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Three significant figures and a unit.
pub(super) fn duration(nanos: u64) -> String {
    let micros = nanos as f64 / 1e3;
    match nanos {
        0..1_000_000 => format!("{micros:.0} µs"),
        1_000_000..10_000_000 => format!("{:.1} ms", micros / 1e3),
        10_000_000..1_000_000_000 => format!("{:.0} ms", micros / 1e3),
        1_000_000_000..100_000_000_000 => format!("{:.2} s", micros / 1e6),
        _ => format!("{:.0} s", micros / 1e6),
    }
}

/// Control, bidirectional and invisible characters become visible escapes: a path must not be able
/// to drive the terminal that shows it.
pub(super) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\'' | '"' => safe.push(char),
            _ => safe.extend(char.escape_debug()),
        }
    }
    safe
}

/// Cuts text to a number of columns, with an ellipsis where something was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let mut cut = String::new();
    for char in text.chars() {
        let columns = char.width().unwrap_or(0);
        if used + columns + 1 > width {
            break;
        }
        used += columns;
        cut.push(char);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// ANSI colours, or none.
pub(super) struct Paint(pub(super) bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn red(&self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(super) fn green(&self, text: &str) -> String {
        self.with("32", text)
    }

    fn yellow(&self, text: &str) -> String {
        self.with("1;33", text)
    }
}

#[cfg(test)]
#[path = "waterfall/tests.rs"]
mod tests;
