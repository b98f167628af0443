//! What is traced: rules on processes and on ports.
//!
//! The two kinds are judged apart, and both must agree: a process by its executable, command line,
//! container and cgroups; a connection by the port of its serving end. Of each kind: what an
//! exclude rule matches is out; else, where there are include rules, one of them must match.

use std::net::SocketAddr;

use crate::config::{PortRange, Rules, Scope};
use crate::model::{Address, Role};

use super::identity::Identity;

/// Whether something is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Traced,
    /// It is left alone.
    Ignored,
}

/// Applies the scope's rules.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    scope: Scope,
}

impl Filter {
    /// A filter of these rules.
    #[must_use]
    pub const fn new(scope: Scope) -> Self {
        Self { scope }
    }

    /// Judges a process. To be asked again when it starts another program.
    #[must_use]
    pub fn process(&self, identity: &Identity) -> Verdict {
        let Scope { include, exclude } = &self.scope;
        verdict(
            has_process_rules(include),
            matches_process(include, identity),
            matches_process(exclude, identity),
        )
    }

    /// Judges a connection by its ports. Where it is not known which end serves, either may match.
    /// A Unix socket has no port: no port rule matches it.
    #[must_use]
    pub fn connection(&self, address: &Address, role: Role) -> Verdict {
        let (local, remote) = match (address, role) {
            (Address::Unix { .. }, _) => (None, None),
            (Address::Udp { local, remote }, _) => (Some(local), remote.as_ref()),
            (Address::Tcp { local, .. }, Role::Accepted) => (Some(local), None),
            (Address::Tcp { remote, .. }, Role::Connected) => (None, Some(remote)),
            (Address::Tcp { local, remote }, Role::Unknown) => (Some(local), Some(remote)),
        };
        let ends = [local, remote].map(|end| end.map(SocketAddr::port));
        let matches = |ports: &[PortRange]| {
            let mut known = ends.into_iter().flatten();
            known.any(|port| ports.iter().any(|range| range.contains(port)))
        };
        let Scope { include, exclude } = &self.scope;
        verdict(
            !include.ports.is_empty(),
            matches(&include.ports),
            matches(&exclude.ports),
        )
    }
}

const fn verdict(must_be_included: bool, included: bool, excluded: bool) -> Verdict {
    if excluded || (must_be_included && !included) {
        Verdict::Ignored
    } else {
        Verdict::Traced
    }
}

fn has_process_rules(rules: &Rules) -> bool {
    !(rules.executables.is_empty()
        && rules.commands.is_empty()
        && rules.containers.is_empty()
        && rules.cgroups.is_empty())
}

fn matches_process(rules: &Rules, identity: &Identity) -> bool {
    let executable = |pattern: &String| {
        if pattern.contains('/') {
            glob(pattern, &identity.executable)
        } else {
            glob(pattern, identity.executable_name())
        }
    };
    let command = |pattern: &String| {
        if pattern.contains(['*', '?']) {
            glob(pattern, &identity.command)
        } else {
            identity.command.contains(pattern.as_str())
        }
    };
    let container = |start: &String| {
        let id = identity.container.id.as_deref();
        id.is_some_and(|id| id.starts_with(start.as_str()))
    };
    let cgroup = |subtree: &String| {
        let mut paths = identity.cgroups.iter();
        paths.any(|path| is_within(path, subtree))
    };
    rules.executables.iter().any(executable)
        || rules.commands.iter().any(command)
        || rules.containers.iter().any(container)
        || rules.cgroups.iter().any(cgroup)
}

/// Whether a path is `subtree` or below it.
fn is_within(path: &str, subtree: &str) -> bool {
    let subtree = subtree.trim_matches('/');
    let path = path.trim_start_matches('/');
    path.strip_prefix(subtree)
        .is_some_and(|rest| subtree.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

/// Whether all of `text` matches a pattern: `*` is any text (`/` included), `?` any character.
/// Time is bounded by the product of the lengths: only the last `*` is ever tried again.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(expected) if *expected == '?' || *expected == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests;
