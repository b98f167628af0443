//! What a command is called, and what may be told of its arguments.

use super::commands::COMMANDS;

/// The longest name that is told of a command nobody knows.
const NAME_MAX: usize = 32;
/// The longest of two words that is looked up.
const WORDS_MAX: usize = 40;

/// A known command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// Its sanitized text with no, one, two, three, four arguments.
    pub(super) texts: [&'static str; 5],
    pub(super) kind: Kind,
    /// The first argument that is a key, the last (from the end, if negative), and how far one is from
    /// the next; no keys: 0.
    pub(super) keys: (u32, i32, u32),
}

/// How a command differs from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Its first argument is the second word of its name.
    Container,
    /// Part of the handshake, or of keeping the connection alive: no span, unless it fails.
    Quiet,
    /// The same, of which clients expect that older servers refuse it: no span.
    Probe,
    Select,
    Reset,
    Multi,
    Exec,
    Discard,
    /// `CLIENT REPLY`: whether there are answers.
    Reply,
    /// Each channel is confirmed.
    Subscription,
    /// What it waits for may take its time to come.
    Blocking,
    /// The same, with the option `BLOCK`.
    MayBlock,
    /// Its first argument is a program.
    Script,
    /// Its first argument names a program.
    Procedure,
    /// The connection becomes a stream of others' commands.
    Monitor,
    /// The connection becomes a replica's.
    Replication,
}

impl Command {
    /// Whether an argument is a key, of so many words (the command's among them).
    pub(super) fn is_key(&self, index: u32, words: u32) -> bool {
        let (first, last, step) = self.keys;
        let last = match u32::try_from(last) {
            Ok(last) => last,
            Err(_) => words.saturating_sub(last.unsigned_abs()),
        };
        first > 0 && (first..=last).contains(&index) && (index - first).is_multiple_of(step.max(1))
    }
}

/// A command's name in capitals.
struct Words {
    bytes: [u8; WORDS_MAX],
    length: usize,
}

impl Words {
    const fn new() -> Self {
        Self {
            bytes: [0; WORDS_MAX],
            length: 0,
        }
    }

    fn push(&mut self, text: &[u8]) -> Option<()> {
        let end = self.length + text.len();
        let to = self.bytes.get_mut(self.length..end)?;
        to.copy_from_slice(text);
        to.make_ascii_uppercase();
        self.length = end;
        Some(())
    }

    fn find(&self) -> Option<&'static Command> {
        let name = &self.bytes[..self.length];
        let at = COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(name));
        at.ok().map(|at| &COMMANDS[at])
    }
}

/// The command of this name, in capitals or not.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut words = Words::new();
    words.push(name)?;
    words.find()
}

/// The command of two words.
pub(super) fn find_second(container: &Command, second: &[u8]) -> Option<&'static Command> {
    let mut words = Words::new();
    words.push(container.name.as_bytes())?;
    words.push(b" ")?;
    words.push(second)?;
    words.find()
}

/// What a command that nobody knows (a module's, one of another server) may be called: only words that
/// can hardly be anything else.
pub(super) fn unknown(name: &[u8]) -> Option<String> {
    let begins = name.first().is_some_and(u8::is_ascii_alphabetic);
    let letters = name
        .iter()
        .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_'));
    (begins && letters && name.len() <= NAME_MAX)
        .then(|| String::from_utf8_lossy(name).to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(COMMANDS.is_sorted_by_key(|command| command.name));
        assert!(
            COMMANDS
                .iter()
                .all(|command| command.name.len() <= WORDS_MAX)
        );
        assert_eq!(find(b"get").map(|command| command.name), Some("GET"));
        assert_eq!(find(b"").map(|command| command.name), None);
        let config = find(b"config").unwrap();
        assert_eq!(config.kind, Kind::Container);
        assert_eq!(find_second(config, b"get").unwrap().name, "CONFIG GET");
        assert!(find_second(config, b"set\r\n").is_none());
        assert_eq!(unknown(b"json.get").as_deref(), Some("JSON.GET"));
        for name in [&b"pass word"[..], b"", b".x", b"a1", &[b'a'; 33]] {
            assert_eq!(unknown(name), None);
        }
    }

    #[test]
    fn keys() {
        let keys = |name: &[u8], words| -> Vec<u32> {
            let command = find(name).unwrap();
            (1..words).filter(|&at| command.is_key(at, words)).collect()
        };
        assert_eq!(keys(b"SET", 3), [1]);
        assert_eq!(keys(b"MSET", 5), [1, 3]);
        assert_eq!(keys(b"DEL", 4), [1, 2, 3]);
        assert_eq!(keys(b"BLPOP", 4), [1, 2]);
        assert!(keys(b"AUTH", 3).is_empty());
    }
}
