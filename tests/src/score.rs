//! How spans compare with the truth. Pure: spans and hops in, figures out.
//!
//! Every hop is two exchanges, one seen from each side. The client span's true parent is the
//! server span of the hop whose server sent it; the server span's true parent is the client span
//! of the same hop.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::otlp::{Kind, Span};
use crate::plan::Hop;

/// Right and asserted parents of one kind of evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asserted {
    /// Spans with a parent.
    pub all: usize,
    /// Those whose parent is the true one.
    pub right: usize,
    /// Those whose parent has no span: its own exchange is missing.
    pub dangling: usize,
}

/// The figures of one kind of span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfKind {
    /// Exchanges that took place.
    pub exchanges: usize,
    /// Those that have a span.
    pub found: usize,
    /// Spans that have a parent in truth. A client's is the request that its process was serving, a
    /// server's the request at the other end of the connection.
    pub true_parents: usize,
    /// Parents that were asserted.
    pub asserted: Asserted,
}

/// The figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Exchanges that took place, counted from both sides.
    pub exchanges: usize,
    /// Exchanges that have a span.
    pub found: usize,
    /// Spans that no exchange accounts for: a second one for the same, or of an unknown path.
    pub surplus: usize,
    /// Spans that have a parent in truth.
    pub true_parents: usize,
    /// The same, and more, by kind.
    pub kinds: BTreeMap<Kind, OfKind>,
    /// Parents that were asserted, by evidence.
    pub asserted: BTreeMap<String, Asserted>,
    /// Spans without a parent although there is a true one, by the reason they give.
    pub withheld: BTreeMap<String, usize>,
    /// Traces that hold spans of more than one request.
    pub false_merges: usize,
    /// Requests.
    pub requests: usize,
    /// Requests whose trace equals the truth, node by node.
    pub exact_traces: usize,
    /// What is wrong, in words, for the first few.
    pub faults: Vec<String>,
}

impl Score {
    const FAULTS: usize = 20;

    /// Compares the spans whose paths are in the hops, and those that share their prefix
    /// `/s/<request>.`, with the truth.
    #[must_use]
    pub fn of(spans: &[Span], hops: &[Hop]) -> Self {
        let mut score = Self {
            exchanges: hops.len() * 2,
            ..Self::default()
        };
        let by_id: HashMap<(&str, &str), &Span> = spans
            .iter()
            .map(|span| ((span.trace.as_str(), span.id.as_str()), span))
            .collect();
        let by_exchange = score.match_exchanges(spans, hops);
        let mut broken = BTreeSet::new();
        let mut requests_of_trace: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut traces_of_request: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();

        for hop in hops {
            for kind in [Kind::Client, Kind::Server] {
                let request = hop.request.as_str();
                let truth = match kind {
                    Kind::Client | Kind::Producer => {
                        hop.parent.as_deref().map(|path| (path, Kind::Server))
                    }
                    Kind::Server | Kind::Consumer => Some((hop.path.as_str(), Kind::Client)),
                };
                score.true_parents += usize::from(truth.is_some());
                let of_kind = score.kinds.entry(kind).or_default();
                of_kind.exchanges += 1;
                of_kind.true_parents += usize::from(truth.is_some());
                let Some(span) = by_exchange.get(&(hop.path.as_str(), kind)) else {
                    broken.insert(request);
                    score.fault(format!("no {kind:?} span for {}", hop.path));
                    continue;
                };
                of_kind.found += 1;
                traces_of_request
                    .entry(request)
                    .or_default()
                    .insert(&span.trace);
                requests_of_trace
                    .entry(&span.trace)
                    .or_default()
                    .insert(request);
                if !score.judge(span, truth, &by_id) {
                    broken.insert(request);
                }
            }
        }

        score.false_merges = requests_of_trace.values().filter(|of| of.len() > 1).count();
        let requests: BTreeSet<&str> = hops.iter().map(|hop| hop.request.as_str()).collect();
        score.requests = requests.len();
        score.exact_traces = requests
            .iter()
            .filter(|&request| {
                !broken.contains(request)
                    && traces_of_request.get(request).is_some_and(|of| {
                        of.len() == 1 && of.iter().all(|trace| requests_of_trace[trace].len() == 1)
                    })
            })
            .count();
        score
    }

    /// Finds each exchange's span; what is left over is surplus.
    fn match_exchanges<'a>(
        &mut self,
        spans: &'a [Span],
        hops: &[Hop],
    ) -> HashMap<(&'a str, Kind), &'a Span> {
        let known: BTreeSet<&str> = hops.iter().map(|hop| hop.path.as_str()).collect();
        let mut by_exchange = HashMap::new();
        for span in spans {
            let path = span.path();
            if !known.contains(path) {
                self.surplus += 1;
                self.fault(format!("{:?} span of unknown path {path}", span.kind));
            } else if by_exchange.insert((path, span.kind), span).is_some() {
                self.surplus += 1;
                self.fault(format!("second {:?} span for {path}", span.kind));
            } else {
                self.found += 1;
            }
        }
        by_exchange
    }

    /// Counts a span's parent as right, wrong or withheld; whether it equals the truth.
    fn judge(
        &mut self,
        span: &Span,
        truth: Option<(&str, Kind)>,
        by_id: &HashMap<(&str, &str), &Span>,
    ) -> bool {
        let Some(parent) = &span.parent else {
            let Some((path, _)) = truth else {
                return true;
            };
            // A span that calls itself the root of a trace has no reason to give.
            let reason = match span.parent_reason() {
                "" => "root".to_owned(),
                reason => reason.to_owned(),
            };
            self.fault(format!(
                "{:?} span of {} has no parent ({reason}), truly {path}",
                span.kind,
                span.path()
            ));
            *self.withheld.entry(reason).or_default() += 1;
            return false;
        };
        let parent = by_id.get(&(span.trace.as_str(), parent.as_str()));
        let found = parent.map(|parent| (parent.path(), parent.kind));
        let right = found.is_some() && found == truth;
        let of_evidence = self
            .asserted
            .entry(span.parent_reason().to_owned())
            .or_default();
        let of_kind = &mut self.kinds.entry(span.kind).or_default().asserted;
        for asserted in [of_evidence, of_kind] {
            asserted.all += 1;
            asserted.right += usize::from(right);
            asserted.dangling += usize::from(found.is_none());
        }
        if !right {
            // Before all that is only missing.
            let wrong = format!(
                "{:?} span of {} ({}) has parent {found:?}, truly {truth:?}",
                span.kind,
                span.path(),
                span.parent_reason(),
            );
            self.faults.insert(0, wrong);
            self.faults.truncate(Self::FAULTS);
        }
        right
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < Self::FAULTS {
            self.faults.push(fault);
        }
    }

    /// All asserted parents.
    #[must_use]
    pub fn asserted(&self) -> Asserted {
        self.asserted
            .values()
            .fold(Asserted::default(), |sum, of| Asserted {
                all: sum.all + of.all,
                right: sum.right + of.right,
                dangling: sum.dangling + of.dangling,
            })
    }

    /// Every exchange has exactly one span, every asserted parent is right and no trace holds two
    /// requests.
    #[must_use]
    pub fn is_true(&self) -> bool {
        let asserted = self.asserted();
        self.found == self.exchanges
            && self.surplus == 0
            && asserted.right == asserted.all
            && self.false_merges == 0
    }

    /// [`Score::is_true`], and nothing is missing: every trace equals the truth.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.is_true()
            && self.asserted().right == self.true_parents
            && self.exact_traces == self.requests
    }

    /// # Panics
    /// Unless [`Score::is_true`].
    #[track_caller]
    pub fn assert_true(&self) {
        assert!(self.is_true(), "{self}");
    }

    /// # Panics
    /// Unless [`Score::is_exact`].
    #[track_caller]
    pub fn assert_exact(&self) {
        assert!(self.is_exact(), "{self}");
    }
}

impl Score {
    /// The figures in one line.
    #[must_use]
    pub fn figures(&self) -> String {
        let asserted = self.asserted();
        let mut figures = format!(
            "completeness {}/{} (surplus {}), precision {}/{}, recall {}/{}, false merges {}, \
             exact traces {}/{}",
            self.found,
            self.exchanges,
            self.surplus,
            asserted.right,
            asserted.all,
            asserted.right,
            self.true_parents,
            self.false_merges,
            self.exact_traces,
            self.requests,
        );
        for (evidence, of) in &self.asserted {
            figures.push_str(&format!("; by {evidence} {}/{}", of.right, of.all));
        }
        for (reason, count) in &self.withheld {
            figures.push_str(&format!("; withheld as {reason} {count}"));
        }
        figures
    }
}

/// The figures, and what is wrong.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.figures())?;
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::Call;

    /// The spans of a request, as a perfect tracer would export them.
    fn perfect(hops: &[Hop], trace: &str) -> Vec<Span> {
        let id = |path: &str, kind: Kind| format!("{kind:?} {path}");
        let spans = hops.iter().flat_map(|hop| {
            let parent = hop.parent.as_deref().map(|path| id(path, Kind::Server));
            [
                (Kind::Client, parent, "thread"),
                (Kind::Server, Some(id(&hop.path, Kind::Client)), "socket"),
            ]
            .map(|(kind, parent, evidence)| Span {
                trace: trace.to_owned(),
                id: id(&hop.path, kind),
                parent,
                state: String::new(),
                links: Vec::new(),
                flags: 0,
                kind,
                name: "GET".to_owned(),
                start: 1,
                end: 2,
                error: false,
                attributes: BTreeMap::from([
                    ("url.path".to_owned(), hop.path.clone()),
                    ("clew.parent.evidence".to_owned(), evidence.to_owned()),
                ]),
                resource: BTreeMap::new(),
            })
        });
        spans.collect()
    }

    fn two_requests() -> (Vec<Hop>, Vec<Span>) {
        let call = Call::to("http://a").calling(Call::to("http://b"));
        let (one, two) = (call.request("one"), call.request("two"));
        let spans = [perfect(&one.hops, "t1"), perfect(&two.hops, "t2")].concat();
        ([one.hops, two.hops].concat(), spans)
    }

    #[test]
    fn perfect_spans_are_exact() {
        let (hops, spans) = two_requests();
        let score = Score::of(&spans, &hops);
        assert!(score.is_exact(), "{score}");
        assert_eq!(
            (score.exchanges, score.found, score.true_parents),
            (8, 8, 6)
        );
        assert_eq!(
            score.asserted["socket"],
            Asserted {
                all: 4,
                right: 4,
                dangling: 0
            }
        );
        assert_eq!(
            score.asserted["thread"],
            Asserted {
                all: 2,
                right: 2,
                dangling: 0
            }
        );
        let [server, client] = [Kind::Server, Kind::Client].map(|kind| score.kinds[&kind]);
        assert_eq!(
            (server.exchanges, server.found, server.true_parents),
            (4, 4, 4)
        );
        assert_eq!(
            (client.exchanges, client.found, client.true_parents),
            (4, 4, 2)
        );
        assert_eq!(server.asserted, score.asserted["socket"]);
        assert_eq!(client.asserted, score.asserted["thread"]);
        assert_eq!((score.requests, score.exact_traces), (2, 2));
    }

    #[test]
    fn a_missing_span_costs_completeness_and_leaves_its_child_wrong() {
        let (hops, mut spans) = two_requests();
        spans.remove(1);
        let score = Score::of(&spans, &hops);
        assert_eq!((score.found, score.exact_traces), (7, 1));
        assert_eq!(
            score.asserted(),
            Asserted {
                all: 5,
                right: 4,
                dangling: 1
            }
        );
        assert!(!score.is_true());
    }

    #[test]
    fn a_second_span_for_an_exchange_is_surplus() {
        let (hops, mut spans) = two_requests();
        spans.push(spans[0].clone());
        let score = Score::of(&spans, &hops);
        assert_eq!((score.found, score.surplus), (8, 1));
        assert!(!score.is_true());
    }

    #[test]
    fn a_withheld_parent_is_true_but_not_exact() {
        let (hops, mut spans) = two_requests();
        // The client span of the second hop starts a trace of its own, with what hangs below it.
        for span in &mut spans[2..4] {
            span.trace = "t3".to_owned();
        }
        spans[2].parent = None;
        spans[2].attributes.remove("clew.parent.evidence");
        spans[2]
            .attributes
            .insert("clew.parent.none".to_owned(), "ambiguous".to_owned());
        let score = Score::of(&spans, &hops);
        assert!(score.is_true() && !score.is_exact(), "{score}");
        assert_eq!(score.withheld["ambiguous"], 1);
        assert_eq!(score.exact_traces, 1);
    }

    #[test]
    fn swapped_parents_are_wrong_and_merge_requests() {
        let (hops, mut spans) = two_requests();
        let (left, right) = spans.split_at_mut(4);
        std::mem::swap(&mut left[2].parent, &mut right[2].parent);
        for (mine, trace) in [(left, "t2"), (right, "t1")] {
            for span in &mut mine[2..4] {
                span.trace = trace.to_owned();
            }
        }
        let score = Score::of(&spans, &hops);
        assert_eq!(
            score.asserted["thread"],
            Asserted {
                all: 2,
                right: 0,
                dangling: 0
            }
        );
        assert_eq!((score.false_merges, score.exact_traces), (2, 0));
        assert_eq!(score.found, 8);
    }

    #[test]
    fn a_root_with_a_parent_is_wrong() {
        let (hops, mut spans) = two_requests();
        spans[0].parent = Some(spans[1].id.clone());
        let score = Score::of(&spans, &hops);
        assert_eq!(
            score.asserted["thread"],
            Asserted {
                all: 3,
                right: 2,
                dangling: 0
            }
        );
    }
}
