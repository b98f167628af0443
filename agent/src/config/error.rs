//! What is wrong with a configuration, in words that say where and what to do.

use std::fmt;
use std::path::PathBuf;

use super::origin::Origin;

/// Something in the configuration is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not YAML, or is larger than any configuration.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Origin,
        /// What is wrong.
        message: String,
    },
    /// Keys or values are wrong: all of them, so that one attempt is enough to mend them.
    #[error("{}", Problem::list(.0))]
    Invalid(Vec<Problem>),
}

/// One wrong key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Origin,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl Problem {
    fn list(problems: &[Self]) -> String {
        let lines: Vec<_> = problems.iter().map(Self::to_string).collect();
        lines.join("\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
