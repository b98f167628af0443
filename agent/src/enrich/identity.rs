//! What a program is: shared by a process and the children it forks, until they start another.

use super::cgroup::{Container, container_of};
use super::service::{base_name, service_name};
use super::variables::Declared;

/// Bytes of a command line that are kept, for the scope's rules.
const COMMAND_MAX: usize = 1024;
/// Arguments that are looked at for a service name.
const ARGUMENTS_MAX: usize = 256;

/// What a program is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Path of the executable; its name only, where the process was gone before its path could be
    /// read; empty where nothing is known.
    pub executable: String,
    /// The name it was called by (`argv[0]`), unless the process has put a title there.
    pub called: Option<String>,
    /// The command line, arguments joined by blanks, cut. For the scope's rules only: it may hold
    /// secrets, and is never exported.
    pub command: String,
    /// `service.name`.
    pub service: String,
    /// Resource attributes that the process declares of itself.
    pub declared: Vec<(String, String)>,
    /// Its cgroups' paths.
    pub cgroups: Vec<String>,
    /// Its container.
    pub container: Container,
}

/// What is known of a program before it is interpreted.
#[derive(Debug, Default)]
pub struct Known<'a> {
    /// From `/proc/PID/exe`.
    pub executable: Option<String>,
    /// `comm`.
    pub name: &'a str,
    /// NUL-separated arguments.
    pub arguments: &'a [u8],
    /// From the environment.
    pub declared: Declared,
    /// The cgroups' paths.
    pub cgroups: Vec<String>,
}

impl Identity {
    /// Interprets what is known.
    #[must_use]
    pub fn new(known: Known<'_>) -> Self {
        let arguments = known
            .arguments
            .strip_suffix(b"\0")
            .unwrap_or(known.arguments);
        let text = String::from_utf8_lossy(arguments);
        let arguments: Vec<&str> = match &*text {
            "" => Vec::new(),
            text => text.split('\0').take(ARGUMENTS_MAX).collect(),
        };
        // A title that the process has written over its arguments ("nginx: worker process",
        // "postgres: user database") contains blanks; it may show data, and is no command.
        let first = arguments.first().copied().unwrap_or_default();
        let called = (!first.is_empty() && !first.contains(' ')).then(|| first.to_owned());
        let executable = known
            .executable
            .or_else(|| called.clone())
            .unwrap_or_else(|| known.name.to_owned());
        let service = match known.declared.service {
            Some(service) => service,
            None => match service_name(&executable, &arguments) {
                // The semantic conventions' name for this case.
                name if name.is_empty() => "unknown_service".to_owned(),
                name => name,
            },
        };
        Self {
            called,
            command: cut(&arguments.join(" "), COMMAND_MAX).to_owned(),
            service,
            declared: known.declared.attributes,
            container: container_of(&known.cgroups),
            cgroups: known.cgroups,
            executable,
        }
    }

    /// The executable's name, without its folder.
    #[must_use]
    pub fn executable_name(&self) -> &str {
        base_name(&self.executable)
    }
}

/// The longest beginning of at most `length` bytes.
fn cut(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}
