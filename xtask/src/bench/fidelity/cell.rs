//! One cell: its requests, its spans, and how they compare with the truth.

use std::time::Duration;

use anyhow::Result;
use clew_tests::baseline::Baseline;
use clew_tests::plan::{Hop, Request};
use clew_tests::score::{Asserted, OfKind, Score};
use clew_tests::store::Which;
use clew_tests::{Kind, Span};

use super::axes::{Axes, Topology};
use super::world::{Cast, World};
use crate::bench::agent::{self, Drops};

/// The share of asserted parents that must be right, in every cell.
pub const AIM_PRECISION: f64 = 0.999;

/// The share of true parents inside processes that must be found where the kernel sees them.
pub const AIM_RECALL: f64 = 0.99;

/// How long after the last answer spans are waited for. They come within 2 s; what has not come by
/// then is missing.
const SPANS_WITHIN: Duration = Duration::from_secs(8);

/// What a cell gave.
pub struct Cell {
    /// Where.
    pub topology: Topology,
    /// What.
    pub axes: Axes,
    /// Clew's spans.
    pub clew: Score,
    /// The same spans with the parents that thread ids give.
    pub thread_id: Score,
    /// The same spans with the oldest open request as the parent.
    pub fifo: Score,
    /// What the agents lost meanwhile.
    pub drops: Drops,
}

impl Cell {
    /// Sends the cell's requests and scores what is exported. `number` is the cell's, for names that
    /// no other cell uses.
    ///
    /// # Errors
    /// When a request fails or an agent ends.
    pub fn measure(
        world: &World,
        cast: &Cast,
        topology: Topology,
        axes: Axes,
        number: usize,
    ) -> Result<Self> {
        let name = format!("fidelity-{}-{number}x", std::process::id());
        let call = axes.shape.call(&cast.bases);
        let requests: Vec<Request> = (0..axes.requests)
            .map(|n| call.request(&format!("{name}{n}")))
            .collect();
        let before = world.drops()?;
        world.load(&requests, axes.at_a_time, cast)?;
        let hops: Vec<Hop> = requests
            .into_iter()
            .flat_map(|request| request.hops)
            .collect();
        let spans: Vec<Span> = world
            .store
            .wait(Which::Named(&name), hops.len() * 2, SPANS_WITHIN);
        world.store.clear();
        let drops = agent::added(&before, &world.drops()?);
        let [thread_id, fifo] = [Baseline::ThreadId, Baseline::Fifo]
            .map(|baseline| Score::of(&baseline.applied(&spans), &hops));
        Ok(Self {
            topology,
            axes,
            clew: Score::of(&spans, &hops),
            thread_id,
            fifo,
            drops,
        })
    }

    /// Whether precision and false merges are as they must be.
    pub fn is_true(&self) -> bool {
        precision(self.clew.asserted()) >= AIM_PRECISION && self.clew.false_merges == 0
    }

    /// Whether recall is as it must be; `None` where no aim is set.
    pub fn recalls(&self) -> Option<bool> {
        let client = of_kind(&self.clew, Kind::Client);
        let (right, all) = (client.asserted.right as f64, client.true_parents as f64);
        self.axes
            .design
            .is_visible(self.axes.shape)
            .then_some(right >= AIM_RECALL * all)
    }
}

/// Right parents over asserted ones that can be judged: where a parent's own span is missing, only
/// completeness suffers. 1 where none was asserted.
pub fn precision(asserted: Asserted) -> f64 {
    match asserted.all - asserted.dangling {
        0 => 1.0,
        judged => asserted.right as f64 / judged as f64,
    }
}

/// The figures of a kind; all 0 where there are none.
pub fn of_kind(score: &Score, kind: Kind) -> OfKind {
    score.kinds.get(&kind).copied().unwrap_or_default()
}
