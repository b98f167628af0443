//! HTTP/2 and gRPC: each stream's path, with its method and status, or gRPC's status.

use crate::compare::{Comparison, Exception, Exchange, Only, compare};
use crate::dissector::{Message, Tree};

/// Of the calls that wait for their end.
const DEADLINE: &str = "a reset has no status; Clew says that of a call whose deadline has passed";

#[test]
fn recordings() {
    compare(&Comparison {
        exceptions: &[
            Exception {
                recording: "grpc_python",
                only: Only::Clew,
                line: "/ ",
                times: 1,
                why: "the frames before it were not recorded, so tshark finds no other; nor is its path known",
            },
            Exception {
                recording: "grpc_go",
                only: Only::Clew,
                line: "/clew.test.Echo/Sleep *",
                times: 1,
                why: DEADLINE,
            },
            Exception {
                recording: "grpc_go",
                only: Only::Tshark,
                line: "/clew.test.Echo/Sleep *",
                times: 1,
                why: DEADLINE,
            },
            Exception {
                recording: "grpc_python",
                only: Only::Clew,
                line: "/clew.test.Echo/Sleep *",
                times: 2,
                why: DEADLINE,
            },
            Exception {
                recording: "grpc_python",
                only: Only::Tshark,
                line: "/clew.test.Echo/Sleep *",
                times: 2,
                why: DEADLINE,
            },
        ],
        ..Comparison::of("http2", "http2", clew, tshark)
    });
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let method = one.get("rpc.method");
        if !one.get("rpc.system.name").is_empty() {
            return format!("/{method} {}", one.get("rpc.response.status_code"));
        }
        let method = one.get("http.request.method");
        let status = one.get("http.response.status_code");
        format!("{method} {} {status}", one.get("url.full"))
    };
    exchanges.iter().map(line).collect()
}

/// A stream's headers, both ways.
struct Stream {
    id: String,
    headers: Vec<(String, String)>,
    is_reset: bool,
}

/// The type of `RST_STREAM` frames.
const RESET: &str = "3";

impl Stream {
    fn get(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        headers
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    fn line(&self) -> String {
        let path = self.get(":path");
        if self.get("content-type").starts_with("application/grpc") {
            return format!("{path} {}", grpc_status(self.get("grpc-status")));
        }
        let (scheme, authority) = (self.get(":scheme"), self.get(":authority"));
        let (method, status) = (self.get(":method"), self.get(":status"));
        // Clew does not tell secrets.
        let path = path.replace("token=x", "token=REDACTED");
        format!("{method} {scheme}://{authority}{path} {status}")
    }
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut streams: Vec<Stream> = Vec::new();
    for Message {
        from_client, tree, ..
    } in messages
    {
        for frame in tree.all("http2.stream") {
            let id = frame.first("http2.streamid").unwrap_or_default();
            let headers = frame.all("http2.header").into_iter().filter_map(header);
            let headers: Vec<_> = headers.collect();
            let known = streams.iter_mut().find(|stream| stream.id == id);
            if frame.first("http2.type") == Some(RESET) {
                // What comes behind it is nobody's (RFC 9113, 5.1).
                known.unwrap().is_reset = true;
                continue;
            }
            if headers.is_empty() {
                continue;
            }
            match known {
                Some(stream) if stream.is_reset => {}
                Some(stream) => stream.headers.extend(headers),
                None => {
                    assert!(from_client, "stream {id} begins with the server");
                    streams.push(Stream {
                        id: id.to_owned(),
                        headers,
                        is_reset: false,
                    });
                }
            }
        }
    }
    streams.iter().map(Stream::line).collect()
}

fn header(header: &Tree) -> Option<(String, String)> {
    let name = header.first("http2.header.name")?;
    let value = header.first("http2.header.value")?;
    Some((name.to_owned(), value.to_owned()))
}

fn grpc_status(number: &str) -> &str {
    match number {
        "0" => "OK",
        "4" => "DEADLINE_EXCEEDED",
        "5" => "NOT_FOUND",
        "12" => "UNIMPLEMENTED",
        "13" => "INTERNAL",
        other => other,
    }
}
