//! A decoded header block.

use std::ops::Range;

/// Most bytes that are kept of one block. A block may be much longer than it is on the wire.
const TEXT_MAX: usize = 64 * 1024;
/// Most fields that are kept.
const FIELDS_MAX: usize = 256;
/// Memory that is kept for the next block.
const KEPT: usize = 4096;

/// The fields of a block, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Head {
    text: Vec<u8>,
    /// Where a name begins, where its value does, and where that ends.
    fields: Vec<[usize; 3]>,
    /// There were fields that are not known: their names are in the part of the table that was missed,
    /// or the block was cut.
    pub(super) incomplete: bool,
}

impl Head {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.fields.clear();
        self.incomplete = false;
    }

    pub(super) fn add(&mut self, name: Option<&[u8]>, value: Option<&[u8]>) {
        let (Some(name), Some(value)) = (name, value) else {
            self.incomplete = true;
            return;
        };
        // Never of interest, often long, and secret.
        if matches!(name, b"cookie" | b"set-cookie" | b"authorization") {
            return;
        }
        let begin = self.text.len();
        if begin + name.len() + value.len() > TEXT_MAX || self.fields.len() == FIELDS_MAX {
            self.incomplete = true;
            return;
        }
        self.text.extend_from_slice(name);
        let middle = self.text.len();
        self.text.extend_from_slice(value);
        self.fields.push([begin, middle, self.text.len()]);
    }

    /// Names and values.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let text = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        self.fields
            .iter()
            .map(move |&[begin, middle, end]| (text(begin..middle), text(middle..end)))
    }

    /// The value of the first field of this name.
    pub(super) fn get(&self, wanted: &[u8]) -> Option<&[u8]> {
        let mut fields = self.fields();
        fields.find(|(name, _)| *name == wanted).map(|(_, v)| v)
    }

    /// A value as text; not of more use where it is none.
    pub(super) fn text(&self, wanted: &[u8]) -> Option<&str> {
        std::str::from_utf8(self.get(wanted)?).ok()
    }

    /// A status, of HTTP or of gRPC.
    pub(super) fn number(&self, wanted: &[u8]) -> Option<u16> {
        self.text(wanted)?.parse().ok()
    }

    /// The length of the body.
    pub(super) fn length(&self) -> Option<u64> {
        self.text(b"content-length")?.parse().ok()
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        self.text.capacity() + self.fields.capacity() * size_of::<[usize; 3]>()
    }
}
