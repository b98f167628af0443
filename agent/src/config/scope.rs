//! Settings that say what is traced.

use super::layers::Layers;
use super::value::PortRange;

/// What is traced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// If any are given, only what matches one of each kind of them (processes; ports).
    pub include: Rules,
    /// Never what matches one of these; stronger than `include`.
    pub exclude: Rules,
}

/// Rules that choose processes and connections. [`crate::enrich::Filter`] applies them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Globs on the executable: on its path if they contain a `/`, else on its file name.
    pub executables: Vec<String>,
    /// Globs (or, without `*` and `?`, parts) of the command line.
    pub commands: Vec<String>,
    /// Beginnings of container ids.
    pub containers: Vec<String>,
    /// Cgroup paths, each with what is below it.
    pub cgroups: Vec<String>,
    /// Ports of the serving end.
    pub ports: Vec<PortRange>,
}

/// The paths of one set of rules.
struct RulePaths {
    executables: &'static str,
    commands: &'static str,
    containers: &'static str,
    cgroups: &'static str,
    ports: &'static str,
}

const INCLUDE: RulePaths = RulePaths {
    executables: "scope.include.executables",
    commands: "scope.include.commands",
    containers: "scope.include.containers",
    cgroups: "scope.include.cgroups",
    ports: "scope.include.ports",
};

const EXCLUDE: RulePaths = RulePaths {
    executables: "scope.exclude.executables",
    commands: "scope.exclude.commands",
    containers: "scope.exclude.containers",
    cgroups: "scope.exclude.cgroups",
    ports: "scope.exclude.ports",
};

impl Scope {
    pub(super) fn read(layers: &mut Layers<'_>) -> Self {
        Self {
            include: Rules::read(layers, &INCLUDE),
            exclude: Rules::read(layers, &EXCLUDE),
        }
    }
}

impl Rules {
    fn read(layers: &mut Layers<'_>, paths: &RulePaths) -> Self {
        Self {
            executables: layers.list(
                paths.executables,
                "Globs on the executable: on its path if they contain a /, else on its name.",
                Vec::new(),
            ),
            commands: layers.list(
                paths.commands,
                "Globs on the whole command line; without * and ?, a part of it.",
                Vec::new(),
            ),
            containers: layers.list(
                paths.containers,
                "Container ids, or their beginnings.",
                Vec::new(),
            ),
            cgroups: layers.list(
                paths.cgroups,
                "Cgroup paths, such as /system.slice; each with what is below it.",
                Vec::new(),
            ),
            ports: layers.list(
                paths.ports,
                "Ports of the serving end, such as 8080 or 8000-8999.",
                Vec::new(),
            ),
        }
    }
}
