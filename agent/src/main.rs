//! The `clew` command: parse arguments, wire, run, exit.

use std::{io::IsTerminal, path::Path, process::ExitCode};

use clew::{
    cli::{self, Command, DoctorArgs},
    config,
    doctor::{self, Report},
    run,
};

fn main() -> ExitCode {
    match cli::parse().command {
        Command::Run(args) => {
            let result = config::load(&args.sources())
                .map_err(anyhow::Error::from)
                .and_then(|config| run::run(&config));
            match result {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&format!("{error:#}")),
            }
        }
        Command::Doctor(args) => diagnose(&args),
        Command::Config(args) => match config::load(&args.run.sources()) {
            Ok(config) => {
                print!("{}", config::print_effective(&config, args.describe));
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.to_string()),
        },
    }
}

fn diagnose(args: &DoctorArgs) -> ExitCode {
    let (kernel, mut checks) = doctor::host_checks(Path::new("/"));
    checks.extend(doctor::hook_checks());
    let report = Report { kernel, checks };
    if args.json {
        println!("{}", doctor::render_json(&report));
    } else {
        print!(
            "{}",
            doctor::render_text(&report, std::io::stdout().is_terminal())
        );
    }
    ExitCode::from(report.exit_code())
}

fn fail(message: &str) -> ExitCode {
    eprintln!("clew: {message}");
    ExitCode::FAILURE
}
