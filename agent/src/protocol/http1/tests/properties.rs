//! What holds of any connection, however its bytes are cut, lost or mixed.

use proptest::prelude::*;

use super::*;

/// A request with its response, both well-formed.
#[derive(Clone, Debug)]
struct Exchange {
    request: Vec<u8>,
    response: Vec<u8>,
}

const METHODS: &[&str] = &["GET", "POST", "FROB", "PROPFIND", "HEAD"];
const METHODS_BUT_HEAD: &[&str] = &["GET", "POST", "FROB", "PROPFIND"];

fn exchange(methods: &'static [&'static str]) -> impl Strategy<Value = Exchange> {
    let method = proptest::sample::select(methods);
    let status = prop_oneof![Just(200u16), Just(204), Just(304), Just(404), Just(500)];
    let body =
        || proptest::option::of((any::<bool>(), proptest::collection::vec(32u8..127, 0..60)));
    (
        method,
        "[a-z/]{0,20}",
        status,
        any::<bool>(),
        body(),
        body(),
    )
        .prop_map(|(method, path, status, interim, sent, answer)| {
            let mut request = format!("{method} /{path} HTTP/1.1\r\nHost: h\r\n").into_bytes();
            append_body(&mut request, sent);
            let mut response = Vec::new();
            if interim {
                response.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            response.extend_from_slice(format!("HTTP/1.1 {status} X\r\n").as_bytes());
            let answer = answer.or(Some((false, Vec::new())));
            if method == "HEAD" || matches!(status, 204 | 304) {
                response.extend_from_slice(b"Content-Length: 5\r\n\r\n");
            } else {
                append_body(&mut response, answer);
            }
            Exchange { request, response }
        })
}

fn append_body(message: &mut Vec<u8>, body: Option<(bool, Vec<u8>)>) {
    match body {
        None => message.extend_from_slice(b"\r\n"),
        Some((false, body)) => {
            message.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            message.extend_from_slice(&body);
        }
        Some((true, body)) => {
            message.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for part in body.chunks(17) {
                message.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                message.extend_from_slice(part);
                message.extend_from_slice(b"\r\n");
            }
            message.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

/// Both streams of a server's connection.
fn streams(exchanges: &[Exchange]) -> [Vec<u8>; 2] {
    let join = |part: fn(&Exchange) -> &[u8]| exchanges.iter().flat_map(part).copied().collect();
    [
        join(|exchange| &exchange.request),
        join(|exchange| &exchange.response),
    ]
}

/// Cuts a stream where `cuts` (thousandths of its length) say.
fn pieces(direction: Direction, stream: &[u8], cuts: &[usize]) -> Vec<Piece> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut * stream.len() / 1000).collect();
    at.extend([0, stream.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|pair| Piece {
            direction,
            gap: 0,
            hidden: 0,
            data: stream[pair[0]..pair[1]].to_vec(),
        })
        .collect()
}

/// Mixes two lists, each in its order: `turns` says which is next.
fn mix(received: Vec<Piece>, sent: Vec<Piece>, turns: &[bool]) -> Vec<Line> {
    let mut lists = [received.into_iter(), sent.into_iter()];
    let mut mixed = Vec::new();
    let mut turns = turns.iter().copied().chain(std::iter::repeat(false));
    loop {
        let turn = usize::from(turns.next().unwrap_or(false));
        match lists[turn].next().or_else(|| lists[1 - turn].next()) {
            Some(piece) => mixed.push(Line::Piece(piece)),
            None => return mixed,
        }
    }
}

fn play(lines: &[Line], from_start: bool) -> (Vec<ParserEvent>, usize) {
    let mut player = Player::new(&connection(from_start), Limits::default());
    lines.iter().for_each(|line| player.play(line));
    let memory = player.memory;
    (player.finish(), memory)
}

/// The exchanges without their times, tasks and order of events.
fn timeless(events: &[ParserEvent]) -> Vec<String> {
    let mut texts: Vec<_> = events
        .iter()
        .map(|event| match event {
            ParserEvent::Started(started) => format!(
                "{:04} started {:?} {} {:?}",
                started.exchange, started.side, started.position, started.context
            ),
            ParserEvent::Finished(finished) => {
                let Finished {
                    exchange,
                    outcome,
                    name,
                    status,
                    attributes,
                    notes,
                    ..
                } = finished;
                format!("{exchange:04} {outcome:?} {name} {status:?} {attributes:?} {notes:?}")
            }
        })
        .collect();
    texts.sort_unstable();
    texts
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..=1000usize, 0..40)
}

/// Any bytes, or a piece of something that looks like HTTP.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(vec![
        "GET / HTTP/1.1\r\n\r\n",
        "HEAD /h HTTP/1.0\r\nHost: h\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 101 Up\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "\r\n",
        "G",
        "HTTP/1.",
    ]);
    prop_oneof![
        4 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

fn any_line() -> impl Strategy<Value = Line> {
    let number =
        || prop_oneof![8 => Just(0u64), 1 => 0..200u64, 1 => any::<u32>().prop_map(u64::from)];
    let piece = (any::<bool>(), number(), number(), fragment());
    let piece = piece.prop_map(|(sent, gap, hidden, data)| {
        Line::Piece(Piece {
            direction: if sent {
                Direction::Sent
            } else {
                Direction::Received
            },
            gap,
            hidden,
            data,
        })
    });
    let end = proptest::sample::select(vec![
        EndReason::PeerClosed,
        EndReason::LocalClosed,
        EndReason::Closed,
        EndReason::Failed(104),
        EndReason::ProcessExited,
        EndReason::Forgotten,
    ]);
    prop_oneof![20 => piece, 1 => end.prop_map(Line::End)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// How the streams are cut into chunks, and how the directions' chunks are mixed as long as no
    /// response is ahead of its request, makes no difference.
    #[test]
    fn cuts_make_no_difference(
        exchanges in proptest::collection::vec(exchange(METHODS), 1..6),
        received in cuts(),
        sent in cuts(),
    ) {
        let [requests, responses] = streams(&exchanges);
        let whole = mix(
            pieces(Direction::Received, &requests, &[]),
            pieces(Direction::Sent, &responses, &[]),
            &[],
        );
        let cut = mix(
            pieces(Direction::Received, &requests, &received),
            pieces(Direction::Sent, &responses, &sent),
            &[],
        );
        let (whole, _) = play(&whole, true);
        prop_assert_eq!(whole.len(), exchanges.len() * 2);
        prop_assert_eq!(timeless(&whole), timeless(&play(&cut, true).0));
    }

    /// Nor does the order of the directions, on a connection known from its start: each request
    /// still gets its own response. (Sizes of bodies sent after the response are not waited for,
    /// and a HEAD request must be known before what follows its response can be.)
    #[test]
    fn the_order_of_directions_makes_no_difference(
        exchanges in proptest::collection::vec(exchange(METHODS_BUT_HEAD), 1..6),
        received in cuts(),
        sent in cuts(),
        turns in proptest::collection::vec(any::<bool>(), 0..80),
    ) {
        let [requests, responses] = streams(&exchanges);
        let lines = mix(
            pieces(Direction::Received, &requests, &received),
            pieces(Direction::Sent, &responses, &sent),
            &turns,
        );
        let (events, _) = play(&lines, true);
        let finished: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                ParserEvent::Finished(finished) => Some(finished),
                ParserEvent::Started(_) => None,
            })
            .collect();
        prop_assert_eq!(finished.len(), exchanges.len());
        for (finished, exchange) in finished.iter().zip(&exchanges) {
            let path = shown(finished, "url.path");
            let status = shown(finished, "http.response.status_code");
            let request = String::from_utf8_lossy(&exchange.request);
            let response = String::from_utf8_lossy(&exchange.response);
            let target = format!(" {path} ");
            let answer = format!("HTTP/1.1 {status} X");
            prop_assert!(request.contains(&target), "{} {}", request, path);
            prop_assert!(response.contains(&answer), "{} {}", response, status);
            prop_assert_eq!(finished.outcome, Outcome::Complete);
        }
    }

    /// Capturing less of each chunk, or losing some, never invents an exchange: what is reported
    /// lies where a request is.
    #[test]
    fn losses_invent_nothing(
        exchanges in proptest::collection::vec(exchange(METHODS), 1..6),
        received in cuts(),
        sent in cuts(),
        turns in proptest::collection::vec(any::<bool>(), 0..80),
        caps in proptest::collection::vec(0..80usize, 80),
        lost in proptest::collection::vec(0..10u8, 80),
        from_start in any::<bool>(),
    ) {
        let [requests, responses] = streams(&exchanges);
        let mut begins = vec![START[0]];
        for exchange in &exchanges {
            begins.push(begins[begins.len() - 1] + exchange.request.len() as u64);
        }
        let mut gaps = [0; 2];
        let mut lines = Vec::new();
        let mixed = mix(
            pieces(Direction::Received, &requests, &received),
            pieces(Direction::Sent, &responses, &sent),
            &turns,
        );
        for ((line, cap), lost) in mixed.into_iter().zip(caps.iter().cycle()).zip(lost.iter().cycle()) {
            let Line::Piece(mut piece) = line else { continue };
            let gap = &mut gaps[index(piece.direction)];
            let length = piece.data.len();
            if length == 0 {
                continue;
            }
            if *lost == 0 {
                *gap += length as u64;
                continue;
            }
            piece.gap = std::mem::take(gap);
            // A third of the chunks is captured in full.
            piece.data.truncate(if *lost < 7 { length.min(*cap) } else { length });
            piece.hidden = (length - piece.data.len()) as u64;
            lines.push(Line::Piece(piece));
        }
        for start in play(&lines, from_start).0.iter().filter_map(started) {
            prop_assert!(begins.contains(&start.position), "{} {:?}", start.position, begins);
        }
    }

    /// Whatever comes, each exchange ends once, and memory stays small.
    #[test]
    fn anything_goes(lines in proptest::collection::vec(any_line(), 0..60), from_start in any::<bool>()) {
        let (_, memory) = play(&lines, from_start);
        prop_assert!(memory < 256 * 1024, "{}", memory);
    }
}
