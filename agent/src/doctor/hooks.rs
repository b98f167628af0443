//! The kernel's hooks: each program is loaded, attached and taken out again.

use clew_common::event::CAPTURE_MAX;

use super::{Check, Status};
use crate::kernel::{
    Backend, HeadersConfig, HeadersError, Kernel, KernelConfig, KernelError, Loaded, ProgramReport,
};

/// Smallest ring buffer that every page size allows.
const RING_BYTES: u32 = 64 << 10;

/// Loads the programs of each backend.
#[must_use]
pub fn hook_checks() -> Vec<Check> {
    let results = [Backend::Socket, Backend::Syscall].map(|backend| (backend, try_load(backend)));
    let best = results.iter().find_map(|(backend, result)| {
        result
            .as_ref()
            .ok()
            .map(|programs| (*backend, programs.clone()))
    });
    let backend = best.as_ref().map(|(backend, _)| *backend);
    let mut checks = vec![capture(backend, &results)];
    for (backend, result) in &results {
        checks.push(backend_check(*backend, result));
    }
    let optional = best.into_iter().flat_map(|(_, programs)| programs);
    checks.extend(
        optional
            .filter(|program| !program.required)
            .map(|p| hook(&p)),
    );
    checks.push(headers(backend));
    checks
}

fn try_load(backend: Backend) -> Result<Vec<ProgramReport>, KernelError> {
    Kernel::start(&config(backend)).map(|kernel| kernel.programs)
}

/// Tries headers in requests, as `clew run` would with `--propagate-header`.
fn headers(backend: Option<Backend>) -> Check {
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
        Ok(Some(Err(error))) => (error.to_string(), ""),
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
        option: crate::kernel::cgroups(&[]),
        headers: None,
    }
}

type Results = [(Backend, Result<Vec<ProgramReport>, KernelError>); 2];

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

fn backend_check(backend: Backend, result: &Result<Vec<ProgramReport>, KernelError>) -> Check {
    let (name, what_for, lost, remedy) = match backend {
        Backend::Socket => (
            "backend.socket",
            "capture at sends and receives of sockets only",
            "the cheaper capture; every system call pays a little",
            "use kernel 6.3 or later",
        ),
        Backend::Syscall => (
            "backend.syscall",
            "capture where the socket tracepoints are missing",
            "the fallback; nothing, where `backend.socket` works",
            "",
        ),
    };
    let check = Check::works(name, what_for, "");
    match result {
        Ok(_) => check,
        Err(error) => check.but(Status::Missing, error.to_string(), lost, remedy),
    }
}

fn hook(program: &ProgramReport) -> Check {
    let check = Check::works(&format!("hook.{}", program.hook), program.purpose, "");
    match &program.loaded {
        Loaded::Attached => check,
        Loaded::Refused { reason, .. } => {
            check.but(Status::Missing, reason.clone(), program.lost, "")
        }
    }
}
