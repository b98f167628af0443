//! Clients of databases, caches and brokers: how each is run. Their programs are in
//! `services/protocols`; each takes the server's port as its first argument, and logs what it does as
//! [`crate::operations`] has it.

use std::process::Command;

use anyhow::{Error, Result};

use crate::require::{Need, find};
use crate::service::{go_program, source};
use crate::stage::with;

/// Who uses a server: a program, and its arguments after the port.
#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// A Python script.
    Python(&'static str, &'static [&'static str]),
    /// A Go module.
    Go(&'static str, &'static [&'static str]),
    /// A script for Node, of the old kind of module: others do not look for modules in `NODE_PATH`.
    Node(&'static str, &'static [&'static str]),
    /// A Java source file with the jars of `services/maven/<the second>.xml`.
    Java(&'static str, &'static str, &'static [&'static str]),
    /// A script that calls a command line client, the second, and says what that did.
    Shell(&'static str, &'static str, &'static [&'static str]),
}

impl Client {
    /// What it needs of the machine.
    #[must_use]
    pub fn needs(self) -> Vec<Need> {
        match self {
            Self::Python(..) => vec![Need::Python],
            Self::Go(..) => vec![Need::Program("go")],
            Self::Node(..) => vec![Need::Program("node"), Need::Npm],
            Self::Java(_, jars, _) => vec![Need::Program("javac"), Need::Maven(jars)],
            Self::Shell(_, program, _) => vec![Need::Program(program)],
        }
    }

    /// The command that uses the server on a port.
    ///
    /// # Errors
    /// When it cannot be built, or what it needs is not there.
    pub fn command(self, port: u16) -> Result<Command> {
        let program = |name: &str| source(&format!("protocols/{name}"));
        let found = |need| find(need).map_err(Error::msg);
        let (command, arguments) = match self {
            Self::Python(script, arguments) => {
                let python = Command::new(found(Need::Python)?);
                (with(python, &[&program(script)]), arguments)
            }
            Self::Go(module, arguments) => {
                let built = go_program(&format!("protocols/{module}"))?;
                (Command::new(built), arguments)
            }
            Self::Node(script, arguments) => {
                let mut node = Command::new("node");
                node.env("NODE_PATH", found(Need::Npm)?.join("node_modules"));
                (with(node, &[&program(script)]), arguments)
            }
            Self::Java(source, jars, arguments) => {
                let mut java = java(jars)?;
                java.arg(program(source));
                (java, arguments)
            }
            Self::Shell(script, _, arguments) => {
                (with(Command::new("sh"), &[&program(script)]), arguments)
            }
        };
        Ok(with(with(command, &[&port.to_string()]), arguments))
    }
}

/// Java with the jars of `services/maven/<name>.xml`, and little memory; the class is still to be said.
///
/// # Errors
/// When the jars are not there.
pub fn java(jars: &'static str) -> Result<Command> {
    let jars = find(Need::Maven(jars)).map_err(Error::msg)?;
    let mut java = Command::new("java");
    // Half of the start-up time is the second compiler's.
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]);
    java.arg("-cp").arg(jars.join("*"));
    Ok(java)
}
