//! Our spans and those of SDKs, joined: is every parent the true one? The rule is in
//! docs/decisions/0010-spans-beside-an-sdk.md.

use std::collections::BTreeSet;

use crate::otlp::{Kind, Span};
use crate::plan::Hop;
use crate::sdk::Heard;

/// Who sends or serves a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Has an SDK: makes spans, and sends their contexts.
    Sdk,
    /// Sends the context on that it has received.
    Forwards,
    /// Sends none.
    Silent,
}

/// What was seen of some requests.
#[derive(Debug)]
pub struct Joined {
    /// Whether the agent gives a `traceparent` to requests that have none.
    pub injects: bool,
    /// The agent's spans.
    pub ours: Vec<Span>,
    /// The SDKs' spans.
    pub of_sdks: Vec<Span>,
    /// What the services with SDKs have heard.
    pub heard: Vec<Heard>,
}

/// How many there are of one request: spans of ours, spans of SDKs, requests that services with
/// SDKs hear, and traces. `parties` serve the hops, in their order.
#[must_use]
pub fn counts(hops: &[Hop], driver: Party, parties: &[Party], injects: bool) -> [usize; 4] {
    assert_eq!(hops.len(), parties.len());
    let links = || {
        let senders = hops.iter().map(|hop| sender(hop, hops, driver, parties));
        senders.zip(parties)
    };
    let sent = links().filter(|(sender, _)| *sender == Party::Sdk).count();
    let heard = links().filter(|(_, served)| **served == Party::Sdk).count();
    // An SDK that hears nothing begins a trace.
    let begun = links().filter(|link| !injects && *link == (Party::Silent, &Party::Sdk));
    [hops.len() * 2, sent + heard, heard, 1 + begun.count()]
}

impl Joined {
    /// Gives the traces of one request.
    ///
    /// # Panics
    /// Where a span is missing or has not its true parent, or a request has arrived at an SDK with
    /// another context than the one that was sent, or with several.
    #[must_use]
    pub fn check(&self, hops: &[Hop], driver: Party, parties: &[Party]) -> BTreeSet<&str> {
        let mut traces = BTreeSet::new();
        // The context that each hop carried, by the span that it names.
        let mut carried: Vec<Option<&Span>> = Vec::new();
        for (hop, served) in hops.iter().zip(parties) {
            let cause = cause(hop, hops);
            let client = one(&self.ours, Kind::Client, &hop.path);
            let server = one(&self.ours, Kind::Server, &hop.path);
            let sender = sender(hop, hops, driver, parties);
            let context = match sender {
                Party::Sdk => Some(one(&self.of_sdks, Kind::Client, &hop.path)),
                Party::Forwards => cause.and_then(|cause| carried[cause]),
                Party::Silent => self.injects.then_some(client),
            };
            let of_cause = |spans| cause.map(|at| one(spans, Kind::Server, &hops[at].path));
            match (sender, context) {
                (Party::Sdk, Some(own)) => {
                    assert_child(own, of_cause(&self.of_sdks));
                    assert_child(client, Some(own));
                }
                _ => assert_child(client, of_cause(&self.ours)),
            }
            if sender != Party::Silent && context.is_some() {
                assert_eq!(client.parent_reason(), "header", "{client:#?}");
            }
            assert_child(server, Some(client));
            assert_eq!(server.parent_reason(), "socket", "{server:#?}");
            traces.insert(server.trace.as_str());
            if *served == Party::Sdk {
                let own = one(&self.of_sdks, Kind::Server, &hop.path);
                assert_child(own, context);
                traces.insert(&own.trace);
                self.check_wire(&hop.path, context);
            }
            carried.push(context);
        }
        traces
    }

    /// The request arrived with exactly one `traceparent`, of this span; or with none.
    fn check_wire(&self, path: &str, context: Option<&Span>) {
        let heard: Vec<&Heard> = self.heard.iter().filter(|h| h.path == path).collect();
        let [heard] = heard[..] else {
            panic!("{path} arrived {} times", heard.len());
        };
        let values = heard.values("traceparent");
        let expected = context.map(|span| format!("00-{}-{}-", span.trace, span.id));
        let equal = match (&values[..], &expected) {
            ([], None) => true,
            ([value], Some(expected)) => value.starts_with(expected.as_str()),
            _ => false,
        };
        assert!(equal, "{path}: {values:?} where {expected:?} belongs");
    }
}

/// The only span of its kind with the path.
///
/// # Panics
/// Where there is none, or another.
#[must_use]
#[track_caller]
pub fn one<'a>(spans: &'a [Span], kind: Kind, path: &str) -> &'a Span {
    let is_it = |span: &&Span| span.kind == kind && span.path() == path;
    let found: Vec<&Span> = spans.iter().filter(is_it).collect();
    let [span] = found[..] else {
        panic!("{kind:?} spans of {path}: {found:#?} of {spans:#?}");
    };
    span
}

/// Whoever serves the hop that caused it.
fn sender(hop: &Hop, hops: &[Hop], driver: Party, parties: &[Party]) -> Party {
    cause(hop, hops).map_or(driver, |at| parties[at])
}

fn cause(hop: &Hop, hops: &[Hop]) -> Option<usize> {
    let parent = hop.parent.as_ref()?;
    hops.iter().position(|other| other.path == *parent)
}

#[track_caller]
fn assert_child(span: &Span, parent: Option<&Span>) {
    let id = parent.map(|parent| parent.id.as_str());
    assert_eq!(span.parent.as_deref(), id, "{span:#?} under {parent:#?}");
    if let Some(parent) = parent {
        assert_eq!(span.trace, parent.trace, "{span:#?} under {parent:#?}");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::plan::Call;

    fn span(trace: &str, id: &str, parent: &str, (kind, path): (Kind, &str), why: &str) -> Span {
        Span {
            trace: trace.to_owned(),
            id: id.to_owned(),
            parent: Some(parent.to_owned()).filter(|id| !id.is_empty()),
            state: String::new(),
            links: Vec::new(),
            kind,
            name: "GET".to_owned(),
            start: 0,
            end: 0,
            error: false,
            flags: 1,
            attributes: [("url.path", path), ("clew.parent.evidence", why)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            resource: [].into(),
        }
    }

    fn heard(path: &str, traceparents: &[&str]) -> Heard {
        let line = |value: &&str| ("traceparent".to_owned(), (*value).to_owned());
        Heard {
            path: path.to_owned(),
            headers: traceparents.iter().map(line).collect(),
        }
    }

    /// An SDK, something that sends no context, an SDK.
    fn sample() -> (Vec<Hop>, Joined) {
        use Kind::{Client, Server};
        let call = Call::to("http://a").calling(Call::to("http://b"));
        let (first, second) = ("/s/r.1", "/s/r.2");
        let joined = Joined {
            injects: false,
            ours: vec![
                span("t", "c1", "C", (Client, first), "header"),
                span("t", "s1", "c1", (Server, first), "socket"),
                span("t", "c2", "s1", (Client, second), "thread"),
                span("t", "s2", "c2", (Server, second), "socket"),
            ],
            of_sdks: vec![
                span("t", "C", "", (Client, first), ""),
                span("u", "S", "", (Server, second), ""),
            ],
            heard: vec![heard(second, &[])],
        };
        (call.request("r").hops, joined)
    }

    const PARTIES: [Party; 2] = [Party::Silent, Party::Sdk];

    #[test]
    fn what_is_right_passes() {
        let (hops, joined) = sample();
        let traces = joined.check(&hops, Party::Sdk, &PARTIES);
        assert_eq!(traces, ["t", "u"].into());
        let counted = counts(&hops, Party::Sdk, &PARTIES, false);
        assert_eq!(counted, [4, 2, 1, 2]);
        assert_eq!(counts(&hops, Party::Sdk, &PARTIES, true), [4, 2, 1, 1]);
    }

    #[test]
    fn what_is_wrong_does_not() {
        let wrong: [fn(&mut Joined); 7] = [
            |joined| joined.ours[0].parent = None,
            |joined| joined.ours[1].parent = Some("C".to_owned()),
            |joined| joined.ours[2].trace = "u".to_owned(),
            |joined| drop(joined.ours.pop()),
            |joined| joined.of_sdks[1].parent = Some("c2".to_owned()),
            |joined| joined.heard[0] = heard("/s/r.2", &["00-t-c2-01"]),
            |joined| joined.injects = true,
        ];
        for (number, spoil) in wrong.iter().enumerate() {
            let (hops, mut joined) = sample();
            spoil(&mut joined);
            let check = || drop(joined.check(&hops, Party::Sdk, &PARTIES));
            assert!(catch_unwind(AssertUnwindSafe(check)).is_err(), "{number}");
        }
    }

    #[test]
    fn a_second_header_is_wrong() {
        let (mut hops, mut joined) = sample();
        hops.truncate(1);
        joined.of_sdks[1] = span("t", "S", "C", (Kind::Server, "/s/r.1"), "");
        let mut passes = |values: &[&str]| {
            joined.heard = vec![heard("/s/r.1", values)];
            let check = || drop(joined.check(&hops, Party::Sdk, &[Party::Sdk]));
            catch_unwind(AssertUnwindSafe(check)).is_ok()
        };
        assert!(passes(&["00-t-C-01"]));
        assert!(!passes(&["00-t-C-01", "00-t-C-01"]));
        assert!(!passes(&["00-t-c1-01"]));
        assert!(!passes(&[]));
    }
}
