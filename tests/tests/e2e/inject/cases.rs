//! What is sent on a connection in which pieces, and how many headers are inserted.

/// Name, pieces, headers.
type Case = (String, Vec<Vec<u8>>, usize);

/// All cases.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, pieces: &[&str], wanted: usize| {
        let pieces = pieces
            .iter()
            .map(|piece| piece.as_bytes().to_vec())
            .collect();
        cases.push((name.to_owned(), pieces, wanted));
    };
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "get",
    ] {
        add(
            method,
            &[&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")],
            1,
        );
    }
    add("version 1.0", &["GET / HTTP/1.0\r\n\r\n"], 1);
    add(
        "absolute form",
        &["GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n"],
        1,
    );
    add(
        "asterisk form",
        &["OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"],
        1,
    );
    let plain = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";
    add("one after the other", &[plain, plain, plain], 3);
    add("three in one write", &[&plain.repeat(3)], 3);
    let post = "POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n";
    add(
        "body with the head",
        &[&format!("{post}hello world"), plain],
        2,
    );
    add("body after the head", &[post, "hello ", "world", plain], 2);
    add(
        "body and next request in one write",
        &[post, &format!("hello world{plain}")],
        2,
    );
    add(
        "body that looks like a request",
        &[
            "POST / HTTP/1.1\r\ncontent-length: 32\r\n\r\n",
            plain,
            plain,
        ],
        2,
    );
    for split in [1, 5, 15, 16, 17, 20, plain.len() - 1] {
        let (first, second) = plain.split_at(split);
        add(
            &format!("head split at {split}"),
            &[first, second, plain],
            0,
        );
    }
    for (length, wanted) in [(1000, 1), (3500, 1), (5000, 0), (60_000, 0)] {
        let cookie = "c".repeat(length);
        add(
            &format!("head of {length} bytes"),
            &[&format!("GET / HTTP/1.1\r\nCookie: {cookie}\r\n\r\n")],
            wanted,
        );
        add(
            &format!("target of {length} bytes"),
            &[&format!("GET /{cookie} HTTP/1.1\r\n\r\n")],
            usize::from(length < 2000),
        );
    }
    let fields = "X-Name: value\r\n".repeat(100);
    add(
        "a hundred fields",
        &[&format!("GET / HTTP/1.1\r\n{fields}\r\n")],
        1,
    );
    for name in ["traceparent", "Traceparent", "TRACEPARENT", "tRACEpARENT"] {
        let own = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: 00-own-own-01\r\n\r\n");
        add(&format!("own {name}"), &[&own, plain], 1);
    }
    add(
        "chunked",
        &[
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            plain,
        ],
        1,
    );
    add(
        "expectation",
        &[
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
            "hello",
            plain,
        ],
        1,
    );
    add(
        "upgrade",
        &[
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            plain,
            "\u{1}\u{2}",
        ],
        1,
    );
    add(
        "tunnel",
        &["CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", plain],
        0,
    );
    add("HTTP/2", &["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", plain], 0);
    add(
        "bare line feeds",
        &["GET / HTTP/1.1\nHost: a\n\n", plain],
        0,
    );
    add(
        "a bare line feed",
        &["GET / HTTP/1.1\r\nHost: a\n\r\n", plain],
        0,
    );
    add(
        "a folded value",
        &["GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", plain],
        0,
    );
    add(
        "two lengths",
        &[
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            plain,
        ],
        0,
    );
    add("another protocol", &["*1\r\n$4\r\nPING\r\n", plain], 0);
    add("TLS", &["\u{16}\u{3}\u{1}", plain], 0);
    add("nothing", &[], 0);
    cases
}
