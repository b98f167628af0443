//! Traces whose id may still change: cells.
//!
//! On one host the server's end of a request is often seen before the client's. Its trace id is then
//! not known, but requests that it causes need one. So every exchange refers to a *cell*, and a cell
//! can become an alias of another: what refers to it has then changed its trace, without being
//! visited. Spans leave only from a *settled* cell, whose id is final.

use slotmap::{SlotMap, new_key_type};

use super::exchange::ExchangeKey;
use super::ids::IdSource;
use crate::metrics::{Count, Metrics};
use crate::model::{Carried, Provenance, RemoteContext, TraceFlags, TraceId};
use crate::sample::Sampler;

new_key_type! {
    /// A cell in [`Traces`].
    pub(super) struct CellKey;
}

/// What all spans of a trace share. Whether it is sampled is decided when this is made, and holds
/// for whatever becomes part of the trace.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub id: TraceId,
    pub flags: TraceFlags,
    pub state: Option<Box<str>>,
}

impl Trace {
    /// A trace that begins on this host.
    pub fn begun_here(ids: &mut dyn IdSource, sampler: Sampler) -> Self {
        let id = ids.trace_id();
        let decision = sampler.begin(id);
        Self {
            id,
            flags: random_flag(ids).with_sampled(decision.sampled),
            state: decision.state,
        }
    }

    /// The trace that the kernel gave to a message.
    ///
    /// Where it begins with the message the kernel has decided about it as is decided here, by the
    /// same function of its id.
    pub fn of_kernel(carried: &Carried, sampler: Sampler) -> Self {
        let id = carried.trace_id;
        let came = matches!(carried.origin, Provenance::Option(_));
        let (decision, flags) = match came {
            true => (
                sampler.inherit(id, Some(carried.flags), None),
                carried.flags,
            ),
            false => (sampler.begin(id), TraceFlags::RANDOM),
        };
        Self {
            id,
            flags: flags.with_sampled(decision.sampled),
            state: decision.state,
        }
    }

    /// The trace that a request's own context stands for. What that leaves open (a deferred
    /// decision; the id, where it carries a decision alone) is as in what it continues, if anything.
    pub fn of_header(
        context: &RemoteContext,
        continues: Option<&Self>,
        ids: &mut dyn IdSource,
        sampler: Sampler,
        metrics: &Metrics,
    ) -> Self {
        let same = |trace: &&Self| context.origin.is_none_or(|from| from.trace_id == trace.id);
        if let Some(trace) = continues.filter(same)
            && context.flags.is_none()
        {
            return trace.clone();
        }
        let (id, made_here) = match (context.origin, continues) {
            (Some(origin), _) => (origin.trace_id, TraceFlags::NONE),
            (None, Some(trace)) => (trace.id, trace.flags),
            (None, None) => (ids.trace_id(), random_flag(ids)),
        };
        let flags = context
            .flags
            .or(continues.map(|trace| trace.flags))
            .map(|flags| TraceFlags(flags.0 | made_here.0 & TraceFlags::RANDOM.0));
        let decision = sampler.inherit(id, flags, context.state.as_deref());
        if decision.threshold_lost {
            metrics.count(Count::ThresholdsLost, 1);
        }
        if decision.presumed_random {
            metrics.count(Count::RandomnessPresumed, 1);
        }
        Self {
            id,
            flags: flags.unwrap_or_default().with_sampled(decision.sampled),
            state: decision.state,
        }
    }
}

fn random_flag(ids: &dyn IdSource) -> TraceFlags {
    match ids.is_random() {
        true => TraceFlags::RANDOM,
        false => TraceFlags::NONE,
    }
}

#[derive(Debug)]
struct Cell {
    trace: Trace,
    /// The cell that this one has become an alias of.
    alias: Option<CellKey>,
    /// The server exchange whose origin is not known yet; `None` once the id is final.
    opener: Option<ExchangeKey>,
    /// Exchanges and aliases that refer to this cell; it goes with the last.
    references: u32,
    /// Finished spans that wait for the cell to settle, in the order of their end.
    held: Vec<ExchangeKey>,
}

/// All cells.
#[derive(Debug, Default)]
pub(super) struct Traces {
    cells: SlotMap<CellKey, Cell>,
}

impl Traces {
    /// A new cell with one reference, which the caller gives back with [`Self::release`]. It is
    /// settled unless it has an `opener`, a server exchange whose origin is not known yet.
    pub fn open(&mut self, trace: Trace, opener: Option<ExchangeKey>) -> CellKey {
        self.cells.insert(Cell {
            trace,
            alias: None,
            opener,
            references: 1,
            held: Vec::new(),
        })
    }

    /// One more reference to the trace that `key` now stands for.
    pub fn share(&mut self, key: CellKey) -> CellKey {
        let root = self.root(key);
        self.cells[root].references += 1;
        root
    }

    /// Gives a reference back.
    pub fn release(&mut self, key: CellKey) {
        let mut next = Some(key);
        while let Some(key) = next {
            next = None;
            let cell = &mut self.cells[key];
            cell.references -= 1;
            if cell.references == 0 {
                next = cell.alias;
                self.cells.remove(key);
            }
        }
    }

    /// The cell that `key` is, in the end, an alias of. Chains are as long as a request passes
    /// through services of this host within the waiting time; each look halves them.
    pub fn root(&mut self, mut key: CellKey) -> CellKey {
        while let Some(next) = self.cells[key].alias {
            if let Some(after) = self.cells[next].alias {
                self.cells[key].alias = Some(after);
                self.cells[after].references += 1;
                self.release(next);
            }
            key = self.cells[key].alias.unwrap_or(next);
        }
        key
    }

    /// What the spans of `key`'s trace share.
    pub fn trace(&mut self, key: CellKey) -> &Trace {
        let root = self.root(key);
        &self.cells[root].trace
    }

    /// The exchange whose origin must be known before `key`'s trace id is final; `None` when it is.
    pub fn opener(&mut self, key: CellKey) -> Option<ExchangeKey> {
        let root = self.root(key);
        self.cells[root].opener
    }

    /// Whether `key`'s trace is final and not sampled: nothing of it will ever be exported. One that
    /// is not final may yet become part of another that is sampled.
    pub fn is_dropped(&mut self, key: CellKey) -> bool {
        let root = self.root(key);
        let cell = &self.cells[root];
        cell.opener.is_none() && !cell.trace.flags.is_sampled()
    }

    /// Holds a finished span until its trace settles.
    pub fn hold(&mut self, key: CellKey, span: ExchangeKey) {
        let root = self.root(key);
        self.cells[root].held.push(span);
    }

    /// Makes `key`'s trace final and gives the spans that waited for it.
    pub fn settle(&mut self, key: CellKey) -> Vec<ExchangeKey> {
        let root = self.root(key);
        let cell = &mut self.cells[root];
        cell.opener = None;
        std::mem::take(&mut cell.held)
    }

    /// Makes the trace of `key` the trace of `target`, unless its id has left already or both are
    /// one. Gives the spans that no longer wait, or `None` if nothing was done.
    pub fn join(&mut self, key: CellKey, target: CellKey) -> Option<Vec<ExchangeKey>> {
        let key = self.root(key);
        let target = self.root(target);
        if key == target || self.cells[key].opener.is_none() {
            return None;
        }
        let mut held = std::mem::take(&mut self.cells[key].held);
        self.cells[key].alias = Some(target);
        let into = &mut self.cells[target];
        into.references += 1;
        if into.opener.is_none() {
            return Some(held);
        }
        if into.held.is_empty() {
            into.held = held;
        } else {
            into.held.append(&mut held);
        }
        Some(Vec::new())
    }

    /// Cells in use.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.cells.len()
    }
}
