//! Header compression (RFC 7541), for one direction.
//!
//! A decoder that may have missed something. Entries are counted from the newest, so what was inserted
//! since then is known by its index however much lies beyond it; all that lies beyond is unknown until
//! it has been pushed out. A field of which the name or the value is unknown is told as such.
//!
//! `SETTINGS_HEADER_TABLE_SIZE` needs no watching: an encoder says so in its next block when it makes
//! its table larger or smaller (section 4.2).

use std::collections::VecDeque;

use super::huffman;
use super::statics::STATIC;

/// The size of a table that nobody has changed (RFC 9113, section 6.5.2).
const USUAL_SIZE: usize = 4096;
/// The largest table that is kept; older entries of a larger one are unknown.
const SIZE_MAX: usize = 64 * 1024;
/// What an entry counts besides its octets (section 4.1).
const OVERHEAD: usize = 32;

/// A block, or its rest, is not understood: it is wrong, or it was cut. Entries may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// A name or a value, where it is known.
type Known<'a> = Option<&'a [u8]>;

#[derive(Debug)]
struct Entry {
    name: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
}

impl Entry {
    /// At least: what is unknown counts nothing. So entries are kept too long rather than too short,
    /// and no encoder names one that it has no more.
    fn size(&self) -> usize {
        let length = |text: &Option<Box<[u8]>>| text.as_ref().map_or(0, |text| text.len());
        length(&self.name) + length(&self.value) + OVERHEAD
    }
}

/// A direction's decoder.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
    /// There may be entries beyond those that are known.
    missed: bool,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// A decoder of a connection whose blocks are all to come (`from_start`), or of which some may have
    /// been missed.
    pub(super) fn new(from_start: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: if from_start { USUAL_SIZE } else { SIZE_MAX },
            missed: !from_start,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Blocks were missed: which entries there are is not known any more, nor how large the table is.
    pub(super) fn lose(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.max = SIZE_MAX;
        self.missed = true;
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        self.size
            + self.entries.capacity() * size_of::<Entry>()
            + self.name.capacity()
            + self.value.capacity()
    }

    /// Decodes a block; its fields go to `field`.
    ///
    /// # Errors
    /// What came before was understood, and has been told.
    pub(super) fn decode(
        &mut self,
        mut block: &[u8],
        mut field: impl FnMut(Known<'_>, Known<'_>),
    ) -> Result<(), Broken> {
        while let Some(&first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer(&mut block, 7)?;
                    let (name, value) = self.at(index)?;
                    field(name, value);
                }
                0x40.. => self.literal(&mut block, 6, true, &mut field)?,
                0x20.. => {
                    let max = integer(&mut block, 5)?;
                    self.resize(max);
                }
                _ => self.literal(&mut block, 4, false, &mut field)?,
            }
        }
        Ok(())
    }

    fn literal(
        &mut self,
        block: &mut &[u8],
        prefix: u8,
        indexed: bool,
        field: &mut impl FnMut(Known<'_>, Known<'_>),
    ) -> Result<(), Broken> {
        let index = integer(block, prefix)?;
        // Only their memory is of interest; they are put back below.
        let mut own_name = std::mem::take(&mut self.name);
        let mut own_value = std::mem::take(&mut self.value);
        own_name.clear();
        own_value.clear();
        let name = match index {
            0 => Some(string(block, &mut own_name)?),
            _ => self.at(index)?.0,
        };
        let value = string(block, &mut own_value)?;
        field(name, Some(value));
        let entry = indexed.then(|| Entry {
            name: name.map(Box::from),
            value: Some(Box::from(value)),
        });
        self.name = own_name;
        self.value = own_value;
        if let Some(entry) = entry {
            self.insert(entry);
        }
        Ok(())
    }

    fn at(&self, index: usize) -> Result<(Known<'_>, Known<'_>), Broken> {
        let place = index.checked_sub(1).ok_or(Broken)?;
        if let Some((name, value)) = STATIC.get(place) {
            return Ok((Some(name.as_bytes()), Some(value.as_bytes())));
        }
        match self.entries.get(place - STATIC.len()) {
            Some(entry) => Ok((entry.name.as_deref(), entry.value.as_deref())),
            None if self.missed => Ok((None, None)),
            None => Err(Broken),
        }
    }

    fn insert(&mut self, entry: Entry) {
        self.size += entry.size();
        self.entries.push_front(entry);
        self.evict();
    }

    fn resize(&mut self, max: usize) {
        self.max = max.min(SIZE_MAX);
        self.evict();
        // What is unknown is older than all that is known: it goes first.
        self.missed = max > SIZE_MAX || self.missed && max > 0;
    }

    fn evict(&mut self) {
        while self.size > self.max {
            let Some(entry) = self.entries.pop_back() else {
                break;
            };
            self.size -= entry.size();
        }
    }
}

/// Reads an integer behind a prefix of so many bits (section 5.1). More than 28 bits are nothing that a
/// header block has room for.
fn integer(block: &mut &[u8], prefix: u8) -> Result<usize, Broken> {
    let (&first, mut rest) = block.split_first().ok_or(Broken)?;
    let mask = (1_usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first().ok_or(Broken)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return Err(Broken);
            }
        }
    }
    *block = rest;
    Ok(value)
}

/// Reads a string (section 5.2): a part of the block, or decoded into `own`.
fn string<'o, 'b: 'o>(block: &mut &'b [u8], own: &'o mut Vec<u8>) -> Result<&'o [u8], Broken> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Broken)?;
    *block = rest;
    if !coded {
        return Ok(text);
    }
    huffman::decode(text, own).ok_or(Broken)?;
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Field = (Option<Vec<u8>>, Option<Vec<u8>>);

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        let own = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
        let result = decoder.decode(block, |name, value| fields.push((own(name), own(value))));
        result.ok().map(|()| fields)
    }

    fn words(fields: &[Field]) -> String {
        let word = |text: &Option<Vec<u8>>| match text {
            Some(text) => String::from_utf8_lossy(text).into_owned(),
            None => "?".to_owned(),
        };
        let line = |(name, value): &Field| format!("{}={}", word(name), word(value));
        fields.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    /// RFC 7541, appendix C.3: three requests of one connection; and the same joined after the first.
    #[test]
    fn late() {
        let blocks: [&[u8]; 3] = [
            b"\x82\x86\x84\x41\x0fwww.example.com",
            b"\x82\x86\x84\xbe\x58\x08no-cache",
            b"\x82\x87\x85\xbf\x40\x0acustom-key\x0ccustom-value",
        ];
        let mut decoder = Decoder::new(true);
        let found = blocks.map(|block| words(&decode(&mut decoder, block).unwrap()));
        let fields = ":method=GET :scheme=http :path=/ :authority=www.example.com";
        assert_eq!(found[0], fields);
        assert_eq!(found[1], format!("{fields} cache-control=no-cache"));
        let third = ":method=GET :scheme=https :path=/index.html :authority=www.example.com \
                     custom-key=custom-value";
        assert_eq!(found[2], third);
        assert_eq!(decoder.size, 164);

        let mut decoder = Decoder::new(false);
        let unknown = ":method=GET :scheme=http :path=/ ?=? cache-control=no-cache";
        assert_eq!(words(&decode(&mut decoder, blocks[1]).unwrap()), unknown);
        // Known by its place from here on.
        let known = decode(&mut decoder, b"\xbe\xbf").unwrap();
        assert_eq!(words(&known), "cache-control=no-cache ?=?");
        // An unknown name takes its place too.
        let known = decode(&mut decoder, b"\x7f\x01\x01x\xbe\xbf").unwrap();
        assert_eq!(words(&known), "?=x ?=x cache-control=no-cache");
        // Emptied, nothing is unknown any more.
        assert_eq!(decode(&mut decoder, b"\x20\xbe"), None);
    }

    #[test]
    fn broken() {
        let table: [&[u8]; 8] = [
            b"\x80",
            b"\xbe",
            b"\xff",
            b"\xff\xff\xff\xff\xff\xff\x01",
            b"\x41",
            b"\x41\x05abc",
            b"\x40\x81\x00\x00",
            b"\x00\x7f\xff\xff\xff\x7fx",
        ];
        for block in table {
            assert_eq!(decode(&mut Decoder::new(true), block), None, "{block:?}");
        }
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b":path".to_vec()),
            Just(b":status".to_vec()),
            Just(b"user-agent".to_vec()),
            "[a-c]{1,3}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        /// What another implementation encodes is decoded, with a table so small that entries go.
        #[test]
        fn as_others_encode(
            blocks in proptest::collection::vec(
                proptest::collection::vec(
                    (name(), proptest::collection::vec(any::<u8>(), 0..60), 0..32_u8),
                    0..6,
                ),
                1..12,
            ),
            size in 0..400_u32,
            from in 0..12_usize,
        ) {
            let mut encoder = httlib_hpack::Encoder::with_dynamic_size(4096);
            let mut decoder = Decoder::new(true);
            let mut late = Decoder::new(false);
            for (number, block) in blocks.into_iter().enumerate() {
                let mut bytes = Vec::new();
                if number == 0 {
                    encoder.update_max_dynamic_size(size, &mut bytes).unwrap();
                }
                let mut expected = Vec::new();
                for (name, value, flags) in block {
                    expected.push((Some(name.clone()), Some(value.clone())));
                    encoder.encode((name, value, flags), &mut bytes).unwrap();
                }
                prop_assert_eq!(decode(&mut decoder, &bytes), Some(expected.clone()));
                // Joined late, or after a loss: what is told is true.
                if number >= from {
                    let found = decode(&mut late, &bytes).unwrap();
                    prop_assert_eq!(found.len(), expected.len());
                    for (found, expected) in found.iter().zip(&expected) {
                        prop_assert!(found.0.is_none() || found.0 == expected.0);
                        prop_assert!(found.1.is_none() || found.1 == expected.1);
                    }
                }
            }
        }

        /// Any bytes do no harm.
        #[test]
        fn any_bytes(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6),
            from_start in any::<bool>(),
        ) {
            let mut decoder = Decoder::new(from_start);
            for block in blocks {
                decode(&mut decoder, &block);
            }
            prop_assert!(decoder.memory() < 1 << 20);
        }
    }
}
