//! One cell: its requests, its spans, and how they compare with the truth.

use std::time::Duration;

use anyhow::Result;
use clew_tests::baseline::Baseline;
use clew_tests::plan::{Hop, Request};
use clew_tests::score::{Asserted, OfKind, Score};
use clew_tests::store::Which;
use clew_tests::{Kind, Span};

use super::axes::{Axes, Topology};
use super::world::{Cast, Propagation, World};
use crate::bench::agent::{self, Drops};

/// The share of asserted parents that must be right, in every cell.
pub const AIM_PRECISION: f64 = 0.999;

/// The share of true parents that must be found: inside processes where the kernel sees them, between
/// them where an agent sees both ends or is told of the other.
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

    /// Whether enough parents inside processes were found; `None` where no aim is set.
    pub fn recalls_inside(&self) -> Option<bool> {
        let aimed = self.axes.design.is_visible(self.axes.shape);
        aimed.then(|| self.recalls(Kind::Client))
    }

    /// Whether enough parents at the other end of a connection were found; `None` where no aim is set.
    pub fn recalls_between(&self, propagation: &[Propagation]) -> Option<bool> {
        let told = propagation.iter().any(|mode| *mode != Propagation::Off);
        let aimed = told || self.topology == Topology::OneHost;
        aimed.then(|| self.recalls(Kind::Server))
    }

    fn recalls(&self, kind: Kind) -> bool {
        let of_kind = of_kind(&self.clew, kind);
        of_kind.asserted.right as f64 >= AIM_RECALL * of_kind.true_parents as f64
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::fidelity::axes::{Design, Shape};

    fn cell(all: usize, right: usize, dangling: usize, false_merges: usize) -> Cell {
        let asserted = Asserted {
            all,
            right,
            dangling,
        };
        let of_kind = OfKind {
            exchanges: 1000,
            found: 1000,
            true_parents: 1000,
            asserted,
        };
        Cell {
            topology: Topology::Hosts,
            axes: Axes {
                design: Design::Threads,
                shape: Shape::Chain,
                at_a_time: 8,
                requests: 1000,
            },
            clew: Score {
                kinds: [(Kind::Client, of_kind)].into(),
                asserted: [("thread".to_owned(), asserted)].into(),
                false_merges,
                ..Score::default()
            },
            thread_id: Score::default(),
            fifo: Score::default(),
            drops: Drops::new(),
        }
    }

    #[test]
    fn what_fails_the_bench() {
        assert!(cell(0, 0, 0, 0).is_true());
        assert!(cell(1000, 1000, 0, 0).is_true());
        assert!(cell(1000, 999, 0, 0).is_true());
        assert!(!cell(1000, 998, 0, 0).is_true());
        assert!(cell(1000, 990, 10, 0).is_true(), "10 cannot be judged");
        assert!(!cell(1000, 1000, 0, 1).is_true());
    }

    #[test]
    fn what_must_be_recalled() {
        assert_eq!(cell(990, 990, 0, 0).recalls_inside(), Some(true));
        assert_eq!(cell(989, 989, 0, 0).recalls_inside(), Some(false));
        let mut node = cell(1, 1, 0, 0);
        node.axes.design = Design::EventLoop;
        assert_eq!(node.recalls_inside(), None);

        let mut between = cell(0, 0, 0, 0);
        assert_eq!(between.recalls_between(&[Propagation::Off]), None);
        let all = of_kind(&between.clew, Kind::Client);
        between.clew.kinds.insert(Kind::Server, all);
        let by_option = [Propagation::TcpOption];
        assert_eq!(between.recalls_between(&by_option), Some(false));
        between.topology = Topology::OneHost;
        assert_eq!(between.recalls_between(&[]), Some(false));
    }
}
