//! Where the fields of kernel structs lie, from the running kernel's BTF
//! (Documentation/bpf/btf.rst).
//!
//! aya reads BTF too, but keeps the members of types to itself. Only what is needed to find a
//! field is read here: names, members, and the length of every other kind of record.

use std::{fs, path::Path};

use thiserror::Error;

/// Where the kernel keeps its own BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why an offset could not be found.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The file is not there or cannot be read.
    #[error("reading the kernel's type information from {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not BTF, or cut.
    #[error("the kernel's type information is malformed at byte {0}")]
    Malformed(usize),
    /// There is no such struct or field.
    #[error("this kernel has no field `{field}` in `struct {owner}`")]
    NoField {
        /// The struct.
        owner: String,
        /// The field, with dots where it lies inside another one.
        field: String,
    },
}

const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FUNC: u32 = 12;

/// A parsed BTF blob.
pub struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Where the record of each type begins; type ids start at 1, so entry 0 is unused.
    types: Vec<usize>,
}

struct Member {
    name: String,
    kind_of: u32,
    bits: u32,
}

impl Btf {
    /// Reads the running kernel's BTF.
    ///
    /// # Errors
    ///
    /// The file is missing (kernel built without `CONFIG_DEBUG_INFO_BTF`), unreadable or malformed.
    pub fn of_running_kernel() -> Result<Self, BtfError> {
        Self::from_file(Path::new(VMLINUX))
    }

    /// Reads BTF from a file.
    ///
    /// # Errors
    ///
    /// As for [`Self::of_running_kernel`].
    pub fn from_file(path: &Path) -> Result<Self, BtfError> {
        let bytes = fs::read(path).map_err(|source| BtfError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(bytes)
    }

    /// Parses a BTF blob.
    ///
    /// # Errors
    ///
    /// [`BtfError::Malformed`] where a record reaches beyond the blob.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        const MAGIC: u16 = 0xeb9f;
        let mut btf = Self {
            bytes,
            strings: 0,
            types: vec![0],
        };
        if (btf.word(0)? & 0xffff) as u16 != MAGIC {
            return Err(BtfError::Malformed(0));
        }
        let header = btf.word(4)? as usize;
        let (type_at, type_len) = (btf.word(8)? as usize, btf.word(12)? as usize);
        btf.strings = header + btf.word(16)? as usize;
        let mut at = header + type_at;
        let end = at + type_len;
        while at < end {
            btf.types.push(at);
            at += btf.record_length(at)?;
        }
        Ok(btf)
    }

    /// The byte offset of a field. `field` may name a field inside a field (`ns.inum`), and several
    /// names that it has had (`__iov|iov`); anonymous structs and unions on the way are looked through.
    ///
    /// # Errors
    ///
    /// [`BtfError::NoField`].
    pub fn offset(&self, owner: &str, field: &str) -> Result<u32, BtfError> {
        let missing = || BtfError::NoField {
            owner: owner.to_owned(),
            field: field.to_owned(),
        };
        let mut current = self.find_struct(owner)?.ok_or_else(missing)?;
        let mut bits = 0;
        for name in field.split('.') {
            let mut found = None;
            for name in name.split('|') {
                found = found.or(self.member(current, name, 0)?);
            }
            let (offset, kind_of) = found.ok_or_else(missing)?;
            bits += offset;
            current = kind_of;
        }
        Ok(bits / 8)
    }

    fn find_struct(&self, name: &str) -> Result<Option<u32>, BtfError> {
        for (id, &at) in self.types.iter().enumerate().skip(1) {
            let info = self.word(at + 4)?;
            if kind(info) == KIND_STRUCT
                && info & 0xffff != 0
                && self.string_is(self.word(at)?, name)
            {
                return Ok(Some(id as u32));
            }
        }
        Ok(None)
    }

    /// Whether the kernel has a function that programs may attach to.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.types.iter().skip(1).any(|&at| {
            let record = self
                .word(at)
                .and_then(|name| Ok((name, self.word(at + 4)?)));
            matches!(record, Ok((string, info))
                if kind(info) == KIND_FUNC && self.string_is(string, name))
        })
    }

    /// The value of an enumerator, of whatever enumeration.
    ///
    /// # Errors
    ///
    /// [`BtfError::Malformed`].
    pub fn enumerator(&self, name: &str) -> Result<Option<u32>, BtfError> {
        for &at in self.types.iter().skip(1) {
            let info = self.word(at + 4)?;
            if kind(info) != KIND_ENUM {
                continue;
            }
            for index in 0..(info & 0xffff) as usize {
                let enumerator = at + 12 + index * 8;
                if self.string_is(self.word(enumerator)?, name) {
                    return self.word(enumerator + 4).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Offset in bits and type of a member. `depth` bounds the anonymous nesting that hostile or
    /// broken input could make endless.
    fn member(&self, id: u32, name: &str, depth: u32) -> Result<Option<(u32, u32)>, BtfError> {
        const DEPTH_MAX: u32 = 16;
        if depth > DEPTH_MAX {
            return Ok(None);
        }
        let Some(&at) = self.types.get(id as usize) else {
            return Ok(None);
        };
        let info = self.word(at + 4)?;
        if !matches!(kind(info), KIND_STRUCT | KIND_UNION) {
            return Ok(None);
        }
        for index in 0..(info & 0xffff) as usize {
            let member = self.read_member(at + 12 + index * 12, info)?;
            if member.name == name {
                return Ok(Some((member.bits, member.kind_of)));
            }
            if member.name.is_empty()
                && let Some((bits, kind_of)) = self.member(member.kind_of, name, depth + 1)?
            {
                return Ok(Some((member.bits + bits, kind_of)));
            }
        }
        Ok(None)
    }

    fn read_member(&self, at: usize, info: u32) -> Result<Member, BtfError> {
        let offset = self.word(at + 8)?;
        // With the kind flag set, the top byte is a bit field's width.
        let bits = if info >> 31 == 1 {
            offset & 0x00ff_ffff
        } else {
            offset
        };
        Ok(Member {
            name: self.string(self.word(at)?),
            kind_of: self.word(at + 4)?,
            bits,
        })
    }

    fn record_length(&self, at: usize) -> Result<usize, BtfError> {
        let info = self.word(at + 4)?;
        let count = (info & 0xffff) as usize;
        let tail = match kind(info) {
            1 | 14 | 17 => 4,                                 // INT, VAR, DECL_TAG
            KIND_ARRAY => 12,                                 //
            KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * count, // and DATASEC, ENUM64
            KIND_ENUM | 13 => 8 * count,                      // and FUNC_PROTO
            2 | 7..=KIND_FUNC | 16 | 18 => 0,                 // PTR, FWD to FUNC, FLOAT, TYPE_TAG
            _ => return Err(BtfError::Malformed(at)),
        };
        Ok(12 + tail)
    }

    fn word(&self, at: usize) -> Result<u32, BtfError> {
        self.bytes
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes)
            .ok_or(BtfError::Malformed(at))
    }

    fn raw_string(&self, offset: u32) -> &[u8] {
        let tail = self
            .bytes
            .get(self.strings + offset as usize..)
            .unwrap_or_default();
        let end = tail.iter().position(|&byte| byte == 0).unwrap_or(0);
        &tail[..end]
    }

    fn string(&self, offset: u32) -> String {
        String::from_utf8_lossy(self.raw_string(offset)).into_owned()
    }

    fn string_is(&self, offset: u32, text: &str) -> bool {
        self.raw_string(offset) == text.as_bytes()
    }
}

const fn kind(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_refused() {
        for bytes in [&b""[..], b"\x9f\xeb", b"not BTF at all, really"] {
            assert!(Btf::parse(bytes.to_vec()).is_err());
        }
    }

    #[test]
    fn offsets_of_the_running_kernel() {
        // Kernel ABI in all but name: these have not moved in a decade.
        let Ok(btf) = Btf::of_running_kernel() else {
            eprintln!("skipped: no BTF on this host");
            return;
        };
        assert_eq!(btf.offset("sock_common", "skc_family").unwrap(), 16);
        assert_eq!(btf.offset("sock_common", "skc_num").unwrap(), 14);
        assert!(btf.offset("net", "ns.inum").unwrap() > 0);
        let error = btf.offset("sock", "no_such_field").unwrap_err();
        assert_eq!(
            error.to_string(),
            "this kernel has no field `no_such_field` in `struct sock`"
        );
    }
}
