//! Whether bytes are Memcached's.

use memchr::memchr;

use crate::model::Side;
use crate::protocol::{Likeness, Sample};

use super::answers;
use super::command::{self, Kind, Line};

/// The longest line that is waited for: a command and a key of the greatest length.
const LINE_MAX: usize = 512;
/// Length of the binary protocol's header.
const BINARY_HEADER: usize = 24;

/// Whether bytes are commands or answers.
#[must_use]
pub fn likeness(sample: &Sample<'_>) -> Likeness {
    let data = sample.bytes;
    let line = line(data);
    if sample.sender != Some(Side::Server) {
        let found = match line {
            Some(line) => command(line, sample),
            None if sample.from_start && may_become_command(data) => Likeness::Perhaps,
            None => Likeness::No,
        };
        if found != Likeness::No {
            return found;
        }
        if sample.length == data.len() as u64 && is_binary(data) {
            return Likeness::Yes;
        }
    }
    match line {
        Some(line) if sample.sender != Some(Side::Client) && is_said(line) => Likeness::Yes,
        _ => Likeness::No,
    }
}

/// The first line without its end, which must be that of text.
fn line(data: &[u8]) -> Option<&[u8]> {
    data[..memchr(b'\n', data)?].strip_suffix(b"\r")
}

fn command(text: &[u8], sample: &Sample<'_>) -> Likeness {
    let Some(line) = Line::parse(text) else {
        return Likeness::No;
    };
    let alone = text.len() as u64 + 2 == sample.length;
    match line.command.kind {
        Kind::Set => Likeness::Yes,
        Kind::Get | Kind::GetAndTouch if sample.from_start || alone => Likeness::Yes,
        Kind::Meta | Kind::MetaSet if sample.from_start => Likeness::Yes,
        Kind::Key if sample.from_start && command::words(line.rest).count() > 1 => Likeness::Yes,
        // Others speak in such words too (beanstalkd does): the answer tells.
        _ if sample.from_start => Likeness::Perhaps,
        _ => Likeness::No,
    }
}

fn may_become_command(data: &[u8]) -> bool {
    let Some(end) = memchr(b' ', data) else {
        const LONGEST: usize = 15;
        return data.len() <= LONGEST
            && data
                .iter()
                .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'\r'));
    };
    data.len() < LINE_MAX
        && command::find(&data[..end]).is_some()
        && data[end..]
            .iter()
            .all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r'))
}

/// Whether a line is one that only this protocol's servers send.
fn is_said(line: &[u8]) -> bool {
    let mut words = command::words(line);
    match words.next() {
        Some(b"VALUE") => {
            let numbers = words.clone().skip(1);
            numbers.clone().count() >= 2
                && numbers
                    .into_iter()
                    .all(|word| word.iter().all(u8::is_ascii_digit))
        }
        Some(b"STORED" | b"NOT_STORED") => words.next().is_none(),
        Some(b"STAT") => words.next() == Some(b"pid"),
        Some(b"VERSION") => words
            .next()
            .is_some_and(|word| word.first().is_some_and(u8::is_ascii_digit)),
        _ => false,
    }
}

/// Whether bytes begin a command.
pub(super) fn is_command(data: &[u8]) -> bool {
    line(data).is_some_and(|line| Line::parse(line).is_some())
}

/// Whether bytes begin an answer.
pub(super) fn is_answer(data: &[u8]) -> bool {
    line(data).is_some_and(answers::is_line)
}

/// Whether bytes are one packet of the binary protocol, which is not understood: magic, a command, and
/// lengths that are right.
pub(super) fn is_binary(data: &[u8]) -> bool {
    const COMMAND_MAX: u8 = 0x48;
    const REQUEST: u8 = 0x80;
    const RESPONSE: u8 = 0x81;
    let Some(header) = data.first_chunk::<BINARY_HEADER>() else {
        return false;
    };
    let key = u32::from(u16::from_be_bytes([header[2], header[3]]));
    let body = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    matches!(header[0], REQUEST | RESPONSE)
        && header[1] <= COMMAND_MAX
        && header[5] == 0
        && key + u32::from(header[4]) <= body
        && u64::from(body) + BINARY_HEADER as u64 == data.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Direction;

    fn of(bytes: &[u8], sender: Option<Side>, from_start: bool) -> Likeness {
        likeness(&Sample {
            direction: Direction::Received,
            sender,
            from_start,
            bytes,
            length: bytes.len() as u64,
        })
    }

    #[test]
    fn first_bytes() {
        use Likeness::{No, Perhaps, Yes};
        let mut binary = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        binary.resize(25, 0);
        let client: [(&[u8], Likeness, Likeness); 26] = [
            (b"get k\r\n", Yes, Yes),
            (b"get k", Perhaps, No),
            (b"ge", Perhaps, No),
            (b"gets a b c\r\n", Yes, Yes),
            (b"set k 0 -1 3\r\nabc\r\n", Yes, Yes),
            (b"set k 0 0 3 noreply\r\na", Yes, Yes),
            (b"set k v\r\n", No, No),
            (b"mg k v\r\n", Yes, No),
            (b"mn\r\n", Perhaps, No),
            (b"incr k 1\r\n", Yes, No),
            (b"delete 5\r\n", Perhaps, No),
            (b"stats\r\n", Perhaps, No),
            (b"version\r\n", Perhaps, No),
            (b"quit\r\n", Perhaps, No),
            (&binary, Yes, Yes),
            (&binary[..20], No, No),
            (b"GET / HTTP/1.1\r\n", No, No),
            (b"PING\r\n", No, No),
            (b"*1\r\n$4\r\nPING\r\n", No, No),
            (b"\x16\x03\x01\x02\x00", No, No),
            (b"SSH-2.0-x\r\n", No, No),
            (b"EHLO x\r\n", No, No),
            (b"CONNECT {}\r\n", No, No),
            (b"AMQP\0\0\x09\x01", No, No),
            (b"\0\0\0\x08\x04\xd2\x16/", No, No),
            (b"\x80\x2e\x01\x03\x01", No, No),
        ];
        for (data, start, late) in client {
            let text = data.escape_ascii();
            assert_eq!(of(data, Some(Side::Client), true), start, "{text}");
            assert_eq!(of(data, Some(Side::Client), false), late, "{text} late");
        }
        let server: [(&[u8], Likeness); 9] = [
            (b"VALUE k 0 3\r\nabc\r\nEND\r\n", Yes),
            (b"VALUE of it\r\n", No),
            (b"STORED\r\n", Yes),
            (b"VERSION 1.6.18\r\n", Yes),
            (b"STAT pid 3\r\n", Yes),
            (b"END\r\n", No),
            (b"DELETED\r\n", No),
            (b"+OK\r\n", No),
            (b"1\r\n", No),
        ];
        for (data, expected) in server {
            let text = data.escape_ascii();
            assert_eq!(of(data, Some(Side::Server), true), expected, "{text}");
        }
    }
}
