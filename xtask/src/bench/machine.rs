//! What the figures were measured on.

use std::fmt;
use std::fs;
use std::process::Command;

use crate::{command, workspace};

/// A machine, a moment, and a state of the sources.
pub struct Machine {
    date: String,
    commit: String,
    kernel: String,
    processor: String,
    processors: String,
    memory: String,
}

impl Machine {
    /// This one, now. What cannot be found out is shown as unknown.
    pub fn this() -> Self {
        let unknown = || "unknown".to_owned();
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let told = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).current_dir(workspace::root());
            command::output(&mut command).map(|text| text.trim().to_owned())
        };
        // A tree with changes is not the commit.
        let git = [
            "describe",
            "--always",
            "--dirty",
            "--abbrev=10",
            "--exclude=*",
        ];
        Self {
            date: told("date", &["--utc", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(unknown),
            commit: told("git", &git).unwrap_or_else(unknown),
            kernel: told("uname", &["-sr"]).unwrap_or_else(unknown),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            // All of them: this process is confined to one.
            processors: told("nproc", &["--all"]).unwrap_or_else(unknown),
            memory: field("/proc/meminfo", "MemTotal").unwrap_or_else(unknown),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            date,
            commit,
            kernel,
            processor,
            processors,
            memory,
        } = self;
        write!(
            f,
            "{date}, commit {commit}, {kernel}, {processors} processors ({processor}), {memory} of \
             memory"
        )
    }
}
