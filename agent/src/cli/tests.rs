use clap::CommandFactory;

use super::*;
use crate::config::Sources;

fn flags(arguments: &[&str]) -> Vec<(&'static str, &'static str, String)> {
    let all = ["clew", "run"].iter().chain(arguments);
    match Cli::try_parse_from(all).map(|cli| cli.command) {
        Ok(Command::Run(run)) => run
            .flags()
            .into_iter()
            .map(|flag| (flag.name, flag.setting, flag.values.join(" ")))
            .collect(),
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn flags_stand_for_settings() {
    for (arguments, wanted) in [
        (&[][..], vec![]),
        (
            &["--output", "console", "--output", "otlp"],
            vec![("--output", "outputs", "console otlp")],
        ),
        (
            &["--stats"],
            vec![("--stats", "metrics.stats_interval", "10s")],
        ),
        (
            &["--stats=1s", "--endpoint", "http://h"],
            vec![
                ("--endpoint", "otlp.endpoint", "http://h"),
                ("--stats", "metrics.stats_interval", "1s"),
            ],
        ),
    ] {
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|(name, setting, values)| (name, setting, values.to_owned()))
            .collect();
        assert_eq!(flags(arguments), wanted, "{arguments:?}");
    }
}

/// A flag that is forgotten in `RunArgs::flags` would be accepted and do nothing; one whose
/// setting is misspelt likewise.
#[test]
fn every_flag_reaches_a_setting() {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("there is `run`");
    for argument in run.get_arguments() {
        let Some(long) = argument.get_long().filter(|long| *long != "config") else {
            continue;
        };
        if long == "help" {
            continue;
        }
        let value = argument
            .get_possible_values()
            .first()
            .map_or("1s", |value| value.get_name())
            .to_owned();
        let given = flags(&[&format!("--{long}={value}")]);
        let [(name, setting, text)] = &given[..] else {
            panic!("--{long} gave {given:?}");
        };
        assert_eq!((*name, text), (format!("--{long}").as_str(), &value));
        let defaults = crate::config::load(&Sources {
            file: Some("/dev/null".into()),
            ..Sources::default()
        })
        .expect("the defaults are valid");
        assert!(
            defaults
                .effective
                .iter()
                .any(|known| known.path == *setting),
            "--{long} stands for {setting}, which is no setting"
        );
    }
}

#[test]
fn mistakes_are_explained() {
    for (arguments, part) in [
        (
            &["run", "--protocol", "grcp"][..],
            "similar value exists: 'grpc'",
        ),
        (
            &["run", "--endpont", "x"],
            "similar argument exists: '--endpoint'",
        ),
        (&["docter"], "similar subcommand exists: 'doctor'"),
    ] {
        let error = Cli::try_parse_from(["clew"].iter().chain(arguments))
            .expect_err("a mistake")
            .to_string();
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
}
