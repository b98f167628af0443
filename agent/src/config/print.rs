//! `clew config`: the effective configuration as a file that would give it, with where each value
//! came from.

use std::fmt::Write;

use super::layers::{Effective, Shown};
use super::origin::Origin;
use super::sections::Config;

/// Column at which the comments begin, where the value leaves room.
const COMMENT_COLUMN: usize = 44;

/// The effective configuration as YAML; each value has a comment that names its origin. Secrets
/// are replaced by `<redacted>`.
///
/// `describe` puts what each setting is above it, and makes comments of the defaults: a file to
/// start from, which pins nothing that nobody has chosen.
#[must_use]
pub fn print_effective(config: &Config, describe: bool) -> String {
    let mut out = String::new();
    let mut open: Vec<&str> = Vec::new();
    for effective in &config.effective {
        let mut parts: Vec<_> = effective.path.split('.').collect();
        let key = parts.pop().unwrap_or_default();
        let common = open.iter().zip(&parts).take_while(|(a, b)| a == b).count();
        for (depth, section) in parts.iter().enumerate().skip(common) {
            line(&mut out, depth, &format!("{section}:"), None);
        }
        let depth = parts.len();
        open = parts;
        if describe {
            line(&mut out, depth, &format!("# {}", effective.doc), None);
        }
        let default = matches!(effective.origin, Origin::Default(_));
        let key = match describe && default {
            true => format!("#{key}"),
            false => key.to_owned(),
        };
        setting(&mut out, depth, &key, effective);
    }
    out
}

fn setting(out: &mut String, depth: usize, key: &str, effective: &Effective) {
    let origin = effective.origin.to_string();
    let text = match &effective.value {
        Shown::Nothing => format!("{key}: ~"),
        Shown::One(text) => format!("{key}: {}", scalar(text)),
        Shown::List(items) => {
            let items: Vec<_> = items.iter().map(|item| scalar(item)).collect();
            format!("{key}: [{}]", items.join(", "))
        }
        Shown::Map(pairs) | Shown::Secrets(pairs) if pairs.is_empty() => format!("{key}: {{}}"),
        Shown::Map(_) | Shown::Secrets(_) => format!("{key}:"),
    };
    line(out, depth, &text, Some(&origin));
    match &effective.value {
        Shown::Map(pairs) => {
            for (name, value) in pairs {
                let text = format!("{}: {}", scalar(name), scalar(value));
                line(out, depth + 1, &text, None);
            }
        }
        Shown::Secrets(pairs) => {
            for (name, _) in pairs {
                line(
                    out,
                    depth + 1,
                    &format!("{}: <redacted>", scalar(name)),
                    None,
                );
            }
        }
        Shown::Nothing | Shown::One(_) | Shown::List(_) => {}
    }
}

fn line(out: &mut String, depth: usize, text: &str, comment: Option<&str>) {
    let indented = format!("{:1$}{text}", "", depth * 2);
    // Writing to a String cannot fail.
    let _ = match comment {
        Some(comment) => writeln!(out, "{indented:<COMMENT_COLUMN$} # {comment}"),
        None => writeln!(out, "{indented}"),
    };
}

/// Text as a YAML scalar: plain where that cannot be taken for anything else.
fn scalar(text: &str) -> String {
    let first = text.chars().next().unwrap_or(' ');
    let plain = (first.is_ascii_alphanumeric() || first == '/')
        && !text.ends_with(':')
        && !text.eq_ignore_ascii_case("null")
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_./:+%@=-".contains(c));
    if plain {
        text.to_owned()
    } else {
        // JSON's strings are YAML's double-quoted ones.
        serde_json::Value::from(text).to_string()
    }
}
