use super::*;
use crate::export::testing::{below, client, resource, server};
use crate::model::{Attribute, Evidence};

const LOOK: Look = Look {
    colour: false,
    width: 100,
};

fn check(spans: &[ExportSpan], want: &str) {
    let got = waterfall(spans, LOOK);
    assert_eq!(got, want, "\n--- got ---\n{got}");
}

fn path(mut span: ExportSpan, method: &'static str, path: &str) -> ExportSpan {
    span.span.attributes[0] = Attribute::new("http.request.method", method);
    span.span.attributes[1] = Attribute::new("url.path", path.to_owned());
    span
}

fn payment() -> Vec<ExportSpan> {
    use Evidence::{Socket, Thread};
    let [user, gateway, payment, db, fraud] =
        ["client", "gateway", "payment", "db", "fraud"].map(resource);
    vec![
        path(client(&user, 7, 1, 0, 990), "POST", "/pay"),
        path(
            below(server(&gateway, 7, 2, 1, 989), 1, Socket),
            "POST",
            "/pay",
        ),
        path(
            below(client(&gateway, 7, 3, 6, 985), 2, Thread),
            "POST",
            "/pay",
        ),
        path(
            below(server(&payment, 7, 4, 7, 984), 3, Socket),
            "POST",
            "/pay",
        ),
        path(
            below(client(&payment, 7, 5, 30, 52), 4, Thread),
            "GET",
            "/balance",
        ),
        path(
            below(server(&db, 7, 6, 31, 51), 5, Socket),
            "GET",
            "/balance",
        ),
        path(
            below(client(&payment, 7, 7, 55, 960), 4, Thread),
            "POST",
            "/check",
        ),
        path(
            below(server(&fraud, 7, 8, 57, 958), 7, Socket),
            "POST",
            "/check",
        ),
    ]
}

#[test]
fn payment_flow_shows_the_slow_hop() {
    check(
        &payment(),
        "\
╭─ trace 00000000000000000000000000000007  990 ms  8 spans
│◆ client → POST /pay                               200    990 ms ██████████████████████████████████
│◆ └ gateway ▸ POST /pay                            200    988 ms █████████████████████████████████
│◆   └ gateway → POST /pay                          200    979 ms █████████████████████████████████
│◆     └ payment ▸ POST /pay                        200    977 ms █████████████████████████████████
│◆       ├ payment → GET /balance                   200     22 ms  █
│◆       │ └ db ▸ GET /balance                      200     20 ms  █
│◆       └ payment → POST /check                    200    905 ms  ███████████████████████████████
│◆         └ fraud ▸ POST /check                    200    901 ms◀ ███████████████████████████████
╰─ ◆ critical path  ◀ slowest: fraud ▸ POST /check, 901 ms of its own (91 %)
",
    );
}

#[test]
fn errors_and_missing_parents() {
    let shop = resource("shop");
    let mut failed = below(client(&shop, 1, 2, 10, 40), 1, Evidence::Thread);
    failed.span.status = SpanStatus::Error;
    failed.span.attributes.truncate(2);
    let mut unsure = path(client(&shop, 1, 4, 20, 30), "PUT", "/stock");
    unsure.span.parent = Parent::None(crate::model::NoParent::Ambiguous);
    let remote = below(server(&shop, 1, 1, 0, 50), 99, Evidence::Header);
    check(
        &[remote, failed, unsure],
        "\
╭─ trace 00000000000000000000000000000001  50 ms  3 spans
│◆ shop ▸ GET /pay ‹parent elsewhere›               200     50 ms ██████████████████████████████████
│◆ └ shop → GET /pay                                ERR     30 ms◀      █████████████████████
│  shop → PUT /stock ‹no parent: ambiguous›         200     10 ms              ░░░░░░░
╰─ ◆ critical path  ◀ slowest: shop → GET /pay, 30 ms of its own (60 %)
",
    );
}

#[test]
fn hostile_wide_and_long_paths() {
    let shop = resource("店\u{1b}[2J");
    let spans = [
        path(
            server(&shop, 1, 1, 0, 9),
            "GET",
            "/\u{1b}]0;owned\u{7}\r\n\u{202e}\u{200b}x",
        ),
        path(server(&shop, 1, 2, 1, 9), "GET", &"/支付".repeat(40)),
        path(server(&shop, 1, 3, 2, 9), "GET", &"/long".repeat(10_000)),
    ];
    let text = waterfall(&spans, LOOK);
    assert!(text.chars().all(|char| char == '\n' || !char.is_control()));
    assert!(!text.contains(['\u{202e}', '\u{200b}']));
    check(
        &spans,
        "\
╭─ trace 00000000000000000000000000000001  9.0 ms  3 spans
│  店\\u{1b}[2J ▸ GET /\\u{1b}]0;owned\\u{7}\\r\\n\\u{20… 200    9.0 ms ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░
│  店\\u{1b}[2J ▸ GET /支付/支付/支付/支付/支付/支…  200    8.0 ms    ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░
│◆ 店\\u{1b}[2J ▸ GET /long/long/long/long/long/lon… 200    7.0 ms◀       ███████████████████████████
╰─ ◆ critical path  ◀ slowest: 店\\u{1b}[2J ▸ GET /long/long/lon…, 7.0 ms of its own (77 %)
",
    );
    assert!(
        text.lines().take(4).all(|line| line.width() <= LOOK.width),
        "{text}"
    );
}

#[test]
fn colours_only_on_demand() {
    let coloured = Look {
        colour: true,
        ..LOOK
    };
    assert!(waterfall(&payment(), coloured).contains("\x1b[1;33m"));
    assert!(!waterfall(&payment(), LOOK).contains('\x1b'));
    assert_eq!(waterfall(&[], LOOK), "");
}

#[test]
fn depth_and_rings_are_drawn_once_each() {
    let shop = resource("shop");
    let deep: Vec<_> = (0..5000)
        .map(|at| {
            below(
                server(&shop, 1, at + 1, at, 9000 - at),
                at,
                Evidence::Socket,
            )
        })
        .collect();
    let text = waterfall(&deep, LOOK);
    assert_eq!(text.lines().count(), 5002);
    assert!(text.contains("⋯4999 shop"));

    let ring = [
        below(server(&shop, 1, 1, 0, 5), 2, Evidence::Thread),
        below(server(&shop, 1, 2, 1, 4), 1, Evidence::Thread),
        below(server(&shop, 1, 3, 1, 4), 3, Evidence::Thread),
    ];
    for width in [0, 60, 100, 10_000] {
        let text = waterfall(&ring, Look { width, ..LOOK });
        assert_eq!(text.lines().count(), 5, "{text}");
    }
}

#[test]
fn durations() {
    for (nanos, want) in [
        (0, "0 µs"),
        (870_400, "870 µs"),
        (4_210_000, "4.2 ms"),
        (901_000_000, "901 ms"),
        (1_014_000_000, "1.01 s"),
        (u64::MAX, "18446744074 s"),
    ] {
        assert_eq!(duration(nanos), want);
    }
}
