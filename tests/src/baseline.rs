//! The simple ways to find a request's parent inside a process, on the spans that Clew exported: what
//! Clew's figures are to be compared with.
//!
//! Both replace the parents of client spans and leave those of server spans, which come from the
//! other end of the connection. Both see what the spans say: times, process and thread.

use std::collections::HashMap;

use crate::otlp::{Kind, Span};

/// The attribute with the kernel's number of the thread that received or sent the request; the agent
/// exports it with `--thread-ids`.
const THREAD: &str = "clew.thread.id";

/// A simple way to find a request's parent inside a process. Of the server spans of the same
/// process that are open when the request is sent:
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The latest one that was received by the same thread.
    ThreadId,
    /// The one that has been open the longest.
    Fifo,
}

impl Baseline {
    /// The spans with the parents that this way finds, and the traces that come of them.
    #[must_use]
    pub fn applied(self, spans: &[Span]) -> Vec<Span> {
        let mut open_in: HashMap<Option<u32>, Vec<&Span>> = HashMap::new();
        for server in spans.iter().filter(|span| span.kind == Kind::Server) {
            open_in.entry(server.pid()).or_default().push(server);
        }
        let mut spans: Vec<Span> = spans
            .iter()
            .map(|span| match span.kind {
                Kind::Server | Kind::Consumer => span.clone(),
                Kind::Client | Kind::Producer => {
                    let servers = open_in.get(&span.pid()).map_or(&[][..], Vec::as_slice);
                    self.with_parent(span, servers)
                }
            })
            .collect();
        retrace(&mut spans);
        spans
    }

    fn with_parent(self, client: &Span, servers: &[&Span]) -> Span {
        let open = servers
            .iter()
            .filter(|server| (server.start..=server.end).contains(&client.start));
        let parent = match self {
            Self::ThreadId => open
                .filter(|server| server.attribute(THREAD) == client.attribute(THREAD))
                .max_by_key(|server| server.start),
            Self::Fifo => open.min_by_key(|server| server.start),
        };
        let mut client = client.clone();
        client.attributes.remove("clew.parent.evidence");
        client.attributes.remove("clew.parent.none");
        client.parent = parent.map(|server| server.id.clone());
        let (key, value) = match self {
            _ if parent.is_none() => ("clew.parent.none", "nothing open"),
            Self::ThreadId => ("clew.parent.evidence", "thread id"),
            Self::Fifo => ("clew.parent.evidence", "fifo"),
        };
        client.attributes.insert(key.to_owned(), value.to_owned());
        client
    }
}

/// Gives each span the trace of the span that its parents lead to.
fn retrace(spans: &mut [Span]) {
    let places: HashMap<String, usize> = spans
        .iter()
        .enumerate()
        .map(|(place, span)| (span.id.clone(), place))
        .collect();
    let parent_of = |spans: &[Span], place: usize| {
        let parent = spans[place].parent.as_ref();
        parent.and_then(|id| places.get(id)).copied()
    };
    let traces: Vec<String> = (0..spans.len())
        .map(|place| {
            let mut root = place;
            // Wrong parents may lead in a circle.
            for _ in 0..spans.len() {
                match parent_of(spans, root) {
                    Some(parent) => root = parent,
                    None => break,
                }
            }
            format!("{:0>32}", spans[root].id)
        })
        .collect();
    for (span, trace) in spans.iter_mut().zip(traces) {
        span.trace = trace;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::{Call, Hop};
    use crate::score::Score;

    /// Two requests to `a`, which calls `b` for each; `a` serves both in one process.
    fn overlapping(threads: [u32; 2], sends: [u64; 2]) -> (Vec<Hop>, Vec<Span>) {
        let call = Call::to("http://a").calling(Call::to("http://b"));
        let mut hops = Vec::new();
        let mut spans = Vec::new();
        for (n, (thread, sent)) in threads.into_iter().zip(sends).enumerate() {
            let request = call.request(&format!("r{n}"));
            let [outer, inner] = [0, 1].map(|hop: usize| request.hops[hop].path.clone());
            let start = 10 + n as u64;
            let span = |id: &str, kind, path: &str, start, end, pid: u32, tid: u32, parent| Span {
                trace: "unknown".to_owned(),
                id: format!("{id}{n}"),
                parent,
                state: String::new(),
                links: Vec::new(),
                kind,
                name: "GET".to_owned(),
                start,
                end,
                error: false,
                flags: 1,
                attributes: BTreeMap::from([
                    ("url.path".to_owned(), path.to_owned()),
                    (THREAD.to_owned(), tid.to_string()),
                ]),
                resource: BTreeMap::from([("process.pid".to_owned(), pid.to_string())]),
            };
            let by = |id: &str| Some(format!("{id}{n}"));
            spans.extend([
                span("load", Kind::Client, &outer, start, 100, 1, 1, None),
                span("a", Kind::Server, &outer, start, 90, 2, thread, by("load")),
                span("call", Kind::Client, &inner, sent, 80, 2, thread, None),
                span("b", Kind::Server, &inner, sent, 70, 3, 9, by("call")),
            ]);
            hops.extend(request.hops);
        }
        (hops, spans)
    }

    #[test]
    fn a_thread_for_each_request() {
        let (hops, spans) = overlapping([5, 6], [20, 21]);
        Score::of(&Baseline::ThreadId.applied(&spans), &hops).assert_exact();
        let fifo = Score::of(&Baseline::Fifo.applied(&spans), &hops);
        let client = fifo.kinds[&Kind::Client].asserted;
        assert_eq!((client.right, client.all), (1, 2), "{fifo}");
        assert_eq!((fifo.false_merges, fifo.exact_traces), (1, 0), "{fifo}");
    }

    #[test]
    fn one_thread_for_both() {
        let (hops, spans) = overlapping([5, 5], [20, 21]);
        let score = Score::of(&Baseline::ThreadId.applied(&spans), &hops);
        let client = score.kinds[&Kind::Client].asserted;
        assert_eq!((client.right, client.all), (1, 2), "{score}");
        assert_eq!(score.false_merges, 1, "{score}");
    }

    #[test]
    fn nothing_open_is_no_parent() {
        let (hops, spans) = overlapping([5, 6], [95, 21]);
        for baseline in [Baseline::ThreadId, Baseline::Fifo] {
            let score = Score::of(&baseline.applied(&spans), &hops);
            assert_eq!(score.withheld["nothing open"], 1, "{score}");
        }
    }
}
