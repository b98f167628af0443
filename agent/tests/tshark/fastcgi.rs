//! FastCGI: each request's number of bytes, and the status of its answer. tshark tells the names of
//! parameters, but not their values.

use crate::compare::{Comparison, Exception, Exchange, Only, compare};
use crate::dissector::{Message, text_of};

const CUT: &str = "the end of a long answer was not recorded: tshark takes the next for its rest";

#[test]
fn recordings() {
    compare(&Comparison {
        exceptions: &[
            Exception {
                recording: "nginx-fpm",
                only: Only::Clew,
                line: "0 200 0",
                times: 1,
                why: CUT,
            },
            Exception {
                recording: "nginx-fpm",
                only: Only::Clew,
                line: "0 302 0",
                times: 1,
                why: CUT,
            },
            Exception {
                recording: "nginx-fpm",
                only: Only::Clew,
                line: "7 201 1",
                times: 1,
                why: CUT,
            },
            Exception {
                recording: "nginx-fpm",
                only: Only::Tshark,
                line: "7 200 20000",
                times: 1,
                why: CUT,
            },
            Exception {
                recording: "unix-large",
                only: Only::Clew,
                line: "0 200 0",
                times: 1,
                why: CUT,
            },
            Exception {
                recording: "unix-large",
                only: Only::Tshark,
                line: "0 200 20000",
                times: 1,
                why: CUT,
            },
        ],
        ..Comparison::of("fastcgi", "fcgi", clew, tshark)
    });
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let status = one.get("http.response.status_code");
        let (asked, answered) = ("http.request.body.size", "http.response.body.size");
        let size = |key| one.get(key).parse().unwrap_or(0);
        let (asked, answered): (usize, usize) = (size(asked), size(answered));
        format!("{asked} {status} {answered}")
    };
    exchanges.iter().map(line).collect()
}

#[derive(Default)]
struct Request {
    id: String,
    ended: bool,
    asked: usize,
    answer: String,
}

impl Request {
    fn line(&self) -> String {
        let (head, body) = self.answer.split_once("\r\n\r\n").unwrap_or_default();
        let mut lines = head.split("\r\n");
        // CGI (RFC 3875, 6.3.3): without a status it is a success.
        let status = lines.find_map(|line| line.strip_prefix("Status: "));
        let status = status.map_or("200", |status| &status[..3]);
        format!("{} {status} {}", self.asked, body.len())
    }
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut requests: Vec<Request> = Vec::new();
    for Message { tree, .. } in messages {
        let get = |name| tree.first(name).unwrap_or_default();
        let id = get("fcgi.id");
        let mut open = requests.iter_mut();
        let Some(request) = open.find(|request| request.id == id && !request.ended) else {
            if get("fcgi.type") == "1" {
                requests.push(Request {
                    id: id.to_owned(),
                    ..Request::default()
                });
            }
            continue;
        };
        match get("fcgi.type") {
            "3" => request.ended = true,
            "5" => request.asked += text_of(get("fcgi.content.data")).len(),
            "6" => request.answer += &text_of(get("fcgi.content.data")),
            _ => {}
        }
    }
    requests.iter().map(Request::line).collect()
}
