//! Where trace and span ids come from.

use rand::rngs::{SmallRng, SysError, SysRng};
use rand::{Rng, SeedableRng};

use crate::model::{SpanId, TraceId};

/// Makes ids. Never gives the invalid all-zero id (W3C Trace Context, sections 3.2.2.3 and
/// 3.2.2.4).
pub trait IdSource: Send {
    /// A new trace id.
    fn trace_id(&mut self) -> TraceId;
    /// A new span id.
    fn span_id(&mut self) -> SpanId;
    /// Whether the last 56 bits of its trace ids are random, each value as likely as any other (W3C
    /// Trace Context Level 2, "Random Trace ID Flag").
    fn is_random(&self) -> bool;
}

/// Random ids.
///
/// The generator is xoshiro256++: its 256 bits of state, seeded by the kernel, keep the streams of
/// thousands of agents apart, which a generator with 64 bits of state would not. Ids are names, not
/// secrets; a cryptographic generator would buy nothing.
#[derive(Debug)]
pub struct RandomIds(SmallRng);

impl RandomIds {
    /// A source seeded by the operating system.
    ///
    /// # Errors
    /// Where the system has no entropy to give.
    pub fn from_system() -> Result<Self, SysError> {
        Ok(Self(SmallRng::try_from_rng(&mut SysRng)?))
    }
}

impl IdSource for RandomIds {
    fn trace_id(&mut self) -> TraceId {
        let high = u128::from(self.0.next_u64());
        TraceId(((high << 64) | u128::from(self.0.next_u64())).max(1))
    }

    fn span_id(&mut self) -> SpanId {
        SpanId(self.0.next_u64().max(1))
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// Ids that count from 1: the same events give the same spans, for tests and replays.
#[derive(Debug, Default)]
pub struct SequentialIds {
    traces: u128,
    spans: u64,
}

impl IdSource for SequentialIds {
    fn trace_id(&mut self) -> TraceId {
        self.traces += 1;
        TraceId(self.traces)
    }

    fn span_id(&mut self) -> SpanId {
        self.spans += 1;
        SpanId(self.spans)
    }

    fn is_random(&self) -> bool {
        false
    }
}
