//! The header fields that may carry a context, picked out while a message's head is read.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::w3c::STATE_MAX;

/// What repeated fields leave that do not agree: nothing that any format understands.
const CONTRADICTION: &[u8] = b"";

/// The values of all fields that some format knows, as slices of the head.
///
/// A field that is repeated is treated as its format says: `traceparent` counts for nothing then,
/// `tracestate` goes on, the first of `X-B3-*` holds. The others say nothing of it; repeated with
/// another value, they count for nothing, since a wrong parent is worse than none.
#[derive(Clone, Debug, Default)]
pub struct Carrier<'a> {
    pub(super) traceparent: Option<&'a [u8]>,
    /// All `tracestate` values, joined by commas.
    pub(super) tracestate: Option<Cow<'a, [u8]>>,
    pub(super) b3: Option<&'a [u8]>,
    pub(super) b3_trace: Option<&'a [u8]>,
    pub(super) b3_span: Option<&'a [u8]>,
    pub(super) b3_sampled: Option<&'a [u8]>,
    pub(super) b3_flags: Option<&'a [u8]>,
    pub(super) jaeger: Option<&'a [u8]>,
    pub(super) xray: Option<&'a [u8]>,
    pub(super) cloud_trace: Option<&'a [u8]>,
    pub(super) datadog_trace: Option<&'a [u8]>,
    pub(super) datadog_parent: Option<&'a [u8]>,
    pub(super) datadog_priority: Option<&'a [u8]>,
    pub(super) datadog_tags: Option<&'a [u8]>,
    pub(super) skywalking: Option<&'a [u8]>,
    /// Values of the headers that the user named, by the place of their name.
    pub(super) custom: SmallVec<[(usize, &'a [u8]); 1]>,
}

/// What happens to a field that is there already.
enum Repeated {
    CountsForNothing,
    FirstHolds,
    MustAgree,
}
use Repeated::{CountsForNothing, FirstHolds, MustAgree};

impl<'a> Carrier<'a> {
    /// Takes a field, if some format knows it. `custom` are the names of the user's own, in lower
    /// case.
    pub fn set(&mut self, name: &[u8], value: &'a [u8], custom: &[Box<str>]) {
        for (place, own) in custom.iter().enumerate() {
            if name.eq_ignore_ascii_case(own.as_bytes()) {
                self.set_custom(place, value);
            }
        }
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        // By length first: most fields need no comparison at all.
        let (field, repeated) = match name.len() {
            2 if is(b"b3") => (&mut self.b3, MustAgree),
            3 if is(b"sw8") => (&mut self.skywalking, MustAgree),
            10 if is(b"tracestate") => return self.add_state(value),
            10 if is(b"x-b3-flags") => (&mut self.b3_flags, FirstHolds),
            11 if is(b"traceparent") => (&mut self.traceparent, CountsForNothing),
            11 if is(b"x-b3-spanid") => (&mut self.b3_span, FirstHolds),
            12 if is(b"x-b3-traceid") => (&mut self.b3_trace, FirstHolds),
            12 if is(b"x-b3-sampled") => (&mut self.b3_sampled, FirstHolds),
            13 if is(b"uber-trace-id") => (&mut self.jaeger, MustAgree),
            14 if is(b"x-datadog-tags") => (&mut self.datadog_tags, MustAgree),
            15 if is(b"x-amzn-trace-id") => (&mut self.xray, MustAgree),
            18 if is(b"x-datadog-trace-id") => (&mut self.datadog_trace, MustAgree),
            19 if is(b"x-datadog-parent-id") => (&mut self.datadog_parent, MustAgree),
            21 if is(b"x-cloud-trace-context") => (&mut self.cloud_trace, MustAgree),
            27 if is(b"x-datadog-sampling-priority") => (&mut self.datadog_priority, MustAgree),
            _ => return,
        };
        *field = Some(match (*field, repeated) {
            (None, _) => value,
            (Some(first), FirstHolds) => first,
            (Some(first), MustAgree) if first == value => first,
            (Some(_), MustAgree | CountsForNothing) => CONTRADICTION,
        });
    }

    fn add_state(&mut self, value: &'a [u8]) {
        self.tracestate = Some(match self.tracestate.take() {
            None => Cow::Borrowed(value),
            // Too long to be kept already.
            Some(before) if before.len() > STATE_MAX => before,
            Some(before) => Cow::Owned([&before, value].join(&b',')),
        });
    }

    fn set_custom(&mut self, place: usize, value: &'a [u8]) {
        let before = self.custom.iter_mut().find(|(other, _)| *other == place);
        match before {
            None => self.custom.push((place, value)),
            Some((_, first)) if *first != value => *first = CONTRADICTION,
            Some(_) => {}
        }
    }
}
