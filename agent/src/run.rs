//! `clew run`: from the configuration to running parts, and back down.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::{
    config::{self, Config, HeaderMode, LogFormat, Propagation},
    context::Extractor,
    enrich::{Filter, Host, ProcFs, Processes},
    export::{self, BatchConfig, ExportConfig, OtlpConfig},
    ingest::Ingest,
    kernel::{self, Backend, HeadersConfig, Kernel, KernelConfig},
    metrics::{Gauge, Metrics},
    observe,
    pipeline::{Pipeline, Policy},
    priority::Urgent,
    privilege,
    protocol::{self, Settings, http1},
    stitch::{RandomIds, StitchConfig, Stitcher},
};

/// How long the agent takes to leave at most, with what it has.
const LEAVE_WITHIN: Duration = Duration::from_millis(1800);

/// Traces until told to stop.
///
/// # Errors
///
/// The kernel refuses, or an output cannot be set up: a sentence with a remedy.
pub fn run(config: &Config) -> Result<()> {
    start_log(config)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    refuse_foreign_pids()?;
    let metrics = Metrics::default();
    let kernel = Kernel::start(&kernel_config(config))?;
    return_freed_memory();
    for program in kernel.programs().iter().filter(|program| !program.works()) {
        warn!("{}; lost: {}", program.summary(), program.lost);
    }
    report_headers(&kernel);
    metrics.gauge(Gauge::RingCapacity, config.capture.ring_size as u64);
    let urgent = Urgent::begin()
        .inspect_err(|error| warn!("the ring's reader has no priority: {error}"))
        .ok();
    // Before any thread is started: capabilities belong to threads.
    if let Err(error) = privilege::drop_excess() {
        warn!("keeping all of root's capabilities: {error}");
    }
    let (hand_over, handed) = mpsc::channel::<Pipeline>();
    let (stop, stopped) = mpsc::channel();
    let (alive, ended) = tokio::sync::oneshot::channel::<()>();
    let worker = thread::Builder::new()
        .name("clew-ingest".to_owned())
        .spawn(move || {
            // Dropped when this thread ends, however it does.
            let _alive = alive;
            handed.recv().map(|pipeline| pipeline.run(&stopped))
        })
        .context("starting the ingest thread")?;
    drop(urgent);
    let _server = config
        .metrics
        .address
        .map(|address| observe::serve(address, metrics.clone()))
        .transpose()?;
    let exporter = export::start(&export_config(config), &metrics)?;
    let backend = kernel.backend;
    let pipeline = assemble(config, kernel, exporter, &metrics)?;
    // It can only be gone by a defect, which joining reports.
    let _ = hand_over.send(pipeline);
    info!(backend = backend.name(), "clew is tracing");
    wait(config, &metrics, ended)?;
    let deadline = Instant::now() + LEAVE_WITHIN;
    info!("leaving: sending what is finished");
    // The worker may be gone already; then joining says why.
    let _ = stop.send(());
    let exporter = worker
        .join()
        .ok()
        .and_then(Result::ok)
        .context("the ingest thread ended by a defect of clew")?;
    exporter.shutdown(deadline.saturating_duration_since(Instant::now()));
    if config.metrics.stats_interval.is_some() {
        eprint!("{}", observe::render_stats(&metrics));
    }
    Ok(())
}

/// The kernel names processes by their ids in the initial pid namespace. In another one the agent
/// would not even know itself, and trace its own export.
fn refuse_foreign_pids() -> Result<()> {
    /// `PROC_PID_INIT_INO` (include/linux/proc_ns.h).
    const INITIAL: &str = "pid:[4026531836]";
    match std::fs::read_link("/proc/self/ns/pid") {
        Ok(namespace) if namespace != Path::new(INITIAL) => anyhow::bail!(
            "the agent is in a pid namespace of its own, where it cannot tell processes apart; \
             start it in the host's (docker: --pid=host, Kubernetes: hostPID: true)"
        ),
        _ => Ok(()),
    }
}

/// Gives back to the system what reading the kernel's types took: some tens of megabytes, once.
/// The allocator would keep it for a use that never comes.
fn return_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) has no conditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Waits for a signal or for the configured time, printing counters meanwhile.
fn wait(
    config: &Config,
    metrics: &Metrics,
    mut ended: tokio::sync::oneshot::Receiver<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the signal handler")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let never = Duration::from_secs(u64::from(u32::MAX));
        let end = tokio::time::sleep(config.duration.unwrap_or(never));
        tokio::pin!(end);
        let period = config.metrics.stats_interval.unwrap_or(never);
        let mut stats = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                () = &mut end => return Ok(()),
                // A defect; joining the thread reports it.
                _ = &mut ended => return Ok(()),
                _ = stats.tick() => eprint!("{}", observe::render_stats(metrics)),
            }
        }
    })
}

fn assemble(
    config: &Config,
    kernel: Kernel,
    exporter: export::Exporter,
    metrics: &Metrics,
) -> Result<Pipeline> {
    let limits = &config.limits;
    let settings = Settings {
        http1: http1::Limits {
            head: limits.head_bytes.0,
            open: limits.pipelined_exchanges,
            ..http1::Limits::default()
        },
        limits: protocol::Limits {
            message: limits.head_bytes.0,
            open: limits.pipelined_exchanges,
            ..protocol::Limits::default()
        },
        query_text: match config.redaction.query_text {
            config::QueryText::Off => protocol::QueryText::Off,
            config::QueryText::Sanitized => protocol::QueryText::Sanitized,
            config::QueryText::Full => protocol::QueryText::Full,
        },
        redaction: Arc::new(http1::Redaction::with(
            config.redaction.query_parameters.iter().cloned(),
        )),
        context: Arc::new(Extractor::new(&config.context)),
        topics: Arc::default(),
        prepared: Arc::default(),
    };
    let stitch = StitchConfig {
        sampler: config.sampling.sampler(),
        max_open: limits.open_exchanges,
        max_held: limits.held_spans,
        thread_ids: config.thread_ids,
        max_processes: limits.processes,
        max_offspring: limits.open_exchanges,
        max_unix_pairs: limits.connections,
        ..StitchConfig::default()
    };
    let root = Path::new("/");
    let host = Host::read(root, &config.resource_attributes);
    Ok(Pipeline::new(
        kernel,
        Ingest::new(
            limits.connections,
            limits.parser_memory.0,
            settings,
            metrics.clone(),
        ),
        Stitcher::new(
            stitch,
            Box::new(RandomIds::from_system().context("asking the system for randomness")?),
            metrics.clone(),
        ),
        Processes::new(
            Box::new(ProcFs::new(Path::new("/proc"))),
            host,
            limits.processes,
        ),
        Policy {
            filter: Filter::new(config.scope.clone()),
            propagation: config.propagation.clone(),
        },
        exporter,
        metrics.clone(),
    ))
}

fn export_config(config: &Config) -> ExportConfig {
    let otlp = &config.otlp;
    let chosen = |output| config.outputs.contains(&output);
    ExportConfig {
        otlp: chosen(config::Output::Otlp).then(|| OtlpConfig {
            protocol: match otlp.protocol {
                config::OtlpProtocol::Grpc => export::Protocol::Grpc,
                config::OtlpProtocol::HttpProtobuf => export::Protocol::HttpProtobuf,
            },
            endpoint: otlp.endpoint.clone(),
            headers: otlp.headers.clone(),
            compression: match otlp.compression {
                config::Compression::None => export::Compression::None,
                config::Compression::Gzip => export::Compression::Gzip,
                config::Compression::Zstd => export::Compression::Zstd,
            },
            timeout: otlp.timeout,
            certificate: otlp.certificate.clone(),
            client_key: otlp.client_key.clone(),
            client_certificate: otlp.client_certificate.clone(),
        }),
        console: chosen(config::Output::Console),
        json: chosen(config::Output::Json),
        batch: BatchConfig {
            schedule_delay: config.batch.schedule_delay,
            max_queue_size: config.batch.max_queue_size,
            max_queue_bytes: config.limits.export_queue_bytes.0,
            max_export_batch_size: config.batch.max_export_batch_size,
            export_timeout: config.batch.export_timeout,
        },
    }
}

fn kernel_config(config: &Config) -> KernelConfig {
    let bounded = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    KernelConfig {
        backend: match config.capture.backend {
            config::Backend::Auto => None,
            config::Backend::Socket => Some(Backend::Socket),
            config::Backend::Fentry => Some(Backend::Fentry),
            config::Backend::Syscall => Some(Backend::Syscall),
        },
        capture_bytes: bounded(config.capture.bytes),
        ring_bytes: bounded(config.capture.ring_size),
        max_connections: bounded(config.limits.connections),
        trial: false,
        sampler: config.sampling.sampler(),
        option: option_cgroups(config),
        headers: headers_config(&config.propagation),
    }
}

/// The cgroups whose sockets send contexts in TCP options.
fn option_cgroups(config: &Config) -> Vec<PathBuf> {
    if !config.propagate.contains(&config::Propagate::TcpOption) {
        return Vec::new();
    }
    kernel::cgroups(&config.scope.include.cgroups).unwrap_or_else(|| {
        warn!(
            "no cgroup v2 tree is mounted; lost: contexts in TCP options (`clew doctor` says what to do)"
        );
        Vec::new()
    })
}

fn headers_config(propagation: &Propagation) -> Option<HeadersConfig> {
    let forced = propagation.has(HeaderMode::Force);
    (forced || propagation.has(HeaderMode::Auto)).then_some(HeadersConfig {
        accept_unsafe: forced,
    })
}

/// Says what has become of headers, where they are wanted.
fn report_headers(kernel: &Kernel) {
    match &kernel.headers {
        Some(Ok(headers)) => match &headers.flaw {
            Some(flaw) => warn!("headers are forced although {flaw}"),
            None => info!("requests get headers"),
        },
        Some(Err(error)) => warn!("no request gets a header: {error}"),
        None => {}
    }
}

fn start_log(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log.level)
        .with_context(|| format!("log.level: `{}`", config.log.level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let started = match config.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}
