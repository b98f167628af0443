//! The direction that carries answers.

use crate::model::{Outcome, ParserEvent};
use crate::protocol::frames::Moved;
use crate::protocol::pairs::Answered;

use super::api::Kind;
use super::batch::{Batch, One};
use super::exchange::{self, Answer, Asked, Ending};
use super::reader::Reader;
use super::{EARLY_MAX, Kafka, calls, messages, note};

impl Kafka {
    /// Requests before the one that is answered were answered unseen.
    pub(super) fn pass_over(
        &mut self,
        correlation: i32,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        if self.pairs.find(&correlation).is_none() {
            return;
        }
        while (self.pairs.oldest()).is_some_and(|asked| asked.correlation != correlation) {
            let Some(mut asked) = self.pop() else { return };
            note::add(&mut asked.notes, note::RESPONSE_UNSEEN);
            self.finish(asked, None, Ending::lost(now), events);
        }
    }

    pub(super) fn answered(&mut self, mut answer: Answer, events: &mut Vec<ParserEvent>) {
        let correlation = answer.correlation;
        self.pass_over(correlation, answer.first, events);
        if self.pairs.is_empty() && answer.bytes.len() > EARLY_MAX {
            answer.bytes.truncate(EARLY_MAX);
            answer.bytes.shrink_to_fit();
            answer.cut = true;
        }
        let held = answer.bytes.len();
        match self.pairs.answer(correlation, answer) {
            Answered::Meets(asked, answer) => {
                self.held = self.held.saturating_sub(asked.memory());
                self.pair(asked, &answer, events);
            }
            Answered::Waits => self.held += held,
            Answered::Unasked => {}
        }
    }

    /// An answer was lost half way.
    pub(super) fn answer_lost(&mut self, answer: &Answer, events: &mut Vec<ParserEvent>) {
        self.pass_over(answer.correlation, answer.first, events);
        if self.pairs.find(&answer.correlation).is_some()
            && let Some(mut asked) = self.pop()
        {
            note::add(&mut asked.notes, note::GAP);
            self.finish(asked, None, Ending::lost(answer.first), events);
        }
    }

    /// A request has its answer.
    pub(super) fn pair(
        &mut self,
        mut asked: Asked,
        answer: &Answer,
        events: &mut Vec<ParserEvent>,
    ) {
        let mut reader = Reader::new(&answer.bytes);
        reader.flexible = asked.is_flexible();
        let mut ending = Ending::answered(answer.end, 0);
        let unread = |asked: &mut Asked, ending: &mut Ending| {
            if answer.cut {
                ending.outcome = Outcome::Lost;
                note::add(&mut asked.notes, note::RESPONSE_CUT);
            } else {
                note::add(&mut asked.notes, note::RESPONSE_STRANGE);
            }
        };
        if !asked.is_known() {
            self.finish(asked, None, ending, events);
            return;
        }
        // The tagged fields of its header, in flexible versions.
        let head = reader.end();
        let setting = self.setting(asked.version);
        match asked.kind() {
            Kind::Produce => {
                let mut batch = Batch::default();
                let read =
                    head.and_then(|()| messages::produce_answer(&mut reader, &setting, &mut batch));
                if read.is_none() {
                    unread(&mut asked, &mut ending);
                }
                ending.code = batch.error.unwrap_or(0);
                let sent = asked.batch.take().map(|batch| *batch).unwrap_or_default();
                let batch = exchange::merged(sent, batch);
                self.finish(asked, Some(&batch), ending, events);
            }
            Kind::Fetch => {
                let mut batch = Batch::default();
                let fetched = messages::fetch_answer(&mut reader, &setting, &mut batch);
                let failed = batch.error.is_some();
                if asked.fetch.replica || !(fetched.some || failed) {
                    return;
                }
                if !fetched.sure {
                    unread(&mut asked, &mut ending);
                }
                if let Some((partition, from)) = asked.fetch.from
                    && batch.partition == One::Is(partition)
                {
                    batch.offset = batch.offset.map(|offset| offset.max(from));
                }
                ending.code = batch.error.unwrap_or(0);
                self.start(&mut asked, answer.first, answer.end, None, events);
                self.finish(asked, Some(&batch), ending, events);
            }
            Kind::Call | Kind::Settle | Kind::Waiting => {
                let error = head.and_then(|()| {
                    let api = asked.api?;
                    calls::error(api, asked.version, &mut reader, &self.settings.topics)
                });
                match error {
                    Some(error) => ending.code = error,
                    None => unread(&mut asked, &mut ending),
                }
                self.finish(asked, None, ending, events);
            }
            Kind::Login => {
                let error = head.and_then(|()| reader.int16()).unwrap_or(0);
                if error != 0 {
                    ending.code = error;
                    self.start(&mut asked, answer.first, answer.end, None, events);
                    self.finish(asked, None, ending, events);
                }
            }
            Kind::Silent => {}
        }
    }
}
