//! Which traces are kept: `--sampler`, `--sampling-ratio`, and what callers decided.

use std::collections::BTreeMap;

use clew_testbed::{Deadline, Process};
use clew_tests::otlp::Span;
use clew_tests::plan::{Call, Request};
use clew_tests::require::Need;
use clew_tests::score::Score;
use clew_tests::service::{CURL, Runtime};
use clew_tests::store::Which;
use clew_tests::{Agent, Backend, Stage};

on_each_backend!(
    a_part_of_all_traces_each_of_them_whole,
    none_but_what_callers_keep,
    all_but_what_callers_drop,
    decided_by_the_id_alone,
    all_whatever_callers_say,
    none_whatever_callers_say,
);

const NEEDS: &[Need] = &[Need::Python, CURL];
const PORTS: [u16; 2] = [8001, 8002];
const PARENT: &str = "b7ad6b7169203331";
/// Its last 56 bits, `48eb211c80319c`, are kept by ratios of 0.716 and more.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// As OpenTelemetry's probability sampling defines it: kept by every ratio but 0.
const TRACE_OF_ALL_RATIOS: &str = "0af7651916cd43dd84ffffffffffffff";
/// `traceparent`'s sampled and random flags.
const SAMPLED_AND_RANDOM: u32 = 3;

/// Two Python services, a client's way through both, and an agent of this test's own.
struct Scene {
    stage: Stage,
    call: Call,
    _services: [Process; 2],
}

impl Scene {
    fn new(test: &str, backend: Backend, sampler: &str, ratio: &str) -> Option<Self> {
        let mut arguments = vec!["--sampler", sampler];
        if !ratio.is_empty() {
            arguments.extend(["--sampling-ratio", ratio]);
        }
        Stage::own(test, backend, NEEDS, &arguments).map(Self::on)
    }

    fn on(stage: Stage) -> Self {
        let services = PORTS.map(|port| Runtime::Python.start(&stage, port).unwrap());
        let [first, second] = PORTS.map(|port| Call::to(&format!("http://127.0.0.1:{port}")));
        Self {
            stage,
            call: first.calling(second),
            _services: services,
        }
    }

    /// Sends the call by curl, with a context.
    fn curl(&self, what: &str, traceparent: &str, tracestate: &str) -> Request {
        let request = self.call.request(&self.stage.request(what));
        self.stage.curl(&[
            "--header",
            &format!("traceparent: {traceparent}"),
            "--header",
            &format!("tracestate: {tracestate}"),
            "--header",
            &format!("X-Plan: {}", request.plan),
            &request.url,
        ]);
        request
    }

    /// Waits for the four spans of a trace that no sampler but `always_off` drops, and with them for
    /// whatever was to be exported before.
    fn fence(&self) {
        let context = format!("00-{TRACE_OF_ALL_RATIOS}-{PARENT}-03");
        self.curl("fence", &context, "fence=1");
        let spans = self.stage.spans_of_request(&self.stage.request("fence"), 4);
        assert_eq!(spans.len(), 4, "{spans:#?}");
    }

    fn unsampled(&self) -> f64 {
        let metrics = self.stage.agent().metrics();
        metrics.sum("clew_spans_unsampled_total", ("", ""))
    }
}

/// The low 56 bits of a trace id.
fn randomness(span: &Span) -> u64 {
    u64::from_str_radix(&span.trace[18..], 16).expect("hexadecimal digits")
}

fn a_part_of_all_traces_each_of_them_whole(backend: Backend) {
    const REQUESTS: usize = 160;
    let Some(scene) = Scene::new("quarter", backend, "parentbased_traceidratio", "0.25") else {
        return;
    };
    let stage = &scene.stage;
    let requests = stage.send("ratio", &scene.call, REQUESTS, 8).unwrap();
    scene.fence();

    let mut by_request = BTreeMap::<String, Vec<Span>>::new();
    let prefix = stage.request("ratio");
    for span in stage.agent().spans().of(Which::Named(&prefix)) {
        let token = span.path().rsplit('/').next().unwrap_or_default();
        let name = token.rsplit_once('.').expect("request and hop").0;
        by_request.entry(name.to_owned()).or_default().push(span);
    }
    let kept = by_request.len();
    // Binomial: 40 expected, with a standard deviation of 5.5.
    assert!((10..=80).contains(&kept), "{kept} of {REQUESTS} are kept");
    for request in &requests {
        let Some(spans) = by_request.get(&request.hops[0].request) else {
            continue;
        };
        Score::of(spans, &request.hops).assert_exact();
        for span in spans {
            assert!(randomness(span) >= 0xc0_0000_0000_0000, "{span:#?}");
            assert_eq!(span.state, "ot=th:c", "{span:#?}");
            assert_eq!(span.flags & 0xff, SAMPLED_AND_RANDOM, "{span:#?}");
        }
    }
    let dropped = 4 * (REQUESTS - kept);
    assert!(scene.unsampled() >= dropped as f64);
}

fn none_but_what_callers_keep(backend: Backend) {
    let Some(scene) = Scene::new("nothing", backend, "parentbased_traceidratio", "0") else {
        return;
    };
    let stage = &scene.stage;
    stage.send("ratio", &scene.call, 8, 2).unwrap();
    // A threshold that agrees with the sampled flag goes on; one that contradicts it is erased.
    let context = format!("00-{TRACE}-{PARENT}-01");
    let table = [
        ("agrees", "vendor=1,ot=th:4", "vendor=1,ot=th:4"),
        ("contradicts", "vendor=1,ot=th:8;p:1", "ot=p:1,vendor=1"),
    ];
    let requests = table.map(|(what, given, _)| scene.curl(what, &context, given));
    scene.fence();

    let prefix = stage.request("ratio");
    assert_eq!(stage.agent().spans().count(Which::Named(&prefix)), 0);
    assert!(scene.unsampled() >= 8.0 * 4.0);
    for (request, (what, _, state)) in requests.iter().zip(table) {
        let spans = stage.spans_of_request(&request.hops[0].request, 4);
        assert_eq!(spans.len(), 4, "{what}: {spans:#?}");
        // Python does not pass tracestate on.
        let first = spans
            .iter()
            .filter(|span| span.path() == request.hops[0].path);
        for span in first {
            assert_eq!((span.trace.as_str(), span.state.as_str()), (TRACE, state));
            assert_eq!(span.flags & 0xff, 1, "{span:#?}");
        }
    }
}

fn all_but_what_callers_drop(backend: Backend) {
    let Some(scene) = Scene::new("all", backend, "parentbased_traceidratio", "1") else {
        return;
    };
    let stage = &scene.stage;
    let context = format!("00-{TRACE}-{PARENT}-00");
    let dropped = scene.curl("dropped", &context, "vendor=1");
    let requests = stage.send("ratio", &scene.call, 8, 2).unwrap();
    scene.fence();

    for request in &requests {
        let spans = stage.spans_of_request(&request.hops[0].request, 4);
        Score::of(&spans, &request.hops).assert_exact();
        for span in &spans {
            assert_eq!(span.state, "ot=th:0", "{span:#?}");
            assert_eq!(span.flags & 0xff, SAMPLED_AND_RANDOM, "{span:#?}");
        }
    }
    assert_eq!(stage.spans_of_request(&dropped.hops[0].request, 0).len(), 0);
}

/// What the caller decided counts for nothing, so that hosts which never heard of each other's
/// decision come to the same.
fn decided_by_the_id_alone(backend: Backend) {
    let Some(scene) = Scene::new("id", backend, "traceidratio", "0.25") else {
        return;
    };
    let stage = &scene.stage;
    let requests: Vec<Request> = (0..16)
        .map(|digit: u32| {
            let sampled = digit % 2;
            let context =
                format!("00-0af7651916cd43dd84{digit:x}8eb211c80319c-{PARENT}-0{sampled}");
            scene.curl(&format!("digit-{digit:x}"), &context, "vendor=1")
        })
        .collect();
    scene.fence();

    for (digit, request) in requests.iter().enumerate() {
        let wanted = if digit >= 0xc { 4 } else { 0 };
        let spans = stage.spans_of_request(&request.hops[0].request, wanted);
        assert_eq!(spans.len(), wanted, "digit {digit:x}: {spans:#?}");
        for span in &spans {
            assert!(span.state.starts_with("ot=th:c"), "{span:#?}");
            assert_eq!(span.flags & 0xff, 1, "{span:#?}");
        }
    }
    // Nobody said that these ids are random: the agent says what it presumes, once.
    let said = || {
        stage
            .agent()
            .log()
            .matches("do not say that their ids are random")
            .count()
    };
    let told = Deadline::after(Stage::SOON).poll(|| (said() > 0).then_some(()));
    assert_eq!(told, Some(()), "{}", stage.agent().log());
    assert_eq!(said(), 1);
}

fn all_whatever_callers_say(backend: Backend) {
    let Some(scene) = Scene::new("always", backend, "always_on", "") else {
        return;
    };
    for flags in ["00", "01"] {
        let context = format!("00-{TRACE}-{PARENT}-{flags}");
        let request = scene.curl(&format!("flags-{flags}"), &context, "vendor=1");
        let spans = scene.stage.spans_of_request(&request.hops[0].request, 4);
        assert_eq!(spans.len(), 4, "{flags}: {spans:#?}");
    }
}

fn none_whatever_callers_say(backend: Backend) {
    let Some(stage) = Stage::without_agent("never", backend, NEEDS) else {
        return;
    };
    let agent = Agent::start(backend, &["--sampler", "always_off"]).unwrap();
    let scene = Scene::on(stage);
    let context = format!("00-{TRACE}-{PARENT}-01");
    scene.curl("flags", &context, "vendor=1");
    let unsampled = || agent.metrics().sum("clew_spans_unsampled_total", ("", "")) >= 4.0;
    let dropped = Deadline::after(Stage::SOON).poll(|| unsampled().then_some(()));
    assert_eq!(dropped, Some(()), "{}", agent.log());
    // Others' spans may have been those. Leaving, it sends all that it has.
    let (status, spans, log) = agent.stop().unwrap();
    assert!(status.success(), "{log}");
    let sent = spans.of(Which::Named(&scene.stage.request("")));
    assert_eq!(sent.len(), 0, "{sent:#?}");
}
