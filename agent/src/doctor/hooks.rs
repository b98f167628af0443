//! The kernel's hooks: each program is loaded, attached and taken out again.

use clew_common::event::CAPTURE_MAX;

use super::{Check, Status, logs::Logs};
use crate::kernel::{
    Backend, HeadersConfig, HeadersError, Kernel, KernelConfig, KernelError, ProgramReport,
};

/// Smallest ring buffer that every page size allows.
const RING_BYTES: u32 = 64 << 10;

/// Loads the programs of each backend.
#[must_use]
pub fn hook_checks() -> Vec<Check> {
    let mut logs = Logs::default();
    let results = Backend::ALL.map(|backend| (backend, try_load(backend)));
    let best = results.iter().find_map(|(backend, result)| {
        result
            .as_ref()
            .ok()
            .map(|programs| (*backend, programs.clone()))
    });
    let backend = best.as_ref().map(|(backend, _)| *backend);
    let mut checks = vec![capture(backend, &results)];
    for (backend, result) in &results {
        checks.push(backend_check(*backend, result, &mut logs));
    }
    let programs = best.into_iter().flat_map(|(_, programs)| programs);
    checks.extend(programs.map(|program| hook(&program, &mut logs)));
    checks.push(headers(backend, &mut logs));
    checks
}

fn try_load(backend: Backend) -> Result<Vec<ProgramReport>, KernelError> {
    Kernel::start(&config(backend)).map(|kernel| kernel.programs().to_vec())
}

/// Tries headers in requests, as `clew run` would with `--propagate-header`.
fn headers(backend: Option<Backend>, logs: &mut Logs) -> Check {
    let check = Check::works(
        "propagate.header",
        "insert a traceparent header into plaintext HTTP/1 requests (off unless asked for)",
        "",
    );
    let lost = "nothing, unless `propagation.header` is `auto`: then peers that know only headers \
                begin traces of their own";
    let wanted = KernelConfig {
        headers: Some(HeadersConfig {
            accept_unsafe: false,
        }),
        ..config(backend.unwrap_or(Backend::Socket))
    };
    let (reason, remedy) = match Kernel::start(&wanted).map(|mut kernel| kernel.headers.take()) {
        Ok(Some(Err(HeadersError::Unsafe(flaw)))) => (
            flaw.to_string(),
            "use a kernel without the fault; or force it for services that are not affected",
        ),
        Ok(Some(Err(error))) => (logs.reason_of_headers(&error), ""),
        Ok(_) => return check,
        Err(error) => (error.to_string(), "grant CAP_NET_ADMIN too"),
    };
    check.but(Status::Missing, reason, lost, remedy)
}

fn config(backend: Backend) -> KernelConfig {
    KernelConfig {
        backend: Some(backend),
        // The programs as they will run: the verifier leaves out what a smaller number rules out.
        capture_bytes: CAPTURE_MAX as u32,
        ring_bytes: RING_BYTES,
        max_connections: 16,
        trial: true,
        sampler: crate::sample::Sampler::default(),
        // Where there are none, the check of cgroups says what that costs.
        option: crate::kernel::cgroups(&[]).unwrap_or_default(),
        headers: None,
    }
}

type Results = [(Backend, Result<Vec<ProgramReport>, KernelError>); Backend::ALL.len()];

fn capture(best: Option<Backend>, results: &Results) -> Check {
    let check = Check::works("capture", "see what programs send and receive", "").required();
    match best {
        Some(backend) => Check {
            detail: format!("backend `{}`", backend.name()),
            ..check
        },
        None => check.but(
            Status::Missing,
            results
                .iter()
                .find_map(|(_, result)| result.as_ref().err().map(ToString::to_string))
                .unwrap_or_default(),
            "all of it",
            "run as root, or with CAP_BPF and CAP_PERFMON, on kernel 5.10 or later with BTF",
        ),
    }
}

fn backend_check(
    backend: Backend,
    result: &Result<Vec<ProgramReport>, KernelError>,
    logs: &mut Logs,
) -> Check {
    let (name, what_for, lost, remedy) = match backend {
        Backend::Socket => (
            "backend.socket",
            "capture at sends and receives of sockets only",
            "the cheaper capture; every system call pays a little",
            "use kernel 6.3 or later",
        ),
        Backend::Fentry => (
            "backend.fentry",
            "capture at the kernel's functions for sends and receives",
            "nothing, where `backend.socket` works, but what io_uring moves; else every system call \
             pays a little",
            "use a kernel that lets programs attach to its functions",
        ),
        Backend::Syscall => (
            "backend.syscall",
            "capture where neither is to be had",
            "the fallback; nothing, where another backend works",
            "",
        ),
    };
    let check = Check::works(name, what_for, "");
    match result {
        Ok(_) => check,
        Err(KernelError::NoBackend(refusals)) => {
            let reasons: Vec<String> = refusals
                .iter()
                .map(|refusal| logs.reason(&refusal.program))
                .collect();
            check.but(Status::Missing, reasons.join("; "), lost, remedy)
        }
        Err(error) => check.but(Status::Missing, error.to_string(), lost, remedy),
    }
}

fn hook(program: &ProgramReport, logs: &mut Logs) -> Check {
    let cost = program
        .verified
        .map(|verified| format!("{verified} instructions verified"))
        .unwrap_or_default();
    let check = Check::works(&format!("hook.{}", program.hook), program.purpose, cost);
    if program.works() {
        return check;
    }
    let remedy = format!("it needs kernel {}", program.kernel);
    check.but(Status::Missing, logs.reason(program), program.lost, &remedy)
}
