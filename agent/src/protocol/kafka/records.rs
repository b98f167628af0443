//! Batches of records (format 2), and the message sets of older formats:
//! <https://kafka.apache.org/documentation/#recordbatch>.

use crate::context::{Carrier, Extractor};

use super::batch::Batch;
use super::reader::Reader;

/// Offset and length, which are not counted in the length.
const BEFORE_LENGTH: usize = 12;
/// Bytes of a batch before its records.
const HEAD: usize = 61;
/// Place of the format's number, in all formats.
const MAGIC: usize = 16;
const COMPRESSION: i16 = 0b111;
/// What brokers write about transactions.
const CONTROL: i16 = 1 << 5;
/// Most records of an exchange whose headers are read.
const READ_MAX: usize = 256;

/// Reads what was captured of a partition's batches, `length` bytes in all.
pub(super) fn read(seen: &[u8], length: usize, to: &mut Batch, extractor: &Extractor) {
    let mut at = 0;
    let mut first = true;
    while at < length {
        // The last one may be cut off by the broker: then the client does not take it.
        if at + BEFORE_LENGTH > length {
            return;
        }
        let Some(batch) = seen.get(at..).filter(|batch| batch.len() > MAGIC) else {
            to.uncounted = true;
            to.contexts_left = true;
            return;
        };
        let mut reader = Reader::new(batch);
        let (Some(offset), Some(size)) = (reader.int64(), reader.int32()) else {
            return;
        };
        let size = BEFORE_LENGTH.saturating_add(usize::try_from(size).unwrap_or(0));
        if size <= MAGIC || at + size > length {
            return;
        }
        let whole = &batch[..size.min(batch.len())];
        let counted = match batch[MAGIC] {
            2 => format_2(whole, size, to, extractor),
            // Older messages have no headers. A compressed one holds others.
            0 | 1 => match whole.get(MAGIC + 1).map(|attributes| attributes & 0b111) {
                Some(0) => Some(1),
                _ => None,
            },
            _ => None,
        };
        match counted {
            None => to.uncounted = true,
            Some(count) => to.messages = to.messages.saturating_add(count),
        }
        if first && counted != Some(0) {
            first = false;
            to.offset.get_or_insert(offset);
        }
        at += size;
    }
}

/// How many messages there are in a batch.
fn format_2(batch: &[u8], size: usize, to: &mut Batch, extractor: &Extractor) -> Option<u64> {
    let mut reader = Reader::new(batch);
    reader.take(MAGIC + 1 + 4)?;
    let attributes = reader.int16()?;
    reader.take(HEAD - 4 - MAGIC - 1 - 4 - 2)?;
    let count = u64::try_from(reader.int32()?).ok()?;
    if attributes & CONTROL != 0 {
        return Some(0);
    }
    if attributes & COMPRESSION != 0 {
        to.compressed = true;
        return Some(count);
    }
    let mut left = count;
    for _ in 0..READ_MAX {
        if left == 0 || record(&mut reader, to, extractor).is_none() {
            break;
        }
        left -= 1;
    }
    to.contexts_left |= left > 0 && (batch.len() < size || count > READ_MAX as u64);
    Some(count)
}

/// Reads a record's headers.
fn record(reader: &mut Reader<'_>, to: &mut Batch, extractor: &Extractor) -> Option<()> {
    let record = reader.varint_bytes()?;
    let mut record = Reader::new(record);
    record.int8()?;
    record.varint()?;
    record.varint()?;
    record.varint_bytes()?;
    record.varint_bytes()?;
    let headers = record.varint()?;
    if headers <= 0 {
        return Some(());
    }
    let mut carrier = Carrier::default();
    for _ in 0..headers {
        let name = record.varint_bytes()?;
        let value = record.varint_bytes()?;
        carrier.set(name, value, extractor.custom_headers());
    }
    to.carried(&carrier, extractor);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(attributes: i16, records: i32, body: &[u8]) -> Vec<u8> {
        let mut bytes = 7_i64.to_be_bytes().to_vec();
        let length = HEAD - BEFORE_LENGTH + body.len();
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        bytes.extend([0, 0, 0, 0, 2, 0, 0, 0, 0]);
        bytes.extend(attributes.to_be_bytes());
        bytes.resize(HEAD - 4, 0);
        bytes.extend(records.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn counts() {
        // What there is, how much of it is seen, messages, uncounted, compressed.
        let two = [batch(0, 3, b"xyz"), batch(0, 2, b"xyz")].concat();
        let mut cut_off = two.clone();
        cut_off.truncate(two.len() - 1);
        let cases = [
            (two.clone(), two.len(), 5, false, false),
            (two.clone(), 70, 3, true, false),
            (two, 10, 0, true, false),
            (cut_off.clone(), cut_off.len(), 3, false, false),
            (batch(1, 9, b"xyz"), 61, 9, false, true),
            (batch(CONTROL, 1, b"xyz"), 61, 0, false, false),
            (vec![0; 64], 64, 0, false, false),
        ];
        for (bytes, seen, messages, uncounted, compressed) in cases {
            let mut found = Batch::default();
            let extractor = Extractor::default();
            read(&bytes[..seen], bytes.len(), &mut found, &extractor);
            let told = (found.messages, found.uncounted, found.compressed);
            assert_eq!(told, (messages, uncounted, compressed), "{seen}");
        }
    }
}
