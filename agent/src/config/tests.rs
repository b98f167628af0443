use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;

/// A configuration file of one test; removed with it.
struct TestFile(PathBuf);

impl TestFile {
    fn new(text: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("clew-config-{}-{number}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("the folder for temporary files is writable");
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        // A leftover in the folder for temporary files harms nobody.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Loads from a file's text, variables, and flags given as (flag, setting, value).
fn try_load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &str)],
) -> Result<Config, String> {
    let file = TestFile::new(file);
    let own = |text: &&str| (*text).to_owned();
    let sources = Sources {
        file: Some(file.0.clone()),
        flags: flags
            .iter()
            .map(|(name, setting, value)| Flag {
                name,
                setting,
                values: vec![own(value)],
            })
            .collect(),
        environment: environment
            .iter()
            .map(|(name, value)| (own(name), own(value)))
            .collect(),
        terminal: false,
    };
    let shown = file.0.display().to_string();
    load(&sources).map_err(|error| error.to_string().replace(&shown, "clew.yaml"))
}

fn load_ok(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &str)],
) -> Config {
    try_load(file, environment, flags).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn mistakes_are_named_with_place_and_remedy() {
    for (file, wanted) in [
        (
            "otlp:\n  endpont: http://h\n",
            "clew.yaml:2:3: unknown key `otlp.endpont`: did you mean `endpoint`?",
        ),
        (
            "endpoint: http://h\n",
            "clew.yaml:1:1: unknown key `endpoint`: did you mean `otlp.endpoint`?",
        ),
        (
            "batch:\n  colour: red\n",
            "clew.yaml:2:3: unknown key `batch.colour`: known here: `schedule_delay`, \
             `max_queue_size`, `max_export_batch_size`, `export_timeout`",
        ),
        (
            "otlp: http://h\n",
            "clew.yaml:1:7: `otlp` is a section: expected keys under it: `protocol`, `endpoint`, \
             `insecure`, `headers`, `compression`, `timeout`, `certificate`, `client_key`, \
             `client_certificate`",
        ),
        ("- a\n", "clew.yaml:1:1: expected keys with values"),
        (
            "otlp:\n  compression: gzp\n",
            "clew.yaml:2:16: `otlp.compression`: expected one of `none`, `gzip`, `zstd` (did you \
             mean `gzip`?), not `gzp`",
        ),
        (
            "otlp:\n  timeout: 5\n",
            "clew.yaml:2:12: `otlp.timeout`: expected a duration with its unit, such as `500ms`, \
             `1s`, `2m` or `1h`, not `5`",
        ),
        (
            "scope:\n  exclude:\n    ports: [80, http]\n",
            "clew.yaml:3:17: `scope.exclude.ports`: expected a port or a range, such as `8080` or \
             `8000-8999`, not `http`",
        ),
        (
            "capture: {ring_size: 3MiB, bytes: 8KiB}\n",
            "clew.yaml:1:35: `capture.bytes`: at most 4KiB\n\
             clew.yaml:1:22: `capture.ring_size`: expected a power of two between 64KiB and 1GiB, \
             not 3MiB",
        ),
        (
            "otlp:\n  headers: [a]\n",
            "clew.yaml:2:12: `otlp.headers`: expected keys with values",
        ),
        (
            "otlp:\n  protocol: [grpc]\n",
            "clew.yaml:2:13: `otlp.protocol`: expected a single value",
        ),
        (
            "otlp:\n  client_key: /k\n",
            "clew.yaml:2:15: `otlp.client_key`: a key needs its certificate: set \
             `otlp.client_certificate` too",
        ),
        (
            "otlp:\n  endpoint: collector:9\n  protocol: http/protobuf\n",
            "clew.yaml:2:13: `otlp.endpoint`: expected `http://` or `https://` before the host",
        ),
        (
            "batch:\n  max_queue_size: 10\n  max_export_batch_size: 11\n",
            "clew.yaml:3:26: `batch.max_export_batch_size`: must not be more than \
             `batch.max_queue_size` (10)",
        ),
        (
            "outputs: [console, json]\n",
            "clew.yaml:1:1: `outputs`: `console` and `json` both write to standard output: \
             choose one",
        ),
        (
            "otlp: {}\notlp: {}\n",
            "clew.yaml:2:1: `otlp` is here for the second time (first in line 1)",
        ),
    ] {
        let error = try_load(file, &[], &[]).err().unwrap_or_default();
        assert_eq!(error, wanted, "for\n{file}");
    }
}

#[test]
fn mistakes_outside_of_the_file() {
    let flag = [("--compression", "otlp.compression", "x")];
    assert_eq!(
        try_load("", &[("CLEW_CAPTURE_BACKEND", "sockets")], &flag).err(),
        Some(
            "flag --compression: `otlp.compression`: expected one of `none`, `gzip`, `zstd`, not \
             `x`\n\
             environment CLEW_CAPTURE_BACKEND: `capture.backend`: expected one of `auto`, \
             `socket`, `fentry`, `syscall` (did you mean `socket`?), not `sockets`"
                .to_owned()
        )
    );
    let missing = Sources {
        file: Some("/nonexistent/clew.yaml".into()),
        ..Sources::default()
    };
    let error = load(&missing).expect_err("no such file").to_string();
    assert!(
        error.starts_with("cannot read the configuration file /nonexistent/clew.yaml: "),
        "{error}"
    );
}

#[test]
fn strongest_source_wins() {
    let file = "otlp:\n  timeout: 1s\n";
    let standard = ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000");
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3000");
    let own = ("CLEW_OTLP_TIMEOUT", "4s");
    let empty = ("CLEW_OTLP_TIMEOUT", "");
    let wrong = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3s");
    let flag = ("--timeout", "otlp.timeout", "5s");
    for (file, environment, flags, seconds, origin) in [
        ("", &[][..], &[][..], 10, "default"),
        (file, &[], &[], 1, "file"),
        (
            file,
            &[standard],
            &[],
            2,
            "environment OTEL_EXPORTER_OTLP_TIMEOUT",
        ),
        (
            file,
            &[standard, traces],
            &[],
            3,
            "environment OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        ),
        (
            file,
            &[traces, own],
            &[],
            4,
            "environment CLEW_OTLP_TIMEOUT",
        ),
        (file, &[empty], &[], 1, "file"),
        (
            file,
            &[wrong, standard],
            &[],
            2,
            "environment OTEL_EXPORTER_OTLP_TIMEOUT",
        ),
        (file, &[own], &[flag], 5, "flag --timeout"),
    ] {
        let config = load_ok(file, environment, flags);
        let effective = config.effective.iter().find(|e| e.path == "otlp.timeout");
        let effective = effective.expect("every setting is listed");
        let place = match &effective.origin {
            Origin::File { mark, .. } => {
                assert_eq!((mark.line, mark.column), (2, 12));
                "file".to_owned()
            }
            other => other.to_string(),
        };
        assert_eq!(
            (config.otlp.timeout, place.as_str()),
            (Duration::from_secs(seconds), origin)
        );
    }
}

#[test]
fn endpoint_and_protocol_follow_the_standard() {
    use OtlpProtocol::{Grpc, HttpProtobuf};
    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    let http = (PROTOCOL, "http/protobuf");
    for (environment, protocol, endpoint) in [
        (&[][..], Grpc, "http://localhost:4317"),
        (&[http], HttpProtobuf, "http://localhost:4318/v1/traces"),
        (&[(BASE, "http://c:4317")], Grpc, "http://c:4317"),
        (
            &[(BASE, "http://c:4318/")],
            HttpProtobuf,
            "http://c:4318/v1/traces",
        ),
        (
            &[(BASE, "http://c/x"), http],
            HttpProtobuf,
            "http://c/x/v1/traces",
        ),
        (&[(TRACES, "http://c/x"), http], HttpProtobuf, "http://c/x"),
        (
            &[(TRACES, "http://t:1"), (BASE, "http://c"), http],
            HttpProtobuf,
            "http://t:1/",
        ),
        (&[(BASE, "c:4317")], Grpc, "https://c:4317"),
        (
            &[(BASE, "c:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "True")],
            Grpc,
            "http://c:4317",
        ),
        (&[(PROTOCOL, "http/json")], Grpc, "http://localhost:4317"),
    ] {
        let config = load_ok("", environment, &[]);
        assert_eq!(
            (config.otlp.protocol, config.otlp.endpoint.as_str()),
            (protocol, endpoint),
            "{environment:?}"
        );
    }
}

#[test]
fn output_is_chosen_by_what_is_configured() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
    for (terminal, variables, outputs) in [
        (true, &[][..], &[Output::Console][..]),
        (false, &[], &[Output::Otlp]),
        (true, &[endpoint], &[Output::Otlp]),
        (
            true,
            &[("CLEW_OUTPUTS", "json, otlp")],
            &[Output::Json, Output::Otlp],
        ),
    ] {
        let file = TestFile::new("");
        let sources = Sources {
            file: Some(file.0.clone()),
            environment: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            terminal,
            ..Sources::default()
        };
        let config = load(&sources).expect("valid");
        assert_eq!(
            config.outputs, outputs,
            "terminal: {terminal}, {variables:?}"
        );
    }
}

#[test]
fn warnings() {
    let config = load_ok(
        "",
        &[
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=me,deployment.environment.name=test",
            ),
            ("CLEW_OTLP_ENDPIONT", "http://h"),
            ("CLEW_SERVICE_HOST", "10.0.0.1"),
            ("CLEW_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("CLEW_LOG", "debug"),
            ("OTEL_SERVICE_NAME", "not for the traced"),
        ],
        &[],
    );
    assert_eq!(
        config.warnings,
        [
            "environment OTEL_EXPORTER_OTLP_HEADERS is ignored: expected `key=value`, several \
             separated by commas; one has no `=`",
            "environment OTEL_BSP_SCHEDULE_DELAY is ignored: expected a number of milliseconds",
            "`service.*` in `resource_attributes` (environment OTEL_RESOURCE_ATTRIBUTES) is \
             ignored: each traced process has its own",
            "environment CLEW_OTLP_ENDPIONT is not known: did you mean CLEW_OTLP_ENDPOINT?",
        ]
    );
    assert_eq!(config.batch.schedule_delay, Duration::from_secs(1));
    assert_eq!(config.log.level, "debug");
    assert_eq!(
        config.resource_attributes,
        [("deployment.environment.name".to_owned(), "test".to_owned())]
    );
}

#[test]
fn effective_configuration_is_printed_with_origins_and_without_secrets() {
    let printed = print_effective(
        &load_ok(
            "otlp:\n  headers: {authorization: Bearer hunter2}\nscope:\n  exclude: {ports: [22, 8000-8999]}\n",
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@c:4318")],
            &[("--log-level", "log.level", "info,clew::export=debug")],
        ),
        false,
    );
    assert!(!printed.contains("hunter2"), "{printed}");
    let lines: Vec<_> = printed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for wanted in [
        "outputs: [otlp] # default, because an OTLP endpoint is configured",
        "protocol: http/protobuf # default, because the endpoint's port is 4318",
        "endpoint: \"http://<redacted>@c:4318/v1/traces\" # environment OTEL_EXPORTER_OTLP_ENDPOINT",
        "authorization: <redacted>",
        "schedule_delay: 1s # default",
        "certificate: ~ # default",
        "level: \"info,clew::export=debug\" # flag --log-level",
        "ring_size: 8MiB # default",
    ] {
        assert!(
            lines.iter().any(|line| line == wanted),
            "{wanted}\n{printed}"
        );
    }
    let ports = lines
        .iter()
        .find(|line| line.starts_with("ports: [22, 8000-8999] # /"))
        .expect("the ports");
    assert!(ports.ends_with(".yaml:4:13"), "{ports}");
}

/// Contexts are looked for in the order that was asked for; where only headers of one's own were, they
/// come last.
#[test]
fn context_formats_and_their_order() {
    let all = "tracecontext b3 jaeger xray cloudtrace datadog skywalking custom";
    let propagators = |list| [("OTEL_PROPAGATORS", list)];
    let shown = |config: &Config| -> String {
        let formats = config.context.formats.iter().map(Setting::write);
        formats.collect::<Vec<_>>().join(" ")
    };
    for (file, environment, expected) in [
        ("", vec![], all),
        ("context: {formats: [xray, b3]}", vec![], "xray b3"),
        (
            "",
            propagators("b3multi, tracecontext,baggage").to_vec(),
            "b3multi tracecontext",
        ),
        ("", propagators("none").to_vec(), "none"),
        ("", propagators("baggage").to_vec(), ""),
        ("context: {formats: []}", vec![], ""),
        (
            "context: {custom_headers: Trace-Id}",
            propagators("tracecontext").to_vec(),
            "tracecontext custom",
        ),
        (
            "context: {formats: [custom, b3], custom_headers: [Trace-Id]}",
            vec![],
            "custom b3",
        ),
        (
            "context: {formats: datadog}",
            propagators("b3").to_vec(),
            "b3",
        ),
        (
            "",
            vec![
                ("CLEW_CONTEXT_FORMATS", "jaeger,b3"),
                ("OTEL_PROPAGATORS", "xray"),
            ],
            "jaeger b3",
        ),
    ] {
        let config = load_ok(file, &environment, &[]);
        assert_eq!(shown(&config), expected, "{file} {environment:?}");
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
    let config = load_ok("", &propagators("b3,zipkin"), &[]);
    assert_eq!(shown(&config), all);
    assert_eq!(
        config.warnings,
        [
            "environment OTEL_PROPAGATORS is ignored: expected one of `tracecontext`, `b3`, `b3multi`, \
          `jaeger`, `xray`, `cloudtrace`, `datadog`, `skywalking`, `custom`, `none`, not `zipkin`"
        ]
    );
    let config = load_ok(
        "",
        &[],
        &[("--trace-header", "context.custom_headers", "Trace-ID")],
    );
    assert_eq!(config.context.custom_headers[0].as_str(), "trace-id");
    for (file, wanted) in [
        (
            "context: {formats: [none, b3]}",
            "`context.formats`: `none` stands alone",
        ),
        (
            "context: {custom_headers: [Cookie]}",
            "no credentials, not `Cookie`",
        ),
        (
            "context: {custom_headers: ['a b']}",
            "the name of a header, such as `trace-id`, not `a b`",
        ),
        (
            "context: {custom_headers: [a, b, c, d, e, f, g, h, i]}",
            "at most 8",
        ),
    ] {
        let error = try_load(file, &[], &[]).expect_err(file);
        assert!(error.contains(wanted), "{error}");
    }
}

/// What is printed is a file that gives the same configuration.
#[test]
fn printed_configuration_reads_back() {
    let file = "outputs: [json, otlp]\n\
                otlp: {endpoint: 'https://c/x?y=1#z', protocol: http/protobuf, timeout: 1500ms}\n\
                resource_attributes: {'a: b': 'null', c: '# \"d\"'}\n\
                scope: {include: {commands: ['*: {x}', '- y', '']}}\n";
    let file = file.replace(", ''", "");
    for describe in [false, true] {
        let first = load_ok(&file, &[], &[]);
        let printed = print_effective(&first, describe);
        let second = load_ok(&printed, &[], &[]);
        let values = |config: &Config| -> Vec<_> {
            let all = config.effective.iter();
            all.map(|e| (e.path, e.value.clone())).collect()
        };
        assert_eq!(values(&first), values(&second), "{printed}");
        assert_eq!(first.otlp, second.otlp);
    }
}

/// A key per setting, once; sections together, as the printed file needs them.
#[test]
fn settings_are_listed_once_and_in_sections() {
    let config = load_ok("", &[], &[]);
    let paths: Vec<_> = config.effective.iter().map(|e| e.path).collect();
    let mut sections: Vec<_> = paths
        .iter()
        .map(|path| path.rsplit_once('.').map_or(*path, |(section, _)| section))
        .collect();
    sections.dedup();
    for list in [paths, sections] {
        let mut unique = list.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), list.len(), "{list:?}");
    }
}

/// Variables meant for every program on the host do not stop this one; its endpoint does.
#[test]
fn standard_variables_that_contradict() {
    let config = load_ok("", &[("OTEL_BSP_MAX_QUEUE_SIZE", "100")], &[]);
    assert_eq!(config.batch.max_export_batch_size, 100);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);

    let both = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"),
    ];
    let config = load_ok("", &both, &[]);
    assert_eq!(config.batch.max_export_batch_size, 100);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);

    let error = try_load(
        "",
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://u:hunter2@h")],
        &[],
    );
    assert_eq!(
        error.err().as_deref(),
        Some(
            "environment OTEL_EXPORTER_OTLP_ENDPOINT: `otlp.endpoint`: expected a URL, such as \
             `http://localhost:4317` or `https://collector.example:4318`"
        )
    );
}

proptest::proptest! {
    /// Whatever the file and the variables hold, the answer is a configuration or a message.
    #[test]
    fn nonsense_is_refused_calmly(file in "\\PC{0,60}", text in "[ -~é\t\n]{0,40}") {
        let path: Arc<Path> = Arc::from(Path::new("f"));
        let mut environment = Environment::new();
        for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"] {
            environment.insert(name.to_owned(), text.clone());
        }
        let nested = format!("otlp:\n  endpoint: {file}\nscope: {{include: {{ports: {text}}}}}\n");
        for file in [file, nested] {
            if let Ok(node) = parse(&path, &file) {
                let layers = Layers::new(&[], &environment, Some((Arc::clone(&path), node)));
                if let Ok(config) = Config::read(layers, true) {
                    let printed = print_effective(&config, false);
                    proptest::prop_assert!(parse(&path, &printed).is_ok(), "{printed}");
                }
            }
        }
    }
}
