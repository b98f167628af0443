//! Debian's kernels, unpacked beside the build and never installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{command, workspace};

/// A kernel that a machine can boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    series: &'static str,
    /// The Debian suite that has it.
    suite: &'static str,
    /// The agent's best backend on it (`--backend`).
    backend: &'static str,
}

/// Long-term kernels of distributions in use, and the newest.
const KERNELS: [Kernel; 4] = [
    Kernel {
        series: "5.10",
        suite: "bullseye",
        backend: "fentry",
    },
    Kernel {
        series: "6.1",
        suite: "bookworm",
        backend: "fentry",
    },
    Kernel {
        series: "6.12",
        suite: "trixie",
        backend: "socket",
    },
    Kernel {
        series: "7.2",
        suite: "sid",
        backend: "socket",
    },
];

const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The kernel of a series, or each for `all`.
///
/// # Errors
/// When the name is another's.
pub fn named(name: &str) -> Result<Vec<Kernel>> {
    if name == "all" {
        return Ok(KERNELS.to_vec());
    }
    match KERNELS.into_iter().find(|kernel| kernel.series == name) {
        Some(kernel) => Ok(vec![kernel]),
        None => bail!(
            "no kernel {name}: there are {} and `all`",
            KERNELS.map(|kernel| kernel.series).join(", ")
        ),
    }
}

impl Kernel {
    /// Its version's first two numbers.
    pub const fn series(self) -> &'static str {
        self.series
    }

    /// The agent's best capture backend on it, as the end-to-end tests call it.
    pub const fn backend(self) -> &'static str {
        self.backend
    }

    /// The kernel's file; its modules are beside it. Downloaded at the first use.
    ///
    /// # Errors
    /// When it is not there and cannot be had.
    pub fn image(self) -> Result<PathBuf> {
        let directory = workspace::target_dir().join("kernels").join(self.series);
        if !directory.is_dir() {
            self.download(&directory)
                .with_context(|| format!("fetching Debian's kernel {}", self.series))?;
        }
        clew_testbed::kernel_image(&directory)
            .with_context(|| format!("remove {}, and it is fetched again", directory.display()))
    }

    /// Fetches and unpacks the suite's present kernel. `directory` appears when it is complete.
    fn download(self, directory: &Path) -> Result<()> {
        ensure!(
            command::find("apt-get").is_some() && Path::new(KEYRING).is_file(),
            "it needs apt and {KEYRING} (package debian-archive-keyring)"
        );
        let work = directory.with_file_name(format!("{}.part", self.series));
        // Of a run that was ended half-way.
        let _absent = fs::remove_dir_all(&work);
        let root = work.join("root");
        fs::create_dir_all(&root).with_context(|| format!("creating {}", root.display()))?;
        let apt = Apt::new(&work, self.suite)?;
        command::run(apt.get().arg("update"))?;

        // The package of this name depends on the one with the version in its name; from 7.2 on, that
        // one has nothing but dependencies on the kernel and on its modules.
        let [image] = &apt.dependencies("linux-image-amd64", &["linux-image-"])?[..] else {
            bail!("linux-image-amd64 of {} names not one kernel", self.suite);
        };
        let mut packages = apt.dependencies(image, &["linux-binary-", "linux-modules-"])?;
        packages.push(image.clone());
        command::run(apt.get().arg("download").args(&packages).current_dir(&work))?;
        for entry in fs::read_dir(&work)? {
            let package = entry?.path();
            if package.extension().is_some_and(|end| end == "deb") {
                command::run(Command::new("dpkg").arg("-x").arg(&package).arg(&root))?;
            }
        }
        // virtme-ng looks for modules in /lib only.
        if !root.join("lib").exists() {
            symlink("usr/lib", root.join("lib"))?;
        }
        let version = clew_testbed::kernel_image(&root)?;
        ensure!(
            version
                .to_string_lossy()
                .contains(&format!("{}.", self.series)),
            "Debian {} has another kernel by now: {}",
            self.suite,
            version.display()
        );
        fs::rename(&root, directory)?;
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))
    }
}

/// apt with one suite and a state of its own; the system's lists and packages are not touched.
struct Apt {
    work: PathBuf,
    sources: PathBuf,
    lists: PathBuf,
}

impl Apt {
    fn new(work: &Path, suite: &str) -> Result<Self> {
        let apt = Self {
            work: work.to_owned(),
            sources: work.join("sources.list"),
            lists: work.join("lists"),
        };
        fs::create_dir_all(apt.lists.join("partial"))?;
        let line = format!("deb [signed-by={KEYRING}] {MIRROR} {suite} main\n");
        fs::write(&apt.sources, line)
            .with_context(|| format!("writing {}", apt.sources.display()))?;
        Ok(apt)
    }

    fn get(&self) -> Command {
        let mut command = self.command("apt-get");
        // Downloading as the user that runs this: apt's own cannot write to every build folder.
        command.args(["-q", "-o", "APT::Sandbox::User=root"]);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let lists = self.lists.display();
        for option in [
            format!("Dir::Etc::sourcelist={}", self.sources.display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::Lists={lists}"),
            "Dir::State::status=/dev/null".to_owned(),
            "Dir::Cache::pkgcache=".to_owned(),
            "Dir::Cache::srcpkgcache=".to_owned(),
            "APT::Architecture=amd64".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command.current_dir(&self.work);
        command
    }

    /// The dependencies of a package whose names begin with one of the prefixes.
    fn dependencies(&self, package: &str, prefixes: &[&str]) -> Result<Vec<String>> {
        let mut depends = self.command("apt-cache");
        depends.args(["depends", package]);
        let text = command::output(&mut depends)
            .with_context(|| format!("{package}: the suite does not have it"))?;
        Ok(text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .map(str::to_owned)
            .collect())
    }
}
