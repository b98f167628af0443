//! The edge to the kernel: what it offers, loading programs, reading their events and counters,
//! telling them what is wanted.

pub mod btf;
mod cgroup;
mod control;
mod counter;
mod description;
mod event;
mod existing;
mod headers;
mod layout;
mod living;
mod object;
mod program;

use std::{fs::File, path::PathBuf, sync::Arc};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{MapData, RingBuf},
    util::KernelVersion,
};
use clew_common::{
    event::CAPTURE_MAX,
    offsets::{Iterators, Offsets},
};
use thiserror::Error;
use tracing::debug;

use crate::{clock, model::Timestamp, sample::Sampler};

use self::btf::{Btf, BtfError};
pub use self::{
    cgroup::cgroups,
    control::Controls,
    counter::KernelCounters,
    description::Backend,
    event::{KernelEvent, decode},
    headers::{Headers, HeadersError, Unsafe},
    living::{Census, Living},
    program::{Loaded, ProgramReport},
};
use self::{description::Flows, program::Programs};

/// The kernel programs, put there by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/clew-ebpf"));

/// Why tracing cannot start.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The agent was compiled without `cargo xtask build`.
    #[error("this `clew` was built without its kernel programs; build it with `cargo xtask build`")]
    NoObject,
    /// Kernel types cannot be read.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// aya cannot read the kernel's types.
    #[error("reading the kernel's type information: {0}")]
    AyaBtf(#[from] aya::BtfError),
    /// Maps cannot be created, or the object is refused as a whole.
    #[error(
        "creating the kernel maps: {0} (is the agent running as root, or with CAP_BPF and CAP_PERFMON?)"
    )]
    Maps(#[from] aya::EbpfError),
    /// A map that the object must have is missing or of another kind.
    #[error("the kernel object's map `{0}` is not usable: {1}")]
    Map(&'static str, aya::maps::MapError),
    /// No backend works.
    #[error("this kernel refuses every capture backend: {}", in_a_line(.0))]
    NoBackend(Vec<Refusal>),
}

/// Why a backend does not work.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The backend.
    pub backend: Backend,
    /// The program that it cannot do without.
    pub program: ProgramReport,
}

fn in_a_line(refusals: &[Refusal]) -> String {
    let lines: Vec<String> = refusals
        .iter()
        .map(|refusal| format!("{}: {}", refusal.backend.name(), refusal.program.summary()))
        .collect();
    lines.join("; ")
}

/// What the programs must know of this kernel's structures.
struct Layout {
    offsets: Offsets,
    iterators: Iterators,
}

/// How to load.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// Which backend; `None` takes the best that works.
    pub backend: Option<Backend>,
    /// Bytes captured of a chunk at most, up to [`CAPTURE_MAX`].
    pub capture_bytes: u32,
    /// Size of the ring buffer in bytes; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Connections for which the kernel keeps a record of what the agent decided, and, where it cannot be
    /// kept in the sockets, their state.
    pub max_connections: u32,
    /// Decides about traces that begin in the kernel.
    pub sampler: Sampler,
    /// Only to see whether it works, and if not why: sockets that are there already are left as they are.
    pub trial: bool,
    /// Send contexts in TCP options on the sockets of these cgroups (version 2) and those below them.
    pub option: Vec<PathBuf>,
    /// Headers in requests that are sent; `None`: in no one's.
    pub headers: Option<HeadersConfig>,
}

/// How headers are wanted.
#[derive(Clone, Copy, Debug)]
pub struct HeadersConfig {
    /// Also where this kernel does not keep programs safe.
    pub accept_unsafe: bool,
}

/// The running kernel programs. Dropping it takes everything out of the kernel.
pub struct Kernel {
    ebpf: Ebpf,
    ring: RingBuf<MapData>,
    /// The capture backend in use.
    pub backend: Backend,
    programs: Programs,
    /// Verdicts and exclusions.
    pub controls: Controls,
    /// A way to find out which connections there still are, where there is one.
    pub living: Option<Arc<Living>>,
    /// Since when all of them run. What some saw before is not the whole: a request, say, and not its
    /// response.
    pub since: Timestamp,
    /// The programs that insert headers, or why there are none; `None` where none were wanted.
    pub headers: Option<Result<Headers, HeadersError>>,
    counters: KernelCounters,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    /// The cgroups whose sockets send contexts, locked against other agents.
    _cgroups: Vec<File>,
}

impl Kernel {
    /// Loads and attaches.
    ///
    /// # Errors
    ///
    /// [`KernelError`], in words that tell what to do.
    pub fn start(config: &KernelConfig) -> Result<Self, KernelError> {
        if OBJECT.is_empty() {
            return Err(KernelError::NoObject);
        }
        let btf = Btf::of_running_kernel()?;
        let layout = Layout {
            offsets: layout::offsets(|owner, field| btf.offset(owner, field))?,
            iterators: layout::iterators(&btf)?,
        };
        let candidates: Vec<(Backend, Flows)> = Backend::ALL
            .into_iter()
            .filter(|&backend| config.backend.is_none_or(|only| only == backend))
            .flat_map(|backend| {
                let flows = backend.flows(|function| btf.has_function(function));
                flows.map(move |flows| (backend, flows))
            })
            .collect();
        drop(btf);
        let aya_btf = AyaBtf::from_sys_fs()?;
        let cgroups = cgroup::claim(&config.option);
        let mut refusals = Vec::new();
        for (backend, flows) in candidates {
            let mut ebpf = load_maps(
                config,
                (backend, flows),
                &layout,
                !cgroups.is_empty() || config.headers.is_some(),
            )?;
            let mut programs = Programs::load(&mut ebpf, backend, flows, &aya_btf, &cgroups);
            if let Some(missing) = programs.missing() {
                debug!(backend = backend.name(), "refused: {}", missing.summary());
                refusals.push(Refusal {
                    backend,
                    program: missing.clone(),
                });
                continue;
            }
            if !cgroups.is_empty() {
                programs
                    .reports
                    .push(existing::ask(&mut ebpf, &aya_btf, config.trial));
            }
            let (living, report) = Living::start(&mut ebpf, flows, &aya_btf);
            programs.reports.extend(report);
            let mut kernel = Self::assemble(ebpf, (backend, flows), programs, cgroups)?;
            kernel.living = living.map(Arc::new);
            kernel.headers = config
                .headers
                .map(|wanted| Headers::start(&mut kernel.ebpf, flows, wanted.accept_unsafe));
            return Ok(kernel);
        }
        Err(KernelError::NoBackend(refusals))
    }

    fn assemble(
        mut ebpf: Ebpf,
        (backend, flows): (Backend, Flows),
        programs: Programs,
        cgroups: Vec<File>,
    ) -> Result<Self, KernelError> {
        let logger = aya_log::EbpfLogger::init(&mut ebpf)
            .inspect_err(|error| debug!("no log messages from the kernel programs: {error}"))
            .ok();
        let ring = ebpf
            .take_map("EVENTS")
            .ok_or_else(|| missing("EVENTS"))
            .and_then(|map| RingBuf::try_from(map).map_err(|e| KernelError::Map("EVENTS", e)))?;
        let controls = Controls::take(&mut ebpf, flows)?;
        let counters = KernelCounters::take(&mut ebpf)?;
        Ok(Self {
            ebpf,
            ring,
            backend,
            programs,
            controls,
            living: None,
            since: clock::now(),
            headers: None,
            counters,
            logger,
            _cgroups: cgroups,
        })
    }

    /// The next record of the ring buffer, handed to `f` as bytes; `None` when it is empty.
    pub fn next_record<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.ring.next().map(|record| f(&record))
    }

    /// Passes log messages of the kernel programs on.
    pub fn forward_logs(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// What became of each program.
    #[must_use]
    pub fn programs(&self) -> &[ProgramReport] {
        &self.programs.reports
    }

    /// Counters kept in the kernel: each [`clew_common::counter::Counter`]'s total.
    #[must_use]
    pub fn counters(&self) -> Vec<u64> {
        self.counters.read()
    }

    /// Runs of kernel programs that did not take place because the program was running already on
    /// that processor.
    #[must_use]
    pub fn missed_runs(&self) -> u64 {
        self.programs.missed_runs()
    }
}

fn missing(map: &'static str) -> KernelError {
    KernelError::Map(
        map,
        aya::maps::MapError::InvalidName {
            name: map.to_owned(),
        },
    )
}

/// Connections whose last request's `tracestate` is remembered, at most; of more, the one idle for
/// longest is forgotten.
const STATES_MAX: u32 = 4096;

/// Whether tasks run programs in the middle of another's: tracepoints' from Linux 7.0 on, and functions'
/// wherever the kernel itself can be preempted. A version that cannot be told is taken for a new one.
fn preemptible(backend: Backend) -> bool {
    let is_older = |version| version < KernelVersion::new(7, 0, 0);
    backend == Backend::Fentry || !KernelVersion::current().is_ok_and(is_older)
}

fn load_maps(
    config: &KernelConfig,
    (backend, flows): (Backend, Flows),
    layout: &Layout,
    follows: bool,
) -> Result<Ebpf, KernelError> {
    let offsets = layout.offsets.words();
    let iterators = layout.iterators.words();
    let own = std::process::id();
    let capture = config.capture_bytes.min(CAPTURE_MAX as u32);
    // Only verbose where somebody listens: each message costs the traced program.
    let log_level: u8 = if tracing::enabled!(tracing::Level::DEBUG) {
        aya_log::Level::Debug as u8
    } else {
        0
    };
    let flow_table = match flows {
        Flows::Storage => 1,
        Flows::Table => config.max_connections,
    };
    let follow = u32::from(follows);
    let sampling = config.sampler.threshold().value();
    let resample = u32::from(!config.sampler.parent_based);
    // A decision that is taken again may contradict what the state says of it (`ot=th:`).
    let states = config.headers.is_some() && resample == 0;
    let object = match config.headers {
        Some(_) => OBJECT.into(),
        None => object::without_header_sockets(OBJECT),
    };
    // A refusal with its log takes the verifier several times as long, and on to a backend that works the
    // agent should start at once.
    let verifier_log = if config.trial {
        VerifierLogLevel::default()
    } else {
        VerifierLogLevel::DISABLE
    };
    Ok(EbpfLoader::new()
        .verifier_log_level(verifier_log)
        .override_global("PREEMPTIBLE", &u32::from(preemptible(backend)), true)
        .override_global("FOLLOW", &follow, true)
        .override_global("SAMPLING", &sampling, true)
        .override_global("RESAMPLE", &resample, true)
        .override_global("PASS_STATE", &u32::from(states), true)
        .override_global("OFFSETS", &offsets[..], true)
        .override_global("ITERATORS", &iterators[..], true)
        .override_global("OWN_PID", &own, true)
        .override_global("CAPTURE_BYTES", &capture, true)
        .override_global(aya_log::LEVEL, &log_level, false)
        .map_max_entries("EVENTS", config.ring_bytes)
        .map_max_entries("FLOW_TABLE", flow_table)
        .map_max_entries("CONTROL", config.max_connections)
        .map_max_entries("STATES", if states { STATES_MAX } else { 1 })
        .load(&object)?)
}
