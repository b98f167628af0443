//! HTTP/1: each request's method and target, and the status of its answer.

use crate::compare::{Comparison, Exchange, compare};
use crate::dissector::Message;

#[test]
fn recordings() {
    compare(&Comparison::of("http1", "http", clew, tshark));
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let method = one.get("http.request.method");
        let status = one.get("http.response.status_code");
        format!("{method} {} {status}", one.get("url.full"))
    };
    exchanges.iter().map(line).collect()
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let messages = || messages.iter().filter(|message| message.layer == "http");
    // Answers come in the order of requests; those that announce another (1xx) are none.
    let statuses = messages().filter_map(|message| message.tree.first("http.response.code"));
    let statuses = statuses.filter(|status| !status.starts_with('1'));
    let requests = messages().filter_map(|Message { tree, .. }| {
        let method = tree.first("http.request.method")?;
        let host = tree.first("http.host")?;
        // Clew does not tell secrets.
        let target = tree.first("http.request.uri")?;
        let target = target.replace("token=x", "token=REDACTED");
        Some(format!("{method} http://{host}{target}"))
    });
    requests
        .zip(statuses)
        .map(|(request, status)| format!("{request} {status}"))
        .collect()
}
