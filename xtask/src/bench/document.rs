//! Results in documents.

use std::fs;

use anyhow::{Context as _, Result};

use crate::workspace;

/// Writes down what a command (`bench harm`, say) found, in a document of the repository.
///
/// # Errors
/// When the document is missing, or has no place for it.
pub fn write(document: &str, command: &str, section: &str) -> Result<()> {
    let file = workspace::root().join(document);
    let before =
        fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    fs::write(&file, replace(&before, command, section)?)?;
    println!("written to {}", file.display());
    Ok(())
}

/// Puts a section in the place of the one that the same command wrote before.
///
/// # Errors
/// When the document has no place for it.
fn replace(document: &str, command: &str, section: &str) -> Result<String> {
    let command = format!("`cargo xtask {command} --write`");
    let begin = format!("<!-- Written by {command}. -->");
    let end = format!("<!-- End of what is written by {command}. -->");
    let (before, rest) = document
        .split_once(&begin)
        .context("no place for the results")?;
    let (_, after) = rest
        .split_once(&end)
        .context("no end of the place for the results")?;
    Ok(format!("{before}{begin}\n\n{section}\n{end}{after}"))
}

/// Cut, not rounded: 100 is all of it.
pub fn percent(part: u64, whole: u64) -> String {
    if part == whole {
        return "100 %".to_owned();
    }
    let thousandths = u128::from(part) * 100_000 / u128::from(whole.max(1));
    format!("{}.{:03} %", thousandths / 1000, thousandths % 1000)
}

/// A table in Markdown.
pub struct Table {
    /// So far.
    pub text: String,
}

impl Table {
    /// A table without rows.
    pub fn new(title: &str, columns: &[&str]) -> Self {
        let rule = vec!["---"; columns.len()].join("|");
        Self {
            text: format!("**{title}**\n\n| {} |\n|{rule}|\n", columns.join(" | ")),
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: &[String; N]) {
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    /// Adds a sentence below; no rows may follow.
    pub fn note(&mut self, note: &str) {
        self.text.push_str(&format!("\n{note}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_the_last() {
        let [begin, end] = ["Written", "End of what is written"]
            .map(|what| format!("<!-- {what} by `cargo xtask bench overhead --write`. -->"));
        let document = format!("# Title\n\n{begin}\n{end}\n\n## More\n");
        let first = replace(&document, "bench overhead", "one").expect("a place");
        assert_eq!(
            first,
            format!("# Title\n\n{begin}\n\none\n{end}\n\n## More\n")
        );
        assert_eq!(
            replace(&first, "bench overhead", "two").expect("a place"),
            first.replace("one", "two")
        );
        assert!(replace("# Title\n", "bench overhead", "one").is_err());
        assert!(replace(&document, "bench fidelity", "one").is_err());
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!(percent(5, 5), "100 %");
        assert_eq!(percent(999_999, 1_000_000), "99.999 %");
        assert_eq!(percent(23, 160), "14.375 %");
        assert_eq!(percent(161, 160), "100.625 %");
    }
}
