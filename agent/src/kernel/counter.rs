//! Reading the counters that the kernel programs keep.

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use clew_common::counter::Counter;

use super::{KernelError, missing};

/// The per-processor counters.
pub struct KernelCounters(PerCpuArray<MapData, u64>);

impl KernelCounters {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let map = ebpf
            .take_map("COUNTERS")
            .ok_or_else(|| missing("COUNTERS"))?;
        PerCpuArray::try_from(map)
            .map(Self)
            .map_err(|error| KernelError::Map("COUNTERS", error))
    }

    /// Totals over all processors, in the order of [`Counter::ALL`]. A counter that cannot be read
    /// is 0.
    pub(super) fn read(&self) -> Vec<u64> {
        Counter::ALL
            .iter()
            .map(|&counter| {
                self.0
                    .get(&(counter as u32), 0)
                    .map(|values| values.iter().sum())
                    .unwrap_or(0)
            })
            .collect()
    }
}
