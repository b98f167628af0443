//! What a proxy says of the request it passes on: `Forwarded` (RFC 7239), else `X-Forwarded-*`.
//!
//! The conventions ask for the original client, host and scheme where they are known. Whether a
//! proxy may be believed is not for a tracer to say: this is what the server was told.

use std::borrow::Cow;

use super::head::{Fields, text};

/// Where a request began.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    /// Address of the client, perhaps with a port.
    pub(super) client: Option<Cow<'a, str>>,
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) scheme: Option<Cow<'a, str>>,
}

pub(super) fn origin<'a>(fields: &Fields<'a>) -> Origin<'a> {
    let mut origin = fields.forwarded.map(forwarded).unwrap_or_default();
    fill(&mut origin.client, fields.forwarded_for);
    fill(&mut origin.host, fields.forwarded_host);
    fill(&mut origin.scheme, fields.forwarded_proto);
    // Nodes may keep their names to themselves (RFC 7239, 6.2 and 6.3).
    origin.client = origin.client.filter(|client| {
        !client.is_empty() && !client.starts_with('_') && !client.eq_ignore_ascii_case("unknown")
    });
    origin
}

/// The first element of a list, which the proxy nearest to the client wrote.
fn fill<'a>(place: &mut Option<Cow<'a, str>>, list: Option<&'a [u8]>) {
    if let (None, Some(list)) = (&place, list) {
        let first = list.split(|&byte| byte == b',').next().unwrap_or(list);
        *place = Some(text(first.trim_ascii())).filter(|first| !first.is_empty());
    }
}

/// The first element of `Forwarded`: `for=…;host=…;proto=…`.
fn forwarded(value: &[u8]) -> Origin<'_> {
    let mut origin = Origin::default();
    for pair in pairs(value) {
        let Some(equals) = pair.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = Some(text(value.strip_suffix(b"\"").unwrap_or(value)));
        match name.to_ascii_lowercase().as_slice() {
            b"for" => origin.client = value,
            b"host" => origin.host = value,
            b"proto" => origin.scheme = value,
            _ => {}
        }
    }
    origin
}

/// The pairs of the first element: up to a comma, between semicolons, outside of quotes.
fn pairs(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut ended = false;
    value
        .split(move |&byte| {
            quoted ^= byte == b'"';
            !quoted && matches!(byte, b';' | b',')
        })
        .scan(0, move |at, pair| {
            let over = ended;
            *at += pair.len() + 1;
            ended = value.get(*at - 1) == Some(&b',');
            (!over).then_some(pair)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        // Forwarded, X-Forwarded-For, client|host|scheme.
        let table: [(&str, &str, &str); 12] = [
            (
                "for=192.0.2.60;proto=http;by=203.0.113.43",
                "",
                "192.0.2.60|-|http",
            ),
            (
                "For=\"[2001:db8:cafe::17]:4711\"",
                "",
                "[2001:db8:cafe::17]:4711|-|-",
            ),
            (
                "for=192.0.2.43, for=198.51.100.17;host=no",
                "",
                "192.0.2.43|-|-",
            ),
            ("host=\"a,b;c\";proto=https", "", "-|a,b;c|https"),
            ("for=unknown", "", "-|-|-"),
            ("for=_hidden;host=h", "", "-|h|-"),
            ("", "10.0.0.1, 10.0.0.2", "10.0.0.1|-|-"),
            ("host=h", "10.0.0.1", "10.0.0.1|h|-"),
            ("", "2001:db8::1", "2001:db8::1|-|-"),
            ("", "unknown", "-|-|-"),
            (";;=;,", "", "-|-|-"),
            ("for=\"", " ,", "-|-|-"),
        ];
        for (header, other, expected) in table {
            let some = |text: &'static str| (!text.is_empty()).then_some(text.as_bytes());
            let fields = Fields {
                forwarded: some(header),
                forwarded_for: some(other),
                ..Fields::default()
            };
            let found = origin(&fields);
            let parts = [&found.client, &found.host, &found.scheme];
            let read = parts.map(|part| part.as_deref().unwrap_or("-")).join("|");
            assert_eq!(read, expected, "{header} {other}");
        }
    }
}
