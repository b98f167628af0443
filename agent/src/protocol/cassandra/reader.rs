//! The notations of the protocol (section 3 of its specifications).

/// Reads a body from its front. Everything gives `None` where the bytes end.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// `[byte]`
    pub fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// `[short]`
    pub fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// `[int]`
    pub fn int(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// `[string]` and `[short bytes]`
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.take(length.into())
    }

    /// `[bytes]` and `[value]`; nothing where there is none, which negative lengths say.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.int()?;
        self.take(usize::try_from(length).unwrap_or(0))
    }

    /// `[long string]`, as far as it is here, and whether that is not all.
    pub fn long_string(&mut self) -> Option<(&'a [u8], bool)> {
        let length = usize::try_from(self.int()?).ok()?;
        let here = length.min(self.rest.len());
        Some((self.take(here)?, here < length))
    }

    /// `[uuid]`
    pub fn uuid(&mut self) -> Option<&'a [u8]> {
        self.take(16)
    }

    /// `[string list]`
    pub fn string_list(&mut self) -> Option<()> {
        for _ in 0..self.short()? {
            self.string()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations() {
        let mut reader =
            Reader::new(b"\x01\0\x02\xff\xff\xff\xff\0\x03abc\0\0\0\x02de\0\0\0\x03gh");
        assert_eq!(reader.byte(), Some(1));
        assert_eq!(reader.short(), Some(2));
        assert_eq!(reader.bytes(), Some(&b""[..]));
        assert_eq!(reader.string(), Some(&b"abc"[..]));
        assert_eq!(reader.bytes(), Some(&b"de"[..]));
        assert_eq!(reader.long_string(), Some((&b"gh"[..], true)));
        assert_eq!(reader.long_string(), None);
        assert_eq!(Reader::new(b"\0\x02a").string(), None);
        assert_eq!(Reader::new(b"\0\x02\0\x01a\0\0b").string_list(), Some(()));
    }
}
