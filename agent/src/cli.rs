//! The command line: what can be asked, and how it is explained.
//!
//! Flags are kept as text here; [`crate::config`] gives them their meaning together with the
//! environment and the file, so that all three are checked by the same rules.

mod run;

use std::io::IsTerminal;

use clap::{Args, Parser, Subcommand};

pub use run::{FileArgs, RunArgs};

/// What was asked of `clew`.
#[derive(Debug, Parser)]
#[command(
    name = "clew",
    version,
    about = "Distributed traces of unmodified programs, from what the kernel sees of their traffic",
    long_about = "Clew watches the traffic of unmodified programs through eBPF, works out which \
                  request caused which, and exports OpenTelemetry traces. It changes nothing in \
                  the programs it watches.",
    after_help = "Start with `sudo clew run`: spans appear in the terminal as requests end.\n\
                  If nothing does, `sudo clew doctor` says why.",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace this host until stopped
    #[command(after_long_help = RUN_HELP)]
    Run(Box<RunArgs>),
    /// Say what works on this host, why not, and what to do about it
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArgs),
    /// Print the effective configuration, with where each value came from
    #[command(after_long_help = CONFIG_HELP)]
    Config(Box<ConfigArgs>),
}

const RUN_HELP: &str = "\
Where spans go, if no --output is given:
  1. to the OTLP endpoint, if one is configured (flag, environment or file);
  2. else to the terminal, if standard output is one;
  3. else by OTLP to http://localhost:4317, where a collector listens by default.

Examples:
  See what happens on this host:
      sudo clew run
  Send traces to a collector, by gRPC or by HTTP:
      sudo clew run --endpoint http://collector:4317
      sudo clew run --endpoint http://collector:4318 --protocol http/protobuf
  Send and look on at once:
      sudo clew run --output otlp --output console
  Trace only nginx, and nothing on the metrics port:
      sudo clew run --include-exe nginx --exclude-port 9090
  Half a minute of traces into a file:
      sudo clew run --output json --duration 30s > traces.jsonl
  Keep a tenth of the traces that begin here, and what callers keep of theirs:
      sudo clew run --sampling-ratio 0.1

  Send traceparent along with the requests of one service, where this kernel is safe for that:
      sudo clew run --propagate-header-for cart=auto

Configuration: flags come before environment variables, those before the file, that before the
defaults. Every setting of the file has a variable: otlp.endpoint is CLEW_OTLP_ENDPOINT. The
standard variables OTEL_EXPORTER_OTLP_*, OTEL_BSP_*, OTEL_PROPAGATORS, OTEL_TRACES_SAMPLER,
OTEL_TRACES_SAMPLER_ARG and OTEL_RESOURCE_ATTRIBUTES are understood.
`clew config --describe` prints every setting with its value, its origin and what it is.

Clew needs root, or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; for
--propagate-header CAP_NET_ADMIN too.
It stops on SIGTERM or Ctrl-C, after sending what it has.";

const DOCTOR_HELP: &str = "\
Exit code: 0 if tracing works (perhaps with less than everything: read the report), 1 if it cannot.
Run it as the user, and in the container, in which `clew run` will run.";

const CONFIG_HELP: &str = "\
Takes the flags of `clew run`, reads the same file and environment, and prints what would hold.
Header values and passwords are not shown. To start a configuration file:

    clew config --describe > /etc/clew/clew.yaml";

/// `clew doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// `clew config`.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// Say above each setting what it is, and make comments of the defaults: a file to start from
    #[arg(long)]
    pub describe: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub run: RunArgs,
}

/// Whether standard output shows colours: it is a terminal, and nobody asked for none
/// (<https://no-color.org>).
#[must_use]
pub fn colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !unwanted
}

/// Reads the process's command line. Help, version and mistakes are printed, and end the process,
/// as people expect of a command.
#[must_use]
pub fn parse() -> Cli {
    Cli::parse()
}

#[cfg(test)]
mod tests;
