//! What the formats have in common: ids and a decision. Plain numbers, so that reading a header
//! allocates nothing and the kernel side may do it the same way.

use crate::model::{Origin, RemoteContext, SpanId, TraceFlags, TraceId};

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// 0 where it carries a decision alone.
    pub trace_id: u128,
    /// 0 where it names no span.
    pub span_id: u64,
    /// `None` where the decision is left to the receiver.
    pub sampled: Option<bool>,
}

impl Ids {
    /// A sampling decision without ids.
    #[must_use]
    pub const fn decision(sampled: bool) -> Self {
        Self {
            trace_id: 0,
            span_id: 0,
            sampled: Some(sampled),
        }
    }

    /// The same for the rest of the agent.
    #[must_use]
    pub fn context(self) -> RemoteContext {
        RemoteContext {
            origin: (self.trace_id != 0).then_some(Origin {
                trace_id: TraceId(self.trace_id),
                span_id: (self.span_id != 0).then_some(SpanId(self.span_id)),
            }),
            flags: self.sampled.map(|sampled| match sampled {
                true => TraceFlags::SAMPLED,
                false => TraceFlags::NONE,
            }),
            state: None,
        }
    }
}

/// Writes as tests compare them: `trace span decision`.
#[cfg(test)]
pub(super) fn shown(ids: Option<Ids>) -> String {
    let Some(ids) = ids else {
        return "none".to_owned();
    };
    let decision = match ids.sampled {
        Some(true) => "sampled",
        Some(false) => "unsampled",
        None => "deferred",
    };
    format!("{:032x} {:016x} {decision}", ids.trace_id, ids.span_id)
}
