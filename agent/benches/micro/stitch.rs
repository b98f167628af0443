//! Exchanges to spans with parents.

use clew::metrics::Metrics;
use clew::model::{
    Address, Connection, ConnectionId, Evidence, Parent, ParserEvent, Side, Span, Task,
};
use clew::protocol::recording::connection;
use clew::stitch::{SequentialIds, StitchConfig, Stitcher};
use divan::Bencher;

use super::recorded::{Exchanges, SAMPLE, WARM_UP};

/// How far a connection's positions are moved, so that it is no other one's other end.
const ELSEWHERE: u64 = 1 << 20;

fn stitcher() -> Stitcher {
    let ids = Box::new(SequentialIds::default());
    Stitcher::new(StitchConfig::default(), ids, Metrics::default())
}

/// What happens in one exchange, or in two that belong together.
type Events = Vec<(Connection, ParserEvent)>;

/// `evidence` is the one by which spans have a parent here.
fn run(
    bencher: Bencher<'_, '_>,
    mut events: impl FnMut() -> Events,
    evidence: impl Into<Option<Evidence>>,
) {
    let mut stitcher = stitcher();
    let mut take = |events| {
        let mut out: Vec<Span> = Vec::new();
        for (connection, event) in events {
            stitcher.event(&connection, event, &mut out);
        }
        out
    };
    // So long that as many spans leave as come.
    let spans: Vec<_> = (0..WARM_UP).flat_map(|_| take(events())).collect();
    let mut found = spans.iter().filter_map(|span| match span.parent {
        Parent::Span { evidence, .. } => Some(evidence),
        Parent::None(_) => None,
    });
    assert!(spans.len() >= WARM_UP / 2);
    assert_eq!(found.next_back(), evidence.into());
    bencher.with_inputs(events).bench_local_values(take);
}

/// Requests from another host.
#[divan::bench(sample_size = SAMPLE)]
fn server(bencher: Bencher<'_, '_>) {
    let mut exchanges = Exchanges::new(Side::Server);
    let connection = connection(Side::Server, true);
    run(
        bencher,
        || {
            let events = exchanges.events().into_iter();
            events.map(|event| (connection.clone(), event)).collect()
        },
        None,
    );
}

/// A request from another host, which is served by means of another one: two spans, the second a
/// child of the first by its thread.
#[divan::bench(sample_size = SAMPLE)]
fn server_and_child(bencher: Bencher<'_, '_>) {
    let [mut outer, mut inner] = [Side::Server, Side::Client].map(Exchanges::new);
    let server = connection(Side::Server, true);
    let mut client = connection(Side::Client, true);
    client.id = ConnectionId(2);
    client.pid = server.pid;
    client.address = Address::Tcp {
        local: ([10, 0, 0, 1], 40_000).into(),
        remote: ([10, 0, 0, 2], 80).into(),
    };
    client.positions = client.positions.map(|position| position + ELSEWHERE);
    let task = Task::thread(server.pid, server.pid);
    run(
        bencher,
        || {
            let mut events = vec![];
            for mut event in inner.events() {
                match &mut event {
                    ParserEvent::Started(started) => {
                        started.task = task;
                        started.position += ELSEWHERE;
                    }
                    ParserEvent::Finished(finished) => finished.task = Some(task),
                }
                events.push((client.clone(), event));
            }
            around(&server, outer.events(), events)
        },
        Evidence::Thread,
    );
}

/// Both ends of a connection on this host: two spans, the server's a child of the client's.
#[divan::bench(sample_size = SAMPLE)]
fn both_ends(bencher: Bencher<'_, '_>) {
    let [mut client, mut server] = [Side::Client, Side::Server].map(Exchanges::new);
    let [near, mut far] = [Side::Client, Side::Server].map(|side| connection(side, true));
    far.id = ConnectionId(2);
    run(
        bencher,
        || {
            let events = server.events().into_iter();
            let events = events.map(|event| (far.clone(), event)).collect();
            around(&near, client.events(), events)
        },
        Evidence::Socket,
    );
}

/// One exchange's beginning, all of another, and its end.
fn around(connection: &Connection, events: Vec<ParserEvent>, inner: Events) -> Events {
    let (begun, over): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|event| matches!(event, ParserEvent::Started(_)));
    let on = |event| (connection.clone(), event);
    let begun = begun.into_iter().map(on);
    begun.chain(inner).chain(over.into_iter().map(on)).collect()
}
