//! What is varied: how a service works, what a request causes, how many there are at a time, where.

use std::fmt;

use clap::ValueEnum;
use clew_tests::plan::{Call, Order};
use clew_tests::service::Runtime;

/// What the services are written in, and how one serves many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Design {
    /// A thread for each connection (Python).
    Threads,
    /// A fixed pool of threads that accept connections themselves (Python).
    AcceptingPool,
    /// A pool of threads to which one hands connections that have a request (Java).
    FedPool,
    /// A pool of threads to which one hands requests that it has read, through a pipe (Python).
    HandedPool,
    /// Processes forked beforehand (Python).
    Preforked,
    /// An event loop (Node).
    EventLoop,
    /// Goroutines (Go).
    Goroutines,
    /// Five services in four languages, each of another design.
    Mixed,
}

impl Design {
    /// The most services that take part.
    pub const SERVICES: usize = 5;

    /// The services, in the order in which [`Shape::call`] counts them. A fixed number of workers is
    /// as large as the number of connections can become: each of them keeps a connection occupied.
    pub fn services(self, shape: Shape, at_a_time: usize) -> Vec<Runtime> {
        // Beyond the load's own: a look whether it listens, and idle ones of an upstream's workers.
        const SPARE: usize = 12;
        let workers =
            |upstreams: usize| u16::try_from(upstreams * (at_a_time + SPARE)).unwrap_or(u16::MAX);
        let last = if shape == Shape::Shared { 2 } else { 1 };
        let four = |runtime: fn(u16) -> Runtime| {
            let [few, many] = [workers(1), workers(last)].map(runtime);
            vec![few, few, few, many]
        };
        match self {
            Self::Threads => four(|_| Runtime::Python),
            Self::AcceptingPool => four(Runtime::AcceptingThreads),
            Self::FedPool => four(|_| Runtime::Java),
            Self::HandedPool => four(Runtime::HandingOn),
            Self::Preforked => four(Runtime::AcceptingProcesses),
            Self::EventLoop => four(|_| Runtime::Node),
            Self::Goroutines => four(|_| Runtime::Go),
            Self::Mixed => vec![
                Runtime::Python,
                Runtime::Java,
                Runtime::Go,
                Runtime::Node,
                Runtime::AcceptingProcesses(workers(1)),
            ],
        }
    }

    /// Whether its services depend on how many requests there are at a time.
    pub const fn is_sized(self) -> bool {
        matches!(
            self,
            Self::AcceptingPool | Self::HandedPool | Self::Preforked | Self::Mixed
        )
    }

    /// The shapes that say something about it.
    pub fn shapes(self) -> &'static [Shape] {
        match self {
            // Threads of its own are what the other designs have anyway, or have not.
            Self::Threads => &[
                Shape::Chain,
                Shape::FanOut,
                Shape::AtOnce,
                Shape::OnThreads,
                Shape::Retry,
                Shape::Shared,
            ],
            Self::Mixed => &[Shape::Chain],
            _ => &[
                Shape::Chain,
                Shape::FanOut,
                Shape::AtOnce,
                Shape::Retry,
                Shape::Shared,
            ],
        }
    }

    /// Whether the kernel sees which request a call is for: the aim for recall is for these.
    pub fn is_visible(self, shape: Shape) -> bool {
        match self {
            Self::Threads | Self::AcceptingPool | Self::HandedPool | Self::Preforked => true,
            // Java's client blocks: calls at once go through a second pool, fed in user space.
            Self::FedPool => shape != Shape::AtOnce,
            Self::EventLoop | Self::Goroutines | Self::Mixed => false,
        }
    }
}

impl fmt::Display for Design {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "thread per connection (Python)",
            Self::AcceptingPool => "pool, each accepts (Python)",
            Self::FedPool => "pool, fed with connections (Java)",
            Self::HandedPool => "pool, handed requests by a pipe (Python)",
            Self::Preforked => "pre-forked processes (Python)",
            Self::EventLoop => "event loop (Node)",
            Self::Goroutines => "goroutines (Go)",
            Self::Mixed => "Python, Java, Go, Node, Python",
        })
    }
}

/// What a request causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Each service calls the next one.
    Chain,
    /// The first calls three others in turn.
    FanOut,
    /// The first calls three others at once, from the task that serves the request.
    AtOnce,
    /// The first calls three others at once, each from a thread begun for it.
    OnThreads,
    /// The second fails and is called again; then it calls the third.
    Retry,
    /// The first calls two others, which both call the fourth.
    Shared,
}

impl Shape {
    /// The call that a request of this shape makes of the services at these bases.
    pub fn call(self, services: &[String]) -> Call {
        /// Milliseconds: enough for requests to overlap.
        const WORK: u32 = 2;
        let service = |number: usize| Call::to(&services[number]).working(WORK);
        let fan_out = || {
            let others = (1..4).map(service);
            others.fold(service(0), Call::calling)
        };
        match self {
            Self::Chain => (0..services.len())
                .rev()
                .map(service)
                .reduce(|called, caller| caller.calling(called))
                .unwrap_or_else(|| service(0)),
            Self::FanOut => fan_out(),
            Self::AtOnce => fan_out().making_them(Order::AtOnce),
            Self::OnThreads => fan_out().making_them(Order::OnThreads),
            Self::Retry => {
                let repeated = service(1).failing_first();
                service(0).calling(repeated.calling(service(2)))
            }
            Self::Shared => {
                let upstream = |number| service(number).calling(service(3));
                service(0).calling(upstream(1)).calling(upstream(2))
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "chain",
            Self::FanOut => "fan-out, in turn",
            Self::AtOnce => "fan-out, at once",
            Self::OnThreads => "fan-out, a thread each",
            Self::Retry => "retry",
            Self::Shared => "shared downstream",
        })
    }
}

/// Where the services are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Topology {
    /// All on one host, whose agent sees both ends of every connection.
    OneHost,
    /// Each service, and the load, on a host with an agent of its own.
    Hosts,
    /// The same with loss and delay on every host's link.
    ImpairedHosts,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug)]
pub struct Axes {
    /// How its services work.
    pub design: Design,
    /// What a request causes.
    pub shape: Shape,
    /// Requests under way at any time.
    pub at_a_time: usize,
    /// All requests.
    pub requests: usize,
}

impl Topology {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OneHost, Self::Hosts, Self::ImpairedHosts];

    /// The cells to measure, neighbours with the same services together. Everything is varied on one
    /// host; between hosts only what the way between them could change.
    pub fn cells(self, designs: &[Design], quick: bool) -> Vec<Axes> {
        let levels: &[usize] = match (self, quick) {
            (Self::OneHost, false) => &[1, 8, 64, 256],
            (Self::Hosts | Self::ImpairedHosts, false) => &[8, 64],
            (Self::OneHost, true) => &[1, 8],
            (Self::Hosts | Self::ImpairedHosts, true) => &[8],
        };
        let wanted = |design: Design, shape: Shape| match self {
            Self::OneHost => true,
            Self::Hosts => matches!(shape, Shape::Chain | Shape::Shared),
            Self::ImpairedHosts => shape == Shape::Chain,
        } && !(quick
            && self != Self::OneHost
            && !matches!(design, Design::Threads | Design::Mixed));
        let mut cells = Vec::new();
        for &design in designs {
            for &at_a_time in levels {
                for &shape in design.shapes() {
                    if wanted(design, shape) {
                        cells.push(Axes {
                            design,
                            shape,
                            at_a_time,
                            requests: requests(at_a_time, quick),
                        });
                    }
                }
            }
        }
        cells
    }
}

/// Enough for each of those under way to be followed by another.
fn requests(at_a_time: usize, quick: bool) -> usize {
    match (at_a_time, quick) {
        (1, true) => 20,
        (1, false) => 60,
        (_, true) => 5 * at_a_time,
        (_, false) => (2 * at_a_time).max(160),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_axis_is_there() {
        let all = Design::value_variants();
        let cells = Topology::OneHost.cells(all, false);
        for design in all {
            for at_a_time in [1, 8, 64, 256] {
                let shapes: Vec<Shape> = cells
                    .iter()
                    .filter(|cell| (cell.design, cell.at_a_time) == (*design, at_a_time))
                    .map(|cell| cell.shape)
                    .collect();
                assert_eq!(shapes, design.shapes(), "{design}, {at_a_time} at a time");
            }
        }
        for topology in Topology::ALL {
            let quick = topology.cells(all, true);
            assert!(!quick.is_empty() && quick.len() < topology.cells(all, false).len());
        }
    }

    #[test]
    fn shapes_have_their_exchanges() {
        let services: Vec<String> = (0..4).map(|n| format!("http://s{n}")).collect();
        for (shape, hops) in [
            (Shape::Chain, 4),
            (Shape::FanOut, 4),
            (Shape::AtOnce, 4),
            (Shape::OnThreads, 4),
            (Shape::Retry, 4),
            (Shape::Shared, 5),
        ] {
            let request = shape.call(&services).request("r");
            assert_eq!(request.hops.len(), hops, "{shape}");
            assert!(request.url.starts_with("http://s0/"), "{shape}");
        }
    }
}
