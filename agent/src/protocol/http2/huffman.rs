//! HPACK's Huffman code (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers, in the order of their symbols.
//! So the lengths say all, and decoding needs no tree: among codes written from the left, each length
//! has the range after that of the shorter ones.

/// The length of each octet's code in bits.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
/// Lengths that occur, the shortest first.
const WIDTHS: usize = 21;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Width {
    bits: u8,
    /// One more than the last code, from the left of 32 bits.
    limit: u64,
    /// The first code, likewise.
    first: u64,
    /// Where its symbol is in `SYMBOLS`.
    at: usize,
}

struct Tables {
    widths: [Width; WIDTHS],
    /// In the order of their codes.
    symbols: [u8; 256],
}

const TABLES: Tables = tables();

const fn tables() -> Tables {
    let mut widths = [Width {
        bits: 0,
        limit: 0,
        first: 0,
        at: 0,
    }; WIDTHS];
    let mut symbols = [0; 256];
    let (mut found, mut code, mut used) = (0, 0, 0);
    let mut bits = 1;
    while bits <= 30 {
        let (first, at) = (code, used);
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] == bits {
                symbols[used] = symbol as u8;
                used += 1;
                code += 1 << (32 - bits);
            }
            symbol += 1;
        }
        if used > at {
            widths[found] = Width {
                bits,
                limit: code,
                first,
                at,
            };
            found += 1;
        }
        bits += 1;
    }
    assert!(found == WIDTHS && used == 256, "the code is whole");
    Tables { widths, symbols }
}

/// Decodes text, which is added to `out`. `None` where it is no text of this code: then `out` holds what
/// came before. At most 8 bits in 5 make an octet, so the length of the result is bounded by that of
/// `text`.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut held, mut count) = (0_u64, 0_u8);
    let mut rest = text.iter();
    loop {
        while count <= 32 {
            let Some(&byte) = rest.next() else { break };
            held |= u64::from(byte) << (56 - count);
            count += 8;
        }
        // Padding is made of ones, up to seven of them (section 5.2).
        if count < 8 && held == ones(count) {
            return Some(());
        }
        let code = held >> 32;
        let width = TABLES.widths.iter().find(|width| code < width.limit)?;
        if width.bits > count {
            return None;
        }
        let place = (code - width.first) >> (32 - width.bits);
        let at = width.at + usize::try_from(place).ok()?;
        out.push(*TABLES.symbols.get(at)?);
        held <<= width.bits;
        count -= width.bits;
    }
}

/// So many ones from the left.
const fn ones(count: u8) -> u64 {
    match count {
        0 => 0,
        _ => u64::MAX << (64 - count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        decode(text, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    /// RFC 7541, appendix C.4 and C.6.
    #[test]
    fn examples() {
        let table: [(&[u8], Option<&str>); 6] = [
            (b"", Some("")),
            (
                b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
                Some("www.example.com"),
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", Some("no-cache")),
            (b"\x64\x02", Some("302")),
            // Eight bits of padding, and the end of string itself.
            (b"\x64\x02\xff", None),
            (b"\xff\xff\xff\xff", None),
        ];
        for (text, expected) in table {
            assert_eq!(read(text).as_deref(), expected, "{text:?}");
        }
    }
}
