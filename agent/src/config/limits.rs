//! Every limit of the agent, in one place.
//!
//! Reaching one drops the least valuable thing and counts it
//! ([`crate::metrics::Drop`]); none ends in an error or in growing memory.

use super::layers::Layers;
use super::value::Size;

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr),+ $(,)?) => {
        /// The limits, all settable under `limits:`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Limits { $($(#[doc = $doc])+ pub $name: $type),+ }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default),+ }
            }
        }

        impl Limits {
            pub(super) fn read(layers: &mut Layers<'_>) -> Self {
                Self { $($name: layers.value(
                    concat!("limits.", stringify!($name)),
                    &[],
                    concat!($($doc),+).trim(),
                    $default,
                )),+ }
            }
        }
    };
}

limits! {
    /// Connections followed at once; beyond it the one idle for longest is let go.
    connections: usize = 65_536,
    /// Exchanges open at once; beyond it the oldest is let go.
    open_exchanges: usize = 65_536,
    /// Exchanges open at once on one connection (pipelining).
    pipelined_exchanges: usize = 256,
    /// Bytes of one message's head that a parser keeps; what is beyond is not understood.
    head_bytes: Size = Size::kib(16),
    /// Bytes that all parsers together hold.
    parser_memory: Size = Size::mib(32),
    /// Finished spans held back until the other end of their connection is known.
    held_spans: usize = 16_384,
    /// Processes remembered, those that have ended included.
    processes: usize = 16_384,
    /// Bytes of spans that wait for export; beyond it, or `batch.max_queue_size`, the oldest drop.
    export_queue_bytes: Size = Size::mib(32),
}
