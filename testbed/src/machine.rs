//! Virtual machines: this host's files on another kernel.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::Tap;

/// A virtual machine that runs one command and ends. It sees this host's files; what it writes is
/// gone when it ends.
///
/// virtme-ng makes the machine, QEMU runs it, without KVM: a host that is a virtual machine itself
/// often cannot boot distributions' kernels under KVM. It starts in half a minute on a machine that
/// has nothing else to do, and runs at a tenth of the host's speed.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// The folder with `vng` and the programs that it calls.
    pub tools: &'a Path,
    /// The kernel: see [`kernel_image`].
    pub kernel: &'a Path,
    /// After this the machine is ended by force.
    pub within: Duration,
    /// Where its network interface `eth0` is plugged in; without one it has only loopback.
    pub tap: Option<&'a Tap>,
    /// Which cgroup trees are mounted.
    pub cgroups: Cgroups,
    /// Whether its kernel is locked down for integrity, as under Secure Boot (kernel_lockdown(7)).
    pub locked_down: bool,
}

/// Versions of cgroups, and where their trees are mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cgroups {
    /// Version 1 alone: below `/sys/fs/cgroup`, a folder for each controller.
    V1,
    /// The same, and version 2 at `/sys/fs/cgroup/unified`.
    Hybrid,
    /// Version 2 alone, at `/sys/fs/cgroup`.
    #[default]
    V2,
}

impl Machine<'_> {
    /// Memory. The files that the guest writes are in it too.
    const MEMORY: &'static str = "2G";

    /// What a machine exits with that had to be ended because it took too long (timeout(1)).
    pub const TOO_LONG: i32 = 124;
    /// What a machine exits with that ended without its command's exit code: a kernel that panicked,
    /// or did not boot.
    pub const CRASHED: i32 = 255;

    /// The command that starts the machine, to be given to [`Process`](crate::Process): in the
    /// namespace of its tap, if it has one. It exits with the exit code of `program`.
    ///
    /// # Errors
    /// When an argument is not UTF-8: it crosses to the guest as a line of shell.
    pub fn command(&self, program: &[OsString]) -> Result<Command> {
        let mut script = String::new();
        if self.cgroups == Cgroups::Hybrid {
            let unified = "/sys/fs/cgroup/unified";
            script += &format!("mkdir {unified} && mount -t cgroup2 cgroup2 {unified} && ");
        }
        if let Some(tap) = self.tap {
            // udev has given the only interface with a device a name by its place on the bus.
            script += "modprobe virtio_net && \
                cable=$(basename \"$(dirname /sys/class/net/*/device)\") && \
                ip link set \"$cable\" name eth0 && ip link set eth0 up && ";
            for address in tap.guest_addresses() {
                // Without `nodad` an IPv6 address is unusable for its first second or two.
                let nodad = if address.contains(':') { " nodad" } else { "" };
                script += &format!("ip addr add {address} dev eth0{nodad} && ");
            }
        }
        for word in program {
            let word = word
                .to_str()
                .with_context(|| format!("{}: not UTF-8", word.display()))?;
            script += &quoted(word);
            script.push(' ');
        }

        // Around all the rest: it would take what it starts out of its starter's process group if it
        // did not lead that group itself.
        let mut command = Command::new("timeout");
        command
            .arg("--kill-after=5")
            .arg(self.within.as_secs().to_string())
            // QEMU opens its standard outputs anew, by name, and thereby truncates what is a file: so
            // it is given pipes.
            .args(["bash", "-o", "pipefail", "-c"])
            .args([r#""$@" 2> >(cat >&2) | cat"#, "machine"])
            .arg(self.tools.join("vng"))
            .arg("--run")
            .arg(self.kernel)
            // microvm and KVM: not for distributions' kernels. 9p: QEMU's own, needs no daemon.
            .args(["--disable-kvm", "--disable-microvm", "--force-9p"])
            .args(["--cpus", "2", "--memory", Self::MEMORY])
            // Emulated, mitigations only take time.
            .args(["--append", "mitigations=off"]);
        if self.cgroups != Cgroups::V2 {
            // To virtme-ng's init: mount version 1, and not version 2.
            command.args(["--append", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]);
        }
        if self.locked_down {
            command.args(["--append", "lockdown=integrity"]);
        }
        if let Some(tap) = self.tap {
            command.arg(format!(
                "--qemu-opts=-netdev tap,id=eth0,ifname={},script=no,downscript=no \
                 -device virtio-net-pci,netdev=eth0,mac={}",
                tap.device(),
                tap.mac()
            ));
        }
        command.args(["--exec", &script]);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut path: Vec<PathBuf> = std::env::split_paths(&path).collect();
        path.insert(0, self.tools.to_owned());
        command.env("PATH", std::env::join_paths(path)?);
        Ok(command)
    }
}

/// The kernel in a folder that a Debian kernel package was unpacked to.
///
/// # Errors
/// When there is none, or more than one.
pub fn kernel_image(directory: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    // From 7.2 on Debian keeps it beside its modules.
    for place in ["boot", "lib/modules"] {
        for entry in std::fs::read_dir(directory.join(place))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("vmlinuz-") {
                found.push(path);
            } else if path.join("vmlinuz").is_file() {
                found.push(path.join("vmlinuz"));
            }
        }
    }
    ensure!(
        found.len() == 1,
        "{} holds {} kernels instead of one",
        directory.display(),
        found.len()
    );
    Ok(found.remove(0))
}

/// A command as a line of shell that becomes its program: for what is to run beside another in a
/// machine, which takes one command.
///
/// # Errors
/// When a part of it is not UTF-8.
pub fn shell_line(command: &Command) -> Result<String> {
    let word = |word: &OsStr| {
        let word = word
            .to_str()
            .with_context(|| format!("{}: not UTF-8", word.display()))?;
        Ok::<_, anyhow::Error>(quoted(word))
    };
    let mut line = String::new();
    if let Some(directory) = command.get_current_dir() {
        line += &format!("cd {} && ", word(directory.as_os_str())?);
    }
    line += "exec env";
    for (name, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
        line += &format!(" -u {}", word(name)?);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            line += &format!(" {}={}", word(name)?, word(value)?);
        }
    }
    for part in std::iter::once(command.get_program()).chain(command.get_args()) {
        line += &format!(" {}", word(part)?);
    }
    Ok(line)
}

/// A word as the shell reads it back.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for word in ["plain", "two words", "it's", "$HOME `x` \"y\" \\", ""] {
            let output = Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(word))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    #[test]
    fn a_line_of_shell_is_its_command() {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "printf '%s %s %s' \"$1\" \"$GIVEN\" \"$PWD\"",
                "x",
                "it's",
            ])
            .env("GIVEN", "two words")
            .env_remove("HOME")
            .current_dir("/");
        let line = shell_line(&command).unwrap();
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "it's two words /"
        );
    }

    #[test]
    fn one_kernel_is_found_in_either_place() {
        for place in ["boot/vmlinuz-6.1.0-50-amd64", "lib/modules/7.2.13/vmlinuz"] {
            let directory = crate::temp_dir().unwrap();
            assert!(kernel_image(directory.path()).is_err());
            let image = directory.path().join(place);
            std::fs::create_dir_all(image.parent().unwrap()).unwrap();
            std::fs::write(&image, "").unwrap();
            assert_eq!(kernel_image(directory.path()).unwrap(), image);
        }
    }
}
