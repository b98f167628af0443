//! Keys of the file that are no settings, and what was probably meant.

use std::path::Path;
use std::sync::Arc;

use super::error::Problem;
use super::origin::Origin;
use super::value::nearest;
use super::yaml::{Mark, Node, Value};

/// Refuses what stands under `prefix` in the file and is no setting.
pub fn unknown_keys(
    known: &[&'static str],
    file: &Arc<Path>,
    prefix: &str,
    node: &Node,
    problems: &mut Vec<Problem>,
) {
    let mut refuse = |mark: Mark, message: String| {
        let path = Arc::clone(file);
        let place = Origin::File { path, mark };
        problems.push(Problem { place, message });
    };
    let entries = match &node.value {
        Value::Null => return,
        Value::Mapping(entries) => entries,
        _ if prefix.is_empty() => {
            return refuse(node.mark, "expected keys with values".to_owned());
        }
        _ => {
            let section = prefix.trim_end_matches('.');
            let list = in_words(&children(known, prefix));
            return refuse(
                node.mark,
                format!("`{section}` is a section: expected keys under it: {list}"),
            );
        }
    };
    let mut sections = Vec::new();
    for (key, value) in entries {
        let path = format!("{prefix}{}", key.name);
        let section = format!("{path}.");
        if known.contains(&path.as_str()) {
            continue;
        } else if known.iter().any(|known| known.starts_with(&section)) {
            sections.push((section, value));
        } else {
            refuse(key.mark, unknown_key(known, prefix, &key.name));
        }
    }
    for (section, value) in sections {
        unknown_keys(known, file, &section, value, problems);
    }
}

fn unknown_key(known: &[&'static str], prefix: &str, name: &str) -> String {
    let here = children(known, prefix);
    let elsewhere = known
        .iter()
        .find(|path| path.rsplit('.').next() == Some(name));
    let hint = match (nearest(name, &here), elsewhere) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(path)) => format!("did you mean `{path}`?"),
        (None, None) => format!("known here: {}", in_words(&here)),
    };
    format!("unknown key `{prefix}{name}`: {hint}")
}

/// The keys that may stand directly under `prefix`.
fn children(known: &[&'static str], prefix: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = known
        .iter()
        .filter_map(|path| path.strip_prefix(prefix))
        .map(|rest| rest.split_once('.').map_or(rest, |(first, _)| first))
        .collect();
    names.dedup();
    names
}

fn in_words(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
