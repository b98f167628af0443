//! `OP_COMPRESSED`: the front of what it holds, where that is cheap to have.
//!
//! Not compressed at all (0), or by zlib (2); what snappy (1) and zstd (3) hold is left alone. Drivers
//! compress only when they are told to, and never handshakes and authentication (specification "OP_COMPRESSED",
//! section "Messages not allowed to be compressed").

use flate2::{Decompress, FlushDecompress};

use super::bson::{int32, length};

/// How much of a message is inflated: what names a command stands at its front.
pub(super) const SPACE: usize = 4096;
/// `originalOpcode`, `uncompressedSize`, `compressorId`.
const FRONT: usize = 9;

/// Inflates messages; its memory is taken when the first one comes.
#[derive(Debug, Default)]
pub(super) struct Inflate {
    zlib: Option<Box<Decompress>>,
}

/// What was inside.
pub(super) struct Inner<'a> {
    pub(super) code: i32,
    /// Its first bytes, after where a header would be.
    pub(super) bytes: &'a [u8],
    /// How long it is.
    pub(super) whole: usize,
}

impl Inflate {
    /// Opens what follows the header of a compressed message.
    pub(super) fn open<'a>(
        &mut self,
        bytes: &'a [u8],
        space: &'a mut [u8; SPACE],
    ) -> Option<Inner<'a>> {
        let (code, whole) = (int32(bytes, 0)?, length(bytes, 4)?);
        let packed = bytes.get(FRONT..)?;
        let bytes = match bytes[FRONT - 1] {
            0 => packed,
            2 => {
                let zlib = self
                    .zlib
                    .get_or_insert_with(|| Box::new(Decompress::new(true)));
                zlib.reset(true);
                // Cut or broken: what came out before that is good.
                let _ = zlib.decompress(packed, space, FlushDecompress::None);
                let length = usize::try_from(zlib.total_out()).unwrap_or_default();
                space.get(..length).filter(|bytes| !bytes.is_empty())?
            }
            _ => return None,
        };
        Some(Inner { code, bytes, whole })
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        // Its window and its tables.
        if self.zlib.is_some() { 48 * 1024 } else { 0 }
    }
}
