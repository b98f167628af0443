//! Commands: which one it is, on what, and whether it is worth a span
//! (<https://www.mongodb.com/docs/manual/reference/command/>).

use std::borrow::Cow;

use super::bson::{Element, Elements};
use super::message::{
    self, MORE_TO_COME, OP_COMPRESSED, OP_DELETE, OP_GET_MORE, OP_INSERT, OP_KILL_CURSORS, OP_MSG,
    OP_QUERY, OP_UPDATE, Sections,
};
use super::zip::{self, Inflate};

/// Longest name of a database or collection that is kept, in bytes; servers allow 255.
const NAME_MAX: usize = 255;

/// What a command is to its spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// Its first argument names a collection.
    Collection,
    /// It does not, or nobody knows.
    #[default]
    Other,
    /// A handshake, a heartbeat, or a driver's housekeeping: no span.
    Quiet,
    /// A step of authentication: a span only where it fails.
    Login,
    /// It waits for documents that are still to be written: a span only where some came.
    Awaits,
}

/// A request, as far as it is understood.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) sort: Sort,
    pub(super) operation: Option<Cow<'static, str>>,
    pub(super) database: Option<Box<str>>,
    pub(super) collection: Option<Box<str>>,
    /// How many documents or statements it carries, if it is of that kind.
    pub(super) batch: Option<i64>,
    /// It is none, but a query of old: what comes back is documents, whatever is in them.
    pub(super) reads_documents: bool,
    /// No answer comes.
    pub(super) unanswered: bool,
    /// The cursor that it opens waits for documents.
    pub(super) tails: bool,
    /// The cursor that it reads from.
    pub(super) cursor: Option<i64>,
    /// Nothing could be read of it.
    pub(super) unread: Option<&'static str>,
    /// It was not captured whole, and what names it may have been in the rest.
    pub(super) is_cut: bool,
}

impl Command {
    /// Reads what follows the header of a message; `whole` is its length.
    pub(super) fn read(code: i32, bytes: &[u8], whole: usize, inflate: &mut Inflate) -> Self {
        let mut command = Self::default();
        match code {
            OP_MSG => command.read_message(bytes, whole),
            OP_COMPRESSED => {
                let mut space = [0; zip::SPACE];
                match inflate.open(bytes, &mut space) {
                    Some(inner) if inner.code != OP_COMPRESSED => {
                        return Self::read(inner.code, inner.bytes, inner.whole, inflate);
                    }
                    _ => command.unread = Some(super::COMPRESSED),
                }
            }
            OP_QUERY => command.read_query(bytes),
            _ => command.read_legacy(code, bytes),
        }
        command
    }

    fn read_message(&mut self, bytes: &[u8], whole: usize) {
        let sections = Sections::read(bytes, whole);
        self.unanswered = sections.flags & MORE_TO_COME != 0;
        match sections.body {
            Some(body) => self.read_body(body),
            None => self.unread = Some(super::COMMAND_UNSEEN),
        }
        if let Some((_, count)) = sections.sequence.filter(|(name, _)| is_batch(name)) {
            self.batch = count;
        }
    }

    /// `OP_QUERY`: flags, the namespace, two numbers, a document.
    fn read_query(&mut self, bytes: &[u8]) {
        let Some((name, at)) = message::namespace(bytes, 4) else {
            self.unread = Some(super::COMMAND_UNSEEN);
            return;
        };
        self.set_namespace(name);
        if self.collection.as_deref() != Some("$cmd") {
            self.operation = Some(Cow::Borrowed("find"));
            self.sort = Sort::Collection;
            self.reads_documents = true;
            return;
        }
        self.collection = None;
        let body = bytes.get(at + 8..).unwrap_or_default();
        // Options may stand around the command.
        let mut inner = Elements::new(body).and_then(|mut elements| elements.next());
        inner = inner.filter(|first| matches!(first.name, b"$query" | b"query"));
        match inner.and_then(|inner| inner.elements()) {
            Some(inner) => self.read_elements(inner),
            None => self.read_body(body),
        }
    }

    /// The messages of old that are no commands: a number, then the namespace.
    fn read_legacy(&mut self, code: i32, bytes: &[u8]) {
        let operation = match code {
            OP_INSERT => "insert",
            OP_UPDATE => "update",
            OP_DELETE => "delete",
            OP_GET_MORE => "getMore",
            _ => {
                self.sort = Sort::Quiet;
                self.unanswered = code == OP_KILL_CURSORS;
                return;
            }
        };
        self.operation = Some(Cow::Borrowed(operation));
        self.sort = Sort::Collection;
        self.reads_documents = code == OP_GET_MORE;
        self.unanswered = !self.reads_documents;
        match message::namespace(bytes, 4) {
            Some((name, _)) => self.set_namespace(name),
            None => self.is_cut = true,
        }
    }

    fn set_namespace(&mut self, name: &str) {
        if let Some((database, collection)) = name.split_once('.') {
            self.database = kept(database);
            self.collection = kept(collection);
        }
    }

    fn read_body(&mut self, body: &[u8]) {
        match Elements::new(body) {
            Some(elements) => self.read_elements(elements),
            None => self.unread = Some(super::COMMAND_UNSEEN),
        }
    }

    fn read_elements(&mut self, mut elements: Elements<'_>) {
        let Some(first) = elements.next() else {
            self.unread = Some(super::COMMAND_UNSEEN);
            return;
        };
        self.set_operation(&first);
        let gets_more = first.name == b"getMore";
        if gets_more {
            self.cursor = first.number();
        }
        let (mut tailable, mut awaits) = (false, false);
        for element in elements.by_ref() {
            match element.name {
                b"$db" => self.database = element.text().and_then(kept),
                b"collection" if gets_more => {
                    self.collection = element.text().and_then(kept);
                }
                // Of a cursor that waits, and of no other.
                b"maxTimeMS" if gets_more => self.sort = Sort::Awaits,
                b"tailable" => tailable = element.number() == Some(1),
                b"awaitData" => awaits = element.number() == Some(1),
                b"pipeline" => self.tails |= watches(&element),
                name if self.sort == Sort::Collection && is_batch(name) => {
                    self.batch = element.count();
                }
                _ => {}
            }
        }
        self.tails |= tailable && awaits;
        self.is_cut = !elements.is_at_end();
    }

    fn set_operation(&mut self, first: &Element<'_>) {
        let (name, sort) = known(first.name);
        self.sort = sort;
        self.operation = match name {
            Some(name) => Some(Cow::Borrowed(name)),
            None if message::is_word(first.name) => {
                let name = String::from_utf8_lossy(first.name).into_owned();
                Some(Cow::Owned(name))
            }
            None => None,
        };
        if sort == Sort::Collection {
            self.collection = first.text().and_then(kept);
        }
        if first.name == b"explain" {
            let inner = first.elements().and_then(|mut inner| inner.next());
            self.collection = inner
                .filter(|inner| known(inner.name).1 == Sort::Collection)
                .and_then(|inner| inner.text())
                .and_then(kept);
        }
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        let names = [&self.database, &self.collection];
        let names = names.into_iter().flatten().map(|name| name.len());
        let operation = match &self.operation {
            Some(Cow::Owned(name)) => name.capacity(),
            _ => 0,
        };
        names.sum::<usize>() + operation
    }
}

/// A name as it is kept.
fn kept(name: &str) -> Option<Box<str>> {
    let cut = name.floor_char_boundary(NAME_MAX);
    (!name.is_empty()).then(|| Box::from(&name[..cut]))
}

/// What holds the documents or statements of a write.
fn is_batch(name: &[u8]) -> bool {
    matches!(name, b"documents" | b"updates" | b"deletes" | b"ops")
}

/// Whether a pipeline begins with `$changeStream`.
fn watches(pipeline: &Element<'_>) -> bool {
    let stage = pipeline.elements().and_then(|mut stages| stages.next());
    let operator = stage.and_then(|stage| stage.elements()?.next());
    operator.is_some_and(|operator| operator.name == b"$changeStream")
}

/// A command's name as its documentation spells it, if it is one that matters here. Only for those that
/// take a collection is the first value exported: that of others may be anything, a user's name too.
fn known(name: &[u8]) -> (Option<&'static str>, Sort) {
    let (name, sort) = match name {
        b"find" => ("find", Sort::Collection),
        b"insert" => ("insert", Sort::Collection),
        b"update" => ("update", Sort::Collection),
        b"delete" => ("delete", Sort::Collection),
        b"aggregate" => ("aggregate", Sort::Collection),
        b"count" => ("count", Sort::Collection),
        b"distinct" => ("distinct", Sort::Collection),
        b"findAndModify" | b"findandmodify" => ("findAndModify", Sort::Collection),
        b"mapReduce" | b"mapreduce" => ("mapReduce", Sort::Collection),
        b"create" => ("create", Sort::Collection),
        b"drop" => ("drop", Sort::Collection),
        b"createIndexes" => ("createIndexes", Sort::Collection),
        b"dropIndexes" | b"deleteIndexes" => ("dropIndexes", Sort::Collection),
        b"listIndexes" => ("listIndexes", Sort::Collection),
        b"createSearchIndexes" => ("createSearchIndexes", Sort::Collection),
        b"updateSearchIndex" => ("updateSearchIndex", Sort::Collection),
        b"dropSearchIndex" => ("dropSearchIndex", Sort::Collection),
        b"collMod" => ("collMod", Sort::Collection),
        b"collStats" | b"collstats" => ("collStats", Sort::Collection),
        b"validate" => ("validate", Sort::Collection),
        b"compact" => ("compact", Sort::Collection),
        b"killCursors" => ("killCursors", Sort::Collection),
        b"getMore" => ("getMore", Sort::Other),
        b"bulkWrite" => ("bulkWrite", Sort::Other),
        b"ping" => ("ping", Sort::Quiet),
        b"hello" | b"isMaster" | b"ismaster" => ("hello", Sort::Quiet),
        b"endSessions" | b"refreshSessions" => ("endSessions", Sort::Quiet),
        b"getnonce" | b"logout" => ("logout", Sort::Quiet),
        b"replSetHeartbeat" | b"replSetUpdatePosition" | b"_isSelf" => {
            ("replSetHeartbeat", Sort::Quiet)
        }
        b"saslStart" => ("saslStart", Sort::Login),
        b"saslContinue" => ("saslContinue", Sort::Login),
        b"authenticate" => ("authenticate", Sort::Login),
        _ => return (None, Sort::Other),
    };
    (Some(name), sort)
}
