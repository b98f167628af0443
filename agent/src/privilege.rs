//! Giving up what root can do and the agent needs no more.

use std::collections::HashSet;

use caps::{CapSet, Capability, errors::CapsError};

/// What is needed once the programs are attached: writing maps (kernels before 5.19 ask for
/// `CAP_BPF` again), and reading `/proc` of other users' processes.
const KEPT: [Capability; 3] = [
    Capability::CAP_BPF,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_READ_SEARCH,
];

/// Drops every other capability of this thread, and of all that it starts from now on, for good.
///
/// # Errors
///
/// The kernel refused; nothing that the agent does depends on it.
pub fn drop_excess() -> Result<(), CapsError> {
    let has = caps::read(None, CapSet::Permitted)?;
    let keep: HashSet<Capability> = KEPT.into_iter().filter(|cap| has.contains(cap)).collect();
    if has.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::all() {
            if !keep.contains(&capability) && caps::has_cap(None, CapSet::Bounding, capability)? {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    // Nothing that this process might be made to start gets them back.
    let _ = rustix::thread::set_no_new_privs(true);
    caps::clear(None, CapSet::Ambient)?;
    caps::set(None, CapSet::Inheritable, &HashSet::new())?;
    caps::set(None, CapSet::Effective, &keep)?;
    caps::set(None, CapSet::Permitted, &keep)
}
