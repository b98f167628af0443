//! Child processes that end with their owner.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::{Deadline, Namespace};

/// A running program. When dropped, it and its process group are asked to end, then made to.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    namespace: Option<PathBuf>,
    log: Option<PathBuf>,
    reaped: bool,
}

impl Process {
    /// Between the request to end and the end by force.
    const GRACE: Duration = Duration::from_secs(3);

    /// Starts `command` with its output in `<directory>/<name>.log`, in `namespace` or, without
    /// one, where the caller is.
    ///
    /// # Errors
    /// When the log or the process cannot be created.
    pub fn start(
        name: &str,
        mut command: Command,
        namespace: Option<&Namespace>,
        directory: &Path,
    ) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut process = Self::start_with_own_output(name, command, namespace)?;
        process.log = Some(log);
        Ok(process)
    }

    /// Like [`Process::start`], with the outputs that `command` says.
    ///
    /// # Errors
    /// When the process cannot be created.
    pub fn start_with_own_output(
        name: &str,
        mut command: Command,
        namespace: Option<&Namespace>,
    ) -> Result<Self> {
        // A group of its own: a server's workers can be ended with it, and a Ctrl-C that is meant
        // for the owner does not end it before the owner is done with it.
        command.stdin(Stdio::null()).process_group(0);
        let child = match namespace {
            Some(namespace) => namespace.enter(|| command.spawn())?,
            None => command.spawn(),
        };
        let child = child.with_context(|| {
            format!(
                "starting {name} ({})",
                command.get_program().to_string_lossy()
            )
        })?;
        let namespace = namespace.map(|namespace| namespace.path());
        Ok(Self {
            name: name.to_owned(),
            child,
            namespace,
            log: None,
            reaped: false,
        })
    }

    /// Its name, as given at the start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far; empty where its output goes elsewhere.
    #[must_use]
    pub fn output(&self) -> String {
        let bytes = self.log.as_deref().and_then(|log| std::fs::read(log).ok());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }

    /// Waits until it accepts connections at `address`.
    ///
    /// # Errors
    /// When it ends before, or does not accept in time; with its output.
    pub fn wait_listening(&mut self, address: SocketAddr, within: Duration) -> Result<()> {
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        let namespace = self.namespace.clone();
        let deadline = Deadline::after(within);
        let ready = deadline.poll(|| {
            let accepted = match &namespace {
                Some(path) => Namespace::enter_path(path, connect),
                None => Ok(connect()),
            };
            match accepted {
                Ok(true) => Some(Ok(())),
                Ok(false) if self.has_ended() => Some(Err(anyhow::anyhow!("it ended"))),
                Ok(false) => None,
                Err(error) => Some(Err(error)),
            }
        });
        ready
            .unwrap_or_else(|| bail!("not within {within:?}"))
            .with_context(|| {
                format!(
                    "waiting for {} to listen at {address}; {}",
                    self.name,
                    self.last_words()
                )
            })
    }

    /// Whether it has ended, by itself or not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        if self.reaped {
            return true;
        }
        // WNOWAIT: until the process is reaped, its id and its group's stay its own.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(
            waitid(Id::Pid(self.id()), flags),
            Ok(WaitStatus::StillAlive)
        )
    }

    /// Waits for it to end by itself. What it leaves running in its group is ended.
    ///
    /// # Errors
    /// When it does not within the time; with its output. It goes on running.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        if Deadline::after(within)
            .poll(|| self.has_ended().then_some(()))
            .is_none()
        {
            bail!(
                "{} did not end within {within:?}; {}",
                self.name,
                self.last_words()
            );
        }
        self.reap()
    }

    /// Sends a signal to the process, not to its group.
    ///
    /// # Errors
    /// When it was waited for: its id may be another's by now.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        ensure!(!self.reaped, "{} has ended", self.name);
        kill(self.id(), signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Ends the group by force, then collects the process: in this order, because the group's id is
    /// free for others once both are gone.
    fn reap(&mut self) -> Result<ExitStatus> {
        let _ended = killpg(self.id(), Signal::SIGKILL);
        self.reaped = true;
        self.child
            .wait()
            .with_context(|| format!("waiting for {}", self.name))
    }

    fn id(&self) -> Pid {
        // A process id is positive and below 2^22 (PID_MAX_LIMIT).
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn last_words(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        if tail.is_empty() {
            "it wrote nothing".to_owned()
        } else {
            format!("it wrote:\n{tail}")
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        // Either call fails only where the group has already ended, which is what is wanted.
        let _ended = killpg(self.id(), Signal::SIGTERM);
        let _in_time = Deadline::after(Self::GRACE).poll(|| self.has_ended().then_some(()));
        if let Err(error) = self.reap() {
            eprintln!("{} was not ended: {error:#}", self.name);
        }
    }
}
