//! Where a value came from.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::yaml::Mark;

/// Where a value came from. Written as `clew config` and error messages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it. The text, if any, says what the default was derived from.
    Default(Option<&'static str>),
    /// The configuration file.
    File {
        /// Its path.
        path: Arc<Path>,
        /// The place.
        mark: Mark,
    },
    /// An environment variable of the agent.
    Environment(String),
    /// A command line flag, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(None) => f.write_str("default"),
            Self::Default(Some(reason)) => write!(f, "default, {reason}"),
            Self::File { path, mark } => {
                write!(f, "{}:{}:{}", path.display(), mark.line, mark.column)
            }
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}
