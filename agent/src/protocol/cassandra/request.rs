//! What the client asks (section 4.1 of the specifications).

use std::sync::Arc;

use super::super::Settings;
use super::super::sql::{Dialect, Found};
use super::envelope::{COMPRESSED, CUSTOM_PAYLOAD, Header, Opcode};
use super::note;
use super::reader::Reader;
use super::statements::Told;
use crate::model::Note;

/// Most statements of a batch that are looked at.
const BATCH_MAX: usize = 64;

/// Bits of the flags of a query's parameters (section 4.1.4).
mod flag {
    pub const VALUES: u32 = 0x01;
    pub const PAGE_SIZE: u32 = 0x04;
    pub const PAGING_STATE: u32 = 0x08;
    pub const SERIAL: u32 = 0x10;
    pub const TIMESTAMP: u32 = 0x20;
    pub const NAMES: u32 = 0x40;
    pub const KEYSPACE: u32 = 0x80;
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// To execute a statement or a batch.
    Execute,
    /// To prepare a statement.
    Prepare,
    /// To begin, with the greatest version that the client understands.
    Startup,
    /// To be let in.
    Login,
    /// Something else.
    Other,
}

/// A request.
#[derive(Debug)]
pub struct Request {
    pub sort: Sort,
    pub told: Arc<Told>,
    pub consistency: Option<u16>,
    pub page_size: Option<i32>,
    /// How many statements a batch has.
    pub batch: Option<u16>,
    pub found: Found,
}

/// What STARTUP asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    pub compresses: bool,
}

impl Startup {
    /// Reads the body of a STARTUP (section 4.1.1).
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let mut startup = Self::default();
        for _ in 0..reader.short()? {
            let name = reader.string()?;
            let value = reader.string()?;
            startup.compresses |= name == b"COMPRESSION" && !value.is_empty();
        }
        Some(startup)
    }
}

/// Parameters behind a statement.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters<'a> {
    consistency: Option<u16>,
    page_size: Option<i32>,
    keyspace: Option<&'a [u8]>,
}

impl<'a> Parameters<'a> {
    /// Those of a query, as far as they are here.
    fn of_query(reader: &mut Reader<'a>, version: u8) -> Self {
        let mut all = Self::default();
        all.fill(reader, version);
        all
    }

    fn fill(&mut self, reader: &mut Reader<'a>, version: u8) -> Option<()> {
        self.consistency = Some(reader.short()?);
        let flags = flags(reader, version)?;
        if flags & flag::VALUES != 0 {
            for _ in 0..reader.short()? {
                if flags & flag::NAMES != 0 {
                    reader.string()?;
                }
                reader.bytes()?;
            }
        }
        if flags & flag::PAGE_SIZE != 0 {
            self.page_size = Some(reader.int()?);
        }
        if flags & flag::PAGING_STATE != 0 {
            reader.bytes()?;
        }
        self.fill_end(reader, flags, version)
    }

    /// Those of a batch.
    fn of_batch(reader: &mut Reader<'a>, version: u8) -> Self {
        let mut all = Self {
            consistency: reader.short(),
            ..Self::default()
        };
        if let Some(flags) = flags(reader, version) {
            all.fill_end(reader, flags, version);
        }
        all
    }

    fn fill_end(&mut self, reader: &mut Reader<'a>, flags: u32, version: u8) -> Option<()> {
        if flags & flag::SERIAL != 0 {
            reader.short()?;
        }
        if flags & flag::TIMESTAMP != 0 {
            reader.take(8)?;
        }
        if flags & flag::KEYSPACE != 0 && version >= 5 {
            self.keyspace = Some(reader.string()?);
        }
        Some(())
    }
}

fn flags(reader: &mut Reader<'_>, version: u8) -> Option<u32> {
    match version {
        3 | 4 => reader.byte().map(u32::from),
        _ => reader.int().map(i32::cast_unsigned),
    }
}

/// What is known where a request is read.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    pub keyspace: Option<&'a Arc<str>>,
    pub settings: &'a Settings,
}

impl Session<'_> {
    /// Reads a request, of which perhaps only the beginning is here.
    pub fn request(&self, header: &Header, body: &[u8]) -> Request {
        let mut request = Request {
            sort: match header.opcode {
                Opcode::Query | Opcode::Execute | Opcode::Batch => Sort::Execute,
                Opcode::Prepare => Sort::Prepare,
                Opcode::Startup => Sort::Startup,
                Opcode::AuthResponse => Sort::Login,
                _ => Sort::Other,
            },
            told: Arc::default(),
            consistency: None,
            page_size: None,
            batch: None,
            found: Found::NONE,
        };
        if !matches!(request.sort, Sort::Execute | Sort::Prepare) {
            return request;
        }
        if header.flags & COMPRESSED != 0 {
            request.told = self.nameless(header.opcode, note::COMPRESSED);
            return request;
        }
        let mut reader = Reader::new(body);
        if header.flags & CUSTOM_PAYLOAD != 0 {
            match payload(&mut reader) {
                Some(fields) => {
                    let fields = fields.iter().copied();
                    request.found = Found::of_fields(fields, self.settings);
                }
                None => {
                    request.told = self.nameless(header.opcode, note::REQUEST_CUT);
                    return request;
                }
            }
        }
        let told = match header.opcode {
            Opcode::Query => self.query(&mut request, reader, header.version),
            Opcode::Prepare => self.prepare(reader, header.version),
            Opcode::Execute => self.execute(&mut request, reader, header.version),
            _ => self.batch(&mut request, reader, header.version),
        };
        request.told = told.unwrap_or_else(|| self.nameless(header.opcode, note::REQUEST_CUT));
        request
    }

    /// What is told of a message that cannot be read.
    fn nameless(&self, opcode: Opcode, note: Note) -> Arc<Told> {
        let operation = match opcode {
            Opcode::Query => "QUERY",
            Opcode::Prepare => "PREPARE",
            Opcode::Execute => "EXECUTE",
            _ => "BATCH",
        };
        Arc::new(Told::named(operation, self.keyspace, Some(note)))
    }

    fn told(&self, text: &[u8], cut: bool, keyspace: Option<&[u8]>) -> Arc<Told> {
        let text = String::from_utf8_lossy(text);
        let own = keyspace.map(|name| Arc::from(String::from_utf8_lossy(name)));
        let keyspace = own.as_ref().or(self.keyspace);
        Arc::new(Told::of(&text, cut, keyspace, self.settings))
    }

    fn query(
        &self,
        request: &mut Request,
        mut reader: Reader<'_>,
        version: u8,
    ) -> Option<Arc<Told>> {
        let (text, cut) = reader.long_string()?;
        if request.found.context.is_none() && request.found.note.is_none() {
            let text = String::from_utf8_lossy(text);
            request.found = Found::of_text(&text, Dialect::Cql, self.settings);
        }
        let parameters = Parameters::of_query(&mut reader, version);
        request.consistency = parameters.consistency;
        request.page_size = parameters.page_size;
        Some(self.told(text, cut, parameters.keyspace))
    }

    fn prepare(&self, mut reader: Reader<'_>, version: u8) -> Option<Arc<Told>> {
        const KEYSPACE: i32 = 0x01;
        let (text, cut) = reader.long_string()?;
        let keyspace = match version {
            3 | 4 => None,
            _ => reader.int().filter(|flags| flags & KEYSPACE != 0),
        };
        let keyspace = keyspace.and_then(|_| reader.string());
        Some(self.told(text, cut, keyspace))
    }

    fn execute(
        &self,
        request: &mut Request,
        mut reader: Reader<'_>,
        version: u8,
    ) -> Option<Arc<Told>> {
        let id = reader.string()?;
        if version >= 5 {
            // The id of the result's metadata.
            reader.string()?;
        }
        let parameters = Parameters::of_query(&mut reader, version);
        request.consistency = parameters.consistency;
        request.page_size = parameters.page_size;
        let told = self.settings.prepared.find(id);
        Some(told.unwrap_or_else(|| {
            let unseen = Told::named("EXECUTE", self.keyspace, Some(note::STATEMENT_UNSEEN));
            Arc::new(unseen)
        }))
    }

    fn batch(
        &self,
        request: &mut Request,
        mut reader: Reader<'_>,
        version: u8,
    ) -> Option<Arc<Told>> {
        reader.byte()?;
        let count = reader.short()?;
        request.batch = (count > 1).then_some(count);
        // Of the same statement with other values, one is enough.
        let mut all: Vec<Arc<Told>> = Vec::new();
        let mut texts: Vec<&[u8]> = Vec::new();
        let mut why = None;
        for _ in 0..count {
            let Some((is_text, text, cut)) = batched(&mut reader) else {
                why = Some(note::REQUEST_CUT);
                break;
            };
            if texts.contains(&text) {
                continue;
            }
            if all.len() == BATCH_MAX {
                why = why.or(Some(note::REQUEST_CUT));
                continue;
            }
            let known = match is_text {
                true => Some(self.told(text, cut, None)),
                false => self.settings.prepared.find(text),
            };
            match known {
                Some(told) => all.push(told),
                None => why = Some(note::STATEMENT_UNSEEN),
            }
            texts.push(text);
        }
        let parameters = match why {
            Some(note::REQUEST_CUT) => Parameters::default(),
            _ => Parameters::of_batch(&mut reader, version),
        };
        request.consistency = parameters.consistency;
        let own = parameters
            .keyspace
            .map(|name| Arc::from(String::from_utf8_lossy(name)));
        let keyspace = own.as_ref().or(self.keyspace);
        Some(match &all[..] {
            [one] if count == 1 => Arc::clone(one),
            all => Arc::new(Told::batch(all, why, keyspace, self.settings.limits.text)),
        })
    }
}

/// One statement of a batch: whether it is a text, that or its id, and whether it is cut.
fn batched<'a>(reader: &mut Reader<'a>) -> Option<(bool, &'a [u8], bool)> {
    let is_text = reader.byte()? == 0;
    let (text, cut) = match is_text {
        true => reader.long_string()?,
        false => (reader.string()?, false),
    };
    if cut {
        return Some((is_text, text, cut));
    }
    for _ in 0..reader.short()? {
        reader.bytes()?;
    }
    Some((is_text, text, cut))
}

/// The fields of a custom payload, `[bytes map]`.
pub fn payload<'a>(reader: &mut Reader<'a>) -> Option<Vec<(&'a [u8], &'a [u8])>> {
    const MOST: usize = 32;
    let mut fields = Vec::new();
    for _ in 0..reader.short()? {
        let name = reader.string()?;
        let value = reader.bytes()?;
        if fields.len() < MOST {
            fields.push((name, value));
        }
    }
    Some(fields)
}

/// The name of a consistency level (section 3), as the semantic conventions write it.
pub fn consistency(level: u16) -> Option<&'static str> {
    Some(match level {
        0x00 => "any",
        0x01 => "one",
        0x02 => "two",
        0x03 => "three",
        0x04 => "quorum",
        0x05 => "all",
        0x06 => "local_quorum",
        0x07 => "each_quorum",
        0x08 => "serial",
        0x09 => "local_serial",
        0x0a => "local_one",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(opcode: Opcode, version: u8, flags: u8, body: &[u8]) -> Request {
        let keyspace = Arc::from("session");
        let session = Session {
            keyspace: Some(&keyspace),
            settings: &Settings::default(),
        };
        let header = Header {
            version,
            is_request: true,
            flags,
            stream: 1,
            opcode,
            length: u32::try_from(body.len()).unwrap(),
        };
        session.request(&header, body)
    }

    #[test]
    fn parameters() {
        // Named values, page size, paging state, serial consistency, a timestamp and a keyspace.
        let query = b"\0\0\0\x0fSELECT * FROM t\0\x06\0\0\0\xfd\0\x01\0\x01a\0\0\0\x02xy\0\0\0\x64\
                      \0\0\0\x01p\0\x08\0\0\0\0\0\0\0\x01\0\x03own";
        let request = read(Opcode::Query, 5, 0, query);
        assert_eq!(
            request.consistency.and_then(consistency),
            Some("local_quorum")
        );
        assert_eq!(request.page_size, Some(100));
        assert_eq!(request.told.keyspace.as_deref(), Some("own"));
        assert_eq!(request.told.name(), "SELECT t");
        // Cut everywhere: what is told stays true.
        for end in 0..query.len() {
            let request = read(Opcode::Query, 5, 0, &query[..end]);
            assert!(request.page_size.is_none_or(|size| size == 100), "{end}");
            assert_eq!(request.told.note.is_some(), end < 19, "{end}");
        }
        // The flags of version 4 have one byte.
        let query = b"\0\0\0\x0fSELECT * FROM t\0\x0a\x04\0\0\0\x07";
        let request = read(Opcode::Query, 4, 0, query);
        assert_eq!(request.consistency.and_then(consistency), Some("local_one"));
        assert_eq!(
            (request.page_size, request.told.keyspace.as_deref()),
            (Some(7), Some("session"))
        );
    }

    #[test]
    fn prepare_in_a_keyspace() {
        let prepare = b"\0\0\0\x0fSELECT * FROM t\0\0\0\x01\0\x03own";
        let request = read(Opcode::Prepare, 5, 0, prepare);
        assert_eq!(request.told.keyspace.as_deref(), Some("own"));
        let request = read(Opcode::Prepare, 4, 0, &prepare[..19]);
        assert_eq!(request.told.keyspace.as_deref(), Some("session"));
    }

    #[test]
    fn batches() {
        let mut batch = b"\0\0\x02".to_vec();
        batch.extend(b"\0\0\0\0\x14INSERT INTO t VALUES\0\x01\0\0\0\x01a");
        batch.extend(b"\0\0\0\0\x14INSERT INTO t VALUES\0\x01\xff\xff\xff\xff\0\x04\0");
        let request = read(Opcode::Batch, 4, 0, &batch);
        assert_eq!(request.told.name(), "BATCH INSERT t");
        assert_eq!((request.batch, request.consistency), (Some(2), Some(4)));
        let request = read(Opcode::Batch, 4, 0, &batch[..40]);
        assert_eq!(request.told.note, Some(note::REQUEST_CUT));
        assert_eq!((request.batch, request.consistency), (Some(2), None));
        // A prepared one that nobody saw.
        let request = read(Opcode::Batch, 4, 0, b"\0\0\x01\x01\0\x02ab\0\0\0\x04\0");
        assert_eq!(request.told.note, Some(note::STATEMENT_UNSEEN));
        assert_eq!((request.batch, request.consistency), (None, Some(4)));
    }

    #[test]
    fn contexts_in_custom_payloads() {
        let value = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut body = b"\0\x02\0\x01x\xff\xff\xff\xff\0\x0btraceparent\0\0\0\x37".to_vec();
        body.extend(value);
        body.extend(b"\0\0\0\x08SELECT 1\0\x01\0");
        let request = read(Opcode::Query, 4, CUSTOM_PAYLOAD, &body);
        assert!(request.found.context.is_some() && request.found.note.is_none());
        assert_eq!(request.told.name(), "SELECT");
        let request = read(Opcode::Query, 4, CUSTOM_PAYLOAD, &body[..40]);
        assert_eq!(request.told.note, Some(note::REQUEST_CUT));
    }

    #[test]
    fn beginnings() {
        let body = b"\0\x02\0\x0bCQL_VERSION\0\x053.0.0\0\x0bCOMPRESSION\0\x03lz4";
        let compresses = |body: &[u8]| Startup::read(body).map(|startup| startup.compresses);
        assert_eq!(compresses(body), Some(true));
        assert_eq!(
            compresses(b"\0\x01\0\x0bCQL_VERSION\0\x053.0.0"),
            Some(false)
        );
        assert_eq!(compresses(&body[..30]), None);
    }
}
