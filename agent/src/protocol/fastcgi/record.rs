//! Records: their header, the name-value pairs in them, and what they look like (FastCGI 1.0,
//! sections 3.3, 3.4 and 8).

use super::super::frames::Framing;
use super::super::{Likeness, Sample};
use crate::model::{Direction, Side};

pub(super) const BEGIN_REQUEST: u8 = 1;
pub(super) const ABORT_REQUEST: u8 = 2;
pub(super) const END_REQUEST: u8 = 3;
pub(super) const PARAMS: u8 = 4;
pub(super) const STDIN: u8 = 5;
pub(super) const STDOUT: u8 = 6;
pub(super) const STDERR: u8 = 7;
const DATA: u8 = 8;
const GET_VALUES: u8 = 9;
const GET_VALUES_RESULT: u8 = 10;
const UNKNOWN_TYPE: u8 = 11;

/// The header's length.
pub(super) const HEADER: usize = 8;
/// The only version.
const VERSION: u8 = 1;
/// How much of an output record is looked at for the head of a response.
const OUTPUT_SHOWN: usize = 4096;
/// The greatest role (responder, authorizer, filter) and protocol status.
const ROLE_MAX: u8 = 3;
const STATUS_MAX: u8 = 3;

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    /// Which request it belongs to; 0 for those that belong to none.
    pub(super) id: u16,
    pub(super) content: usize,
    padding: usize,
}

impl Header {
    /// Reads it, if these bytes begin with one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [VERSION, kind @ 1..=UNKNOWN_TYPE, id @ ..] = *bytes.first_chunk::<4>()? else {
            return None;
        };
        let [content @ .., padding, _] = *bytes[4..].first_chunk::<4>()?;
        let header = Self {
            kind,
            id: u16::from_be_bytes(id),
            content: u16::from_be_bytes(content).into(),
            padding: padding.into(),
        };
        // What manages the connection belongs to no request, and all else does.
        let manages = matches!(kind, GET_VALUES | GET_VALUES_RESULT | UNKNOWN_TYPE);
        let fixed = matches!(kind, BEGIN_REQUEST | END_REQUEST | UNKNOWN_TYPE);
        let fits = (header.id == 0) == manages && (!fixed || header.content == 8);
        fits.then_some(header)
    }

    const fn length(self) -> usize {
        HEADER + self.content + self.padding
    }

    /// Which way it goes: to the application, or back.
    pub(super) const fn to_server(self) -> bool {
        matches!(
            self.kind,
            BEGIN_REQUEST | ABORT_REQUEST | PARAMS | STDIN | DATA | GET_VALUES
        )
    }
}

/// How long the record is that begins with these bytes. `shown`: whether the output of a request is
/// wanted, by its id.
pub(super) fn framing(bytes: &[u8], shown: impl FnOnce(u16) -> bool) -> Framing {
    match Header::read(bytes) {
        Some(header) => Framing::Frame {
            wanted: match header.kind {
                BEGIN_REQUEST | END_REQUEST | PARAMS => HEADER + header.content,
                STDOUT if shown(header.id) => HEADER + header.content.min(OUTPUT_SHOWN),
                _ => HEADER,
            },
            length: header.length() as u64,
        },
        None if bytes.len() < HEADER && bytes.first().is_none_or(|first| *first == VERSION) => {
            Framing::More
        }
        None => Framing::Nonsense,
    }
}

/// Whether bytes begin what a request or an answer begins with (or an answer's last record), asked
/// where anything may be.
pub(super) fn is_record(bytes: &[u8], to_server: Option<bool>) -> bool {
    let Some(header) = Header::read(bytes) else {
        return false;
    };
    if to_server.is_some_and(|to_server| to_server != header.to_server()) || bytes[7] != 0 {
        return false;
    }
    let content = &bytes[HEADER..];
    match header.kind {
        BEGIN_REQUEST => {
            matches!(content, [0, 1..=ROLE_MAX, 0 | 1, 0, 0, 0, 0, 0, ..])
        }
        // Its last three bytes are whatever the application's memory held.
        END_REQUEST => matches!(content, [_, _, _, _, 0..=STATUS_MAX, ..]),
        STDOUT => has_field(&content[..content.len().min(header.content)]),
        STDERR => {
            let next = bytes.get(header.length()..).and_then(Header::read);
            header.content > 0 && next.is_some_and(|next| next.id == header.id)
        }
        _ => false,
    }
}

/// Whether bytes begin with a header field, as the output of a CGI program does (RFC 3875, section
/// 6.3).
fn has_field(content: &[u8]) -> bool {
    let length = content
        .iter()
        .take(64)
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-')
        .count();
    let named = content.first().is_some_and(u8::is_ascii_alphabetic);
    named && matches!(content[length..], [b':', b' ', b' '..=b'~', ..])
}

/// See [`super::ENTRY`].
pub(super) fn likeness(sample: &Sample<'_>) -> Likeness {
    let bytes = sample.bytes;
    let to_server = sample.sender.map(|sender| sender == Side::Client);
    if !sample.from_start {
        // Anything else than these two may be the middle of something.
        let kind = bytes.get(1);
        let telling = matches!(kind, Some(&BEGIN_REQUEST | &STDOUT));
        return match telling && is_record(bytes, to_server) {
            true => Likeness::Yes,
            false => Likeness::No,
        };
    }
    if bytes.len() < 2 * HEADER && bytes.len() as u64 == sample.length {
        let begins = match Header::read(bytes) {
            Some(header) => to_server.is_none_or(|to_server| to_server == header.to_server()),
            None => bytes.len() < HEADER && bytes.first().is_none_or(|first| *first == VERSION),
        };
        return match begins {
            true => Likeness::Perhaps,
            false => Likeness::No,
        };
    }
    let begins = |header: Header| match header.kind {
        GET_VALUES | GET_VALUES_RESULT => to_server.is_none_or(|it| it == header.to_server()),
        // What an application says of a request may come before what the request gets.
        STDERR => to_server != Some(true) && header.content > 0 && bytes[7] == 0,
        _ => is_record(bytes, to_server),
    };
    match Header::read(bytes).is_some_and(begins) {
        true => Likeness::Yes,
        false => Likeness::No,
    }
}

/// The direction that carries requests, if a record went in `direction`.
pub(super) const fn requests(header: &Header, direction: Direction) -> Direction {
    if header.to_server() {
        direction
    } else {
        direction.opposite()
    }
}

/// Name-value pairs (section 3.4), as many as are whole.
pub(super) struct Pairs<'a>(pub(super) &'a [u8]);

impl<'a> Pairs<'a> {
    fn length(&mut self) -> Option<usize> {
        let (first, rest) = self.0.split_first()?;
        if first & 0x80 == 0 {
            self.0 = rest;
            return Some((*first).into());
        }
        let (four, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        usize::try_from(u32::from_be_bytes(*four) & 0x7fff_ffff).ok()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = (self.length()?, self.length()?);
        let (name, rest) = self.0.split_at_checked(name)?;
        let (value, rest) = rest.split_at_checked(value)?;
        self.0 = rest;
        Some((name, value))
    }
}
