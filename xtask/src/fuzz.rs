//! The fuzz targets of `agent/fuzz`, built by the stable compiler and without cargo-fuzz, so that
//! nothing has to be installed for them. A sanitizer would need a nightly; what is fuzzed here has
//! no unsafe code, and fails by panics, assertions, time and memory, which libFuzzer sees.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace};

/// What makes libFuzzer see which branches an input took, and what it was compared with: the same
/// as cargo-fuzz passes.
const INSTRUMENTATION: &str = "--cfg fuzzing -C codegen-units=1 -C passes=sancov-module \
    -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
    -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares";

/// A recording of a few exchanges; no parser sees more at once than a capture holds.
const LONGEST_INPUT: u32 = 16384;

/// Runs every target for some seconds, from its seeds and from what earlier runs found.
///
/// # Errors
/// When a target fails; the input is left in `target/fuzz/<target>/`.
pub fn fuzz(seconds: u32) -> Result<()> {
    let fuzz = workspace::root().join("agent/fuzz");
    let Ok(targets) = fs::read_dir(fuzz.join("fuzz_targets")) else {
        return Ok(());
    };
    let target_dir = workspace::target_dir().join("fuzz");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    command::run(
        command::cargo()
            // With a target named, the flags are not for build scripts.
            .args(["build", "--release", "--target", &triple, "--target-dir"])
            .arg(&target_dir)
            .env("RUSTFLAGS", INSTRUMENTATION)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir(&fuzz),
    )?;

    let files: Vec<PathBuf> = targets
        .map(|target| Ok(target.context("listing the fuzz targets")?.path()))
        .collect::<Result<_>>()?;
    let fuzz_one = |file: &Path| {
        let Some(name) = file.file_stem().and_then(|stem| stem.to_str()) else {
            return Ok(());
        };
        let binary = target_dir.join(&triple).join("release").join(name);
        let protocols = workspace::root().join("agent/src/protocol");
        let seeds = [
            fuzz.join("corpus-seed").join(name),
            protocols.join(name).join("recordings"),
        ];
        run(&binary, name, &seeds, &target_dir.join(name), seconds)
    };
    // Each takes one processor.
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            fuzz_one(file)?;
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a thread panicked")))
    })
}

fn run(binary: &Path, name: &str, seeds: &[PathBuf], work: &Path, seconds: u32) -> Result<()> {
    let corpus = work.join("corpus");
    fs::create_dir_all(&corpus).with_context(|| format!("creating {}", corpus.display()))?;
    let mut fuzzer = Command::new(binary);
    fuzzer.arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-max_len={LONGEST_INPUT}"));
    fuzzer.arg(format!("-artifact_prefix={}/", work.display()));
    fuzzer.args(["-print_final_stats=1", "-verbosity=0"]);
    // The first directory receives what is found.
    fuzzer.arg(corpus);
    fuzzer.args(seeds.iter().filter(|seeds| seeds.is_dir()));
    command::run(&mut fuzzer).with_context(|| format!("fuzzing {name}"))
}
