//! Replies: whether the command failed, and how many documents came back.

use super::bson::{Element, Elements, int32};
use super::message::{MORE_TO_COME, OP_COMPRESSED, OP_MSG, OP_REPLY, Sections};
use super::zip::{self, Inflate};

/// `OP_REPLY`: the cursor is not known, the query failed.
const CURSOR_NOT_FOUND: i32 = 1;
const QUERY_FAILURE: i32 = 2;
/// The server's code for a cursor that it does not know (`CursorNotFound`).
const CURSOR_NOT_FOUND_CODE: i64 = 43;
/// What an `OP_REPLY` has before its documents.
const REPLY_HEAD: usize = 20;

/// A reply, as far as it is understood.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) error: Option<Failure>,
    /// What the flags of an `OP_REPLY` say of the query.
    query_failure: Option<Failure>,
    /// How many documents an `OP_REPLY` has.
    returned: Option<i64>,
    /// Documents in the batch.
    pub(super) rows: Option<i64>,
    /// How many documents a write has written, or found.
    pub(super) written: Option<i64>,
    /// The cursor that there is more to read from.
    pub(super) cursor: Option<i64>,
    /// Another reply follows.
    pub(super) more: bool,
    /// Too little of it was captured to tell whether the command failed.
    pub(super) is_unclear: bool,
}

/// That a command, or a part of it, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The server's code, where it gave one.
    pub(super) code: Option<i64>,
}

impl Reply {
    /// Reads what follows the header of a message; `whole` is its length.
    pub(super) fn read(code: i32, bytes: &[u8], whole: usize, inflate: &mut Inflate) -> Self {
        let mut reply = Self::default();
        match code {
            OP_MSG => {
                let sections = Sections::read(bytes, whole);
                reply.more = sections.flags & MORE_TO_COME != 0;
                reply.read_document(sections.body.unwrap_or_default());
            }
            OP_COMPRESSED => {
                let mut space = [0; zip::SPACE];
                match inflate.open(bytes, &mut space) {
                    Some(inner) if inner.code != OP_COMPRESSED => {
                        return Self::read(inner.code, inner.bytes, inner.whole, inflate);
                    }
                    _ => reply.is_unclear = true,
                }
            }
            OP_REPLY => reply.read_legacy(bytes),
            _ => reply.is_unclear = true,
        }
        reply
    }

    /// `OP_REPLY`: flags, a cursor, where in it this is, how many documents, and those.
    fn read_legacy(&mut self, bytes: &[u8]) {
        let (Some(flags), Some(count)) = (int32(bytes, 0), int32(bytes, 16)) else {
            self.is_unclear = true;
            return;
        };
        let cursor = bytes.get(4..12).and_then(|id| id.try_into().ok());
        self.cursor = cursor.map(i64::from_le_bytes).filter(|id| *id != 0);
        self.returned = Some(count.into());
        self.query_failure = match flags {
            _ if flags & CURSOR_NOT_FOUND != 0 => Some(Failure {
                code: Some(CURSOR_NOT_FOUND_CODE),
            }),
            _ if flags & QUERY_FAILURE != 0 => Some(Failure { code: None }),
            _ => None,
        };
        self.read_document(bytes.get(REPLY_HEAD..).unwrap_or_default());
    }

    /// What answered a query of old, not a command: its documents are the user's, and say nothing.
    pub(super) fn into_query(self) -> Self {
        Self {
            error: self.query_failure,
            rows: self.returned,
            is_unclear: self.returned.is_none(),
            ..self
        }
    }

    fn read_document(&mut self, document: &[u8]) {
        let Some(mut elements) = Elements::new(document) else {
            self.is_unclear = true;
            return;
        };
        let mut first = true;
        let mut succeeds = false;
        let mut fails = false;
        let mut code = None;
        for element in elements.by_ref() {
            match element.name {
                b"ok" => match element.number() {
                    Some(0) => fails = true,
                    Some(_) => succeeds = true,
                    None => {}
                },
                b"code" => code = element.number(),
                b"n" => self.written = element.number(),
                b"writeErrors" => self.fail(inner_code(
                    element.elements().and_then(|mut all| all.next()),
                )),
                b"writeConcernError" => self.fail(inner_code(Some(element))),
                b"cursor" => self.read_cursor(&element),
                // A reply that begins so is that of a command which succeeded: what is cut off is
                // documents.
                b"values" | b"value" | b"lastErrorObject" | b"results" => succeeds |= first,
                _ => {}
            }
            succeeds |= first && element.name == b"cursor";
            first = false;
        }
        if fails {
            self.error = Some(Failure { code });
        }
        self.is_unclear = !succeeds && self.error.is_none() && !elements.is_at_end();
    }

    fn read_cursor(&mut self, cursor: &Element<'_>) {
        for element in cursor.elements().into_iter().flatten() {
            match element.name {
                b"firstBatch" | b"nextBatch" => self.rows = element.count(),
                b"id" => self.cursor = element.number().filter(|id| *id != 0),
                _ => {}
            }
        }
    }

    /// The first failure holds.
    fn fail(&mut self, code: Option<i64>) {
        self.error.get_or_insert(Failure { code });
    }
}

fn inner_code(error: Option<Element<'_>>) -> Option<i64> {
    let mut inside = error?.elements()?;
    inside.find(|element| element.name == b"code")?.number()
}
