//! From what was asked (flags, environment, file) to what is valid.
//!
//! Two stages: `layers` finds each setting's strongest source and reads it; [`load`] checks what
//! concerns several settings and returns a plain [`Config`], which is passed on as an argument.
//! Flags come before the environment, that before the file, that before the defaults. A setting is
//! taken whole from its strongest source: lists and headers of several sources are not merged.

mod context;
mod endpoint;
mod error;
mod keys;
mod layers;
mod limits;
mod origin;
mod otel;
mod otlp;
mod print;
mod propagation;
mod sampling;
mod scope;
mod sections;
mod value;
mod yaml;

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use context::{ContextFormat, HeaderName, Inbound};
pub use error::{ConfigError, Problem};
pub use layers::{CONFIG_VARIABLE, Effective, Environment, Flag, Pairs, Shown};
pub use limits::Limits;
pub use origin::Origin;
pub(crate) use otel::pairs as parse_pairs;
pub use otlp::{Batch, Compression, Otlp, OtlpProtocol};
pub use print::print_effective;
pub use propagation::{HeaderMode, Propagation};
pub use sampling::{Ratio, SamplerName, Sampling};
pub use scope::{Rules, Scope};
pub use sections::{
    Backend, Capture, Config, Log, LogFormat, Metrics, Output, Propagate, QueryText, Redaction,
};
pub use value::{PortRange, Setting, Size};
pub use yaml::Mark;

use layers::Layers;

/// The file that is read if it exists and no other is named.
pub const DEFAULT_FILE: &str = "/etc/clew/clew.yaml";

/// No configuration is larger; what is, is some other file, named by mistake.
const FILE_MAX: u64 = 1 << 20;

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The flags that were given.
    pub flags: Vec<Flag>,
    /// The agent's environment.
    pub environment: Environment,
    /// Whether standard output is a terminal: someone who has configured nothing and looks on
    /// wants to see spans.
    pub terminal: bool,
}

/// The valid configuration.
///
/// # Errors
///
/// The file cannot be read or is no YAML, or keys or values are wrong (all of them are listed).
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let file = match read_file(sources)? {
        Some((path, text)) => Some((Arc::clone(&path), parse(&path, &text)?)),
        None => None,
    };
    let layers = Layers::new(&sources.flags, &sources.environment, file);
    Config::read(layers, sources.terminal).map_err(ConfigError::Invalid)
}

fn parse(path: &Arc<Path>, text: &str) -> Result<yaml::Node, ConfigError> {
    yaml::parse(text).map_err(|error| ConfigError::Syntax {
        place: Origin::File {
            path: Arc::clone(path),
            mark: error.mark,
        },
        message: error.message,
    })
}

/// The file's path and text; `None` where no file was named and the default one does not exist.
fn read_file(sources: &Sources) -> Result<Option<(Arc<Path>, String)>, ConfigError> {
    let variable = sources.environment.get(CONFIG_VARIABLE);
    let variable = variable.filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = sources.file.clone().or(variable);
    let path = named.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    match read_text(path) {
        Ok(text) => Ok(Some((Arc::from(path), text))),
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    if file.take(FILE_MAX + 1).read_to_string(&mut text)? as u64 > FILE_MAX {
        return Err(std::io::Error::other("larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
