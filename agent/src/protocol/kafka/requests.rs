//! The direction that carries requests.

use crate::model::ParserEvent;
use crate::protocol::frames::Frame;

use super::api::{self, Kind};
use super::batch::Batch;
use super::exchange::{Asked, Ending};
use super::likeness::SIZE;
use super::reader::Reader;
use super::{Kafka, calls, messages, note};

impl Kafka {
    pub(super) fn request(&mut self, frame: &Frame<'_>, events: &mut Vec<ParserEvent>) {
        let mut reader = Reader::new(&frame.bytes[SIZE.min(frame.bytes.len())..]);
        let Some((mut asked, has_client)) = self.head(&mut reader, frame) else {
            self.pairs.misalign();
            return;
        };
        if self.pairs.is_empty() && self.answer.is_none() {
            self.pairs.align();
        }
        let readable = has_client && asked.is_known();
        let mut wants_answer = true;
        match asked.kind() {
            Kind::Produce if readable => {
                let mut batch = Batch::default();
                let setting = self.setting(asked.version);
                match messages::produce(&mut reader, &setting, &mut batch) {
                    Some(wants) => wants_answer = wants,
                    None => note::add(&mut asked.notes, note::REQUEST_CUT),
                }
                asked.batch = Some(Box::new(batch));
            }
            Kind::Fetch if readable => {
                asked.fetch = messages::fetch(&mut reader, &self.setting(asked.version));
            }
            Kind::Call | Kind::Settle | Kind::Waiting if readable => {
                let group = asked
                    .api
                    .and_then(|api| calls::group(api, asked.version, &mut reader));
                let longest = self.settings.limits.text;
                asked.group = group.map(|group| group[..group.floor_char_boundary(longest)].into());
            }
            _ => {}
        }
        if asked.kind() == Kind::Waiting {
            asked.notes.push(note::WAITED);
        }
        if !matches!(asked.kind(), Kind::Silent | Kind::Login | Kind::Fetch) {
            if has_client && !asked.is_known() {
                asked.notes.push(note::VERSION_UNKNOWN);
            }
            let context = asked.batch.as_ref().and_then(|batch| batch.context());
            self.start(&mut asked, frame.first, frame.last, context, events);
        }
        if !wants_answer {
            asked.notes.push(note::UNANSWERED);
            self.unanswered = Some(asked);
            return;
        }
        if let Some(end) = self.ended {
            self.cut_short(asked, &end, events);
            return;
        }
        self.held += asked.memory();
        if let Some((asked, answer)) = self.pairs.ask(asked.correlation, asked) {
            self.held = self
                .held
                .saturating_sub(asked.memory() + answer.bytes.len());
            self.pair(asked, &answer, events);
        }
        if self.pairs.len() > self.settings.limits.open
            && let Some(mut asked) = self.pop()
        {
            asked.notes.push(note::TOO_MANY_OPEN);
            self.finish(asked, None, Ending::lost(frame.last), events);
        }
    }

    /// Reads a request's header; and whether what comes after it can be read.
    pub(super) fn head(
        &mut self,
        reader: &mut Reader<'_>,
        frame: &Frame<'_>,
    ) -> Option<(Asked, bool)> {
        let key = reader.int16()?;
        let version = reader.int16()?;
        let correlation = reader.int32()?;
        let mut asked = Asked {
            exchange: None,
            api: api::find(key),
            version,
            correlation,
            position: frame.position,
            client: None,
            group: None,
            batch: None,
            fetch: messages::Fetch::default(),
            notes: Vec::new(),
        };
        let rest = self.client(reader, &mut asked);
        if rest.is_none() && frame.cut {
            note::add(&mut asked.notes, note::REQUEST_CUT);
        }
        Some((asked, rest.is_some()))
    }

    pub(super) fn client(&mut self, reader: &mut Reader<'_>, asked: &mut Asked) -> Option<()> {
        let client = reader.text()?;
        let client = std::str::from_utf8(client).ok()?;
        if self.client.as_deref() != Some(client) {
            let longest = self.settings.limits.text;
            let client = &client[..client.floor_char_boundary(longest)];
            self.client = (!client.is_empty()).then(|| client.into());
        }
        asked.client.clone_from(&self.client);
        // The client's name keeps its rigid length in all versions.
        reader.flexible = asked.is_flexible();
        reader.end()
    }
}
