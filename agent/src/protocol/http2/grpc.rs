//! gRPC ("gRPC over HTTP2", PROTOCOL-HTTP2.md): what makes a request one, its messages, its status; and
//! what OpenTelemetry's conventions for RPC say of it (release candidate of 2026: `rpc.method` with the
//! service's name, `rpc.response.status_code` in words).

use std::borrow::Cow;

use crate::model::{Attribute, Finished, Outcome, Side, SpanStatus};

use super::note;
use crate::protocol::http1::note::add;

/// Names of the status codes (gRPC, "Status codes and their use in gRPC").
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// Codes that are a server's own fault (OpenTelemetry, "Semantic conventions for gRPC").
const SERVER_ERRORS: [&str; 6] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];
/// What a span of HTTP has and one of RPC has not.
const OF_HTTP: [&str; 9] = [
    "http.request.method",
    "http.request.method_original",
    "url.scheme",
    "url.path",
    "url.query",
    "url.full",
    "http.request.body.size",
    "http.response.body.size",
    "error.type",
];

/// Whether a content type is gRPC's, with any encoding of its messages. (gRPC-Web's is another: its
/// trailers are in the body.)
pub(super) fn is_content_type(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Whether data begins with a message, as hardly any other body does.
pub(super) fn is_message(seen: &[u8], whole: u64) -> bool {
    /// What libraries accept, unless they are told to take more.
    const USUAL_MAX: u32 = 4 << 20;
    let Some(&[0 | 1, length @ ..]) = seen.first_chunk::<5>() else {
        return false;
    };
    let message = u32::from_be_bytes(length);
    // Another may follow, or it goes on in the next frame.
    let after = usize::try_from(message).map_or(usize::MAX, |message| message.saturating_add(5));
    message <= USUAL_MAX && (after as u64 >= whole || seen.get(after).is_none_or(|&byte| byte <= 1))
}

/// Counts the messages that went one way: each has a length before it, and frames of HTTP/2 say nothing
/// about where one begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Messages {
    count: i64,
    /// Of the present message.
    left: u64,
    /// What is known of the next message's head.
    head: [u8; 5],
    known: u8,
    /// The place was lost.
    lost: bool,
}

impl Messages {
    /// Takes data of which the first `seen` were captured.
    pub(super) fn take(&mut self, mut seen: &[u8], length: u64) {
        let mut hidden = length.saturating_sub(seen.len() as u64);
        while !self.lost {
            let passed = seen
                .len()
                .min(usize::try_from(self.left).unwrap_or(usize::MAX));
            seen = &seen[passed..];
            self.left -= passed as u64;
            if seen.is_empty() {
                let passed = self.left.min(hidden);
                self.left -= passed;
                hidden -= passed;
                // Another message begins among bytes that nobody saw.
                self.lost |= hidden > 0;
                return;
            }
            let Some(place) = self.head.get_mut(usize::from(self.known)) else {
                return;
            };
            *place = seen[0];
            seen = &seen[1..];
            self.known += 1;
            if self.known == 5 {
                let [_, length @ ..] = self.head;
                self.left = u32::from_be_bytes(length).into();
                self.known = 0;
                self.count += 1;
            }
        }
    }

    /// Bytes were missed.
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }

    /// Whether data of this length is to be looked at: not where it lies inside of one message.
    pub(super) const fn needs(&self, length: u64) -> bool {
        !self.lost && self.left < length
    }
}

/// What is known of a call besides what HTTP tells.
pub(super) struct Call<'a> {
    pub(super) side: Side,
    /// `/package.Service/Method`.
    pub(super) path: Option<&'a str>,
    /// `grpc-status`, or what a cancellation means.
    pub(super) status: Option<u16>,
    /// Of the request, of the response.
    pub(super) messages: [Messages; 2],
    pub(super) longest: usize,
}

/// Makes the end of an exchange of HTTP that of a call.
pub(super) fn finish(call: &Call<'_>, finished: &mut Finished) {
    let http_error = finished
        .attributes
        .iter()
        .position(|attribute| attribute.key == "error.type")
        .map(|at| finished.attributes.swap_remove(at).value);
    let mut succeeded = false;
    finished.attributes.retain(|attribute| {
        if attribute.key == "http.response.status_code" {
            succeeded = attribute.value == 200.into();
            return !succeeded;
        }
        !OF_HTTP.contains(&attribute.key.as_ref())
    });
    let mut add_attribute = |key, value| {
        finished.attributes.push(Attribute {
            key: Cow::Borrowed(key),
            value,
        });
    };
    add_attribute("rpc.system.name", "grpc".into());
    let method = call.path.and_then(|path| path.strip_prefix('/'));
    let method = method.filter(|method| method.contains('/') && method.len() <= call.longest);
    if let Some(method) = method {
        add_attribute("rpc.method", method.to_owned().into());
    }
    // An interrupted call keeps the error of its interruption.
    let code = call
        .status
        .map(|status| CODES.get(usize::from(status)).copied());
    let mut error = http_error;
    if let Some(name) = code {
        let name = name.unwrap_or("UNKNOWN");
        add_attribute("rpc.response.status_code", name.into());
        let fails = match call.side {
            Side::Client => name != "OK",
            Side::Server => SERVER_ERRORS.contains(&name),
        };
        error = fails.then(|| name.into());
    }
    finished.status = match error {
        Some(_) => SpanStatus::Error,
        None => SpanStatus::Unset,
    };
    if let Some(error) = error {
        add_attribute("error.type", error);
    }
    let keys = [
        "clew.rpc.request.message_count",
        "clew.rpc.response.message_count",
    ];
    for (key, messages) in keys.into_iter().zip(call.messages) {
        match messages.lost {
            false => add_attribute(key, messages.count.into()),
            true => add(&mut finished.notes, note::MESSAGES_UNSEEN),
        }
    }
    if finished.outcome == Outcome::Complete && call.status.is_none() && succeeded {
        add(&mut finished.notes, note::STATUS_UNSEEN);
    }
    finished.name = match method {
        Some(method) => Cow::Owned(method.to_owned()),
        None => Cow::Borrowed("grpc"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            assert_eq!(is_content_type(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn bodies() {
        let cases: [(&[u8], u64, bool); 8] = [
            (b"\0\0\0\0\x02hi", 7, true),
            (b"\x01\0\0\0\x02hi\0\0\0\0\0", 12, true),
            (b"\0\0\x01\0\0hi", 7, true),
            (b"\0\0\0\0\0", 5, true),
            (b"\0\0\0\0\x02hi there", 13, false),
            (b"\0\xff\0\0\0", 5, false),
            (b"{\"a\": 1}", 8, false),
            (b"\0\0", 2, false),
        ];
        for (seen, length, expected) in cases {
            assert_eq!(
                is_message(seen, length),
                expected,
                "{}",
                seen.escape_ascii()
            );
        }
    }

    #[test]
    fn messages() {
        // Pieces, `(bytes, hidden)`; how many messages, if that is known.
        type Case<'a> = (&'a [(&'a [u8], u64)], Option<i64>);
        let cases: [Case<'_>; 6] = [
            (&[], Some(0)),
            (&[(b"\0\0\0\0\x01x\0\0\0\0\0", 0)], Some(2)),
            (
                &[
                    (b"\0\0\0", 0),
                    (b"\0\x02", 0),
                    (b"xx\0\0\0\0\x01", 0),
                    (b"y", 0),
                ],
                Some(2),
            ),
            (&[(b"\0\0\0\x01\0xx", 254), (b"\0\0\0\0\0", 0)], Some(2)),
            (&[(b"\0\0\0\x01\0xx", 255), (b"\0\0\0\0\0", 0)], None),
            (&[(b"", 3)], None),
        ];
        for (pieces, expected) in cases {
            let mut messages = Messages::default();
            for &(seen, hidden) in pieces {
                messages.take(seen, seen.len() as u64 + hidden);
            }
            let count = (!messages.lost).then_some(messages.count);
            assert_eq!(count, expected, "{pieces:?}");
        }
    }
}
