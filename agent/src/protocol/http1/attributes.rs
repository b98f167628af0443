//! What is said of a request and its response: OpenTelemetry's semantic conventions for HTTP
//! spans (stable since 1.23.0), <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::context::Original;
use crate::model::{Attribute, Note, Side, Value};

use super::head::{self, Fields, RequestLine};
use super::redact::{REDACTED, Redaction};
use super::target::{Authority, Target};
use super::{forwarded, note};

/// The methods that the conventions know; others are `_OTHER`.
const KNOWN_METHODS: [&str; 9] = [
    "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE",
];
/// As many attributes as a span usually has in the end: one allocation.
const USUAL: usize = 20;

/// A request's method as the conventions name it, if they do.
pub(in crate::protocol) fn known_method(method: &str) -> Option<&'static str> {
    KNOWN_METHODS.into_iter().find(|known| *known == method)
}

/// What a request's attributes depend on besides its head.
pub(in crate::protocol) struct Setting<'a> {
    pub(in crate::protocol) side: Side,
    /// The other end, unless it is a Unix socket's.
    pub(in crate::protocol) remote: Option<SocketAddr>,
    pub(in crate::protocol) redaction: &'a Redaction,
    /// Longest text, in bytes.
    pub(in crate::protocol) longest: usize,
}

/// Collects attributes, with texts cut to size.
struct Builder<'n> {
    attributes: Vec<Attribute>,
    notes: &'n mut Vec<Note>,
    longest: usize,
}

impl Builder<'_> {
    fn text<'t>(&mut self, key: &'static str, text: impl Into<Cow<'t, str>>) {
        let text = cut(text.into(), self.longest, self.notes);
        self.attributes.push(Attribute::new(key, text));
    }

    fn fixed(&mut self, key: &'static str, text: &'static str) {
        self.attributes.push(Attribute::new(key, text));
    }

    fn number(&mut self, key: &'static str, number: u16) {
        self.attributes.push(Attribute::new(key, i64::from(number)));
    }
}

/// A text of `longest` bytes at most; copied only where it is not one already.
fn cut(text: Cow<'_, str>, longest: usize, notes: &mut Vec<Note>) -> String {
    let end = text.floor_char_boundary(longest);
    if end == text.len() {
        return text.into_owned();
    }
    note::add(notes, note::VALUE_CUT);
    text[..end].to_owned()
}

/// The attributes that a request's head gives.
pub(in crate::protocol) fn of_request(
    setting: &Setting<'_>,
    line: &RequestLine<'_>,
    fields: &Fields<'_>,
    notes: &mut Vec<Note>,
) -> Vec<Attribute> {
    let mut to = Builder {
        attributes: Vec::with_capacity(USUAL),
        notes,
        longest: setting.longest,
    };
    match known_method(line.method) {
        Some(method) => to.fixed("http.request.method", method),
        None if line.method.is_empty() => {}
        None => {
            to.fixed("http.request.method", "_OTHER");
            to.text("http.request.method_original", line.method);
        }
    }
    let target_text = head::lossy(line.target);
    let target = match line.target.is_empty() {
        true => Target::default(),
        false => Target::parse(line.method, &target_text),
    };
    let host = fields.host.filter(|host| !host.is_empty()).map(head::text);
    let authority = target.authority.or(host.as_deref().map(Authority::parse));
    let query = target.query.map(|query| setting.redaction.query(query));
    let origin = match setting.side {
        Side::Server => forwarded::origin(fields),
        Side::Client => forwarded::Origin::default(),
    };

    let scheme = scheme(origin.scheme.as_deref().or(target.scheme).or(fields.scheme));
    match setting.side {
        Side::Server => {
            to.fixed("url.scheme", scheme);
            if let Some(path) = target.path {
                to.text("url.path", path);
            }
            if let Some(query) = query.filter(|query| !query.is_empty()) {
                to.text("url.query", query);
            }
        }
        Side::Client => {
            if let Some(url) = full_url(setting, scheme, &target, authority, query.as_deref()) {
                to.text("url.full", url);
            }
        }
    }

    let original = origin.host.as_deref().map(Authority::parse);
    if let Some(server) = original
        .or(authority)
        .filter(|server| !server.host.is_empty())
    {
        to.text("server.address", server.host);
        // A Unix socket has no port that could be the scheme's.
        let usual = setting
            .remote
            .map(|_| if scheme == "https" { 443 } else { 80 });
        if let Some(port) = server.port.or(usual) {
            to.number("server.port", port);
        }
    }
    if let Some(client) = origin.client.as_deref().map(Authority::parse) {
        to.text("client.address", client.host);
        if let Some(port) = client.port {
            to.number("client.port", port);
        }
    }
    if let Some(agent) = fields.user_agent {
        to.text("user_agent.original", head::text(agent));
    }
    to.fixed("network.protocol.name", "http");
    if let Some(version) = line.version {
        to.fixed("network.protocol.version", version.label());
    }
    to.attributes
}

/// A trace's id as its sender wrote it: as the conventions name a header that is recorded, or as the
/// OpenTelemetry Collector's SkyWalking receiver does.
pub(in crate::protocol) fn of_trace(
    setting: &Setting<'_>,
    original: &Original<'_>,
    notes: &mut Vec<Note>,
) -> Attribute {
    let mut text = |value| cut(head::lossy(value), setting.longest, notes);
    match original {
        Original::SkyWalking(id) => Attribute::new("sw8.trace_id", text(id)),
        Original::Header { name, value } => Attribute {
            key: Cow::Owned(["http.request.header.", *name].concat()),
            value: Value::Texts(Box::new([match setting.redaction.is_secret_header(name) {
                true => REDACTED.to_owned(),
                false => text(value),
            }])),
        },
    }
}

/// Only these two are HTTP's; anything else a request may claim is not passed on.
fn scheme(claimed: Option<&str>) -> &'static str {
    match claimed {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    }
}

/// `url.full`, without credentials. A request that names no host has that of the connection.
fn full_url(
    setting: &Setting<'_>,
    scheme: &str,
    target: &Target<'_>,
    authority: Option<Authority<'_>>,
    query: Option<&str>,
) -> Option<String> {
    // What CONNECT names is no URL.
    let path = target.path?;
    let host = match authority {
        Some(authority) => Cow::Borrowed(authority.host_port),
        None => Cow::Owned(setting.remote?.to_string()),
    };
    let credentials = match authority.and_then(|authority| authority.user) {
        Some(user) if user.contains(':') => [REDACTED, ":", REDACTED, "@"].concat(),
        Some(_) => [REDACTED, "@"].concat(),
        None => String::new(),
    };
    // The asterisk stands for no path at all (RFC 9112, 3.3).
    let path = if path == "*" { "" } else { path };
    let mark = if query.is_some() { "?" } else { "" };
    let query = query.unwrap_or_default();
    Some([scheme, "://", &credentials, &host, path, mark, query].concat())
}
