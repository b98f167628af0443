//! The headers of messages: <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-4.md>.

use std::borrow::Cow;

use crate::context::{Carrier, Extractor, NotUnderstood};
use crate::model::RemoteContext;

/// What headers say.
#[derive(Debug, Default)]
pub(super) struct Headers<'a> {
    /// The status of an answer that is none: 503 where nobody listens.
    pub(super) status: Option<Cow<'static, str>>,
    /// `Nats-Msg-Id`.
    pub(super) id: Option<&'a [u8]>,
    pub(super) context: Option<RemoteContext>,
    pub(super) context_invalid: bool,
}

/// Reads headers, as far as they were captured.
pub(super) fn read<'a>(bytes: &'a [u8], extractor: &Extractor) -> Headers<'a> {
    let mut found = Headers::default();
    let mut carrier = Carrier::default();
    let mut lines = bytes.split(|byte| *byte == b'\n');
    if let Some(first) = lines.next() {
        found.status = status(first);
    }
    for line in lines {
        // A line without its end was cut.
        let Some(line) = line.strip_suffix(b"\r") else {
            break;
        };
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"Nats-Msg-Id") {
            found.id = Some(value);
        }
        carrier.set(name, value, extractor.custom_headers());
    }
    match extractor.extract(&carrier) {
        Ok(context) => found.context = context.map(|found| found.context),
        Err(NotUnderstood) => found.context_invalid = true,
    }
    found
}

/// `NATS/1.0 503` and the like, if it is one of a failure.
fn status(line: &[u8]) -> Option<Cow<'static, str>> {
    let rest = line.strip_prefix(b"NATS/1.0 ")?.trim_ascii();
    let code = rest.get(..3)?;
    let is_error = matches!(code[0], b'4' | b'5') && code.iter().all(u8::is_ascii_digit);
    is_error.then(|| match code {
        b"503" => Cow::Borrowed("503"),
        code => Cow::Owned(String::from_utf8_lossy(code).into_owned()),
    })
}
