//! Trace context that the applications carry themselves: W3C `traceparent` and `tracestate`.

use clew_tests::plan::Call;
use clew_tests::score::Score;
use clew_tests::service::{CURL, Runtime};
use clew_tests::{Backend, Kind, Stage};

use crate::protocol::after_all_else;

on_each_backend!(
    a_context_is_honoured_and_forwarded,
    an_unsampled_trace_is_left_alone,
);

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn two_services(stage: &Stage) -> (Call, [clew_testbed::Process; 2]) {
    let services = [8001, 8002].map(|port| Runtime::Python.start(stage, port).unwrap());
    let call = Call::to("http://127.0.0.1:8001").calling(Call::to("http://127.0.0.1:8002"));
    (call, services)
}

/// Python passes the header on as it came. The trace is the caller's, and yet each span's parent is
/// the request that truly caused it.
fn a_context_is_honoured_and_forwarded(backend: Backend) {
    let needs = [Runtime::NEEDS, &[CURL]].concat();
    let Some(stage) = Stage::shared("context", backend, &needs) else {
        return;
    };
    let (call, _services) = two_services(&stage);
    let name = stage.request("sampled");
    let request = call.request(&name);
    stage.curl(&[
        "--header",
        &format!("traceparent: 00-{TRACE}-{PARENT}-01"),
        "--header",
        "tracestate: vendor=value",
        "--header",
        &format!("X-Plan: {}", request.plan),
        &request.url,
    ]);
    let mut spans = stage.spans_of_request(&name, 4);
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    let root = spans
        .iter_mut()
        .find(|span| span.kind == Kind::Client && span.path() == request.hops[0].path)
        .expect("curl's span");
    assert_eq!(root.parent.as_deref(), Some(PARENT), "{root:#?}");
    assert_eq!(root.parent_reason(), "header");
    assert_eq!(root.state, "vendor=value");
    // What the caller's span is a child of is not in the truth.
    root.parent = None;
    Score::of(&spans, &request.hops).assert_exact();
}

fn an_unsampled_trace_is_left_alone(backend: Backend) {
    let needs = [Runtime::NEEDS, &[CURL]].concat();
    let Some(stage) = Stage::shared("unsampled", backend, &needs) else {
        return;
    };
    let (call, _services) = two_services(&stage);
    let name = stage.request("unsampled");
    let request = call.request(&name);
    stage.curl(&[
        "--header",
        &format!("traceparent: 00-{TRACE}-{PARENT}-00"),
        "--header",
        &format!("X-Plan: {}", request.plan),
        &request.url,
    ]);
    after_all_else(&stage, 8001);
    after_all_else(&stage, 8002);
    assert_eq!(stage.spans_of_request(&name, 0).len(), 0);
}
