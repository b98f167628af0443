//! Network namespaces.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Names are `clewt-<pid of the owner>-<number>`, so that what a killed owner left behind is known
/// as such.
const PREFIX: &str = "clewt-";

/// Where `ip netns` keeps its namespaces.
const NETNS_DIR: &str = "/run/netns";

/// A network namespace with its loopback interface up. When dropped, every process still in it is
/// killed and it is deleted.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Creates a namespace. The first call in a process also removes the namespaces, and the
    /// processes in them, of owners that no longer exist.
    ///
    /// # Errors
    /// Without root, or without `ip`.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static STALE: Once = Once::new();
        STALE.call_once(remove_stale);

        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(NETNS_DIR).join(&self.name)
    }

    /// Runs `work` on a thread that is in this namespace: sockets it opens and processes it starts
    /// belong to it. The calling thread stays where it is.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    ///
    /// # Panics
    /// When `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        Self::enter_path(&self.path(), work)
    }

    pub(crate) fn enter_path<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&file, CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("entering {}", path.display()))?;
                Ok(work())
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip -n <this namespace> …`.
    ///
    /// # Errors
    /// When `ip` refuses, with its message.
    pub fn ip(&self, args: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.name], args].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            eprintln!("network namespace {} was not removed: {error:#}", self.name);
        }
    }
}

fn remove_stale() {
    let Ok(entries) = std::fs::read_dir(NETNS_DIR) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        let Some(Ok(owner)) = owner.map(str::parse::<u32>) else {
            continue;
        };
        if !Path::new(&format!("/proc/{owner}")).exists()
            && let Err(error) = remove(&name)
        {
            eprintln!("stale network namespace {name} was not removed: {error:#}");
        }
    }
}

/// Kills what runs in the namespace, then deletes it.
fn remove(name: &str) -> Result<()> {
    let output = Command::new("ip")
        .args(["netns", "pids", name])
        .output()
        .context("running ip")?;
    for pid in String::from_utf8_lossy(&output.stdout).lines() {
        if let Ok(pid) = pid.trim().parse::<i32>()
            && pid.unsigned_abs() != std::process::id()
        {
            // One that has ended in between is what is wanted.
            let _ended = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    ip(&["netns", "del", name])
}

pub(crate) fn ip(args: &[&str]) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "network namespaces need root: run this as root"
    );
    let output = Command::new("ip")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .context("running ip (package iproute2)")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("ip {}: {}", args.join(" "), message.trim());
    }
    Ok(())
}
