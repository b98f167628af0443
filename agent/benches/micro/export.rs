//! Spans to OTLP.

use std::sync::Arc;

use clew::export::convert;
use clew::export::encode::Encoder;
use clew::model::{Attribute, ExportSpan, Resource};
use divan::Bencher;
use divan::counter::ItemsCount;

use super::ingest;

/// As many as the exporter sends at once by default.
const BATCH: usize = 512;

/// The spans of servers of five processes, as they come.
fn batch() -> Vec<ExportSpan> {
    let resource = |number: usize| {
        let service = format!("service-{number}");
        Arc::new(Resource {
            attributes: vec![Attribute::new("service.name", service.clone())],
            service,
        })
    };
    let resources: Vec<_> = (0..5).map(resource).collect();
    let spans = ingest::spans().into_iter().take(BATCH).enumerate();
    spans
        .map(|(number, span)| ExportSpan {
            start_unix_nanos: span.start.0,
            end_unix_nanos: span.end.0,
            resource: Arc::clone(&resources[number % resources.len()]),
            span,
        })
        .collect()
}

/// A batch as OTLP's messages.
#[divan::bench]
fn to_messages(bencher: Bencher<'_, '_>) {
    let batch = batch();
    let bencher = bencher.counter(ItemsCount::new(BATCH));
    bencher.bench_local(|| convert::request(&batch));
}

/// A batch as bytes.
#[divan::bench]
fn to_bytes(bencher: Bencher<'_, '_>) {
    let (batch, mut encoder) = (batch(), Encoder::default());
    let bencher = bencher.counter(ItemsCount::new(BATCH));
    bencher.bench_local(|| encoder.request(&batch));
}
