//! HTTP/1 as curl, nginx and others speak it.

use std::fs::File;
use std::io::Write as _;

use clew_testbed::Process;
use clew_tests::service::{self, CURL, NGINX, Runtime};
use clew_tests::stage::lone_hop;
use clew_tests::{Backend, Kind, Span, Stage, raw};

on_each_backend!(
    curl_and_nginx,
    uploads_and_expectations,
    an_answer_before_the_request_has_ended,
    times_hold_the_work,
    kept_connections,
    pipelined_requests,
    heads_cut_at_every_byte,
    answers_of_any_shape,
    a_websocket,
    a_forward_proxy,
    a_proxy_over_unix_sockets,
);

const PORT: u16 = 8080;
const BASE: &str = "http://127.0.0.1:8080";
/// A sparse file: nothing is written, but all of it goes through the socket.
const BIG: u64 = 300 << 20;

/// nginx with an answer for each case below; what a path ends in chooses it.
fn static_server(stage: &Stage) -> Process {
    let socket = stage.directory().join("nginx.sock");
    let nginx = service::nginx(
        stage,
        "nginx",
        &format!(
            "server {{
               listen 127.0.0.1:{PORT}; listen [::1]:{PORT}; listen unix:{};
               location ~ /empty$ {{ return 204; }}
               location ~ /unchanged$ {{ return 304; }}
               location ~ /missing$ {{ return 404; }}
               location ~ /broken$ {{ return 500; }}
               location ~ /file$ {{ try_files /file =404; }}
               location ~ /chunked$ {{ ssi on; ssi_types *; try_files /page =404; }}
               location ~ /chunked-big$ {{ ssi on; ssi_types *; try_files /file =404; }}
               location ~ /big$ {{ try_files /big =404; }}
               location / {{ return 200 'hello\n'; }}
             }}",
            socket.display()
        ),
        PORT,
    );
    let www = stage.directory().join("nginx/www");
    std::fs::write(www.join("page"), vec![b'.'; 2000]).unwrap();
    std::fs::write(www.join("file"), vec![b'.'; 100 << 10]).unwrap();
    File::create(www.join("big")).unwrap().set_len(BIG).unwrap();
    nginx.unwrap()
}

/// What a span of both sides must say.
struct Expected {
    ending: &'static str,
    curl: &'static [&'static str],
    both: &'static [(&'static str, &'static str)],
    /// `error.type` of the client's and of the server's span.
    errors: [&'static str; 2],
}

const CASES: &[Expected] = &[
    Expected {
        ending: "/plain",
        curl: &["--user-agent", "clew-test/1"],
        both: &[
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("http.response.body.size", "6"),
            ("network.protocol.version", "1.1"),
            ("network.transport", "tcp"),
            ("network.type", "ipv4"),
            ("server.address", "127.0.0.1"),
            ("server.port", "8080"),
            ("user_agent.original", "clew-test/1"),
        ],
        errors: ["", ""],
    },
    Expected {
        ending: "/head",
        curl: &["--head"],
        both: &[
            ("http.request.method", "HEAD"),
            ("http.response.status_code", "200"),
        ],
        errors: ["", ""],
    },
    Expected {
        ending: "/empty",
        curl: &[],
        both: &[("http.response.status_code", "204")],
        errors: ["", ""],
    },
    Expected {
        ending: "/unchanged",
        curl: &[],
        both: &[("http.response.status_code", "304")],
        errors: ["", ""],
    },
    Expected {
        ending: "/missing",
        curl: &[],
        both: &[("http.response.status_code", "404")],
        errors: ["404", ""],
    },
    Expected {
        ending: "/broken",
        curl: &[],
        both: &[("http.response.status_code", "500")],
        errors: ["500", "500"],
    },
    Expected {
        ending: "/file",
        curl: &[],
        both: &[("http.response.body.size", "102400")],
        errors: ["", ""],
    },
    Expected {
        ending: "/chunked",
        curl: &[],
        both: &[("http.response.body.size", "2000")],
        errors: ["", ""],
    },
    // What a client reads at once may hold more of such a body than is captured, with the lengths
    // of its pieces in the midst: its size is then left out.
    Expected {
        ending: "/chunked-big",
        curl: &[],
        both: &[("http.response.status_code", "200")],
        errors: ["", ""],
    },
    Expected {
        ending: "/big",
        curl: &["--output", "/dev/null"],
        both: &[("http.response.body.size", "314572800")],
        errors: ["", ""],
    },
    Expected {
        ending: "/old",
        curl: &["--http1.0"],
        both: &[
            ("network.protocol.version", "1.0"),
            ("http.response.body.size", "6"),
        ],
        errors: ["", ""],
    },
    Expected {
        ending: "/file?a=b&sig=secret",
        curl: &[],
        both: &[("http.response.body.size", "102400")],
        errors: ["", ""],
    },
];

fn curl_and_nginx(backend: Backend) {
    let Some(stage) = Stage::shared("curl-nginx", backend, &[CURL, NGINX]) else {
        return;
    };
    let nginx = static_server(&stage);
    let socket = stage.directory().join("nginx.sock").display().to_string();

    for (number, case) in CASES.iter().enumerate() {
        let (client, server) = fetch(
            &stage,
            &format!("table{number}"),
            BASE,
            case.curl,
            case.ending,
        );
        for (span, error) in [(&client, case.errors[0]), (&server, case.errors[1])] {
            check(span, case.both);
            check(span, &[("error.type", error)]);
            assert_eq!(span.error, !error.is_empty(), "{span:#?}");
        }
        assert_eq!((client.service(), server.service()), ("curl", "nginx"));
        let name = case.curl.iter().find(|&&option| option == "--head");
        assert_eq!(server.name, name.map_or("GET", |_| "HEAD"));
        assert_ne!(server.pid(), Some(nginx.pid()), "a worker serves");
        if case.ending.contains('?') {
            check(&server, &[("url.query", "a=b&sig=REDACTED")]);
            assert!(
                client.attribute("url.full").ends_with("?a=b&sig=REDACTED"),
                "{client:#?}"
            );
        }
    }

    let (client, server) = fetch(&stage, "six", "http://[::1]:8080", &[], "/plain");
    for span in [&client, &server] {
        check(span, &[("network.type", "ipv6"), ("server.address", "::1")]);
    }
    let over_unix = ["--unix-socket", &socket];
    let (client, server) = fetch(&stage, "unix", "http://local", &over_unix, "/file");
    for span in [&client, &server] {
        check(
            span,
            &[
                ("network.transport", "unix"),
                ("http.response.body.size", "102400"),
            ],
        );
    }
}

fn fetch(stage: &Stage, what: &str, base: &str, curl: &[&str], ending: &str) -> (Span, Span) {
    let path = stage.path(what);
    let before = now();
    let url = format!("{base}{path}{ending}");
    stage.curl(&[curl, &[&url]].concat());
    let path = format!("{path}{}", ending.split('?').next().unwrap_or_default());
    let (client, server) = stage.pair(&path);
    // The kernel's clock and the wall's are read a moment apart.
    const APART: u64 = 50_000_000;
    assert!(client.start + APART > before, "{before}: {client:#?}");
    assert!(
        client.start <= server.start && server.start <= server.end,
        "{server:#?}"
    );
    assert!(
        server.start <= client.end && client.end < now() + APART,
        "{client:#?}"
    );
    (client, server)
}

fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    since.as_nanos().try_into().expect("a clock before 2554")
}

#[track_caller]
fn check(span: &Span, attributes: &[(&str, &str)]) {
    for (key, value) in attributes {
        assert_eq!(span.attribute(key), *value, "{key} of {span:#?}");
    }
}

fn uploads_and_expectations(backend: Backend) {
    let needs = [Runtime::NEEDS, &[CURL]].concat();
    let Some(stage) = Stage::shared("uploads", backend, &needs) else {
        return;
    };
    let _python = Runtime::Python.start(&stage, PORT).unwrap();
    let file = stage.directory().join("upload");
    for (what, size, expect) in [
        ("plain", 1 << 20, "Expect:"),
        ("expecting", 1 << 20, "Expect: 100-continue"),
        ("big", BIG, "Expect:"),
    ] {
        File::create(&file).unwrap().set_len(size).unwrap();
        let path = stage.path(what);
        let from = file.display().to_string();
        let url = format!("{BASE}{path}");
        assert_eq!(
            stage.curl(&["--upload-file", &from, "--header", expect, &url]),
            "done\n"
        );
        let (client, server) = stage.pair(&path);
        for span in [&client, &server] {
            check(
                span,
                &[
                    ("http.request.method", "PUT"),
                    ("http.request.body.size", &size.to_string()),
                    ("http.response.status_code", "200"),
                    ("http.response.body.size", "5"),
                ],
            );
        }
    }
}

/// nginx answers without waiting for the body, then reads it, and then the next request.
fn an_answer_before_the_request_has_ended(backend: Backend) {
    const LENGTH: usize = 1 << 20;
    let Some(stage) = Stage::shared("early", backend, &[NGINX]) else {
        return;
    };
    let _nginx = static_server(&stage);
    let [early, next] = ["early", "next"].map(|what| stage.path(what));
    let mut stream = raw::connect(&stage, PORT).unwrap();
    let head = format!("POST {early} HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    raw::read_until(&mut stream, "hello\n").unwrap();
    stream.write_all(&vec![b'.'; LENGTH]).unwrap();
    let head = format!("GET {next} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    raw::read_until(&mut stream, "hello\n").unwrap();
    for (path, method) in [(&early, "POST"), (&next, "GET")] {
        let (client, server) = stage.pair(path);
        for span in [&client, &server] {
            check(
                span,
                &[
                    ("http.request.method", method),
                    ("http.response.status_code", "200"),
                    ("http.response.body.size", "6"),
                    ("error.type", ""),
                ],
            );
        }
    }
}

fn times_hold_the_work(backend: Backend) {
    const WORK: u32 = 100;
    let needs = [Runtime::NEEDS, &[CURL]].concat();
    let Some(stage) = Stage::shared("times", backend, &needs) else {
        return;
    };
    let _node = Runtime::Node.start(&stage, PORT).unwrap();
    let path = stage.path("slow");
    let plan = format!("X-Plan: {{\"work_ms\": {WORK}}}");
    stage.curl(&["--header", &plan, &format!("{BASE}{path}")]);
    let (client, server) = stage.pair(&path);
    for span in [&client, &server] {
        // Node's timers may fire up to a millisecond early.
        let least = u64::from(WORK - 1) * 1_000_000;
        assert!(span.end - span.start >= least, "{span:#?}");
    }
    assert!(client.start <= server.start, "{client:#?} {server:#?}");
}

fn kept_connections(backend: Backend) {
    let Some(stage) = Stage::shared("kept", backend, &[CURL, NGINX]) else {
        return;
    };
    let _nginx = static_server(&stage);
    let paths: Vec<String> = (0..20).map(|n| stage.path(&n.to_string())).collect();
    let urls: Vec<String> = paths.iter().map(|path| format!("{BASE}{path}")).collect();
    stage.curl(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    let mut ports = std::collections::BTreeSet::new();
    for path in &paths {
        let (_, server) = stage.pair(path);
        ports.insert(server.attribute("client.port").to_owned());
    }
    assert_eq!(ports.len(), 1, "curl has kept its connection: {ports:?}");
}

fn pipelined_requests(backend: Backend) {
    let Some(stage) = Stage::shared("pipelined", backend, &[NGINX]) else {
        return;
    };
    let _nginx = static_server(&stage);
    let pipeline = |ending: &str| {
        let name = ending.trim_start_matches('/');
        let paths = (0..10).map(|n| stage.path(&format!("{name}{n}")) + ending);
        let paths: Vec<String> = paths.collect();
        let mut requests: String = paths
            .iter()
            .map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .collect();
        requests.insert_str(requests.len() - 2, "Connection: close\r\n");
        raw::exchange(&stage, PORT, requests.as_bytes(), requests.len()).unwrap();
        paths
    };
    for path in pipeline("/plain") {
        let (client, server) = stage.pair(&path);
        for span in [&client, &server] {
            check(span, &[("http.response.body.size", "6")]);
        }
    }
    // Here a head may lie in the midst of what the client reads at once, behind more of a body
    // than is captured: the client's span may then say less, but nothing false.
    for path in pipeline("/file") {
        let (client, server) = stage.pair(&path);
        check(&server, &[("http.response.body.size", "102400")]);
        let size = client.attribute("http.response.body.size");
        let noted = !client.attribute("clew.notes").is_empty();
        assert!(
            size == "102400" || (size.is_empty() && noted),
            "{client:#?}"
        );
    }
}

fn heads_cut_at_every_byte(backend: Backend) {
    let Some(stage) = Stage::shared("cut-heads", backend, &[NGINX]) else {
        return;
    };
    let _nginx = static_server(&stage);
    for step in [1, 2, 3, 5, 16] {
        let path = stage.path(&step.to_string());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: token.test\r\nUser-Agent: bytes\r\nConnection: close\r\n\r\n"
        );
        let answer = raw::exchange(&stage, PORT, request.as_bytes(), step).unwrap();
        assert!(answer.ends_with(b"hello\n"));
        let (client, server) = stage.pair(&path);
        for span in [&client, &server] {
            check(
                span,
                &[
                    ("http.response.status_code", "200"),
                    ("server.address", "token.test"),
                    ("user_agent.original", "bytes"),
                    ("clew.notes", ""),
                ],
            );
        }
    }
}

/// Answers that no usual server gives, but which are right.
fn answers_of_any_shape(backend: Backend) {
    let Some(stage) = Stage::shared("shapes", backend, &[CURL]) else {
        return;
    };
    let until_close = "HTTP/1.0 200 OK\r\n\r\nuntil the end".to_owned();
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n\
                   HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        .to_owned();
    let trailers = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n\
                    3;ext=1\r\nabc\r\na\r\n0123456789\r\n0\r\nX-A: b\r\n\r\n"
        .to_owned();
    for (port, (what, answer, size)) in (8001..).zip([
        ("until-close", until_close, "13"),
        ("interim", interim, "2"),
        ("trailers", trailers, "13"),
    ]) {
        let server = raw::canned(&stage, port, answer.into_bytes(), false).unwrap();
        let path = stage.path(what);
        stage.curl(&[&format!("http://127.0.0.1:{port}{path}")]);
        server.join().unwrap().unwrap();
        let (client, server) = stage.pair(&path);
        for span in [&client, &server] {
            check(
                span,
                &[
                    ("http.response.status_code", "200"),
                    ("http.response.body.size", size),
                    ("error.type", ""),
                ],
            );
        }
    }
}

fn a_websocket(backend: Backend) {
    let Some(stage) = Stage::shared("websocket", backend, Runtime::NEEDS) else {
        return;
    };
    let _node = Runtime::Node.start(&stage, PORT).unwrap();
    let path = stage.path("socket");
    let hidden = stage.path("hidden");
    let mut stream = raw::connect(&stage, PORT).unwrap();
    let upgrade = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).unwrap();
    let answer = raw::read_until(&mut stream, "\r\n\r\n").unwrap();
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    // What follows looks like a request, and is none.
    let message = format!("GET {hidden} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(message.as_bytes()).unwrap();
    assert_eq!(raw::read_until(&mut stream, "\r\n\r\n").unwrap(), message);

    // The exchange ends at the switch, not with the connection.
    let (client, server) = stage.pair(&path);
    for span in [&client, &server] {
        check(
            span,
            &[("http.response.status_code", "101"), ("error.type", "")],
        );
    }
    drop(stream);
    after_all_else(&stage, PORT);
    assert_eq!(stage.spans_of_request(&stage.request("hidden"), 0).len(), 0);
}

fn a_forward_proxy(backend: Backend) {
    let needs = [Runtime::NEEDS, &[CURL, NGINX]].concat();
    let Some(stage) = Stage::shared("forward", backend, &needs) else {
        return;
    };
    let _nginx = static_server(&stage);
    let proxy = service::python_program("proxy.py", &["3128", &PORT.to_string()]).unwrap();
    let _proxy = service::listening(stage.start("proxy", proxy).unwrap(), 3128).unwrap();
    let through = ["--proxy", "http://127.0.0.1:3128"];

    // A target in absolute form.
    let request = clew_tests::plan::Call::to("http://absolute.test")
        .through("proxy")
        .request(&stage.request("absolute"));
    stage.curl(&[&through[..], &[&request.url]].concat());
    let spans = stage.spans_of_request(&stage.request("absolute"), 4);
    clew_tests::score::Score::of(&spans, &request.hops).assert_exact();
    let asked = spans
        .iter()
        .filter(|span| span.path() == request.hops[0].path);
    for span in asked {
        check(span, &[("server.address", "absolute.test")]);
    }

    // A tunnel: CONNECT is an exchange without a path, which ends at the switch. On the
    // connection between the proxy and nginx, curl's request is seen as it is.
    let host = format!("{}.test", stage.request("tunnel"));
    let path = stage.path("tunnel");
    let tunnel = ["--proxytunnel", &format!("http://{host}{path}")];
    assert_eq!(stage.curl(&[through, tunnel].concat()), "hello\n");
    let (client, _) = stage.pair(&path);
    assert_ne!(client.service(), "curl", "{client:#?}");
    let connect = |span: &Span| {
        span.attribute("http.request.method") == "CONNECT"
            && span.attribute("server.address") == host
    };
    let mut kinds: Vec<Kind> = stage
        .agent()
        .spans()
        .all(connect)
        .iter()
        .map(|s| s.kind)
        .collect();
    kinds.sort();
    assert_eq!(kinds, [Kind::Server, Kind::Client]);
}

fn a_proxy_over_unix_sockets(backend: Backend) {
    let Some(stage) = Stage::shared("unix-proxy", backend, &[CURL, NGINX]) else {
        return;
    };
    let directory = stage.directory().display();
    let servers = format!(
        "upstream behind {{ server unix:{directory}/back.sock; keepalive 8; }}
         server {{
           listen {PORT}; listen unix:{directory}/front.sock;
           location / {{
             proxy_pass http://behind/nginx/;
             proxy_http_version 1.1; proxy_set_header Connection '';
           }}
         }}
         server {{ listen unix:{directory}/back.sock; location / {{ return 200 'hello\n'; }} }}"
    );
    let _nginx = service::nginx(&stage, "nginx", &servers, PORT).unwrap();
    for n in 0..5 {
        let request = clew_tests::plan::Call::to("http://local")
            .through("nginx")
            .request(&stage.request(&n.to_string()));
        let socket = format!("{directory}/front.sock");
        stage.curl(&["--unix-socket", &socket, &request.url]);
        let spans = stage.spans_of_request(&stage.request(&n.to_string()), 4);
        let score = clew_tests::score::Score::of(&spans, &request.hops);
        // Nothing but time says which ends of Unix sockets belong together that were not seen from their
        // beginning, and an emulated machine's processors halt for longer than the agent believes.
        if clew_testbed::slowness() > 1 {
            score.assert_true();
        } else {
            score.assert_exact();
        }
    }
}

/// One more request, and its spans: what came before it has been exported by then, if at all.
pub fn after_all_else(stage: &Stage, port: u16) {
    let path = stage.path(&format!("fence{}", now()));
    stage.curl(&[&format!("http://127.0.0.1:{port}{path}")]);
    let spans = stage.spans_of(&path, 2);
    clew_tests::score::Score::of(&spans, &[lone_hop(&path)]).assert_exact();
}
