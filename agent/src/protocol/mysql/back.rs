//! What the server sends.

use std::sync::Arc;

use crate::model::{Chunk, ParserEvent};
use crate::protocol::frames::{Frame, Frames, Moved, Step};
use crate::protocol::sql::Dialect;

use super::exchanges::{Change, Expect, Request};
use super::packets::{self, HEAD, PAYLOAD_MAX, capability, number, status};
use super::{Mysql, note};

/// The bytes of a payload that are looked at: enough of all but a greeting, which is whole.
const WANTED: usize = 64;
const GREETING: usize = 512;

const OK: u8 = 0x00;
const FILE: u8 = 0xFB;
const EOF: u8 = 0xFE;
const ERR: u8 = 0xFF;
/// The code of what is no error, but tells of progress (MariaDB's "ERR_Packet").
const PROGRESS: u16 = 0xFFFF;

/// What a packet means for the request that it answers.
enum Meaning {
    /// More comes.
    More,
    /// It is the last.
    Last,
    /// It cannot be.
    Nonsense,
}

impl Mysql {
    pub(super) fn back_chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let now = Moved::of(chunk);
        let resumes = std::mem::take(&mut self.resumes) && chunk.gap == 0;
        let asked = self.exchanges.open.front().map(|one| one.sequence);
        self.back.chunk(chunk, |bytes| {
            let first = bytes.get(3).copied();
            resumes
                && first.is_some()
                && asked.is_some_and(|asked| asked.is_none() || asked == first)
        });
        self.back_packets(now, events);
        self.back_moved = now;
        self.quiet = false;
        if self.back.is_lost()
            && !self.nothing
            && chunk.data.len() as u64 == chunk.length
            && self.exchanges.open.len() == 1
            && let Some(code) = packets::last_error(chunk.data)
            && let Some(request) = self.exchanges.open.front_mut()
        {
            request.error = Some(code);
            self.exchanges.answered(now, events);
        }
    }

    /// Goes on through what the server sent, as far as it answers something.
    pub(super) fn back_packets(&mut self, now: Moved, events: &mut Vec<ParserEvent>) {
        while !self.nothing && !self.waits() {
            let wanted = if self.greeted { WANTED } else { GREETING };
            let mut back = std::mem::replace(&mut self.back, Frames::new(true, 0));
            let step = back.next(|bytes| packets::framing(bytes, wanted));
            let over = step.is_none();
            let mut fits = true;
            match step {
                Some(Step::Frame(frame)) if !self.greeted => self.greeting(&frame),
                Some(Step::Frame(frame)) => fits = self.reply(&frame),
                Some(Step::Ended(moved)) => {
                    self.greeted = true;
                    self.reply_over(moved, events);
                }
                Some(Step::Lost) => self.blur(now, events),
                None => {}
            }
            if self.nothing {
                return;
            }
            self.back = back;
            if !fits {
                self.back.give_up();
                self.blur(now, events);
            }
            if over {
                return;
            }
        }
    }

    /// What comes next answers a request that is still to be seen.
    pub(super) fn waits(&self) -> bool {
        self.greeted && self.aligned && self.exchanges.open.is_empty() && !self.back.is_lost()
    }

    /// "Protocol::HandshakeV10".
    fn greeting(&mut self, frame: &Frame<'_>) {
        let payload = frame.bytes.get(HEAD..).unwrap_or_default();
        if payload.first() != Some(&10) {
            return;
        }
        let Some((version, rest)) = packets::text(&payload[1..]) else {
            return;
        };
        let maria = b"MariaDB";
        if version.windows(maria.len()).any(|part| part == maria) {
            self.statements.session.system = "mariadb";
        }
        let at = |offset| number(rest.get(offset..).unwrap_or_default(), 2).unwrap_or_default();
        let mut offered = at(13) | at(18) << 16;
        if offered & 1 == 0 {
            // MariaDB's.
            offered |= number(rest.get(27..).unwrap_or_default(), 4).unwrap_or_default() << 32;
        }
        self.offered = Some(offered);
    }

    /// A packet that answers something. Whether it can.
    fn reply(&mut self, frame: &Frame<'_>) -> bool {
        let Some(mut request) = self.exchanges.open.pop_front() else {
            return true;
        };
        let meaning = self.meaning(&mut request, frame);
        request.done = matches!(meaning, Meaning::Last);
        self.exchanges.open.push_front(request);
        !matches!(meaning, Meaning::Nonsense)
    }

    fn meaning(&mut self, request: &mut Request, frame: &Frame<'_>) -> Meaning {
        let (Some(&sequence), payload) = (frame.bytes.get(3), frame.bytes.get(HEAD..)) else {
            return Meaning::Nonsense;
        };
        if request
            .sequence
            .is_some_and(|expected| expected != sequence)
        {
            return Meaning::Nonsense;
        }
        request.sequence = Some(sequence.wrapping_add(1));
        let payload = payload.unwrap_or_default();
        let length = frame.length - HEAD as u64;
        if std::mem::replace(&mut request.continued, length == PAYLOAD_MAX) {
            return Meaning::More;
        }
        let Some(&first) = payload.first() else {
            // An empty row has no columns; nothing else is empty.
            return Meaning::Nonsense;
        };
        if first == ERR && length < PAYLOAD_MAX && request.expect != Expect::Infile {
            return Self::error(request, payload);
        }
        let eof = first == EOF && length < 9;
        match request.expect {
            Expect::Result => self.result(request, payload, length),
            Expect::Infile => match first {
                OK => self.ok(request, packets::ok_status(payload)),
                ERR => Self::error(request, payload),
                _ => Meaning::Nonsense,
            },
            Expect::Columns(_) if eof => Meaning::Nonsense,
            Expect::Columns(count) => {
                request.expect = match count {
                    2.. => Expect::Columns(count - 1),
                    _ if self.deprecates_eof == Some(true) => Expect::Rows,
                    _ => Expect::ColumnsEnd,
                };
                Meaning::More
            }
            Expect::ColumnsEnd if eof && length == 5 => {
                self.deprecates_eof = Some(false);
                match packets::eof_status(payload) {
                    None => Meaning::Nonsense,
                    Some(flags) if flags & status::CURSOR_EXISTS != 0 => {
                        // They are fetched later.
                        request.rows = None;
                        self.ok(request, Some(flags))
                    }
                    Some(_) => {
                        request.expect = Expect::Rows;
                        Meaning::More
                    }
                }
            }
            Expect::ColumnsEnd if self.deprecates_eof.is_none() => {
                self.deprecates_eof = Some(true);
                request.expect = Expect::Rows;
                self.row(request, payload, length)
            }
            Expect::ColumnsEnd => Meaning::Nonsense,
            Expect::Rows => self.row(request, payload, length),
            Expect::Prepared => self.prepared(request, payload),
            Expect::Definitions(count) => {
                let last = if eof {
                    count == 0
                } else {
                    let Some(count) = count.checked_sub(1) else {
                        return Meaning::Nonsense;
                    };
                    request.expect = Expect::Definitions(count);
                    count == 0 && self.deprecates_eof == Some(true)
                };
                match last {
                    true => Meaning::Last,
                    false => Meaning::More,
                }
            }
            Expect::One => {
                self.flags_seen(first, payload);
                self.succeeds(request);
                Meaning::Last
            }
            Expect::Login if first == OK => {
                self.flags_seen(first, payload);
                self.succeeds(request);
                self.logged_in = true;
                Meaning::Last
            }
            Expect::Login => {
                // The client answers in between.
                request.sequence = None;
                Meaning::More
            }
        }
    }

    fn result(&mut self, request: &mut Request, payload: &[u8], length: u64) -> Meaning {
        match payload[0] {
            OK => self.ok(request, packets::ok_status(payload)),
            FILE => {
                request.expect = Expect::Infile;
                Meaning::More
            }
            EOF => Meaning::Nonsense,
            _ => {
                let mut payload = payload;
                let mut described = true;
                if self.flags & capability::OPTIONAL_METADATA != 0 {
                    described = payload[0] != 0;
                    payload = &payload[1..];
                }
                let Some((count, rest)) = packets::lenenc(payload) else {
                    return Meaning::Nonsense;
                };
                if self.flags & capability::CACHE_METADATA != 0 {
                    described &= rest != [0];
                } else if !rest.is_empty() {
                    return Meaning::Nonsense;
                }
                if count == 0 || count > COLUMNS_MAX || length > 10 {
                    return Meaning::Nonsense;
                }
                request.expect = match (described, self.deprecates_eof) {
                    (true, _) => Expect::Columns(count),
                    (false, Some(true)) => Expect::Rows,
                    (false, _) => Expect::ColumnsEnd,
                };
                if request.counts && request.rows.is_none() {
                    request.rows = Some(0);
                }
                Meaning::More
            }
        }
    }

    fn row(&mut self, request: &mut Request, payload: &[u8], length: u64) -> Meaning {
        let eof = payload[0] == EOF
            && match self.deprecates_eof {
                Some(true) => length < PAYLOAD_MAX,
                _ => length < 9,
            };
        if !eof {
            request.rows = request.rows.map(|rows| rows.saturating_add(1));
            return Meaning::More;
        }
        let flags = match length {
            5 => packets::eof_status(payload),
            _ => packets::ok_status(payload),
        };
        self.ok(request, flags)
    }

    /// A result ends well.
    fn ok(&mut self, request: &mut Request, flags: Option<u16>) -> Meaning {
        let Some(flags) = flags else {
            return Meaning::Nonsense;
        };
        let backslashes = flags & status::NO_BACKSLASH_ESCAPES == 0;
        self.statements.session.dialect = Dialect::Mysql { backslashes };
        self.succeeds(request);
        if flags & status::MORE_RESULTS != 0 {
            request.expect = Expect::Result;
            return Meaning::More;
        }
        Meaning::Last
    }

    fn error(request: &mut Request, payload: &[u8]) -> Meaning {
        match packets::small(&payload[1..]) {
            Some(PROGRESS) => Meaning::More,
            Some(code) => {
                request.error = Some(code);
                Meaning::Last
            }
            None => Meaning::Nonsense,
        }
    }

    /// "COM_STMT_PREPARE_OK".
    fn prepared(&mut self, request: &mut Request, payload: &[u8]) -> Meaning {
        let small = |at| payload.get(at..).and_then(packets::small).map(u64::from);
        let id = number(&payload[1..], 4).and_then(|id| u32::try_from(id).ok());
        let (OK, Some(id), Some(columns), Some(parameters)) = (payload[0], id, small(5), small(7))
        else {
            return Meaning::Nonsense;
        };
        if let Some(told) = &request.told {
            self.statements.prepare(id, &Arc::clone(told));
        }
        match columns + parameters {
            0 => Meaning::Last,
            count => {
                request.expect = Expect::Definitions(count);
                Meaning::More
            }
        }
    }

    fn flags_seen(&mut self, first: u8, payload: &[u8]) {
        if first == OK
            && let Some(flags) = packets::ok_status(payload)
        {
            let backslashes = flags & status::NO_BACKSLASH_ESCAPES == 0;
            self.statements.session.dialect = Dialect::Mysql { backslashes };
        }
    }

    /// What a request changes, now that it is done.
    fn succeeds(&mut self, request: &mut Request) {
        match std::mem::replace(&mut request.change, Change::Nothing) {
            Change::Nothing => {}
            Change::Namespace(namespace) => self.statements.session.namespace = namespace,
            Change::Reset => self.statements.clear(),
            Change::User(namespace) => {
                self.statements.session.namespace = namespace;
                self.statements.clear();
            }
        }
    }

    fn reply_over(&mut self, moved: Moved, events: &mut Vec<ParserEvent>) {
        if self.exchanges.open.front().is_some_and(|one| one.done) {
            self.exchanges.answered(moved, events);
            self.aligned |= self.exchanges.open.is_empty()
                && !self.front.is_lost()
                && self.deprecates_eof.is_some();
        }
    }

    /// The server's packets are no longer seen one by one.
    fn blur(&mut self, now: Moved, events: &mut Vec<ParserEvent>) {
        self.greeted = true;
        match self.exchanges.open.front() {
            // It was understood.
            Some(one) if one.done && self.exchanges.open.len() == 1 => {}
            _ if self.exchanges.open.len() > 1 => self.lose(note::BYTES_LOST, now, events),
            _ => {}
        }
    }
}

/// Most columns that a result can have (MySQL's manual, "Limits on Table Column Count").
const COLUMNS_MAX: u64 = 4096;
