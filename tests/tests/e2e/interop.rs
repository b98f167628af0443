//! Applications with OpenTelemetry's own SDK beside ones that know of nothing: their spans and
//! ours make one tree. The rule is in docs/decisions/0010-spans-beside-an-sdk.md.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clew_testbed::{Deadline, Process};
use clew_tests::collector::{self, Collector};
use clew_tests::joined::{self, Joined, Party, one};
use clew_tests::plan::{Call, Request};
use clew_tests::require::Need;
use clew_tests::sdk::{self, Sdk};
use clew_tests::service::{self, CURL, NGINX, Runtime};
use clew_tests::store::Which;
use clew_tests::{Backend, Kind, Span, Stage};

use crate::protocol::after_all_else;

on_each_backend!(
    what_passes_a_context_on_between_two,
    what_passes_nothing_on_before_and_between,
    state_and_baggage_arrive_as_they_were_sent,
    what_an_sdk_did_not_sample_has_no_spans,
);

/// How the agent hands its own contexts on.
#[derive(Clone, Copy, Debug)]
struct Propagation {
    /// What the agent is started with.
    arguments: &'static [&'static str],
    /// Whether a request without a `traceparent` gets one from the agent.
    injects: bool,
}

/// The modes in which every case holds: each has the flags that set it. An SDK reads headers, so only
/// those count as injected.
const PROPAGATIONS: &[Propagation] = &[Propagation {
    arguments: &[],
    injects: false,
}];

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// The stage, with a Collector for the SDKs' spans on its loopback.
struct Setting {
    propagation: Propagation,
    stage: Stage,
    collector: Collector,
    output: PathBuf,
    _process: Process,
}

impl Setting {
    /// `None` where the machine lacks something.
    fn new(test: &str, backend: Backend, propagation: Propagation) -> Option<Self> {
        let needs = [Sdk::NEEDS, &[CURL, NGINX, Need::Collector]].concat();
        let stage = match propagation.arguments {
            [] => Stage::shared(test, backend, &needs),
            arguments => Stage::own(test, backend, &needs, arguments),
        }?;
        let mut collector = Collector::new().unwrap();
        let (process, output) = collector.start(Some(stage.namespace())).unwrap();
        Some(Self {
            propagation,
            stage,
            collector,
            output,
            _process: process,
        })
    }

    fn start(&self, sdk: Sdk) -> Process {
        let export = self.collector.http;
        sdk.start(&self.stage, port(sdk), export).unwrap()
    }

    fn start_all(&self) -> [Process; 3] {
        Sdk::ALL.map(|sdk| self.start(sdk))
    }

    /// nginx, which passes every header on.
    fn nginx(&self, port: u16, backend: u16) -> Process {
        let name = format!("nginx-{port}");
        let proxy = service::nginx_proxy(port, backend);
        service::nginx(&self.stage, &name, &proxy, port).unwrap()
    }

    /// Sends the requests from a Python program, with an SDK or without.
    fn send(&self, driver: Party, requests: &[Request], threads: usize, sampler: &str) {
        let lines = requests.iter().map(|r| format!("{}\t{}\n", r.url, r.plan));
        let list = self.stage.directory().join(&requests[0].hops[0].request);
        std::fs::write(&list, lines.collect::<String>()).unwrap();
        let program = match driver {
            Party::Sdk => "sdk_load.py",
            Party::Forwards | Party::Silent => "load.py",
        };
        let arguments = [threads.to_string(), list.display().to_string()];
        let arguments = arguments.each_ref().map(String::as_str);
        let mut command = service::python_program(program, &arguments).unwrap();
        sdk::configure(&mut command, "driver", self.collector.http);
        command.env("OTEL_TRACES_SAMPLER", sampler);
        self.stage.run(command).unwrap();
    }

    /// The SDKs' spans of the requests named so, once there are `count`.
    fn sdk_spans(&self, named: &str, count: usize) -> Vec<Span> {
        let look = || {
            collector::read(&self.output)
                .unwrap()
                .of(Which::Named(named))
        };
        let enough = || Some(look()).filter(|spans| spans.len() >= count);
        Deadline::after(Stage::SOON)
            .poll(enough)
            .unwrap_or_else(look)
    }

    /// Sends the call `count` times, and compares what the agent, the SDKs and the services with
    /// SDKs have seen of it with the truth. `parties` serve the hops in the call's order.
    fn check(
        &self,
        what: &str,
        (driver, parties): (Party, &[Party]),
        call: &Call,
        (count, threads): (usize, usize),
        services: &[Process],
    ) {
        let prefix = self.stage.request(&format!("{what}-{threads}x"));
        let requests: Vec<Request> = (0..count)
            .map(|n| call.request(&format!("{prefix}{n}")))
            .collect();
        self.send(driver, &requests, threads, "parentbased_always_on");

        let of_one = joined::counts(&requests[0].hops, driver, parties, self.propagation.injects);
        let [of_ours, of_sdks, heard, traces] = of_one.map(|of_one| of_one * count);
        let agent = self.stage.agent();
        let joined = Joined {
            injects: self.propagation.injects,
            ours: agent
                .spans()
                .wait(Which::Named(&prefix), of_ours, Stage::SOON),
            of_sdks: self.sdk_spans(&prefix, of_sdks),
            heard: services
                .iter()
                .flat_map(|service| sdk::heard(service).unwrap())
                .filter(|heard| heard.path.contains(&prefix))
                .collect(),
        };
        assert_eq!(joined.ours.len(), of_ours, "{what}: our spans");
        assert_eq!(joined.of_sdks.len(), of_sdks, "{what}: the SDKs' spans");
        assert_eq!(joined.heard.len(), heard, "{what}: heard");
        let found: BTreeSet<&str> = requests
            .iter()
            .flat_map(|request| joined.check(&request.hops, driver, parties))
            .collect();
        assert_eq!(found.len(), traces, "{what}: traces");
    }
}

/// Each service's SDK has exported, and none of that is anything's consequence.
fn check_exports(stage: &Stage, services: &[Process]) {
    for service in services {
        let exports = || {
            let of_service = |span: &Span| {
                let export = span.kind == Kind::Client && span.path() == "/v1/traces";
                export && span.pid() == Some(service.pid())
            };
            Some(stage.agent().spans().all(of_service)).filter(|spans| !spans.is_empty())
        };
        let exports = Deadline::after(Stage::SOON).poll(exports);
        for span in exports.unwrap_or_else(|| panic!("{} exports nothing", service.name())) {
            let why = (span.parent.as_deref(), span.parent_reason());
            assert_eq!(why, (None, "telemetry"), "{span:#?}");
        }
    }
}

const ONE_BY_ONE: (usize, usize) = (10, 1);
const MANY_AT_A_TIME: (usize, usize) = (48, 8);

/// Where each SDK's service listens.
const fn port(sdk: Sdk) -> u16 {
    match sdk {
        Sdk::Python => 8001,
        Sdk::Go => 8002,
        Sdk::Java => 8003,
    }
}

/// Each SDK upstream of another once, by their ports.
fn pairs() -> [(String, u16, u16); 3] {
    let [python, go, java] = Sdk::ALL;
    [(python, go), (go, java), (java, python)]
        .map(|(up, down)| (format!("{up:?}-{down:?}"), port(up), port(down)))
}

fn local(port: u16) -> Call {
    Call::to(&format!("http://127.0.0.1:{port}"))
}

/// A proxy, and an application that passes the header on: what is downstream hears the SDK that is
/// upstream. One of the applications calls itself.
fn what_passes_a_context_on_between_two(backend: Backend) {
    use Party::{Forwards, Sdk as Own};
    for propagation in PROPAGATIONS {
        let Some(setting) = Setting::new("sdk-forwards", backend, *propagation) else {
            return;
        };
        let services = setting.start_all();
        let _nginx = Sdk::ALL.map(|sdk| setting.nginx(10 + port(sdk), port(sdk)));
        let _plain = Runtime::Python.start(&setting.stage, 8020).unwrap();
        for (what, up, down) in pairs() {
            let behind = local(10 + down)
                .through("nginx")
                .calling(local(8020).calling(local(up)));
            let call = local(up)
                .calling(local(up).calling(behind))
                .calling(local(down));
            let parties = [Own, Own, Forwards, Own, Forwards, Own, Own];
            for load in [ONE_BY_ONE, MANY_AT_A_TIME] {
                setting.check(&what, (Own, &parties), &call, load, &services);
            }
        }
        check_exports(&setting.stage, &services);
    }
}

/// Applications that send no context: our spans go on through them; the SDK behind one hears of us
/// where we inject, and begins a trace of its own where we do not.
fn what_passes_nothing_on_before_and_between(backend: Backend) {
    use Party::{Sdk as Own, Silent};
    for propagation in PROPAGATIONS {
        let Some(setting) = Setting::new("sdk-silent", backend, *propagation) else {
            return;
        };
        let services = setting.start_all();
        let _plain = Runtime::Gunicorn.start(&setting.stage, 8020).unwrap();
        for (what, up, down) in pairs() {
            let call = local(up).calling(local(8020).calling(local(down).calling(local(8020))));
            let parties = [Own, Silent, Own, Silent];
            for (driver, load) in [
                (Own, ONE_BY_ONE),
                (Silent, ONE_BY_ONE),
                (Own, MANY_AT_A_TIME),
            ] {
                let what = format!("{what}-{driver:?}");
                setting.check(&what, (driver, &parties), &call, load, &services);
            }
        }
        check_exports(&setting.stage, &services);
    }
}

fn state_and_baggage_arrive_as_they_were_sent(backend: Backend) {
    for propagation in PROPAGATIONS {
        let Some(setting) = Setting::new("sdk-state", backend, *propagation) else {
            return;
        };
        let python = setting.start(Sdk::Python);
        let go = setting.start(Sdk::Go);
        let _nginx = setting.nginx(8012, 8002);
        let call = local(8001).calling(local(8012).through("nginx"));
        let name = setting.stage.request("state");
        let request = call.request(&name);
        let traceparent = format!("00-{TRACE}-{PARENT}-01");
        let sent = [
            ("traceparent", traceparent.as_str()),
            ("tracestate", "vendor=a:1,other@system=x-y_z"),
            ("baggage", "user=7,place=here"),
        ];
        let mut curl = vec!["--header".to_owned(), format!("X-Plan: {}", request.plan)];
        for (header, value) in sent {
            curl.extend(["--header".to_owned(), format!("{header}: {value}")]);
        }
        curl.push(request.url.clone());
        setting
            .stage
            .curl(&curl.iter().map(String::as_str).collect::<Vec<_>>());

        let ours = setting.stage.spans_of_request(&name, 6);
        let of_sdks = setting.sdk_spans(&name, 3);
        assert_eq!(
            (ours.len(), of_sdks.len()),
            (6, 3),
            "{ours:#?}, {of_sdks:#?}"
        );
        for span in ours.iter().chain(&of_sdks) {
            assert_eq!(
                (span.trace.as_str(), span.state.as_str()),
                (TRACE, sent[1].1)
            );
        }
        let client = one(&of_sdks, Kind::Client, &request.hops[1].path);
        for (service, hop, parent) in [(&python, 0, PARENT), (&go, 2, &client.id)] {
            let heard = sdk::heard(service).unwrap();
            let [heard] = &heard[..] else {
                panic!("{heard:#?}");
            };
            assert_eq!(heard.path, request.hops[hop].path);
            assert_eq!(
                heard.values("traceparent"),
                [format!("00-{TRACE}-{parent}-01")]
            );
            assert_eq!(heard.values("tracestate"), [sent[1].1]);
            assert_eq!(members(&heard.values("baggage")), members(&[sent[2].1]));
        }
    }
}

/// The members of a list header in any order: an SDK may write its baggage anew.
fn members<'a>(lines: &[&'a str]) -> BTreeSet<&'a str> {
    lines.iter().flat_map(|line| line.split(',')).collect()
}

/// Neither of ours nor of theirs, through what passes the context on and through what does not.
fn what_an_sdk_did_not_sample_has_no_spans(backend: Backend) {
    for propagation in PROPAGATIONS {
        let Some(setting) = Setting::new("sdk-unsampled", backend, *propagation) else {
            return;
        };
        let stage = &setting.stage;
        let python = setting.start(Sdk::Python);
        let go = setting.start(Sdk::Go);
        let _nginx = setting.nginx(8012, 8002);
        let _plain = Runtime::Gunicorn.start(stage, 8020).unwrap();
        let call = local(8001)
            .calling(local(8012).through("nginx"))
            .calling(local(8020).calling(local(8020)));
        let name = stage.request("unsampled");
        let requests = [call.request(&name)];
        setting.send(Party::Sdk, &requests, 1, "always_off");
        for (service, hop) in [(&python, 0), (&go, 2)] {
            let heard = sdk::heard(service).unwrap();
            let heard = heard.iter().find(|h| h.path == requests[0].hops[hop].path);
            let values = heard.expect("it has arrived").values("traceparent");
            // `00`, or `02` where the trace id is random (W3C Trace Context 2, section 3.2.2.5).
            let unsampled = |value: &str| value.ends_with("-00") || value.ends_with("-02");
            assert!(
                matches!(values[..], [value] if unsampled(value)),
                "{values:?}"
            );
        }
        // Whatever comes of it comes before what comes of this.
        after_all_else(stage, 8020);
        let after = stage.request("after");
        let fence = local(8001)
            .calling(local(8012).through("nginx"))
            .request(&after);
        let plan = format!("X-Plan: {}", fence.plan);
        stage.curl(&["--header", &plan, &fence.url]);
        assert_eq!(setting.sdk_spans(&after, 3).len(), 3);
        assert_eq!(stage.spans_of_request(&after, 6).len(), 6);
        assert_eq!(stage.spans_of_request(&name, 0).len(), 0);
        assert_eq!(setting.sdk_spans(&name, 0).len(), 0);
    }
}
