//! What loads ask, as bytes, and where the answers end: HTTP/1, Redis, PostgreSQL.

use anyhow::{Context as _, Result, bail, ensure};
use clew_testbed::Postgres;
use memchr::memmem;

/// Bytes of what is stored in Redis, as small as nginx's small answer.
const VALUE: usize = 64;

/// The rows that `pgbench --initialize` makes at scale 1.
const ROWS: u32 = 100_000;

/// How many of them are asked for, spread evenly.
const ROWS_ASKED: u32 = 512;

/// What is asked over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A path, by GET.
    Http,
    /// SET and GET of one key, in turn.
    Redis,
    /// A row by its key, as `pgbench --select-only` asks: one simple query.
    Postgres,
    /// The same by a statement that was prepared when the connection began.
    PostgresPrepared,
}

impl Asked {
    /// What a connection begins with; each is answered before the next is sent.
    pub fn greeting(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![],
            // Nothing else is answered with `nil`.
            Self::Redis => vec![set()],
            Self::Postgres => vec![startup()],
            Self::PostgresPrepared => vec![startup(), prepare()],
        }
    }

    /// The requests, each to be sent as it is, one after the other and again. `path` is HTTP's.
    pub fn requests(self, path: &str) -> Vec<Vec<u8>> {
        let rows = (0..ROWS_ASKED).map(|number| 1 + number * (ROWS / ROWS_ASKED));
        match self {
            Self::Http => {
                vec![format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()]
            }
            Self::Redis => vec![set(), command(&[b"GET", KEY])],
            Self::Postgres => rows.map(query).collect(),
            Self::PostgresPrepared => rows.map(execute).collect(),
        }
    }

    /// The length of the answer that these bytes begin with; `None` while it cannot be known.
    ///
    /// # Errors
    /// When it is no answer, or says that the request failed.
    pub fn answer(self, bytes: &[u8]) -> Result<Option<usize>> {
        match self {
            Self::Http => http(bytes),
            Self::Redis => redis(bytes),
            Self::Postgres | Self::PostgresPrepared => postgres(bytes),
        }
    }
}

const KEY: &[u8] = b"key:000000000001";

fn set() -> Vec<u8> {
    command(&[b"SET", KEY, &[b'x'; VALUE]])
}

/// A command in RESP, an array of bulk strings.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A statement that pgbench has, too.
const QUERY: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = ";

/// Of the prepared statement.
const NAME: &[u8] = b"P_0\0";

/// PostgreSQL's documentation, "Message Formats": a type, the length of what follows with its own, and
/// that. Numbers are big-endian, texts end with a zero.
fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = (content.len() as u32 + 4).to_be_bytes();
    [&[kind], &length[..], &content].concat()
}

/// `StartupMessage`: the only one without a type.
fn startup() -> Vec<u8> {
    const VERSION: [u8; 4] = [0, 3, 0, 0];
    let name = Postgres::NAME.as_bytes();
    let parameters = [b"user\0", name, b"\0database\0", name, b"\0\0"];
    message(0, &[&VERSION, &parameters.concat()])[1..].to_vec()
}

fn query(row: u32) -> Vec<u8> {
    message(b'Q', &[format!("{QUERY}{row};\0").as_bytes()])
}

fn prepare() -> Vec<u8> {
    // No types of parameters are given.
    let parse = message(b'P', &[NAME, format!("{QUERY}$1;\0").as_bytes(), &[0, 0]]);
    [parse, message(b'S', &[])].concat()
}

/// As libpq does it.
fn execute(row: u32) -> Vec<u8> {
    let row = row.to_string().into_bytes();
    let length = (row.len() as u32).to_be_bytes();
    // To the portal without a name: no formats, so text; one parameter; results in text.
    let bind = message(b'B', &[b"\0", NAME, &[0, 0, 0, 1], &length, &row, &[0, 0]]);
    let describe = message(b'D', &[b"P\0"]);
    let execute = message(b'E', &[b"\0", &[0; 4]]);
    [bind, describe, execute, message(b'S', &[])].concat()
}

fn http(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    Ok(Some(end + 4 + body_length(&bytes[..end + 2])?))
}

/// What the head of a response says about its body.
fn body_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head).context("a response head that is not ASCII")?;
    let (status, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    ensure!(
        status.split(' ').nth(1) == Some("200"),
        "the server answered: {status}"
    );
    let length = fields.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse())?
            .ok()
    });
    length.with_context(|| format!("no Content-Length in: {head}"))
}

/// `+OK`, or `$64` and so many bytes.
fn redis(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = memmem::find(bytes, b"\r\n") else {
        return Ok(None);
    };
    let line = std::str::from_utf8(&bytes[..end]).context("a reply that is not ASCII")?;
    if line == "+OK" {
        return Ok(Some(end + 2));
    }
    let length = line.strip_prefix('$').and_then(|text| text.parse().ok());
    let length: usize = length.with_context(|| format!("the server replied: {line}"))?;
    Ok(Some(end + 2 + length + 2))
}

/// Messages up to `ReadyForQuery`.
fn postgres(bytes: &[u8]) -> Result<Option<usize>> {
    let mut end = 0;
    while let Some(&[kind, a, b, c, d]) = bytes.get(end..end + 5) {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let next = end + 1 + length;
        if kind == b'E' {
            bail!(
                "the server replied: {}",
                String::from_utf8_lossy(&bytes[end..next.min(bytes.len())])
            );
        }
        if kind == b'Z' {
            return Ok(Some(next));
        }
        end = next;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer is known to be as long as it is, at whatever place it is cut once that can be known,
    /// and whatever follows.
    #[track_caller]
    fn check(asked: Asked, answer: &[u8], known_from: usize) {
        for come in 0..=answer.len() {
            let known = asked.answer(&answer[..come]).expect("a success");
            let expected = (come >= known_from).then_some(answer.len());
            assert_eq!(known, expected, "{come} bytes of {answer:?}");
        }
        let more = [answer, answer].concat();
        assert_eq!(asked.answer(&more).expect("a success"), Some(answer.len()));
    }

    #[test]
    fn answers() {
        let head = "HTTP/1.1 200 OK\r\ncontent-length:  3\r\n\r\n";
        check(Asked::Http, format!("{head}abc").as_bytes(), head.len());
        check(Asked::Redis, b"+OK\r\n", 5);
        check(Asked::Redis, b"$3\r\nabc\r\n", 4);
        // RowDescription without columns, CommandComplete, ReadyForQuery.
        let row = message(b'T', &[&[0, 0]]);
        let done = message(b'C', &[b"SELECT 1\0"]);
        let rows = [row, done, message(b'Z', &[b"I"])];
        check(Asked::Postgres, &rows.concat(), rows.concat().len() - 1);
    }

    #[test]
    fn failures() {
        let error = message(b'E', &[b"SERROR\0"]);
        for (asked, answer) in [
            (
                Asked::Http,
                &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..],
            ),
            (
                Asked::Http,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (Asked::Redis, b"-ERR unknown command\r\n"),
            (Asked::Redis, b"$-1\r\n"),
            (Asked::Postgres, &error),
        ] {
            assert!(asked.answer(answer).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn requests() {
        let redis = Asked::Redis.requests("");
        assert_eq!(redis[1], b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n");
        assert_eq!(query(7).len(), 1 + 4 + QUERY.len() + 3);
        assert_eq!(startup()[..8], [0, 0, 0, 33, 0, 3, 0, 0]);
        let rows = Asked::PostgresPrepared.requests("");
        assert_eq!(rows.len(), ROWS_ASKED as usize);
        assert_ne!(rows[0], rows[1]);
    }
}
