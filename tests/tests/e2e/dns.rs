//! DNS as dnsmasq answers it and dig, dnspython and the C library's resolver ask.

use std::collections::BTreeMap;
use std::process::Command;

use clew_testbed::{Deadline, Process};
use clew_tests::require::Need;
use clew_tests::service::{self, CURL};
use clew_tests::stage::with;
use clew_tests::{Backend, Kind, Span, Stage};

on_each_backend!(
    every_question_has_its_spans,
    a_question_belongs_to_its_request
);

const NEEDS: &[Need] = &[
    Need::Program("dnsmasq"),
    Need::Program("dig"),
    Need::Python,
    CURL,
];

/// A server for names that end in the stage's own.
fn dnsmasq(stage: &Stage, zone: &str) -> Process {
    let server = with(
        Command::new("dnsmasq"),
        &[
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
            "--no-resolv",
            "--no-hosts",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--local=/test/",
            &format!("--address=/www.{zone}/192.0.2.1"),
            &format!("--address=/www.{zone}/2001:db8::1"),
            &format!("--txt-record=big.{zone},{}", "0123456789".repeat(9)),
            &format!("--srv-host=_http._tcp.{zone},www.{zone},80"),
        ],
    );
    service::listening(stage.start("dnsmasq", server).unwrap(), 53).unwrap()
}

/// A command for which the stage's server is the system's.
fn resolving_there(stage: &Stage, command: &str) -> Command {
    let configuration = stage.directory().join("resolv.conf");
    std::fs::write(&configuration, "nameserver 127.0.0.1\n").unwrap();
    let script = format!(
        "mount --bind {} /etc/resolv.conf && exec {command}",
        configuration.display()
    );
    with(Command::new("unshare"), &["--mount", "sh", "-c", &script])
}

/// What was asked, and what came back: transport, question, type of record and response code.
type Asked = (String, String, String, String);

fn asked(transport: &str, question: &str, kind: &str, code: &str) -> Asked {
    let name = format!("DNS query {kind}");
    let owned = [transport, question, &name, code].map(str::to_owned);
    owned.into()
}

fn told(span: &Span) -> Asked {
    [
        span.attribute("network.transport"),
        span.attribute("dns.question.name"),
        &span.name,
        span.attribute("clew.dns.response_code"),
    ]
    .map(str::to_owned)
    .into()
}

/// The spans of questions for names of a zone, when there are `count`, or after a while.
fn spans_of(stage: &Stage, zone: &str, count: usize) -> Vec<Span> {
    let all = || {
        let of_zone = |span: &Span| span.attribute("dns.question.name").ends_with(zone);
        stage.agent().spans().all(of_zone)
    };
    let enough = || (all().len() >= count).then_some(());
    let _what_is_missing_shows_in_what_is_there = Deadline::after(Stage::SOON).poll(enough);
    all()
}

fn every_question_has_its_spans(backend: Backend) {
    let Some(stage) = Stage::shared("dns", backend, NEEDS) else {
        return;
    };
    let zone = format!("{}.test", stage.request("zone"));
    let _server = dnsmasq(&stage, &zone);
    let mut expected = Vec::new();
    for (option, transport) in [("+notcp", "udp"), ("+tcp", "tcp")] {
        for (label, kind, code) in [
            ("www", "A", "NOERROR"),
            ("www", "AAAA", "NOERROR"),
            ("no", "MX", "NXDOMAIN"),
        ] {
            let name = format!("{label}.{zone}");
            let dig = with(
                Command::new("dig"),
                &["@127.0.0.1", option, "+tries=1", "+timeout=20", &name, kind],
            );
            let output = stage.run(dig).unwrap();
            assert!(output.contains(&format!("status: {code}")), "{output}");
            expected.push(asked(transport, &name, kind, code));
        }
    }
    let client = "protocols/dns_client.py";
    let client = service::python_program(client, &["53", &zone]).unwrap();
    for line in stage.run(client).unwrap().lines() {
        let answer: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| answer[name].as_str().unwrap().to_owned();
        expected.push((field("op"), field("question"), field("name"), field("code")));
    }
    // Both questions leave in one sendmmsg.
    let name = format!("www.{zone}");
    let getent = resolving_there(&stage, &format!("getent ahosts {name}"));
    let output = stage.run(getent).unwrap();
    assert!(output.contains("192.0.2.1"), "{output}");
    for kind in ["A", "AAAA"] {
        expected.push(asked("udp", &name, kind, "NOERROR"));
    }
    if backend == Backend::Syscall {
        // UDP is not captured at system calls.
        expected.retain(|(transport, ..)| transport == "tcp");
    }
    expected.sort();

    let spans = spans_of(&stage, &zone, 2 * expected.len());
    for kind in [Kind::Client, Kind::Server] {
        let of_kind = spans.iter().filter(|span| span.kind == kind);
        let mut found: Vec<_> = of_kind.clone().map(told).collect();
        found.sort();
        assert_eq!(found, expected, "{kind:?}");
        for span in of_kind {
            let failed = span.attribute("clew.dns.response_code") != "NOERROR";
            assert_eq!(span.error, failed && kind == Kind::Client, "{span:#?}");
            assert_eq!(span.attribute("clew.notes"), "", "{span:#?}");
            let is_server = span.service() == "dnsmasq";
            assert_eq!(is_server, kind == Kind::Server, "{span:#?}");
            assert_eq!(
                span.attribute("server.port").is_empty(),
                span.attribute("server.address").is_empty()
            );
            assert!(span.start <= span.end, "{span:#?}");
        }
    }
}

fn a_question_belongs_to_its_request(backend: Backend) {
    const REQUESTS: usize = 24;
    let Some(stage) = Stage::shared("dns-child", backend, NEEDS) else {
        return;
    };
    if backend == Backend::Syscall {
        // UDP is not captured at system calls.
        return;
    }
    let zone = format!("www.{}.test", stage.request("zone"));
    let _server = dnsmasq(&stage, zone.trim_start_matches("www."));
    let python = clew_tests::require::find(Need::Python).unwrap();
    let program = format!(
        "{} {} 8080",
        python.display(),
        service::source("resolving.py")
    );
    let resolving = stage.start("resolving", resolving_there(&stage, &program));
    let resolving = service::listening(resolving.unwrap(), 8080).unwrap();
    let lost_before = stage.agent().metrics().runs_lost();
    // Eight at a time, each with a name of its own.
    let script = format!(
        "for i in $(seq {REQUESTS}); do \
           curl --silent --fail --output /dev/null \"http://127.0.0.1:8080/s/{}$i.1?n$i.{zone}\" & \
           if [ $((i % 8)) = 0 ]; then wait; fi; \
         done; wait",
        stage.request("")
    );
    stage
        .run(with(Command::new("sh"), &["-c", &script]))
        .unwrap();

    let questions = spans_of(&stage, &zone, 4 * REQUESTS);
    let requests: BTreeMap<String, Span> = stage
        .spans(2 * REQUESTS)
        .into_iter()
        .filter(|span| span.kind == Kind::Server)
        .map(|span| (span.id.clone(), span))
        .collect();
    let asked: Vec<_> = questions
        .iter()
        .filter(|span| span.kind == Kind::Client)
        .collect();
    // What is missing has been counted: each run at most one span.
    let lost = stage.agent().metrics().runs_lost() - lost_before;
    let missing = (3 * REQUESTS).checked_sub(requests.len() + asked.len());
    let missing = missing.expect("no span is there twice");
    assert!(
        missing as f64 <= lost,
        "{lost} lost: {requests:#?} {asked:#?}"
    );
    for question in asked {
        assert_eq!(question.pid(), Some(resolving.pid()), "{question:#?}");
        let parent = question.parent.as_ref().and_then(|id| requests.get(id));
        let Some(parent) = parent else {
            assert!(
                requests.len() < REQUESTS,
                "no request caused it: {question:#?}"
            );
            continue;
        };
        let name = question.attribute("dns.question.name");
        assert_eq!(parent.attribute("url.query"), name, "{question:#?}");
        assert_eq!(parent.trace, question.trace);
        assert_eq!(question.parent_reason(), "thread", "{question:#?}");
    }
}
