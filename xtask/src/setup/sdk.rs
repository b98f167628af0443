//! OpenTelemetry's SDKs for the applications that have one of their own: Go's modules and Java's
//! agent. Python's are among the Python packages.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// Pinned, because tests assert what it does.
const JAVA_AGENT: &str = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.33.1";

/// Where Java's agent is left.
pub fn java_agent() -> PathBuf {
    workspace::target_dir().join("opentelemetry-javaagent.jar")
}

/// Fetches what is missing. Where it cannot be had, says so: the tests that need it are skipped, or
/// fail under `--require`.
pub fn ensure() {
    for (what, fetched) in [
        ("OpenTelemetry's Go modules", go_modules()),
        ("OpenTelemetry's Java agent", java_agent_jar()),
    ] {
        match fetched {
            Ok(true) => {}
            Ok(false) => println!("{what}: present"),
            Err(error) => println!("{what}: not fetched, tests will be skipped or fail: {error:#}"),
        }
    }
}

/// Whether anything had to be fetched.
fn go_modules() -> Result<bool> {
    let download = |proxy: &[(&str, &str)]| {
        let mut go = Command::new("go");
        go.args(["mod", "download"])
            .current_dir(workspace::root().join("tests/services/go-sdk"))
            // The tests build it with the Go that is installed.
            .env("GOTOOLCHAIN", "local")
            .envs(proxy.iter().copied());
        go
    };
    // It succeeds without a network where everything is there.
    if command::output(&mut download(&[("GOPROXY", "off")])).is_some() {
        return Ok(false);
    }
    command::run(&mut download(&[]))?;
    Ok(true)
}

/// Whether it had to be fetched.
fn java_agent_jar() -> Result<bool> {
    let jar = java_agent();
    let version = jar.with_extension("version");
    // Written last: a download that did not finish has none.
    if jar.is_file() && fs::read_to_string(&version).is_ok_and(|text| text == JAVA_AGENT) {
        return Ok(false);
    }
    let directory = workspace::target_dir().join("java-agent");
    command::run(
        Command::new("mvn")
            .args(["--quiet", "--batch-mode", "dependency:copy"])
            .args(["-Dmdep.stripVersion=true", "-Dmdep.overWriteReleases=true"])
            .arg(format!("-Dartifact={JAVA_AGENT}"))
            .arg(format!("-DoutputDirectory={}", directory.display()))
            .current_dir(workspace::root()),
    )?;
    let fetched = directory.join("opentelemetry-javaagent.jar");
    fs::rename(&fetched, &jar).with_context(|| format!("moving {}", fetched.display()))?;
    fs::write(&version, JAVA_AGENT).with_context(|| format!("writing {}", version.display()))?;
    Ok(true)
}
