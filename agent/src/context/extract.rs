//! Which of the contexts that a message carries holds: the first in the user's order that is
//! understood.

use std::borrow::Cow;

use crate::config::{ContextFormat, Inbound};
use crate::model::{Note, RemoteContext};

use super::carrier::Carrier;
use super::ids::Ids;
use super::{b3, cloud_trace, custom, datadog, jaeger, skywalking, w3c, xray};

/// Reads contexts in the formats that the user chose.
#[derive(Clone, Debug)]
pub struct Extractor {
    formats: Vec<ContextFormat>,
    /// In lower case.
    custom: Vec<Box<str>>,
}

/// A context, and the text that its trace id was made of, if it is not one itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Extracted<'a> {
    /// The context.
    pub context: RemoteContext,
    /// What the trace is called where it comes from.
    pub original: Option<Original<'a>>,
}

/// The trace id as its sender wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original<'a> {
    /// In a header that the user named.
    Header {
        /// Its name, in lower case.
        name: &'a str,
        /// Its value.
        value: Cow<'a, [u8]>,
    },
    /// In `sw8`.
    SkyWalking(Vec<u8>),
}

/// What the fields of one format give: nothing where they are not there, and nothing again where they
/// are not understood.
type Reading<'a> = Option<Option<Extracted<'a>>>;

/// The message carries contexts, but none that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUnderstood;

impl NotUnderstood {
    /// What a span says of it.
    pub const NOTE: Note = "trace context not understood";
}

impl Default for Extractor {
    fn default() -> Self {
        Self::new(&Inbound::default())
    }
}

impl Extractor {
    /// As configured.
    #[must_use]
    pub fn new(config: &Inbound) -> Self {
        Self {
            formats: config.formats.clone(),
            custom: config
                .custom_headers
                .iter()
                .map(|name| Box::from(name.as_str()))
                .collect(),
        }
    }

    /// The headers that the user named, in lower case: for [`Carrier::set`].
    #[must_use]
    pub fn custom_headers(&self) -> &[Box<str>] {
        &self.custom
    }

    /// The context that holds, if the message carries any.
    ///
    /// # Errors
    ///
    /// It carries some in the chosen formats, and none of them is valid.
    pub fn extract<'a>(
        &'a self,
        carrier: &'a Carrier<'_>,
    ) -> Result<Option<Extracted<'a>>, NotUnderstood> {
        let mut present = false;
        for format in &self.formats {
            let found = match format {
                ContextFormat::TraceContext => carrier.traceparent.map(|parent| {
                    w3c::parse(parent, carrier.tracestate.as_deref()).map(Extracted::plain)
                }),
                ContextFormat::B3 | ContextFormat::B3Multi => b3(carrier),
                ContextFormat::Jaeger => carrier.jaeger.map(|value| plain(jaeger::parse(value))),
                ContextFormat::XRay => carrier.xray.map(|value| plain(xray::parse(value))),
                ContextFormat::CloudTrace => {
                    let value = carrier.cloud_trace;
                    value.map(|value| plain(cloud_trace::parse(value)))
                }
                ContextFormat::Datadog => datadog(carrier),
                ContextFormat::SkyWalking => carrier.skywalking.map(skywalking),
                ContextFormat::Custom => self.custom(carrier),
                ContextFormat::None => None,
            };
            match found {
                None => {}
                Some(None) => present = true,
                Some(found) => return Ok(found),
            }
        }
        match present {
            true => Err(NotUnderstood),
            false => Ok(None),
        }
    }

    fn custom<'a>(&'a self, carrier: &'a Carrier<'_>) -> Reading<'a> {
        let mut present = None;
        for (place, name) in self.custom.iter().enumerate() {
            let field = carrier.custom.iter().find(|(other, _)| *other == place);
            let Some((_, value)) = field else { continue };
            present = Some(None);
            if let Some(ids) = custom::parse(value) {
                return Some(Some(Extracted {
                    context: ids.context(),
                    original: Some(Original::Header {
                        name,
                        value: Cow::Borrowed(value),
                    }),
                }));
            }
        }
        present
    }
}

impl Extracted<'_> {
    fn plain(context: RemoteContext) -> Self {
        Self {
            context,
            original: None,
        }
    }
}

fn plain<'a>(ids: Option<Ids>) -> Option<Extracted<'a>> {
    ids.map(|ids| Extracted::plain(ids.context()))
}

/// Both encodings, whichever was chosen, the single header first (OpenTelemetry specification, "B3
/// Extract").
fn b3<'a>(carrier: &Carrier<'_>) -> Reading<'a> {
    let Carrier {
        b3_trace,
        b3_span,
        b3_sampled,
        b3_flags,
        ..
    } = carrier;
    let single = carrier.b3.and_then(b3::single);
    let ids = single.or_else(|| b3::multi(*b3_trace, *b3_span, *b3_sampled, *b3_flags));
    let fields = [carrier.b3, *b3_trace, *b3_span, *b3_sampled, *b3_flags];
    let present = fields.iter().any(Option::is_some);
    present.then(|| plain(ids))
}

fn datadog<'a>(carrier: &Carrier<'_>) -> Reading<'a> {
    let Carrier {
        datadog_parent,
        datadog_priority,
        datadog_tags,
        ..
    } = carrier;
    let read = |trace| datadog::parse(trace, *datadog_parent, *datadog_priority, *datadog_tags);
    carrier.datadog_trace.map(|trace| plain(read(trace)))
}

fn skywalking<'a>(value: &[u8]) -> Option<Extracted<'a>> {
    let (ids, text) = skywalking::parse(value)?;
    Some(Extracted {
        context: ids.context(),
        original: Some(Original::SkyWalking(text.as_bytes().to_vec())),
    })
}
