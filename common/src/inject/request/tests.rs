extern crate std;

use std::{cell::Cell, format, string::String, vec::Vec};

use super::*;

fn request(line: u32, head: u32, body: Body) -> Result<Request, Doubt> {
    Ok(Request {
        line,
        head,
        body,
        traceparent: false,
        tunnel: false,
    })
}

struct Text<'t> {
    bytes: &'t [u8],
    variables: [Cell<u32>; VARIABLES],
}

impl Window for Text<'_> {
    fn word(&self, at: u32) -> Option<u64> {
        let bytes = self.bytes.get(at as usize..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }

    fn byte(&self, at: u32) -> Option<u8> {
        self.bytes.get(at as usize).copied()
    }

    fn get(&self, variable: Variable) -> u32 {
        self.variables[variable as usize].get()
    }

    fn set(&self, variable: Variable, value: u32) {
        self.variables[variable as usize].set(value);
    }
}

fn scanned(text: impl AsRef<[u8]>) -> Result<Request, Doubt> {
    scan(&Text {
        bytes: text.as_ref(),
        // What an earlier use left there.
        variables: [const { Cell::new(77) }; VARIABLES],
    })
}

#[test]
fn requests_without_a_body() {
    for method in [
        "GET",
        "HEAD",
        "OPTIONS",
        "TRACE",
        "DELETE",
        "PUT",
        "POST",
        "PATCH",
        "PROPFIND",
        "M-SEARCH",
        "BASELINE-CONTROL",
        "get",
        "X",
    ] {
        for target in ["/", "*", "http://example.org/a?b=c%20d", "/\u{e9}"] {
            for version in ["HTTP/1.1", "HTTP/1.0"] {
                for fields in [
                    "",
                    "Host: a\r\n",
                    "A:b\r\nC:\r\n",
                    "X: y\r\nLonger-Name: value value\r\n",
                ] {
                    let line = format!("{method} {target} {version}\r\n");
                    let text = format!("{line}{fields}\r\n");
                    let (line, head) = (line.len() as u32, text.len() as u32);
                    let wanted = request(line, head, Body::Length(0));
                    assert_eq!(scanned(&text), wanted, "{text:?}");
                    // What follows changes nothing.
                    assert_eq!(scanned(format!("{text}{text}")), wanted, "{text:?}");
                    // No part of it is a head.
                    for end in 0..text.len() {
                        let doubt = scanned(&text.as_bytes()[..end]).unwrap_err();
                        let in_line = end < line as usize;
                        assert!(
                            doubt == Doubt::Incomplete || in_line && doubt == Doubt::NotHttp,
                            "{:?}: {doubt:?}",
                            &text.as_bytes()[..end]
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn bodies() {
    for (fields, wanted) in [
        ("Content-Length: 0\r\n", Body::Length(0)),
        ("Content-Length: 17\r\n", Body::Length(17)),
        ("content-length:17\r\n", Body::Length(17)),
        ("CONTENT-LENGTH:  \t 17 \t\r\nA: b\r\n", Body::Length(17)),
        ("Content-Length: 0000017\r\n", Body::Length(17)),
        ("Content-Length: 1073741824\r\n", Body::Length(1 << 30)),
        ("Content-Length: 1073741825\r\n", Body::Unknown),
        ("Content-Length: 4294967297\r\n", Body::Unknown),
        ("Content-Length: 99999999999999999999\r\n", Body::Unknown),
        ("Transfer-Encoding: chunked\r\n", Body::Unknown),
        ("tRANSFER-eNCODING: gzip, chunked\r\n", Body::Unknown),
        (
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            Body::Unknown,
        ),
        (
            "Content-Length: 3\r\nExpect: 100-continue\r\n",
            Body::Unknown,
        ),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            Body::Unknown,
        ),
        ("UPGRADE:h2c\r\n", Body::Unknown),
        ("Upgrade-Insecure-Requests: 1\r\n", Body::Length(0)),
        ("Content-Type: a\r\nContent-Lengthy: 4\r\n", Body::Length(0)),
        ("X-Content-Length: 4\r\n", Body::Length(0)),
        ("X: Content-Length: 4\r\n", Body::Length(0)),
    ] {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let found = scanned(&text);
        if fields.starts_with("Content-Lengthy") || fields.contains("Lengthy") {
            // A name that only begins so is not worth telling apart.
            assert_eq!(found, Err(Doubt::Malformed), "{fields:?}");
        } else {
            assert_eq!(found, request(17, text.len() as u32, wanted), "{fields:?}");
        }
    }
}

#[test]
fn doubts() {
    let long = "a".repeat(2 * HEAD_MAX as usize);
    for (text, wanted) in [
        ("", Doubt::NotHttp),
        ("\r\nGET / HTTP/1.1\r\n\r\n", Doubt::NotHttp),
        ("GET / HTTP/2.0\r\n\r\n", Doubt::NotHttp),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Doubt::NotHttp),
        ("GET / HTTP/1.2\r\n\r\n", Doubt::NotHttp),
        ("GET / http/1.1\r\n\r\n", Doubt::NotHttp),
        ("GET /\r\n\r\n", Doubt::NotHttp),
        ("GET HTTP/1.1\r\n\r\n", Doubt::NotHttp),
        (" GET / HTTP/1.1\r\n\r\n", Doubt::NotHttp),
        ("GET / HTTP/1.1\n\r\n", Doubt::NotHttp),
        (
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\n\r\n",
            Doubt::NotHttp,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", Doubt::NotHttp),
        ("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", Doubt::NotHttp),
        (
            "\x16\x03\x01\x02\x00\x01\x00\x01\x01\x03\x03",
            Doubt::NotHttp,
        ),
        ("GET / HTTP/1.1\r\nA: b\n\r\n", Doubt::Malformed),
        ("GET / HTTP/1.1\r\nA: b\r\n\nGET", Doubt::Malformed),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Doubt::Malformed),
        ("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", Doubt::Malformed),
        ("GET / HTTP/1.1\r\n \r\n\r\n", Doubt::Malformed),
        ("GET / HTTP/1.1\r\nA: b\r\n\rc\r\n\r\n", Doubt::Malformed),
        (
            "POST / HTTP/1.1\r\nContent-Length: \r\n\r\n",
            Doubt::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            Doubt::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            Doubt::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
            Doubt::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1 1\r\n\r\n",
            Doubt::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n",
            Doubt::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\rX\r\n\r\n",
            Doubt::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n",
            Doubt::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            Doubt::Malformed,
        ),
        (&format!("GET /{long} HTTP/1.1\r\n\r\n"), Doubt::TooLong),
        (
            &format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n"),
            Doubt::TooLong,
        ),
        (&format!("{long} / HTTP/1.1\r\n\r\n"), Doubt::NotHttp),
    ] {
        assert_eq!(scanned(text), Err(wanted), "{text:?}");
    }
}

#[test]
fn own_headers_and_tunnels() {
    for name in ["traceparent", "Traceparent", "TRACEPARENT", "tRaCePaReNt"] {
        for before in ["", "Host: a\r\n", "Content-Length: 5\r\nX: abcdefg\r\n"] {
            let text = format!("GET / HTTP/1.1\r\n{before}{name}: 00-x\r\nB: c\r\n\r\n");
            assert!(scanned(&text).unwrap().traceparent, "{text:?}");
        }
    }
    for value in ["X: traceparent: a", "X-Traceparent: a", "tracestate: a=b"] {
        let text = format!("GET / HTTP/1.1\r\n{value}\r\n\r\n");
        assert!(!scanned(&text).unwrap().traceparent, "{text:?}");
    }
    let connect = scanned("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").unwrap();
    assert!(connect.tunnel && connect.body == Body::Unknown);
    assert!(!scanned("CONNECTED / HTTP/1.1\r\n\r\n").unwrap().tunnel);
}

/// A generator with a seed of its own for each case (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

#[test]
fn agrees_with_a_plain_parser() {
    const NAMES: [&str; 9] = [
        "Host",
        "a",
        "Content-Length",
        "content-lengt",
        "Transfer-Encoding",
        "traceparent",
        "Expect",
        "Upgrade",
        "X-Some-Header-With-A-Long-Name",
    ];
    for seed in 1..4000 {
        let mut random = Random(seed);
        let mut text = format!(
            "GET /{} HTTP/1.1\r\n",
            "p".repeat(random.below(40) as usize)
        );
        let line = text.len() as u32;
        let mut lengths = 0;
        let (mut unknown, mut own) = (false, false);
        for _ in 0..random.below(20) {
            let names = if random.below(4) == 0 { 9 } else { 2 };
            let name = NAMES[random.below(names) as usize];
            let value = random.below(1000);
            text.push_str(&format!("{name}: {value}\r\n"));
            lengths += u32::from(name == "Content-Length");
            unknown |= ["Transfer-Encoding", "Expect", "Upgrade"].contains(&name);
            own |= name == "traceparent";
        }
        text.push_str("\r\n");
        let head = text.len() as u32;
        let rest: String = "GET / HTTP/1.1\r\n\r\n".repeat(random.below(3) as usize);
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())
            .unwrap_or(0);
        text.push_str(&rest);
        let wanted = if lengths > 1 {
            Err(Doubt::Malformed)
        } else {
            Ok(Request {
                line,
                head,
                body: if unknown {
                    Body::Unknown
                } else {
                    Body::Length(length)
                },
                traceparent: own,
                tunnel: false,
            })
        };
        assert_eq!(scanned(&text), wanted, "seed {seed}: {text:?}");
    }
}

#[test]
fn garbage_ends() {
    for seed in 1..2000 {
        let mut random = Random(seed);
        let bytes: Vec<u8> = (0..random.below(600))
            .map(|_| b"GET / HTTP/1.1\r\n: \tContent-Length0a\0\xff"[random.below(34) as usize])
            .collect();
        for from in 0..8 {
            let mut text = b"GET / HTTP/1.1\r\n"[..2 * from].to_vec();
            text.extend_from_slice(&bytes);
            if let Ok(found) = scanned(&text) {
                assert!(found.line < found.head && found.head as usize <= text.len());
                assert_eq!(&text[found.line as usize - 2..][..2], b"\r\n");
                assert_eq!(&text[found.head as usize - 4..][..4], b"\r\n\r\n");
            }
        }
    }
}
