//! What the parameters of a request say (RFC 3875, section 4.1, and what web servers add to it), told
//! as HTTP's conventions have it.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::super::Settings;
use super::super::http1::attributes::{self, Setting};
use super::super::http1::head::{Fields, RequestLine, Version, text};
use super::super::http1::note;
use super::record::Pairs;
use crate::context::NotUnderstood;
use crate::model::{Attribute, Note, RemoteContext, Side};

/// Longest name of a header field that is understood.
const NAME_MAX: usize = 128;
/// What header fields begin with.
const FIELD: &[u8] = b"HTTP_";

/// Those of a request's parameters that matter.
#[derive(Default)]
struct Params<'a> {
    method: Option<&'a str>,
    uri: &'a [u8],
    script_name: &'a [u8],
    path_info: &'a [u8],
    query: &'a [u8],
    version: Option<Version>,
    host: &'a [u8],
    server_name: &'a [u8],
    server_port: &'a [u8],
    scheme: Option<&'static str>,
    client: &'a [u8],
    client_port: &'a [u8],
    script: &'a [u8],
    fields: Fields<'a>,
}

/// A request, understood.
pub(super) struct Request {
    /// Span name.
    pub(super) name: &'static str,
    /// Whether that is known: the parameters may be cut.
    pub(super) is_named: bool,
    pub(super) attributes: Vec<Attribute>,
    pub(super) context: Option<RemoteContext>,
}

/// Understands a request's parameters.
pub(super) fn read(
    bytes: &[u8],
    side: Side,
    settings: &Settings,
    notes: &mut Vec<Note>,
) -> Request {
    let params = Params::read(bytes, settings.context.custom_headers());
    let setting = Setting {
        side,
        // The other end is a web server, or an application: HTTP's is in the parameters.
        remote: None::<SocketAddr>,
        redaction: &settings.redaction,
        longest: settings.limits.text,
    };
    let method = params.method.unwrap_or("HTTP");
    let target = params.target();
    let line = RequestLine {
        method,
        target: &target,
        version: params.version,
    };
    let mut attributes = attributes::of_request(&setting, &line, &params.fields, notes);
    // That is spoken here; HTTP is what the web server speaks with someone else.
    attributes.retain(|one| !one.key.starts_with("network."));
    attributes.push(Attribute::new("network.protocol.name", "fastcgi"));
    attributes.push(Attribute::new("network.protocol.version", "1.0"));
    if params.method.is_none() {
        attributes.retain(|one| !one.key.starts_with("http.request.method"));
    }
    params.add_ends(side, &mut attributes);
    if side == Side::Server && !params.script.is_empty() {
        let script = text(params.script);
        let cut = script.floor_char_boundary(settings.limits.text);
        attributes.push(Attribute::new("code.file.path", script[..cut].to_owned()));
    }
    let context = match settings.context.extract(&params.fields.context) {
        Ok(None) => None,
        Ok(Some(found)) => {
            if let Some(original) = &found.original {
                attributes.push(attributes::of_trace(&setting, original, notes));
            }
            Some(found.context)
        }
        Err(NotUnderstood) => {
            note::add(notes, NotUnderstood::NOTE);
            None
        }
    };
    Request {
        name: attributes::known_method(method).unwrap_or("HTTP"),
        is_named: params.method.is_some(),
        attributes,
        context,
    }
}

impl<'a> Params<'a> {
    fn read(bytes: &'a [u8], custom: &[Box<str>]) -> Self {
        let mut params = Self::default();
        for (name, value) in Pairs(bytes) {
            params.set(name, value, custom);
        }
        params
    }

    fn set(&mut self, name: &[u8], value: &'a [u8], custom: &[Box<str>]) {
        match name {
            b"REQUEST_METHOD" => {
                self.method = std::str::from_utf8(value).ok().filter(|it| !it.is_empty());
            }
            b"REQUEST_URI" => self.uri = value,
            b"SCRIPT_NAME" => self.script_name = value,
            b"PATH_INFO" => self.path_info = value,
            b"QUERY_STRING" => self.query = value,
            b"SERVER_PROTOCOL" => self.version = Version::parse(value),
            b"SERVER_NAME" => self.server_name = value,
            b"SERVER_PORT" => self.server_port = value,
            b"REQUEST_SCHEME" if value.eq_ignore_ascii_case(b"https") => {
                self.scheme = Some("https");
            }
            b"HTTPS" if !value.is_empty() && !value.eq_ignore_ascii_case(b"off") => {
                self.scheme = Some("https");
            }
            b"REMOTE_ADDR" => self.client = value,
            b"REMOTE_PORT" => self.client_port = value,
            b"SCRIPT_FILENAME" => self.script = value,
            b"HTTP_HOST" => self.host = value,
            _ => {}
        }
        let Some(field) = name.strip_prefix(FIELD) else {
            return;
        };
        let mut lower = [0; NAME_MAX];
        let Some(lower) = lower.get_mut(..field.len()) else {
            return;
        };
        for (to, from) in lower.iter_mut().zip(field) {
            *to = match from {
                b'_' => b'-',
                other => other.to_ascii_lowercase(),
            };
        }
        self.fields.set(lower, value);
        self.fields.context.set(lower, value, custom);
    }

    /// The request's target as a whole URL, where its host is known.
    fn target(&self) -> Cow<'a, [u8]> {
        let path = match self.uri {
            [] => {
                let mark: &[u8] = if self.query.is_empty() { b"" } else { b"?" };
                Cow::Owned([self.script_name, self.path_info, mark, self.query].concat())
            }
            uri => Cow::Borrowed(uri),
        };
        let scheme = self.scheme.unwrap_or("http");
        let (host, port): (_, &[u8]) = match (self.host, self.server_name) {
            ([], []) => return path,
            ([], name) => (name, self.server_port),
            (host, _) => (host, b""),
        };
        let usual: &[u8] = if scheme == "https" { b"443" } else { b"80" };
        let (colon, port): (&[u8], _) = match port {
            port if port.is_empty() || port == usual => (b"", &b""[..]),
            port => (b":", port),
        };
        if !path.starts_with(b"/") {
            return path;
        }
        Cow::Owned([scheme.as_bytes(), b"://", host, colon, port, &path].concat())
    }

    /// Adds the ends of the HTTP connection, where no header named them.
    fn add_ends(&self, side: Side, attributes: &mut Vec<Attribute>) {
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u16>().ok();
        let has = |attributes: &[Attribute], key| attributes.iter().any(|one| one.key == key);
        let named = has(attributes, "server.address") && !has(attributes, "server.port");
        if let Some(port) = number(self.server_port).filter(|_| named) {
            attributes.push(Attribute::new("server.port", i64::from(port)));
        }
        if side == Side::Client || self.client.is_empty() || has(attributes, "client.address") {
            return;
        }
        let address = text(self.client).into_owned();
        attributes.push(Attribute::new("client.address", address));
        if let Some(port) = number(self.client_port) {
            attributes.push(Attribute::new("client.port", i64::from(port)));
        }
    }
}
