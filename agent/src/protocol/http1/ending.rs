//! What the end of a connection, or of one of its directions, means for open exchanges.
//!
//! The values of `error.type` for what is not a status: `connection_closed` (in order, but too
//! early), `connection_reset`, `timeout`, `connection_failed` (any other error), `process_exited`.

use crate::model::{ConnectionEnd, Direction, EndReason, ParserEvent, Side};
use crate::protocol::ending;

use super::exchange::Ending;
use super::lane::Lane;
use super::likeness::Kind;
use super::{Http1, index, note};

impl Http1 {
    pub(in crate::protocol) fn end(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let directions: &[Direction] = match end.reason {
            EndReason::PeerClosed => &[Direction::Received],
            EndReason::LocalClosed => &[Direction::Sent],
            _ => &[Direction::Received, Direction::Sent],
        };
        for &direction in directions {
            self.ends[index(direction)].get_or_insert(*end);
        }
        if let Some(requests) = self.requests {
            if directions.contains(&requests) {
                self.end_requests(events);
            }
            if directions.contains(&requests.opposite()) {
                self.end_responses(end, events);
            }
        }
        if self.ends.iter().all(Option::is_some) {
            // Answers that nobody asked for stay unasked.
            self.exchanges.early.clear();
            self.lanes.iter_mut().for_each(Lane::close);
        }
    }

    /// A head that was begun will not become more complete.
    fn end_requests(&mut self, events: &mut Vec<ParserEvent>) {
        if let Some(head) = self.request_lane().take_unfinished(Kind::Requests) {
            let now = self.last[index(self.requests.unwrap_or(Direction::Received))];
            self.begin_request(&head, now, events);
        }
    }

    /// No response will come any more, and the present one is as long as it gets.
    pub(in crate::protocol) fn end_responses(
        &mut self,
        end: &ConnectionEnd,
        events: &mut Vec<ParserEvent>,
    ) {
        if self.responses_ended.is_some() {
            return;
        }
        let closing = closing(end);
        self.responses_ended = Some(closing);
        let mut ending = closing;
        if let Some(head) = self.response_lane().take_unfinished(Kind::Responses) {
            let now = self.last[index(self.requests.unwrap_or(Direction::Received).opposite())];
            self.begin_response(&head, now, events);
        } else if self.ends_in_order(end.reason) {
            ending = Ending::Complete;
        }
        // Further responses may lie among bytes that were not seen: their requests were perhaps
        // answered, so nothing is asserted about them.
        let rest = if self.response_lane().is_unframed() {
            Ending::Lost(note::RESPONSE_HEAD_UNSEEN)
        } else {
            closing
        };
        self.response_lane().close();
        if let Some(response) = self.exchanges.current() {
            response.ending = Some(ending);
        }
        self.settle(events);
        self.exchanges.finish_from(0, rest, events);
    }

    /// Whether the end of the direction is how its present response is meant to end.
    fn ends_in_order(&mut self, reason: EndReason) -> bool {
        let exits_as_server = self.exchanges.side == Side::Server;
        let lane = self.response_lane();
        match reason {
            EndReason::PeerClosed | EndReason::LocalClosed | EndReason::Closed => {
                lane.is_until_close() || lane.is_unframed()
            }
            EndReason::ProcessExited => exits_as_server && lane.is_until_close(),
            EndReason::Failed(_) | EndReason::Forgotten => false,
        }
    }
}

/// How an exchange ends that is cut short by this end.
pub(in crate::protocol) fn closing(end: &ConnectionEnd) -> Ending {
    let Some(error) = ending::error_type(end.reason) else {
        return Ending::Lost(ending::FORGOTTEN);
    };
    Ending::Aborted {
        error,
        time: end.time,
    }
}
