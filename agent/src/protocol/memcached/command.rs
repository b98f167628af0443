//! The commands.

/// A known command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// Its sanitized text with no, one, two, three, four keys.
    pub(super) texts: [&'static str; 5],
    pub(super) kind: Kind,
}

/// How a command is written, and what answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys; values and an end answer it.
    Get,
    /// A time, keys.
    GetAndTouch,
    /// A key, flags, a time, the value's length.
    Set,
    /// A key and what is to be done with it.
    Key,
    /// No key.
    Plain,
    /// No key, and no span: tries the connection.
    Quiet,
    /// No answer.
    Quit,
    /// A key and flags.
    Meta,
    /// A key, the value's length, flags.
    MetaSet,
    /// The connection becomes a stream of events.
    Watch,
}

macro_rules! commands {
    ($($name:literal $kind:ident,)*) => {
        static COMMANDS: &[Command] = &[$(Command {
            name: $name,
            texts: [
                $name,
                concat!($name, " ?"),
                concat!($name, " ? ?"),
                concat!($name, " ? ? ?"),
                concat!($name, " ? ? ? ?"),
            ],
            kind: Kind::$kind,
        },)*];
    };
}

commands! {
    "get" Get,
    "set" Set,
    "gets" Get,
    "mg" Meta,
    "ms" MetaSet,
    "md" Meta,
    "ma" Meta,
    "mn" Quiet,
    "me" Meta,
    "add" Set,
    "replace" Set,
    "append" Set,
    "prepend" Set,
    "cas" Set,
    "delete" Key,
    "incr" Key,
    "decr" Key,
    "touch" Key,
    "gat" GetAndTouch,
    "gats" GetAndTouch,
    "stats" Plain,
    "flush_all" Plain,
    "cache_memlimit" Plain,
    "slabs" Plain,
    "lru" Plain,
    "lru_crawler" Plain,
    "config" Plain,
    "shutdown" Plain,
    "version" Quiet,
    "verbosity" Quiet,
    "quit" Quit,
    "watch" Watch,
}

/// The command of this name; they are written in small letters only.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.name.as_bytes() == name)
}

/// A command's line in its parts.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) command: &'static Command,
    /// What follows the name.
    pub(super) rest: &'a [u8],
    /// How long the value after the line is, if one follows.
    pub(super) value: Option<u64>,
}

/// The words of a line.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    text.split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty())
}

impl<'a> Line<'a> {
    /// Reads a line, without its end, if it is a command's.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let command = find(name)?;
        let mut args = words(rest);
        let value = match command.kind {
            Kind::Set => {
                let key = args.next()?;
                let flags = number(args.next()?)?;
                // A time in the past has a sign.
                let time = args.next()?;
                let _ = (key, flags, number(time.strip_prefix(b"-").unwrap_or(time))?);
                Some(number(args.next()?)?)
            }
            Kind::MetaSet => {
                let _key = args.next()?;
                Some(number(args.next()?)?)
            }
            Kind::Get | Kind::Key | Kind::Meta => {
                args.next()?;
                None
            }
            Kind::GetAndTouch => {
                let time = args.next()?;
                number(time.strip_prefix(b"-").unwrap_or(time))?;
                args.next()?;
                None
            }
            Kind::Plain | Kind::Quiet | Kind::Quit | Kind::Watch => None,
        };
        let is_text = rest.iter().all(|byte| !byte.is_ascii_control());
        is_text.then_some(Self {
            command,
            rest,
            value,
        })
    }

    /// The keys in it.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let (skip, most) = match self.command.kind {
            Kind::Get => (0, usize::MAX),
            Kind::GetAndTouch => (1, usize::MAX),
            Kind::Set | Kind::Key | Kind::Meta | Kind::MetaSet => (0, 1),
            Kind::Plain | Kind::Quiet | Kind::Quit | Kind::Watch => (0, 0),
        };
        words(self.rest).skip(skip).take(most)
    }

    /// Whether it says that it wants no answer.
    pub(super) fn is_noreply(&self) -> bool {
        match self.command.kind {
            Kind::Set | Kind::Key | Kind::Plain | Kind::Quiet => self.rest.ends_with(b" noreply"),
            Kind::Quit => true,
            _ => false,
        }
    }

    /// The flags of a meta command.
    pub(super) fn flags(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let skip = match self.command.kind {
            Kind::Meta => 1,
            Kind::MetaSet => 2,
            _ => usize::MAX,
        };
        words(self.rest).skip(skip)
    }
}

/// A number in decimal digits.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let mut number = 0;
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(byte - b'0');
    }
    Some(number)
}
