//! What a test needs of its machine: one guard for all tests.

use std::path::{Path, PathBuf};

/// What a test needs beside the agent and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A program on the `PATH`.
    Program(&'static str),
    /// A mounted tree of cgroups, version 2: contexts leave by programs that are attached to it.
    CgroupV2,
    /// The Python environment that `cargo xtask setup` makes, with a WSGI server.
    Python,
    /// The OpenTelemetry Collector that `cargo xtask setup` builds.
    Collector,
    /// OpenTelemetry's agent for Java, which `cargo xtask setup` fetches.
    JavaAgent,
    /// The jars of `services/maven/<name>.xml`, which `cargo xtask setup` fetches.
    Maven(&'static str),
    /// The modules of `services/package-lock.json`, which `cargo xtask setup` fetches.
    Npm,
}

/// Whether the needs are met. Prints why a test is skipped where they are not.
///
/// # Panics
/// Where they are not met and `CLEW_REQUIRE=1` says that they must be (CI does).
#[must_use]
pub fn met(test: &str, needs: &[Need]) -> bool {
    let missing: Vec<String> = std::iter::once(agent_runs())
        .chain(needs.iter().map(|need| find(*need).map(drop)))
        .filter_map(Result::err)
        .collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join("; ");
    assert!(
        std::env::var("CLEW_REQUIRE").as_deref() != Ok("1"),
        "CLEW_REQUIRE=1, and {test} lacks: {missing}"
    );
    crate::report(&format!("skipped: {test}: {missing}"));
    false
}

/// The file that meets a need.
///
/// # Errors
/// With a sentence that says what is missing and what to do.
pub fn find(need: Need) -> Result<PathBuf, String> {
    match need {
        Need::Program(name) => std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths)
            .chain(["/usr/sbin".into()])
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| format!("{name} is not installed")),
        Need::CgroupV2 => clew_testbed::cgroup_root()
            .map(PathBuf::from)
            .map_err(|error| error.to_string()),
        Need::Python => from_setup("CLEW_TEST_PYTHON", "target/test-venv/bin/python"),
        Need::Collector => from_setup("CLEW_TEST_COLLECTOR", "target/clew-test-collector"),
        Need::JavaAgent => {
            let default = "target/opentelemetry-javaagent.jar";
            from_setup("CLEW_TEST_JAVA_AGENT", default)
        }
        // Setup leaves a copy of the list beside what it fetched, when that is complete.
        Need::Maven(name) => from_setup_folder("CLEW_TEST_MAVEN", "target/maven", name, "pom.xml"),
        Need::Npm => from_setup_folder("CLEW_TEST_NPM", "target/npm", "", "package-lock.json"),
    }
}

/// The agent under test: `CLEW_BIN`, or the workspace's release build.
///
/// # Errors
/// When there is none.
pub fn agent() -> Result<PathBuf, String> {
    match std::env::var_os("CLEW_BIN") {
        Some(path) => existing(path.into(), "CLEW_BIN names no file"),
        None => existing(
            workspace().join("target/release/clew"),
            "run `cargo xtask build`",
        ),
    }
}

/// The workspace's folder.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn agent_runs() -> Result<(), String> {
    agent()?;
    if !nix::unistd::geteuid().is_root() {
        return Err("tracing needs root".to_owned());
    }
    Ok(())
}

fn from_setup(variable: &str, default: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os(variable).map_or_else(|| workspace().join(default), PathBuf::from);
    existing(path, "run `cargo xtask setup`")
}

fn from_setup_folder(
    variable: &str,
    default: &str,
    name: &str,
    list: &str,
) -> Result<PathBuf, String> {
    let folders =
        std::env::var_os(variable).map_or_else(|| workspace().join(default), PathBuf::from);
    let folder = folders.join(name);
    existing(folder.join(list), "run `cargo xtask setup`").map(|_| folder)
}

fn existing(path: PathBuf, remedy: &str) -> Result<PathBuf, String> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is not there: {remedy}", path.display()))
    }
}
