//! `cargo xtask vm`: runs a command with this host's files on another kernel.

mod kernels;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use clew_testbed::{Cgroups, Deadline, Machine, Process, Tap};

use crate::{command, setup};
pub use kernels::{Kernel, named};

/// What `cargo xtask vm` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// The kernel: 5.10, 6.1, 6.12, 7.2, or `all` for one after the other
    #[arg(long)]
    kernel: String,
    /// After this the machine is ended by force, and the exit status is 124
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
    #[command(flatten)]
    variant: Variant,
    /// A network namespace (`ip netns add NAME`) to put the machine's `eth0` in
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// A bridge in the namespace to plug the machine into; without one, the namespace's end of the
    /// cable has the addresses 10.78.0.1/24 and fd78::1/64
    #[arg(long, value_name = "DEVICE", requires = "network")]
    bridge: Option<String>,
    /// An address of the machine's, with its prefix's length
    #[arg(long = "address", value_name = "ADDRESS", requires = "network",
          default_values = ["10.78.0.2/24", "fd78::2/64"])]
    addresses: Vec<String>,
    /// The command, which runs as root, with this process's PATH and CLEW_* variables
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// How a machine differs from others with its kernel.
#[derive(Clone, Copy, clap::Args)]
pub struct Variant {
    /// The cgroup trees in the machine: of version 1 alone, of both, or of version 2 alone
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = CgroupVersion::V2)]
    cgroup: CgroupVersion,
    /// Whether the machine's kernel is locked down
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Lockdown::None)]
    lockdown: Lockdown,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CgroupVersion {
    V1,
    Hybrid,
    V2,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lockdown {
    None,
    Integrity,
}

impl Variant {
    fn cgroups(self) -> Cgroups {
        match self.cgroup {
            CgroupVersion::V1 => Cgroups::V1,
            CgroupVersion::Hybrid => Cgroups::Hybrid,
            CgroupVersion::V2 => Cgroups::V2,
        }
    }

    /// The same, as arguments.
    pub fn arguments(self) -> String {
        let (cgroup, lockdown) = (name(&self.cgroup), name(&self.lockdown));
        format!("--cgroup {cgroup} --lockdown {lockdown}")
    }

    /// Whether it is not a machine as any other.
    pub fn is_special(self) -> bool {
        self.cgroup != CgroupVersion::V2 || self.lockdown != Lockdown::None
    }
}

/// What a value is called on the command line.
fn name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The namespace's end of the cable, where no bridge is named.
const HOST_ADDRESSES: [&str; 2] = ["10.78.0.1/24", "fd78::1/64"];

/// Runs the command on one kernel, or on all, and exits as it does: with several kernels, as the
/// first that failed.
///
/// # Errors
/// When a machine cannot be started.
pub fn vm(options: &Options) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "a virtual machine that is to see this host's files needs root: repeat this as root"
    );
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernels are Debian's for x86-64, and cannot run the programs of this host"
    );
    setup::machines()?;
    let kernels = named(&options.kernel)?;
    let several = kernels.len() > 1;
    let mut failed = None;
    for kernel in kernels {
        let image = kernel.image()?;
        if several {
            println!("== Linux {}", kernel.series());
        }
        let tap = options
            .network
            .as_deref()
            .map(|namespace| cable(options, namespace))
            .transpose()?;
        let machine = Machine {
            tools: &setup::python_tools(),
            kernel: &image,
            within: Duration::from_secs(options.timeout),
            tap: tap.as_ref(),
            cgroups: options.variant.cgroups(),
            locked_down: options.variant.lockdown == Lockdown::Integrity,
        };
        let status = run(&machine, &with_environment(&options.command))?;
        explain(status, options.timeout);
        if !status.success() {
            failed.get_or_insert(status);
        }
    }
    match failed {
        None => Ok(()),
        Some(status) => std::process::exit(status.code().unwrap_or(Machine::CRASHED)),
    }
}

/// The command with what it needs of this process's environment, of which the guest has nothing.
fn with_environment(command: &[OsString]) -> Vec<OsString> {
    let passed = std::env::vars_os().filter(|(name, _)| {
        name == "PATH" || name.to_str().is_some_and(|name| name.starts_with("CLEW_"))
    });
    let mut words = vec!["env".into()];
    words.extend(passed.map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    }));
    words.extend_from_slice(command);
    words
}

fn cable(options: &Options, namespace: &str) -> Result<Tap> {
    let tap = Tap::new(namespace, &options.addresses)?;
    match &options.bridge {
        Some(bridge) => tap.plug_into(bridge)?,
        None => HOST_ADDRESSES
            .into_iter()
            .try_for_each(|address| tap.address(address))?,
    }
    Ok(tap)
}

/// Runs a machine to its end, with this process's outputs. A signal to end ends it too.
///
/// # Errors
/// When it cannot be started, or this process is told to end.
pub fn run(machine: &Machine<'_>, program: &[OsString]) -> Result<ExitStatus> {
    let stop = command::told_to_end()?;
    let command = machine.command(program)?;
    let command = match machine.tap {
        None => command,
        Some(tap) => in_namespace(tap.namespace(), &command),
    };
    let mut process = Process::start_with_own_output("vm", command, None)?;
    // It ends by itself some seconds before this.
    let latest = Deadline::after(machine.within + Duration::from_secs(30));
    latest.poll(|| (stop.load(Ordering::Relaxed) || process.has_ended()).then_some(()));
    if stop.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    process.wait(Duration::ZERO)
}

/// The command, started in a namespace that is not this process's to keep.
pub fn in_namespace(namespace: &str, command: &Command) -> Command {
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", namespace]);
    inside.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    inside
}

fn explain(status: ExitStatus, timeout: u64) {
    match status.code() {
        Some(Machine::TOO_LONG) => {
            eprintln!("the machine was ended after {timeout} s (--timeout)");
        }
        Some(Machine::CRASHED) => eprintln!(
            "the machine ended without an exit status: did its kernel boot? (or the command's \
             own status is {})",
            Machine::CRASHED
        ),
        Some(_) => {}
        None => eprintln!(
            "the machine was ended by signal {}",
            status.signal().unwrap_or_default()
        ),
    }
}
