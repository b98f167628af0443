//! What comes from Maven's registry: OpenTelemetry's agent for Java, and servers and clients in Java.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::fetched::{by_list, entries, report, services};
use crate::{command, workspace};

/// Pinned, because tests assert what it does.
const JAVA_AGENT: &str = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.33.1";

/// Where Java's agent is left.
pub fn java_agent() -> PathBuf {
    workspace::target_dir().join("opentelemetry-javaagent.jar")
}

/// Where the jars of `tests/services/maven/NAME.xml` are left: in a folder NAME.
pub fn directory() -> PathBuf {
    workspace::target_dir().join("maven")
}

/// Fetches what is missing.
pub fn ensure() {
    report("OpenTelemetry's Java agent", java_agent_jar());
    report("servers and clients in Java", jars());
}

/// Whether it had to be fetched.
fn java_agent_jar() -> Result<bool> {
    let jar = java_agent();
    let version = jar.with_extension("version");
    // Written last: a download that did not finish has none.
    if jar.is_file() && std::fs::read_to_string(&version).is_ok_and(|text| text == JAVA_AGENT) {
        return Ok(false);
    }
    let directory = workspace::target_dir().join("java-agent");
    command::run(
        maven("dependency:copy", &directory)
            .args(["-Dmdep.stripVersion=true", "-Dmdep.overWriteReleases=true"])
            .arg(format!("-Dartifact={JAVA_AGENT}")),
    )?;
    let fetched = directory.join("opentelemetry-javaagent.jar");
    std::fs::rename(&fetched, &jar).with_context(|| format!("moving {}", fetched.display()))?;
    std::fs::write(&version, JAVA_AGENT)
        .with_context(|| format!("writing {}", version.display()))?;
    Ok(true)
}

/// Whether anything had to be fetched.
fn jars() -> Result<bool> {
    let mut fetched = false;
    for list in entries(&services().join("maven"))? {
        let folder = directory().join(list.file_stem().unwrap_or_default());
        fetched |= by_list(&list, &folder, "pom.xml", || {
            command::run(
                maven("dependency:copy-dependencies", &folder)
                    .arg("--file")
                    .arg(&list)
                    .arg("-DincludeScope=runtime"),
            )
        })?;
    }
    Ok(fetched)
}

fn maven(goal: &str, output: &Path) -> Command {
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode", goal])
        .arg(format!("-DoutputDirectory={}", output.display()))
        .current_dir(workspace::root());
    maven
}
