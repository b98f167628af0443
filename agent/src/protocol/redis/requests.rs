//! The direction that carries commands.

use crate::model::{Chunk, ParserEvent};
use crate::protocol::QueryText;
use crate::protocol::frames::{Frame, Framing, Moved, Step};

use super::command::{self, Kind};
use super::core::{Core, Name, Replies, Request};
use super::element;
use super::{Redis, likeness, note};

/// The longest first line of a command or of a word in it: a type and 20 digits.
const HEAD_MAX: usize = 24;
/// Most words of a command, and most bytes of a word (`proto-max-bulk-len`, and beyond).
const WORDS_MAX: u64 = 1 << 20;
const WORD_MAX: u64 = 1 << 32;
/// How much is looked at of a name, and of a word that may be an option.
const NAME_SHOWN: usize = 40;
const OPTION_SHOWN: usize = 64;
/// Among so many words are options looked for.
const OPTIONS_WITHIN: u32 = 8;
/// As much of a key is told as this.
const KEY_SHOWN: usize = 128;

impl Redis {
    pub(super) fn request_chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        if let Some(reply) = self.core.inferred.take() {
            self.core.answer(reply, events);
        }
        let lost = self.frames[1].is_lost();
        if lost && !self.core.fifo.is_empty() {
            // Their replies have passed unseen, or may have.
            self.core.lose(note::LOST, events);
        }
        let rests = lost || self.core.nesting.is_at_rest() && self.frames[1].is_at_boundary();
        self.core.fifo.requests(chunk, rests);
        self.frames[0].chunk(chunk, likeness::is_command);
        loop {
            let within = self.core.left > 0;
            let cap = self.core.cap;
            match self.frames[0].next(|bytes| framing(bytes, within, cap)) {
                None => break,
                Some(Step::Lost) => {
                    self.core.lose_coming(events);
                    self.core.lose(note::LOST, events);
                }
                Some(Step::Frame(frame)) if within => self.core.word(&frame, events),
                Some(Step::Frame(frame)) => self.core.begin(&frame, events),
                Some(Step::Ended(moved)) => {
                    if self.core.left == 0
                        && let Some(mut request) = self.core.coming.take()
                    {
                        request.last = moved;
                        self.core.ask(request, events);
                        if self.core.over {
                            break;
                        }
                    }
                }
            }
        }
        if self.frames[0].is_lost() {
            self.core.fifo.misalign();
        }
    }
}

/// A command's first line, an inline command, or one of a command's words.
fn framing(bytes: &[u8], within: bool, cap: usize) -> Framing {
    let Some(&first) = bytes.first() else {
        return Framing::More;
    };
    let is_announced = within || first == b'*';
    let shown = match is_announced {
        true => &bytes[..bytes.len().min(HEAD_MAX)],
        false => bytes,
    };
    let Some(end) = memchr::memchr(b'\n', shown) else {
        return match is_announced && shown.len() == HEAD_MAX {
            true => Framing::Nonsense,
            false => Framing::More,
        };
    };
    let head = end + 1;
    let line = |length: usize| Framing::Frame {
        wanted: length,
        length: length as u64,
    };
    if !is_announced {
        return match likeness::is_inline(&bytes[..head]) {
            true => line(head),
            false => Framing::Nonsense,
        };
    }
    let Some(text) = bytes[1..head].strip_suffix(b"\r\n") else {
        return Framing::Nonsense;
    };
    if !within {
        return match element::number(text) {
            Some(..=WORDS_MAX) => line(head),
            None if text == b"-1" => line(head),
            _ => Framing::Nonsense,
        };
    }
    match element::number(text) {
        Some(length @ ..=WORD_MAX) if first == b'$' => Framing::Frame {
            wanted: head.saturating_add(cap.min(usize::try_from(length).unwrap_or(cap))),
            length: head as u64 + length + 2,
        },
        _ => Framing::Nonsense,
    }
}

impl Core {
    /// A command begins.
    fn begin(&mut self, frame: &Frame<'_>, events: &mut Vec<ParserEvent>) {
        let mut request = Request {
            name: Name::None,
            position: frame.position,
            start: frame.first.time,
            task: frame.last.task,
            exchange: None,
            overlapping: !self.fifo.is_empty(),
            words: 0,
            text: None,
            procedure: None,
            database: None,
            replies: None,
            confirmations: 0,
            note: None,
            last: frame.last,
        };
        if let Some(text) = frame.bytes.strip_prefix(b"*") {
            let text = text.strip_suffix(b"\r\n").unwrap_or_default();
            // A server passes over what has no words.
            let words = element::number(text).unwrap_or(0);
            if words > 0 {
                self.left = words;
                self.cap = NAME_SHOWN;
                request.words = u32::try_from(words).unwrap_or(u32::MAX);
                self.coming = Some(request);
            }
            return;
        }
        let mut words = frame.bytes.trim_ascii().split(u8::is_ascii_whitespace);
        let count = words.clone().filter(|word| !word.is_empty()).count();
        if count == 0 {
            return;
        }
        request.words = u32::try_from(count).unwrap_or(u32::MAX);
        let words = words.by_ref().filter(|word| !word.is_empty());
        for (index, word) in (0..).zip(words) {
            let whole = word.len();
            self.understand(&mut request, index, word, whole, frame.last, events);
        }
        self.coming = Some(request);
    }

    /// A word of a command.
    fn word(&mut self, frame: &Frame<'_>, events: &mut Vec<ParserEvent>) {
        let Some(mut request) = self.coming.take() else {
            self.left = 0;
            return;
        };
        let head = memchr::memchr(b'\n', frame.bytes).map_or(0, |end| end + 1);
        let whole = usize::try_from(frame.length).unwrap_or(usize::MAX);
        let whole = whole.saturating_sub(head + 2);
        let word = frame.bytes.get(head..).unwrap_or_default();
        let word = &word[..word.len().min(whole)];
        let left = u32::try_from(self.left).unwrap_or(u32::MAX);
        let index = request.words.saturating_sub(left);
        request.last = frame.last;
        self.understand(&mut request, index, word, whole, frame.last, events);
        self.left -= 1;
        self.cap = self.wanted(&request, index + 1);
        self.coming = Some(request);
    }

    /// How much is wanted of a word.
    fn wanted(&self, request: &Request, index: u32) -> usize {
        let Name::Known(command) = request.name else {
            return 0;
        };
        match command.kind {
            Kind::Container | Kind::Select | Kind::Reply | Kind::MayBlock
                if index <= OPTIONS_WITHIN =>
            {
                OPTION_SHOWN
            }
            Kind::Procedure if index == 1 => OPTION_SHOWN,
            Kind::Script if index == 1 && request.text.is_some() => self.limits.text,
            _ if request.text.is_some() && command.is_key(index, request.words) => KEY_SHOWN,
            _ => 0,
        }
    }

    /// Learns from a word, of which perhaps not all is here.
    fn understand(
        &mut self,
        request: &mut Request,
        index: u32,
        word: &[u8],
        whole: usize,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let is_whole = word.len() == whole;
        if index == 0 {
            request.name = match command::find(word) {
                _ if !is_whole && whole <= NAME_SHOWN => Name::Unseen,
                Some(command) if is_whole => Name::Known(command),
                None if is_whole => command::unknown(word).map_or(Name::None, Name::Unknown),
                _ => Name::None,
            };
        }
        if index == 1
            && !is_whole
            && whole <= NAME_SHOWN
            && matches!(request.name, Name::Known(command) if command.kind == Kind::Container)
        {
            request.name = Name::Unseen;
        }
        let Name::Known(mut command) = request.name else {
            if index == 0 && !matches!(request.name, Name::Unseen) {
                request.task = now.task;
                self.start(request, events);
            }
            return;
        };
        if index == 1
            && command.kind == Kind::Container
            && is_whole
            && let Some(second) = command::find_second(command, word)
        {
            request.name = Name::Known(second);
            command = second;
            self.learn(request, command.kind, 0, word);
            self.write(request, index, word, whole);
        } else if index > 0 {
            self.learn(request, command.kind, index, word);
            self.write(request, index, word, whole);
        }
        let named = command.kind != Kind::Container || index == 1 || request.words == 1;
        if named && index <= 1 {
            self.named(request, command, now, events);
        }
    }

    /// The command is known.
    fn named(
        &mut self,
        request: &mut Request,
        command: &'static command::Command,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        if request.text.is_none() && self.query_text == QueryText::Full {
            request.text = Some(command.name.to_owned());
        }
        match command.kind {
            Kind::Quiet
            | Kind::Probe
            | Kind::Select
            | Kind::Reset
            | Kind::Reply
            | Kind::Replication => return,
            Kind::Blocking => request.note = Some(note::WAITED),
            Kind::Subscription => request.confirmations = request.words.saturating_sub(1).max(1),
            _ => {}
        }
        if request.exchange.is_none() {
            request.task = now.task;
        }
        self.start(request, events);
    }

    /// What a word says besides the name. (Of `CLIENT REPLY OFF`, the third is the one.)
    fn learn(&self, request: &mut Request, kind: Kind, index: u32, word: &[u8]) {
        match (kind, index) {
            (Kind::Select, 1) => {
                let number = element::number(word).and_then(|number| u32::try_from(number).ok());
                request.database = number;
            }
            (Kind::Reply, 2) => {
                request.replies = if word.eq_ignore_ascii_case(b"OFF") {
                    Some(Replies::Off)
                } else if word.eq_ignore_ascii_case(b"SKIP") {
                    Some(Replies::Skip)
                } else if word.eq_ignore_ascii_case(b"ON") {
                    Some(Replies::On)
                } else {
                    None
                };
            }
            (Kind::MayBlock, ..=OPTIONS_WITHIN) if word.eq_ignore_ascii_case(b"BLOCK") => {
                request.note = Some(note::WAITED);
            }
            (Kind::Procedure, 1) => {
                let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                if !word.is_empty() && word.len() < OPTION_SHOWN && word.iter().all(plain) {
                    request.procedure = Some(String::from_utf8_lossy(word).into_owned());
                }
            }
            _ => {}
        }
    }

    /// Writes a word into the text that is told, if it may be told.
    fn write(&self, request: &mut Request, index: u32, word: &[u8], whole: usize) {
        let Name::Known(command) = request.name else {
            return;
        };
        let Some(text) = &mut request.text else {
            return;
        };
        if text.len() >= self.limits.text {
            return;
        }
        let told =
            command.is_key(index, request.words) || command.kind == Kind::Script && index == 1;
        if !told {
            if index > 1 || !command.name.contains(' ') {
                text.push_str(" ?");
            }
            return;
        }
        let plain = !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
        text.push(' ');
        if !plain {
            text.push('"');
        }
        let shown = word
            .len()
            .min(self.limits.text - text.len().min(self.limits.text));
        for byte in word[..shown].escape_ascii() {
            text.push(char::from(byte));
        }
        if shown < whole {
            text.push_str("...");
        }
        if !plain {
            text.push('"');
        }
    }
}
