//! The floor: the agent's hooks with empty programs (ebpf/src/floor.rs).

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::{BtfTracePoint, ProgramType, loaded_programs};
use aya::{Btf, Ebpf};

/// Each program and the tracepoint that it is attached to: those of the agent's backend for
/// kernel 6.3 and later (agent/src/kernel/program.rs).
const HOOKS: [(&str, &str); 6] = [
    ("floor_sent", "sock_send_length"),
    ("floor_received", "sock_recv_length"),
    ("floor_state", "inet_sock_set_state"),
    ("floor_exec", "sched_process_exec"),
    ("floor_fork", "sched_process_fork"),
    ("floor_exit", "sched_process_exit"),
];

/// The attached programs; they go when this does.
pub struct Floor {
    _programs: Ebpf,
}

impl Floor {
    /// Attaches all of them.
    ///
    /// # Errors
    /// When the kernel refuses one: a floor with fewer hooks would flatter nobody.
    pub fn attach(object: &Path) -> Result<Self> {
        let mut programs =
            Ebpf::load_file(object).with_context(|| format!("loading {}", object.display()))?;
        let btf = Btf::from_sys_fs().context("reading the kernel's BTF")?;
        for (name, tracepoint) in HOOKS {
            let program: &mut BtfTracePoint = programs
                .program_mut(name)
                .with_context(|| format!("{} has no program {name}", object.display()))?
                .try_into()?;
            program
                .load(tracepoint, &btf)
                .and_then(|()| program.attach())
                .with_context(|| format!("attaching to {tracepoint}"))?;
        }
        Ok(Self {
            _programs: programs,
        })
    }
}

/// The kernel programs of this kind that are attached by now: not ours, before ours are. Another
/// agent's would make all variants dearer, and the ratios between them smaller.
pub fn strangers() -> usize {
    // A kernel that does not list them has said nothing about them; none are assumed.
    loaded_programs()
        .filter_map(std::result::Result::ok)
        .filter(|program| program.program_type() == ProgramType::Tracing.into())
        .count()
}
