//! `cargo xtask test`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::build::{self, Profile};
use crate::ebpf::{self, Architecture};
use crate::{command, fuzz, setup, vm, workspace};

/// What `cargo xtask test` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Turns a missing program, kernel capability or right into a failure; without it, the tests
    /// that need it say so and are skipped.
    #[arg(long)]
    require: bool,
    /// For how long each fuzz target runs; a minute or more where time does not matter
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    fuzz: u32,
    /// Runs end-to-end tests, and nothing else, on another kernel (5.10, 6.1, 6.12, 7.2 or `all`), in
    /// an emulated machine, with the backend that this kernel offers
    #[arg(long, value_name = "KERNEL")]
    kernels: Option<String>,
    /// With --kernels: another of the agent's backends (socket, fentry, syscall)
    #[arg(long, requires = "kernels", value_name = "BACKEND")]
    backend: Option<String>,
    #[command(flatten)]
    variant: vm::Variant,
    /// With --kernels: the tests, by parts of their names [default: some of each kind]
    #[arg(last = true, requires = "kernels", value_name = "FILTER")]
    filters: Vec<String>,
}

/// What is tested on other kernels: each kernel program at work, each kind of system call, and contexts
/// between hosts. Load, and servers that take minutes to start, are left out: an emulated machine is slow.
const ON_KERNELS: [&str; 6] = [
    "lifecycle::",
    "protocol::",
    "system_calls::",
    "dns::",
    "option::",
    // Other programs than by default: where all traces are kept, and that is decided anew.
    "all_whatever_callers_say",
];

/// What of that is tested on a machine that differs from others in its cgroups or in its kernel's lockdown.
const ON_VARIANTS: [&str; 7] = [
    "::curl_and_nginx",
    "::kept_connections",
    "::connections_older_than_the_agent",
    "::a_host_without_cgroup_v2",
    "::by_cgroup",
    "::what_arrives",
    "::segments_of_any_kind",
];

/// How much slower than this host an emulated machine is at least, for the tests' patience.
const EMULATED_SLOWNESS: &str = "8";

/// For all tests on one kernel.
const KERNEL_SECONDS: &str = "3000";

/// Sets up, builds once, then runs the unit tests, the fuzz targets and the end-to-end tests. The
/// first failure ends it.
///
/// # Errors
/// When anything fails.
pub fn test(options: &Options) -> Result<()> {
    ensure!(
        options.kernels.is_some() || !options.variant.is_special(),
        "--cgroup and --lockdown are of machines: say which with --kernels"
    );
    setup::setup()?;
    let clew = build::agent(Profile::Release)?;
    if let Some(kernels) = &options.kernels {
        return on_kernels(kernels, &clew, options);
    }

    // Those for other hosts cannot be loaded here, but they compile.
    for architecture in Architecture::ALL {
        ebpf::build(architecture)?;
    }

    let mut unit = cargo_test(options.require);
    command::run(unit.args(["--workspace", "--exclude", "clew-tests"]))?;
    // Each micro-benchmark once: they assert that what they measure still happens.
    let mut micro = cargo_test(options.require);
    command::run(micro.args(["--package", "clew", "--bench", "micro"]))?;

    fuzz::fuzz(options.fuzz)?;

    let mut end_to_end = cargo_test(options.require);
    end_to_end.args(["--package", "clew-tests", "--"]);
    skip_others(&mut end_to_end, &backends_here(&clew)?);
    if !nix::unistd::geteuid().is_root() && command::find("sudo").is_some() {
        // Cargo calls the test binaries through this; only they have to be root.
        end_to_end.env(runner(), "sudo --preserve-env");
    }
    end_to_end.env("CLEW_BIN", clew);
    if options.require {
        // The Collector stays away for a minute under load; ten seconds at a desk.
        end_to_end.env("CLEW_TEST_OUTAGE", "60");
    }
    with_tools(&mut end_to_end);
    command::run(&mut end_to_end)
}

/// The end-to-end tests in machines with other kernels: cargo calls the test binary through
/// `cargo xtask vm`.
fn on_kernels(kernels: &str, clew: &Path, options: &Options) -> Result<()> {
    let xtask = std::env::current_exe().context("finding this program")?;
    let xtask = xtask.display();
    // The machines can only read this one's files.
    let mut services = command::cargo();
    services.args([
        "run",
        "--quiet",
        "--package",
        "clew-tests",
        "--bin",
        "build_services",
    ]);
    command::run(services.current_dir(workspace::root()))?;
    for kernel in vm::named(kernels)? {
        let mut cargo = cargo_test(options.require);
        cargo.args(["--package", "clew-tests", "--test", "e2e", "--"]);
        match &options.filters[..] {
            [] if options.variant.is_special() => cargo.args(ON_VARIANTS),
            [] => cargo.args(ON_KERNELS),
            filters => cargo.args(filters),
        };
        // Two emulated processors: tests side by side would wait for each other.
        cargo.args(["--test-threads", "1"]);
        let wanted = options.backend.as_deref().unwrap_or(kernel.backend());
        skip_others(&mut cargo, &[wanted]);
        let series = kernel.series();
        let variant = options.variant.arguments();
        cargo.env(
            runner(),
            format!("{xtask} vm --kernel {series} {variant} --timeout {KERNEL_SECONDS} --"),
        );
        cargo.env("CLEW_BIN", clew);
        cargo.env("CLEW_TEST_BUILT", "1");
        cargo.env("CLEW_TEST_SLOWNESS", EMULATED_SLOWNESS);
        with_tools(&mut cargo);
        command::run(&mut cargo).with_context(|| format!("on Linux {series}"))?;
    }
    Ok(())
}

/// The agent's backends.
const BACKENDS: [&str; 3] = ["socket", "fentry", "syscall"];

/// Leaves the cases of other backends out.
fn skip_others(tests: &mut Command, backends: &[&str]) {
    for backend in BACKENDS {
        if !backends.contains(&backend) {
            tests.args(["--skip", &format!("{backend}::")]);
        }
    }
}

/// The backends that this kernel offers and an agent would take: the best, and the last resort. All, where
/// that cannot be found out: the tests say what they lack then.
fn backends_here(clew: &Path) -> Result<Vec<&'static str>> {
    let Ok(mut doctor) = command::as_root(clew) else {
        return Ok(BACKENDS.to_vec());
    };
    // Its exit status says only whether any works.
    let report = doctor.args(["doctor", "--json"]).output();
    let report = report.context("asking `clew doctor`")?.stdout;
    let report: serde_json::Value =
        serde_json::from_slice(&report).context("reading what `clew doctor` says")?;
    let works = |backend: &&str| {
        let checks = report["checks"].as_array().into_iter().flatten();
        checks
            .filter(|check| check["name"] == format!("backend.{backend}"))
            .any(|check| check["status"] == "works")
    };
    let (last, better) = BACKENDS.split_last().context("there are backends")?;
    let best = better.iter().find(|backend| works(backend)).unwrap_or(last);
    println!("end to end with the backends `{best}` and `{last}`");
    Ok(vec![best, last])
}

/// Says where what setup fetched is.
fn with_tools(tests: &mut Command) {
    tests.env("CLEW_TEST_PYTHON", setup::python());
    tests.env("CLEW_TEST_JAVA_AGENT", setup::java_agent());
    tests.env("CLEW_TEST_MAVEN", setup::maven());
    tests.env("CLEW_TEST_NPM", setup::npm());
}

/// The variable that names the program through which cargo calls test binaries.
fn runner() -> String {
    let architecture = std::env::consts::ARCH.to_uppercase();
    format!("CARGO_TARGET_{architecture}_UNKNOWN_LINUX_GNU_RUNNER")
}

fn cargo_test(require: bool) -> Command {
    let mut cargo = command::cargo();
    cargo.arg("test").current_dir(workspace::root());
    cargo.env("CLEW_TEST_COLLECTOR", setup::collector());
    if require {
        cargo.env("CLEW_REQUIRE", "1");
    }
    cargo
}
