//! What the client sends.

use std::sync::Arc;

use crate::model::{Chunk, ParserEvent};
use crate::protocol::frames::{Frame, Frames, Moved, Step};

use super::exchanges::{Change, Expect, Request};
use super::packets::{self, HEAD, capability, command, number};
use super::statements::{NAME_MAX, used};
use super::{Mysql, note};

impl Mysql {
    /// `begins`: it is known to begin a command.
    pub(super) fn front_chunk(
        &mut self,
        chunk: &Chunk<'_>,
        begins: bool,
        events: &mut Vec<ParserEvent>,
    ) {
        let (length, now) = (chunk.length, Moved::of(chunk));
        if chunk.gap > 0 && self.front.is_lost() && !self.takes_file() {
            self.front_lost(now, events);
        }
        let file = self.takes_file();
        self.front.chunk(chunk, |bytes| {
            begins || !file && packets::is_front(bytes, length)
        });
        loop {
            let wanted = self.settings.limits.message.saturating_sub(HEAD);
            // Taken out, so that the rest can be used beside the frame.
            let mut front = std::mem::replace(&mut self.front, Frames::new(true, 0));
            let step = front.next(|bytes| packets::framing(bytes, wanted));
            let over = step.is_none();
            match step {
                Some(Step::Frame(frame)) => self.packet(&frame, events),
                Some(Step::Ended(_)) | None => {}
                Some(Step::Lost) if self.takes_file() => self.file_lost(),
                Some(Step::Lost) => self.front_lost(now, events),
            }
            if self.nothing {
                return;
            }
            self.front = front;
            if over {
                return;
            }
        }
    }

    /// The client sends a file, not commands.
    fn takes_file(&self) -> bool {
        let oldest = self.exchanges.open.front();
        oldest.is_some_and(|one| one.expect == Expect::Infile)
    }

    /// Bytes of a file are lost: nobody knows how many packets it has.
    fn file_lost(&mut self) {
        if let Some(request) = self.exchanges.open.front_mut() {
            request.sequence = None;
        }
    }

    /// Commands may have been lost.
    fn front_lost(&mut self, now: Moved, events: &mut Vec<ParserEvent>) {
        self.greeted = true;
        self.logged_in = true;
        self.login_came = true;
        self.statements.last = None;
        self.lose(note::BYTES_LOST, now, events);
    }

    fn packet(&mut self, frame: &Frame<'_>, events: &mut Vec<ParserEvent>) {
        let (Some(&sequence), Some(payload)) = (frame.bytes.get(3), frame.bytes.get(HEAD..)) else {
            return;
        };
        let before = self.front_sequence.replace(sequence);
        if !self.login_came {
            self.login_came = true;
            return self.login(frame, payload, events);
        }
        let more =
            self.takes_file() || sequence != 0 || (before == Some(u8::MAX) && self.front_continues);
        self.front_continues = more || frame.length - HEAD as u64 == packets::PAYLOAD_MAX;
        if more {
            if let Some(request) = self.exchanges.open.back_mut() {
                request.sequence = request.sequence.map(|_| sequence.wrapping_add(1));
            }
            return;
        }
        match payload.split_first() {
            Some((&command, body)) => {
                let cut = (frame.bytes.len() as u64) < frame.length || self.front_continues;
                self.command(command, body, frame, cut, events);
            }
            // Something is asked, and nobody saw what.
            None => self.front_lost(frame.last, events),
        }
    }

    /// "Protocol::HandshakeResponse", or "Protocol::SSLRequest".
    fn login(&mut self, frame: &Frame<'_>, payload: &[u8], events: &mut Vec<ParserEvent>) {
        let Some(mut flags) = number(payload, 4) else {
            return self.stop();
        };
        let offered = self.offered.unwrap_or(u64::MAX);
        if flags & capability::PROTOCOL_41 == 0
            || flags & capability::SSL != 0 && frame.length == 36
            || flags & offered & (capability::COMPRESS | capability::ZSTD) != 0
        {
            return self.stop();
        }
        // MariaDB's own capabilities are in what MySQL reserves.
        if flags & 1 == 0 {
            flags |= number(payload.get(28..).unwrap_or_default(), 4).unwrap_or_default() << 32;
        }
        let flags = flags & offered;
        self.flags = flags;
        self.deprecates_eof = Some(flags & capability::DEPRECATE_EOF != 0);
        let database = || {
            let (_user, rest) = packets::text(payload.get(32..)?)?;
            let rest = if flags & capability::AUTH_LENENC != 0 {
                packets::string(rest)?.1
            } else if flags & capability::SECURE_CONNECTION != 0 {
                rest.get(1 + usize::from(*rest.first()?)..)?
            } else {
                packets::text(rest)?.1
            };
            (flags & capability::CONNECT_WITH_DB != 0).then_some(rest)
        };
        self.statements.session.namespace = database().and_then(name);
        let mut request = Request::new(frame.position, frame.first, frame.last.task, Expect::Login);
        request.sequence = None;
        request.told = Some(self.statements.session.without_text("connect", None));
        self.exchanges.ask(request, events);
        self.asked(events);
    }

    fn command(
        &mut self,
        command: u8,
        body: &[u8],
        frame: &Frame<'_>,
        cut: bool,
        events: &mut Vec<ParserEvent>,
    ) {
        let id = number(body, 4).and_then(|id| u32::try_from(id).ok());
        match command {
            command::QUIT | command::STMT_SEND_LONG_DATA => return,
            command::STMT_CLOSE => {
                if let Some(id) = id {
                    self.statements.close(id);
                }
                return;
            }
            command::BINLOG_DUMP | command::BINLOG_DUMP_GTID | command::TABLE_DUMP => {
                return self.replicates(frame.first, events);
            }
            _ => {}
        }
        self.before_request(frame.first, events);
        let expect = match command {
            command::QUERY | command::STMT_EXECUTE | command::STMT_BULK_EXECUTE => Expect::Result,
            command::PROCESS_INFO => Expect::Result,
            command::STMT_PREPARE => Expect::Prepared,
            command::STMT_FETCH | command::FIELD_LIST => Expect::Rows,
            command::CHANGE_USER => Expect::Login,
            _ => Expect::One,
        };
        let mut request = Request::new(frame.position, frame.first, frame.last.task, expect);
        match command {
            command::QUERY => {
                let attributes = match self.offered {
                    Some(_) => self.flags & capability::QUERY_ATTRIBUTES != 0,
                    None => body.starts_with(b"\0\x01"),
                };
                let text = packets::query(body, attributes);
                let (told, found) = self.statements.session.describe(
                    text.unwrap_or_default(),
                    cut || text.is_none(),
                    &self.settings,
                );
                request.told = Some(told);
                request.found = found;
                request.silent = false;
                request.counts = true;
                if let Some(database) = text.filter(|_| !cut).and_then(used) {
                    request.change = Change::Namespace(Some(database));
                }
            }
            command::STMT_PREPARE => {
                let (told, found) = self.statements.session.describe(body, cut, &self.settings);
                self.statements.last = Some(Arc::clone(&told));
                request.told = Some(told);
                request.found = found;
            }
            command::STMT_EXECUTE | command::STMT_FETCH | command::STMT_BULK_EXECUTE => {
                request.told = Some(self.statements.get(id));
                request.silent = false;
                request.counts = true;
                if command == command::STMT_FETCH {
                    request.rows = Some(0);
                }
            }
            command::INIT_DB => {
                request.told = Some(self.statements.session.without_text("USE", None));
                request.change = Change::Namespace(name(body));
            }
            command::CHANGE_USER => {
                let database = || {
                    let (_user, rest) = packets::text(body)?;
                    rest.get(1 + usize::from(*rest.first()?)..)
                };
                request.sequence = None;
                request.told = Some(self.statements.session.without_text("connect", None));
                request.change = Change::User(database().and_then(name));
            }
            command::RESET_CONNECTION => request.change = Change::Reset,
            _ => {}
        }
        self.exchanges.ask(request, events);
        self.asked(events);
    }
}

/// The name of a database, up to a NUL or the end.
fn name(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == 0);
    let bytes = &bytes[..end.unwrap_or(bytes.len())];
    (!bytes.is_empty() && bytes.len() <= NAME_MAX)
        .then(|| String::from_utf8_lossy(bytes).into_owned())
}
