//! Request lines, status lines and header fields (RFC 9112, sections 2 to 5).
//!
//! A parser of our own, because heads come cut: at the capture cap, at the end of a connection. It
//! makes what sense it can of any bytes, takes single line feeds and folded lines, and keeps
//! slices of the few fields that matter, so that a head costs no allocation. (`httparse` wants
//! whole and valid heads, and room for every field.)

use std::borrow::Cow;

use memchr::{memchr, memrchr};

use crate::context::Carrier;

/// A request's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct RequestLine<'a> {
    /// Empty where it is not known (HTTP/2).
    pub(in crate::protocol) method: &'a str,
    /// Likewise.
    pub(in crate::protocol) target: &'a [u8],
    /// `None` where the line was cut before it.
    pub(in crate::protocol) version: Option<Version>,
}

/// A response's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct StatusLine {
    pub(in crate::protocol) version: Version,
    /// `None` where it is cut or wrong.
    pub(in crate::protocol) status: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Version {
    Http10,
    Http11,
    /// What HTTP/2 gives instead of a first line.
    Http2,
}

impl Version {
    /// The value of `network.protocol.version`.
    pub(in crate::protocol) const fn label(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }

    pub(in crate::protocol) fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"HTTP/1.0" => Some(Self::Http10),
            b"HTTP/1.1" => Some(Self::Http11),
            _ => None,
        }
    }
}

/// What `Content-Length` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::protocol) enum Length {
    #[default]
    Absent,
    Bytes(u64),
    /// Not a number, or several that differ.
    Invalid,
}

/// What `Transfer-Encoding` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::protocol) enum Coding {
    #[default]
    None,
    /// The last coding is `chunked`.
    Chunked,
    /// It is another one.
    Other,
}

/// The fields that matter; folded lines are still folded.
#[derive(Clone, Debug, Default)]
pub(in crate::protocol) struct Fields<'a> {
    pub(in crate::protocol) length: Length,
    pub(in crate::protocol) coding: Coding,
    /// `Expect: 100-continue`.
    pub(in crate::protocol) expects_continue: bool,
    /// `Content-Type: application/x-protobuf`.
    pub(in crate::protocol) is_protobuf: bool,
    pub(in crate::protocol) host: Option<&'a [u8]>,
    pub(in crate::protocol) user_agent: Option<&'a [u8]>,
    pub(in crate::protocol) forwarded: Option<&'a [u8]>,
    pub(in crate::protocol) forwarded_for: Option<&'a [u8]>,
    pub(in crate::protocol) forwarded_host: Option<&'a [u8]>,
    pub(in crate::protocol) forwarded_proto: Option<&'a [u8]>,
    /// `Upgrade: h2c`.
    pub(in crate::protocol) upgrades_to_h2c: bool,
    /// `:scheme` of HTTP/2.
    pub(in crate::protocol) scheme: Option<&'a str>,
    pub(in crate::protocol) context: Carrier<'a>,
}

/// The first line of a request, and the rest of its head. `None` if it is none.
pub(in crate::protocol) fn request(head: &[u8]) -> Option<(RequestLine<'_>, &[u8])> {
    let (line, rest, whole) = first_line(head);
    let space = memchr(b' ', line)?;
    let method = std::str::from_utf8(&line[..space]).ok()?;
    let line = &line[space + 1..];
    if !whole {
        // A cut line: what is there of the target.
        let target = &line[..memchr(b' ', line).unwrap_or(line.len())];
        return (!target.is_empty()).then_some((
            RequestLine {
                method,
                target,
                version: None,
            },
            rest,
        ));
    }
    let space = memrchr(b' ', line)?;
    let version = Version::parse(&line[space + 1..])?;
    let target = line[..space].trim_ascii();
    (!target.is_empty()).then_some((
        RequestLine {
            method,
            target,
            version: Some(version),
        },
        rest,
    ))
}

/// The first line of a response, and the rest of its head. `None` if it is none.
pub(in crate::protocol) fn response(head: &[u8]) -> Option<(StatusLine, &[u8])> {
    let (line, rest, _) = first_line(head);
    let version = Version::parse(line.get(..8)?)?;
    let status = match line.get(9..12) {
        Some(digits) if digits.iter().all(u8::is_ascii_digit) => digits
            .iter()
            .fold(0, |status, digit| status * 10 + u16::from(digit - b'0')),
        _ => 0,
    };
    Some((
        StatusLine {
            version,
            status: (100..1000).contains(&status).then_some(status),
        },
        rest,
    ))
}

/// The first line without its end, what follows it, and whether the line is whole.
fn first_line(head: &[u8]) -> (&[u8], &[u8], bool) {
    match memchr(b'\n', head) {
        Some(end) => (without_cr(&head[..end]), &head[end + 1..], true),
        None => (head, &[], false),
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads the header fields of a head, after its first line. A last line without end is left out:
/// half a value is a wrong value. `custom` are the names of headers in which the user expects a trace's
/// id; without it no context is looked for.
pub(in crate::protocol) fn fields<'a>(
    mut block: &'a [u8],
    custom: Option<&[Box<str>]>,
) -> Fields<'a> {
    let mut fields = Fields::default();
    while let Some(mut end) = memchr(b'\n', block) {
        if without_cr(&block[..end]).is_empty() {
            break;
        }
        // A line that begins with a blank goes on with the one before (RFC 9112, 5.2).
        while let Some(b' ' | b'\t') = block.get(end + 1) {
            match memchr(b'\n', &block[end + 1..]) {
                Some(next) => end += 1 + next,
                None => return fields,
            }
        }
        let line = &block[..end];
        if let Some(colon) = memchr(b':', line) {
            let name = line[..colon].trim_ascii_end();
            let value = line[colon + 1..].trim_ascii();
            fields.set(name, value);
            if let Some(custom) = custom {
                fields.context.set(name, value, custom);
            }
        }
        block = &block[end + 1..];
    }
    fields
}

impl<'a> Fields<'a> {
    pub(in crate::protocol) fn set(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        // By length first: most fields need no comparison at all.
        match name.len() {
            4 if is(b"host") => keep_first(&mut self.host, value),
            6 if is(b"expect") => {
                self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
            7 if is(b"upgrade") => self.upgrades_to_h2c = value.eq_ignore_ascii_case(b"h2c"),
            9 if is(b"forwarded") => keep_first(&mut self.forwarded, value),
            10 if is(b"user-agent") => keep_first(&mut self.user_agent, value),
            12 if is(b"content-type") => {
                self.is_protobuf = value.eq_ignore_ascii_case(b"application/x-protobuf");
            }
            14 if is(b"content-length") => self.length = self.length.and(value),
            15 if is(b"x-forwarded-for") => keep_first(&mut self.forwarded_for, value),
            16 if is(b"x-forwarded-host") => keep_first(&mut self.forwarded_host, value),
            17 if is(b"x-forwarded-proto") => keep_first(&mut self.forwarded_proto, value),
            17 if is(b"transfer-encoding") => self.coding = Coding::of(value),
            _ => {}
        }
    }
}

fn keep_first<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8]) {
    if field.is_none() {
        *field = Some(value);
    }
}

impl Length {
    /// The length after one more field. The same number several times is taken as one (RFC 9110,
    /// 8.6).
    fn and(self, value: &[u8]) -> Self {
        value
            .split(|&byte| byte == b',')
            .fold(self, |before, text| {
                let text = text.trim_ascii();
                let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
                let number = std::str::from_utf8(text)
                    .ok()
                    .and_then(|text| text.parse().ok());
                match (before, number) {
                    (Self::Absent, Some(number)) if digits => Self::Bytes(number),
                    (Self::Bytes(length), Some(number)) if digits && length == number => before,
                    _ => Self::Invalid,
                }
            })
    }
}

impl Coding {
    fn of(value: &[u8]) -> Self {
        let last = value
            .rsplit(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii)
            .find(|c| !c.is_empty());
        match last {
            None => Self::None,
            Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Self::Chunked,
            // Not a coding any more, but still written (RFC 9110, 8.4.1 and appendix B).
            Some(coding) if coding.eq_ignore_ascii_case(b"identity") => Self::None,
            Some(_) => Self::Other,
        }
    }
}

/// A field's value as one line of text.
pub(in crate::protocol) fn text(value: &[u8]) -> Cow<'_, str> {
    if memchr(b'\n', value).is_none() {
        return lossy(value);
    }
    let lines: Vec<_> = value
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .collect();
    Cow::Owned(lossy(&lines.join(&b' ')).into_owned())
}

/// What [`String::from_utf8_lossy`] gives. That looks for what is wrong character by character, and
/// nearly always nothing is.
pub(in crate::protocol) fn lossy(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(value),
    }
}
