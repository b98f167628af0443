//! The primitive types of Kafka's protocol: <https://kafka.apache.org/protocol#protocol_types>.

/// Reads fields from what was captured of a message. Every reading is `None` where that ends, and stays
/// so.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Lengths are compact, and structures end with tagged fields (KIP-482).
    pub(super) flexible: bool,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            flexible: false,
        }
    }

    /// The next bytes.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        match self.bytes.split_at_checked(length) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Some(taken)
            }
            None => {
                self.bytes = &[];
                None
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn int8(&mut self) -> Option<i8> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn int16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn int32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn int64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn uuid(&mut self) -> Option<u128> {
        self.array().map(u128::from_be_bytes)
    }

    /// An unsigned number of seven bits a byte.
    pub(super) fn varuint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A signed one, in zigzag.
    pub(super) fn varint(&mut self) -> Option<i64> {
        let number = self.varuint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A length before a varint's worth of bytes; -1 is none.
    pub(super) fn varint_bytes(&mut self) -> Option<&'a [u8]> {
        match self.varint()? {
            -1 => Some(&[]),
            length => self.take(usize::try_from(length).ok()?),
        }
    }

    /// How many elements an array has, or bytes a byte string; a missing one has none.
    pub(super) fn count(&mut self) -> Option<usize> {
        if self.flexible {
            return usize::try_from(self.varuint()?.saturating_sub(1)).ok();
        }
        match self.int32()? {
            -1 => Some(0),
            count => usize::try_from(count).ok(),
        }
    }

    /// A text; a missing one is empty.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        if self.flexible {
            let length = self.count()?;
            return self.take(length);
        }
        match self.int16()? {
            -1 => Some(&[]),
            length => self.take(usize::try_from(length).ok()?),
        }
    }

    /// The tagged fields at the end of a structure, one by one to `found`.
    pub(super) fn tags(&mut self, mut found: impl FnMut(u64)) -> Option<()> {
        if self.flexible {
            for _ in 0..self.varuint()? {
                found(self.varuint()?);
                let length = usize::try_from(self.varuint()?).ok()?;
                self.take(length)?;
            }
        }
        Some(())
    }

    /// Passes over tagged fields.
    pub(super) fn end(&mut self) -> Option<()> {
        self.tags(|_| {})
    }

    /// Passes over an array of elements of a fixed length.
    pub(super) fn skip_array(&mut self, element: usize) -> Option<()> {
        let length = self.count()?.checked_mul(element)?;
        self.take(length).map(|_| ())
    }

    /// What was captured of a byte string, and how long it is.
    pub(super) fn partly(&mut self) -> Option<(&'a [u8], usize)> {
        let length = self.count()?;
        let seen = &self.bytes[..length.min(self.bytes.len())];
        // The end is missed by what comes after.
        let _ = self.take(length);
        Some((seen, length))
    }

    /// What is left.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let cases: [(&[u8], Option<i64>); 7] = [
            (b"\x00", Some(0)),
            (b"\x01", Some(-1)),
            (b"\x02", Some(1)),
            (b"\xac\x02", Some(150)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Some(i64::MIN)),
            (b"\x80", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Reader::new(bytes).varint(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn texts() {
        for (flexible, bytes, expected) in [
            (false, &b"\x00\x01a"[..], Some(&b"a"[..])),
            (false, b"\xff\xff", Some(b"")),
            (false, b"\xff\xfe", None),
            (false, b"\x00\x02a", None),
            (true, b"\x02a", Some(b"a")),
            (true, b"\x00", Some(b"")),
            (true, b"\x03a", None),
        ] {
            let mut reader = Reader::new(bytes);
            reader.flexible = flexible;
            assert_eq!(reader.text(), expected, "{bytes:?}");
        }
    }
}
