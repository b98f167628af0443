//! An OpenTelemetry resource from a process's identity and the host's attributes.
//!
//! `process.command_args` and `process.command_line` are not exported: passwords travel there.
//! `process.command` is the zeroth argument alone.

use crate::model::{Attribute, Resource};

use super::host::{Host, set};
use super::identity::Identity;
use super::service::runtime_name;

/// The resource of process `pid`. What the process declares of itself is stronger than what was
/// found out.
pub fn build(pid: u32, identity: &Identity, host: &Host) -> Resource {
    let mut attributes = vec![
        Attribute::new("service.name", identity.service.clone()),
        Attribute::new("process.pid", i64::from(pid)),
    ];
    let mut add = |key: &'static str, value: Option<&str>| {
        if let Some(value) = value {
            attributes.push(Attribute::new(key, value.to_owned()));
        }
    };
    let name = identity.executable_name();
    let is_path = identity.executable.starts_with('/');
    add(
        "process.executable.name",
        (!name.is_empty()).then_some(name),
    );
    add(
        "process.executable.path",
        is_path.then_some(identity.executable.as_str()),
    );
    add("process.command", identity.called.as_deref());
    add("process.runtime.name", runtime_name(name));
    add("container.id", identity.container.id.as_deref());
    add("k8s.pod.uid", identity.container.pod.as_deref());
    attributes.extend(host.attributes.iter().cloned());
    for (key, value) in &identity.declared {
        set(&mut attributes, key, value);
    }
    Resource {
        service: identity.service.clone(),
        attributes,
    }
}
