//! A report for people, and for programs.

use std::fmt::Write;

use serde::Serialize;

use super::{Check, Report, Status};

/// Version of the JSON's schema. It grows when a field changes its meaning or goes; new fields may
/// come at any time.
pub const SCHEMA_VERSION: u32 = 1;

/// Room for lines of explanation.
const WIDTH: usize = 96;

#[derive(Serialize)]
struct Json<'a> {
    schema_version: u32,
    clew: &'static str,
    can_trace: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// The report as one JSON object, with a line break at its end:
///
/// ```json
/// {
///   "schema_version": 1,
///   "clew": "0.1.0",
///   "can_trace": true,
///   "kernel": "6.12.0",
///   "checks": [{
///     "name": "btf", "what_for": "…", "status": "works", "detail": "…",
///     "lost": "", "remedy": "", "required": true
///   }]
/// }
/// ```
///
/// `status` is `works`, `degraded` or `missing`.
#[must_use]
pub fn render_json(report: &Report) -> String {
    let json = Json {
        schema_version: SCHEMA_VERSION,
        clew: env!("CARGO_PKG_VERSION"),
        can_trace: report.can_trace(),
        report,
    };
    // Text and truth values under text keys: there is nothing that JSON cannot hold.
    let mut text = serde_json::to_string_pretty(&json).unwrap_or_default();
    text.push('\n');
    text
}

/// The report for people. `colour`: only where a terminal shows it.
#[must_use]
pub fn render_text(report: &Report, colour: bool) -> String {
    let mut out = format!(
        "Clew {} on Linux {}\n\n",
        env!("CARGO_PKG_VERSION"),
        report.kernel
    );
    let names = report.checks.iter().map(|check| check.name.chars().count());
    let width = names.max().unwrap_or(0);
    for check in &report.checks {
        check_lines(&mut out, check, width, colour);
    }
    out.push('\n');
    out.push_str(&conclusion(report, colour));
    out
}

fn check_lines(out: &mut String, check: &Check, width: usize, colour: bool) {
    let (word, code) = match (check.status, check.required) {
        (Status::Works, _) => ("works   ", GREEN),
        (Status::Degraded, _) => ("degraded", YELLOW),
        (Status::Missing, true) => ("MISSING ", RED),
        (Status::Missing, false) => ("missing ", YELLOW),
    };
    let word = paint(word, code, colour);
    let what = match check.detail.as_str() {
        "" => check.what_for.clone(),
        detail => format!("{}: {detail}", check.what_for),
    };
    let indent = 2 + 8 + 2 + width + 2;
    // Writing to a String cannot fail.
    let _ = write!(out, "  {word}  {:<width$}  ", check.name);
    wrapped(out, &what, indent);
    if check.status != Status::Works {
        for (title, text) in [("lost:   ", &check.lost), ("remedy: ", &check.remedy)] {
            if !text.is_empty() {
                let _ = write!(out, "{:indent$}{title}", "");
                wrapped(out, text, indent + title.len());
            }
        }
    }
}

fn conclusion(report: &Report, colour: bool) -> String {
    let preventing: Vec<_> = report
        .checks
        .iter()
        .filter(|check| check.prevents_tracing())
        .map(|check| check.name.as_str())
        .collect();
    let less = report
        .checks
        .iter()
        .filter(|check| check.status != Status::Works)
        .count();
    if !preventing.is_empty() {
        let verdict = paint("Tracing cannot work here", RED, colour);
        return format!("{verdict}: {} missing.\n", preventing.join(", "));
    }
    let verdict = paint("Tracing works", GREEN, colour);
    match less {
        0 => format!("{verdict}.\n"),
        1 => format!("{verdict}, with less than everything: see the one line above.\n"),
        _ => format!("{verdict}, with less than everything: see the {less} lines above.\n"),
    }
}

/// Writes words, the first line where the cursor is, the next ones `indent` columns in.
fn wrapped(out: &mut String, text: &str, indent: usize) {
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent {
            if column + 1 + length > WIDTH {
                let _ = write!(out, "\n{:indent$}", "");
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;

fn paint(text: &str, code: u8, colour: bool) -> String {
    if colour {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            kernel: "6.12.0".to_owned(),
            checks: vec![
                Check::works("btf", "kernel types", "found").required(),
                Check::works("capability.perfmon", "tracepoints", "")
                    .required()
                    .but(
                        Status::Missing,
                        "not permitted",
                        "everything",
                        "run as root",
                    ),
                Check::works("cgroup2", "containers", "").but(
                    Status::Degraded,
                    "seen from inside of a container, where only a part of the tree is visible to \
                     those who look",
                    "",
                    "mount it",
                ),
            ],
        }
    }

    #[test]
    fn text() {
        assert_eq!(
            render_text(&report(), false).replace(env!("CARGO_PKG_VERSION"), "VERSION"),
            "\
Clew VERSION on Linux 6.12.0

  works     btf                 kernel types: found
  MISSING   capability.perfmon  tracepoints: not permitted
                                lost:   everything
                                remedy: run as root
  degraded  cgroup2             containers: seen from inside of a container, where only a part
                                of the tree is visible to those who look
                                remedy: mount it

Tracing cannot work here: capability.perfmon missing.
"
        );
    }

    #[test]
    fn colours_only_where_asked_for() {
        assert!(!render_text(&report(), false).contains('\x1b'));
        let coloured = render_text(&report(), true);
        for code in [RED, GREEN, YELLOW] {
            assert!(coloured.contains(&format!("\x1b[{code}m")), "{coloured}");
        }
    }

    #[test]
    fn json() {
        let text = render_json(&report());
        let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(json["schema_version"], SCHEMA_VERSION);
        assert_eq!(json["can_trace"], false);
        assert_eq!(json["kernel"], "6.12.0");
        let check = &json["checks"][1];
        for (key, wanted) in [
            ("name", "capability.perfmon"),
            ("what_for", "tracepoints"),
            ("status", "missing"),
            ("detail", "not permitted"),
            ("lost", "everything"),
            ("remedy", "run as root"),
        ] {
            assert_eq!(check[key], wanted, "{key}");
        }
        assert_eq!(check["required"], true);
    }

    #[test]
    fn verdicts() {
        let with = |status, required| {
            let check = Check::works("x", "y", "").but(status, "", "", "");
            Report {
                kernel: String::new(),
                checks: vec![Check { required, ..check }],
            }
        };
        for (status, required, code) in [
            (Status::Works, true, 0),
            (Status::Degraded, true, 0),
            (Status::Missing, false, 0),
            (Status::Missing, true, 1),
        ] {
            assert_eq!(
                with(status, required).exit_code(),
                code,
                "{status:?} {required}"
            );
        }
    }
}
