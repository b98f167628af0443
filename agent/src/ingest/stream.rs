//! One direction of a connection: where the next byte is expected.

/// Distance, in bytes, that a position may lie behind what is expected before it is taken for a
/// new place in the stream: more than any receive that another thread's could overtake.
const REORDER_MAX: u64 = 1 << 24;

/// Follows the position of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream {
    /// Offset after the last byte seen; `None` before the first chunk.
    next: Option<u64>,
}

/// Where a chunk lies, in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At `position`, after a hole of `gap` bytes.
    At {
        /// Offset of its first byte.
        position: u64,
        /// Bytes missing before it.
        gap: u64,
    },
    /// Behind what was seen already: two threads used the connection at once and their events
    /// came in the other order. Its bytes were given up as a gap.
    Late,
}

impl Stream {
    /// A stream whose next byte is at this offset.
    #[must_use]
    pub const fn at(next: u64) -> Self {
        Self { next: Some(next) }
    }

    /// Offset after the last byte seen.
    #[must_use]
    pub const fn next(&self) -> Option<u64> {
        self.next
    }

    /// Steps over bytes that are in the stream and in no chunk.
    pub fn pass(&mut self, length: u64) {
        self.next = self.next.map(|next| next.wrapping_add(length));
    }

    /// Places a chunk of `length` bytes. TCP gives sequence numbers of 32 bits (`wraps`), which
    /// are continued here; other positions are taken as they are. `perhaps_fin`: the position may
    /// be one too high, see [`clew_common::event::CHUNK_PERHAPS_FIN`].
    pub fn place(&mut self, raw: u64, length: u64, wraps: bool, perhaps_fin: bool) -> Place {
        let Some(next) = self.next else {
            self.next = Some(raw.wrapping_add(length));
            return Place::At {
                position: raw,
                gap: 0,
            };
        };
        let ahead = if wraps {
            // The nearest place with these low 32 bits.
            i64::from((raw as u32).wrapping_sub(next as u32) as i32)
        } else {
            raw.wrapping_sub(next) as i64
        };
        let ahead = if perhaps_fin && ahead == 1 { 0 } else { ahead };
        if ahead < 0 && ahead.unsigned_abs() <= REORDER_MAX {
            return Place::Late;
        }
        let position = next.wrapping_add_signed(ahead);
        self.next = Some(position.wrapping_add(length));
        Place::At {
            position,
            gap: ahead.max(0) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fin_that_was_read_is_no_gap() {
        let mut stream = Stream::default();
        stream.place(10, 10, true, false);
        let at = |position, gap| Place::At { position, gap };
        assert_eq!(stream.place(21, 4, true, true), at(20, 0));
        assert_eq!(stream.place(25, 4, true, true), at(24, 0));
        assert_eq!(stream.place(30, 4, true, true), at(30, 2));
    }

    #[test]
    fn bytes_that_were_inserted_are_no_gap() {
        let mut stream = Stream::default();
        let at = |position, gap| Place::At { position, gap };
        assert_eq!(stream.place(10, 10, true, false), at(10, 0));
        stream.pass(70);
        assert_eq!(stream.place(90, 5, true, false), at(90, 0));
        assert_eq!(stream.next(), Some(95));
    }

    #[test]
    fn places() {
        // (raw position, length, wraps) -> place, one stream after the other.
        let at = |position, gap| Place::At { position, gap };
        let cases: [&[(u64, u64, bool, Place)]; 4] = [
            &[
                (100, 10, true, at(100, 0)),
                (110, 5, true, at(110, 0)),
                (120, 5, true, at(120, 5)),
                (115, 5, true, Place::Late),
                (125, 1, true, at(125, 0)),
            ],
            // A sequence number that wraps goes on counting.
            &[
                (0xffff_fff0, 0x20, true, at(0xffff_fff0, 0)),
                (0x10, 4, true, at(0x1_0000_0010, 0)),
                (0x20, 4, true, at(0x1_0000_0020, 0xc)),
            ],
            // A gap of almost 2^31 is still a gap.
            &[
                (0, 1, true, at(0, 0)),
                (0x7fff_0000, 1, true, at(0x7fff_0000, 0x7ffe_ffff)),
            ],
            &[
                (0, 1 << 33, false, at(0, 0)),
                (1 << 33, 1, false, at(1 << 33, 0)),
            ],
        ];
        for case in cases {
            let mut stream = Stream::default();
            for &(raw, length, wraps, expected) in case {
                assert_eq!(
                    stream.place(raw, length, wraps, false),
                    expected,
                    "{case:?}"
                );
            }
        }
    }
}
