//! Settings of sampling, named as OpenTelemetry names them ("Environment Variable Specification",
//! `OTEL_TRACES_SAMPLER`).

use clew_common::sampling::Threshold;

use super::layers::{Layers, Shown};
use super::origin::Origin;
use super::otel;
use super::value::{Setting, choice};
use crate::sample::{Root, Sampler};

choice! {
    /// Which traces are kept. The specification's other samplers ask a server what to do
    /// (`jaeger_remote`, `xray`).
    SamplerName {
        /// All.
        AlwaysOn = "always_on",
        /// None.
        AlwaysOff = "always_off",
        /// A part of all, whatever their callers do.
        TraceIdRatio = "traceidratio",
        /// What the caller keeps, and all that begins here.
        ParentBasedAlwaysOn = "parentbased_always_on",
        /// What the caller keeps, and nothing that begins here.
        ParentBasedAlwaysOff = "parentbased_always_off",
        /// What the caller keeps, and a part of what begins here.
        ParentBasedTraceIdRatio = "parentbased_traceidratio",
    }
}

impl SamplerName {
    const fn takes_ratio(self) -> bool {
        matches!(self, Self::TraceIdRatio | Self::ParentBasedTraceIdRatio)
    }
}

/// A part of all traces, from 0 to 1, with the threshold that comes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    written: f64,
    threshold: Threshold,
}

impl Ratio {
    const ALL: Self = Self {
        written: 1.0,
        threshold: Threshold::ALWAYS,
    };
}

impl Setting for Ratio {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .and_then(|written| {
                let threshold = Threshold::from_ratio(written)?;
                Some(Self { written, threshold })
            })
            .ok_or_else(|| "expected a number from 0 to 1, such as `0.25`".to_owned())
    }

    fn write(&self) -> String {
        self.written.to_string()
    }
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    name: SamplerName,
    ratio: Ratio,
}

impl Sampling {
    pub(super) fn read(layers: &mut Layers<'_>) -> Self {
        const SAMPLER: &str = "sampling.sampler";
        const RATIO: &str = "sampling.ratio";
        let named: Option<SamplerName> = layers.optional(
            SAMPLER,
            &otel::sampler(),
            "Which traces: always_on, always_off or traceidratio; with parentbased_ before it, what \
             the caller says holds.",
        );
        let ratio: Option<Ratio> = layers.optional(
            RATIO,
            &otel::sampler_argument(),
            "The part of all traces that a sampler by ratio keeps, from 0 to 1.",
        );
        let origin = layers.origin(RATIO);
        // "The specified value will only be used if OTEL_TRACES_SAMPLER is set." What is set for
        // Clew alone is meant.
        let meant = ratio.is_some() && origin != Origin::Environment(otel::SAMPLER_ARGUMENT.into());
        let name = named.unwrap_or_else(|| {
            let (name, reason) = match meant {
                true => (
                    SamplerName::ParentBasedTraceIdRatio,
                    Some("because a sampling ratio is configured"),
                ),
                false => (SamplerName::ParentBasedAlwaysOn, None),
            };
            let shown = Shown::One(name.write());
            layers.restate(SAMPLER, shown, Origin::Default(reason));
            name
        });
        if ratio.is_some() && !name.takes_ratio() {
            layers.warn(format!(
                "`{RATIO}` ({origin}) is ignored: the sampler {} takes none",
                name.write()
            ));
        }
        if ratio.is_none() {
            let shown = Shown::One(Ratio::ALL.write());
            layers.restate(RATIO, shown, Origin::Default(None));
        }
        Self {
            name,
            ratio: ratio.unwrap_or(Ratio::ALL),
        }
    }

    /// The sampler that is meant.
    #[must_use]
    pub const fn sampler(&self) -> Sampler {
        use SamplerName as Name;
        let ratio = Root::Ratio(self.ratio.threshold);
        let (root, parent_based) = match self.name {
            Name::AlwaysOn => (Root::AlwaysOn, false),
            Name::AlwaysOff => (Root::AlwaysOff, false),
            Name::TraceIdRatio => (ratio, false),
            Name::ParentBasedAlwaysOn => (Root::AlwaysOn, true),
            Name::ParentBasedAlwaysOff => (Root::AlwaysOff, true),
            Name::ParentBasedTraceIdRatio => (ratio, true),
        };
        Sampler { root, parent_based }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Environment, Flag, Sources, load};
    use super::*;

    fn config(environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Config {
        let own = |text: &str| text.to_owned();
        let setting = |flag| match flag {
            "--sampler" => "sampling.sampler",
            _ => "sampling.ratio",
        };
        let sources = Sources {
            // No test depends on what is in /etc.
            file: Some("/dev/null".into()),
            flags: flags
                .iter()
                .map(|&(name, value)| Flag {
                    name,
                    setting: setting(name),
                    values: vec![own(value)],
                })
                .collect(),
            environment: environment
                .iter()
                .map(|(name, value)| (own(name), own(value)))
                .collect::<Environment>(),
            terminal: false,
        };
        load(&sources).unwrap_or_else(|error| panic!("{error}"))
    }

    fn shown(config: &Config, path: &str) -> String {
        let found = config.effective.iter().find(|e| e.path == path);
        let found = found.expect("every setting is listed");
        match &found.value {
            Shown::One(value) => format!("{value} ({})", found.origin),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn samplers_by_name() {
        let quarter = Root::Ratio(Threshold::new(0xc0_0000_0000_0000));
        for (name, root) in [
            ("always_on", Root::AlwaysOn),
            ("always_off", Root::AlwaysOff),
            ("traceidratio", quarter),
        ] {
            for (name, parent_based) in [
                (name.to_owned(), false),
                (format!("parentbased_{name}"), true),
            ] {
                let variables = [
                    ("OTEL_TRACES_SAMPLER", name.as_str()),
                    ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
                ];
                let found = config(&variables, &[]).sampling.sampler();
                assert_eq!(found, Sampler { root, parent_based }, "{name}");
            }
        }
        assert_eq!(config(&[], &[]).sampling.sampler(), Sampler::default());
    }

    #[test]
    fn sources_and_what_they_come_to() {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        let ignored = |name: &str, why: &str| format!("environment {name} is ignored: {why}");
        let no_ratio = "expected a number from 0 to 1, such as `0.25`";
        for (environment, flags, sampler, ratio, warning) in [
            (
                &[][..],
                &[][..],
                "parentbased_always_on (default)",
                "1 (default)",
                None,
            ),
            (
                &[(NAME, "ParentBased_TraceIdRatio"), (ARGUMENT, "1e-3")],
                &[],
                "parentbased_traceidratio (environment OTEL_TRACES_SAMPLER)",
                "0.001 (environment OTEL_TRACES_SAMPLER_ARG)",
                None,
            ),
            (
                &[(NAME, "traceidratio"), (ARGUMENT, "")],
                &[],
                "traceidratio (environment OTEL_TRACES_SAMPLER)",
                "1 (default)",
                None,
            ),
            // As if it were not set.
            (
                &[(NAME, "traceidratio"), (ARGUMENT, "25%")],
                &[],
                "traceidratio (environment OTEL_TRACES_SAMPLER)",
                "1 (default)",
                Some(ignored(ARGUMENT, no_ratio)),
            ),
            (
                &[(NAME, "traceidratio"), (ARGUMENT, "NaN")],
                &[],
                "traceidratio (environment OTEL_TRACES_SAMPLER)",
                "1 (default)",
                Some(ignored(ARGUMENT, no_ratio)),
            ),
            (
                &[(NAME, "jaeger_remote")],
                &[],
                "parentbased_always_on (default)",
                "1 (default)",
                Some(ignored(
                    NAME,
                    "expected one of `always_on`, `always_off`, `traceidratio`, \
                     `parentbased_always_on`, `parentbased_always_off`, `parentbased_traceidratio`",
                )),
            ),
            // The standard argument alone means nothing; a ratio of Clew's own does.
            (
                &[(ARGUMENT, "0.5")],
                &[],
                "parentbased_always_on (default)",
                "0.5 (environment OTEL_TRACES_SAMPLER_ARG)",
                Some(
                    "`sampling.ratio` (environment OTEL_TRACES_SAMPLER_ARG) is ignored: the \
                     sampler parentbased_always_on takes none"
                        .to_owned(),
                ),
            ),
            (
                &[("CLEW_SAMPLING_RATIO", "0.5")],
                &[],
                "parentbased_traceidratio (default, because a sampling ratio is configured)",
                "0.5 (environment CLEW_SAMPLING_RATIO)",
                None,
            ),
            (
                &[(NAME, "always_off"), (ARGUMENT, "0.5")],
                &[("--sampler", "traceidratio"), ("--sampling-ratio", "0")],
                "traceidratio (flag --sampler)",
                "0 (flag --sampling-ratio)",
                None,
            ),
        ] {
            let config = config(environment, flags);
            assert_eq!(
                shown(&config, "sampling.sampler"),
                sampler,
                "{environment:?}"
            );
            assert_eq!(shown(&config, "sampling.ratio"), ratio, "{environment:?}");
            let warnings: Vec<String> = warning.into_iter().collect();
            assert_eq!(
                config.warnings.len(),
                warnings.len(),
                "{:?}",
                config.warnings
            );
            for (said, wanted) in config.warnings.iter().zip(&warnings) {
                assert!(said.starts_with(wanted), "{said}");
            }
        }
    }

    #[test]
    fn ratios() {
        for (text, written) in [
            ("0", Some("0")),
            ("1", Some("1")),
            ("1.0", Some("1")),
            (".5", Some("0.5")),
            ("1e-6", Some("0.000001")),
            ("1.1", None),
            ("-0.1", None),
            ("inf", None),
            ("nan", None),
            ("", None),
            ("half", None),
            ("50%", None),
        ] {
            let found = Ratio::read(text).ok().map(|ratio| ratio.write());
            assert_eq!(found.as_deref(), written, "{text:?}");
        }
    }
}
