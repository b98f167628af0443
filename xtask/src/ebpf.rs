//! The cargo-in-cargo step: `ebpf/` is built for another target, by another compiler. Why not
//! aya-build: docs/decisions/0001-ebpf-toolchain.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{command, workspace};

/// Little-endian BPF; every host that Clew supports is.
const TARGET: &str = "bpfel-unknown-none";

/// The objects: the agent's, and the empty programs.
const PROGRAMS: &str = "clew-ebpf";
const FLOOR: &str = "clew-floor";

const BPF_LINKER_VERSION: &str = "0.13.0";

/// Debug info and `--btf`: without type information in the object the kernel refuses the programs
/// that attach by type (`tp_btf`), and the maps that hold typed values.
const LINK_FLAGS: &str = "-C link-arg=--btf -C debuginfo=2";

/// What the object is for: the kernel programs read registers and numbers of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    X86_64,
    Aarch64,
}

impl Architecture {
    /// All that there are tables for (ebpf/src/registers/).
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// Of what is built for a target: `x86_64-unknown-linux-gnu`, or only its first word.
    pub fn of(target: &str) -> Result<Self> {
        let name = target.split('-').next().unwrap_or(target);
        Self::ALL
            .into_iter()
            .find(|architecture| architecture.name() == name)
            .with_context(|| format!("{target}: Clew is for x86_64 and aarch64"))
    }

    /// This host's.
    pub fn here() -> Result<Self> {
        Self::of(std::env::consts::ARCH)
    }

    /// As targets' names begin, and as agent/build.rs looks for the object.
    const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// Where the compiler for the BPF target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// Debian's `rustc-web` with a prebuilt `core` for BPF.
    Debian,
    /// rustup's nightly, which builds `core` from `rust-src`.
    Nightly,
}

impl Toolchain {
    /// The one asked for by `CLEW_EBPF_TOOLCHAIN`, if any.
    pub fn forced() -> Result<Option<Self>> {
        match std::env::var("CLEW_EBPF_TOOLCHAIN").as_deref() {
            Ok("debian") => Ok(Some(Self::Debian)),
            Ok("nightly") => Ok(Some(Self::Nightly)),
            Ok(other) => bail!("CLEW_EBPF_TOOLCHAIN={other}: it must be `debian` or `nightly`"),
            Err(_) => Ok(None),
        }
    }

    /// The one that is ready on this machine: the forced one, or Debian's before nightly.
    pub fn ready() -> Result<Option<Self>> {
        let candidates = match Self::forced()? {
            Some(forced) => vec![forced],
            None => vec![Self::Debian, Self::Nightly],
        };
        Ok(candidates
            .into_iter()
            .find(|toolchain| toolchain.is_ready()))
    }

    /// Whether compiler, `core` and linker are all there.
    fn is_ready(self) -> bool {
        self.llvm().is_some_and(|llvm| bpf_linker(llvm).is_file())
    }

    /// The major version of the compiler's LLVM, which the linker's must equal; `None` where the
    /// compiler, or its `core` for BPF, is missing.
    pub fn llvm(self) -> Option<u32> {
        let sysroot = command::output(self.rustc().args(["--print", "sysroot"]))?;
        let libraries = Path::new(sysroot.trim_end()).join("lib/rustlib");
        let core = match self {
            Self::Debian => libraries.join(TARGET),
            Self::Nightly => libraries.join("src/rust/library/core"),
        };
        let compiler = command::output(self.rustc().arg("-vV"))?;
        let version = compiler
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))?;
        core.is_dir()
            .then(|| version.split('.').next()?.parse().ok())
            .flatten()
    }

    fn rustc(self) -> Command {
        match self {
            Self::Debian => Command::new(DEBIAN_RUSTC),
            Self::Nightly => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", &nightly(), "rustc"]);
                rustup
            }
        }
    }

    fn cargo_build(self) -> Command {
        let mut cargo = match self {
            Self::Debian => {
                let mut cargo = command::cargo();
                // BOOTSTRAP: a stable compiler then accepts the unstable target and attributes.
                cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
            Self::Nightly => {
                let mut rustup = Command::new("rustup");
                rustup
                    .args(["run", &nightly(), "cargo"])
                    .env_remove("RUSTC");
                rustup
            }
        };
        cargo.arg("build");
        if self == Self::Nightly {
            cargo.args(["-Z", "build-std=core"]);
        }
        // These would take precedence over what is set here, or belong to the host's build.
        for variable in [
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "RUSTC_WRAPPER",
        ] {
            cargo.env_remove(variable);
        }
        cargo
    }
}

/// Where Debian's package puts its compiler; rustup's may come first on PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Builds the kernel programs for hosts of an architecture; returns the object's absolute path.
///
/// # Errors
/// When no toolchain is ready, or the build fails.
pub fn build(architecture: Architecture) -> Result<PathBuf> {
    let toolchain = Toolchain::ready()?
        .context("no toolchain for eBPF is ready: `cargo xtask setup` installs one")?;
    let llvm = toolchain.llvm().context("the compiler for eBPF has gone")?;
    let linker = bpf_linker(llvm);
    let linker = linker.to_str().context("the linker's path is not UTF-8")?;
    ensure!(
        !linker.contains(' '),
        "{linker}: RUSTFLAGS cannot hold a path with a space"
    );

    let name = architecture.name();
    println!("eBPF for {name}: {toolchain:?} toolchain, LLVM {llvm}");
    let directory = workspace::root().join("ebpf");
    let target_dir = directory.join("target");
    let mut cargo = toolchain.cargo_build();
    if architecture == Architecture::Aarch64 {
        cargo.args(["--features", name]);
    }
    command::run(
        cargo
            .args(["--release", "--target", TARGET, "--target-dir"])
            .arg(&target_dir)
            .env("RUSTFLAGS", format!("-C linker={linker} {LINK_FLAGS}"))
            .current_dir(&directory),
    )?;
    let built = target_dir.join(TARGET).join("release");
    let kept = target_dir.join(name);
    for object in [PROGRAMS, FLOOR] {
        keep(&built.join(object), &kept.join(object))?;
    }
    Ok(kept.join(PROGRAMS))
}

/// Copies an object to where it stays while cargo puts another architecture's in its place. One that is
/// there already keeps its age, by which cargo decides whether to build the agent anew.
fn keep(built: &Path, kept: &Path) -> Result<()> {
    let object = fs::read(built).with_context(|| format!("reading {}", built.display()))?;
    if fs::read(kept).is_ok_and(|there| there == object) {
        return Ok(());
    }
    if let Some(directory) = kept.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("creating {}", directory.display()))?;
    }
    fs::write(kept, object).with_context(|| format!("writing {}", kept.display()))
}

/// Builds the empty programs for this host (ebpf/src/floor.rs); returns the object's absolute path.
///
/// # Errors
/// As [`build`].
pub fn floor() -> Result<PathBuf> {
    Ok(build(Architecture::here()?)?.with_file_name(FLOOR))
}

/// The nightly to use. The newest may come with an LLVM that this system's packages lack; a dated
/// one can be named.
pub fn nightly() -> String {
    std::env::var("CLEW_NIGHTLY").unwrap_or_else(|_| "nightly".to_owned())
}

/// Where the linker for an LLVM version is, or belongs. Not cargo's own directory: a bpf-linker
/// there may be built for another LLVM, and be somebody else's.
fn bpf_linker(llvm: u32) -> PathBuf {
    bpf_linker_root(llvm).join("bin/bpf-linker")
}

fn bpf_linker_root(llvm: u32) -> PathBuf {
    workspace::tools_dir().join(format!("bpf-linker-{BPF_LINKER_VERSION}-llvm-{llvm}"))
}

/// Builds the linker against this system's LLVM, unless that was done before.
///
/// # Errors
/// When LLVM's development files are missing, or the build fails.
pub fn install_bpf_linker(llvm: u32) -> Result<()> {
    let linker = bpf_linker(llvm);
    if linker.is_file() {
        println!("bpf-linker {BPF_LINKER_VERSION} for LLVM {llvm}: present");
        return Ok(());
    }
    let prefix = llvm_prefix(llvm).with_context(|| {
        format!("bpf-linker needs the development files of LLVM {llvm} (llvm-config)")
    })?;
    command::run(
        command::cargo()
            .args([
                "install",
                "bpf-linker",
                "--locked",
                "--version",
                BPF_LINKER_VERSION,
            ])
            .args([
                "--no-default-features",
                "--features",
                &format!("llvm-{llvm}"),
                "--root",
            ])
            .arg(bpf_linker_root(llvm))
            // The first is for bpf-linker's own build script, the second for llvm-sys's.
            .env("LLVM_PREFIX", &prefix)
            .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix),
    )
}

/// Where LLVM of this major version is installed: Debian's place, or what an `llvm-config` says.
pub fn llvm_prefix(llvm: u32) -> Option<PathBuf> {
    let debian = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if debian.join("bin/llvm-config").is_file() {
        return Some(debian);
    }
    [format!("llvm-config-{llvm}"), "llvm-config".to_owned()]
        .into_iter()
        .find_map(|program| {
            let told = command::output(Command::new(program).args(["--version", "--prefix"]))?;
            let (version, prefix) = told.split_once('\n')?;
            version
                .starts_with(&format!("{llvm}."))
                .then(|| PathBuf::from(prefix.trim()))
        })
}
