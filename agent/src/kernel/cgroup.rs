//! The tree of cgroups, version 2.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use tracing::warn;

use crate::enrich::cgroup2_mount;

/// Where the tree is mounted, if it is.
pub(super) fn root() -> Option<PathBuf> {
    cgroup2_mount(&std::fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// The directories of cgroups, or of the whole tree where none are named; `None` where no tree is mounted.
#[must_use]
pub fn cgroups(paths: &[String]) -> Option<Vec<PathBuf>> {
    Some(directories(&root()?, paths))
}

fn directories(root: &Path, paths: &[String]) -> Vec<PathBuf> {
    match paths {
        [] => vec![root.to_owned()],
        paths => paths
            .iter()
            .map(|path| root.join(path.trim_start_matches('/')))
            .collect(),
    }
}

/// Opens those of the cgroups whose sockets no other agent has claimed, and claims them for as long
/// as the files are open. Two agents' contexts on one request would contradict each other.
pub(super) fn claim(cgroups: &[PathBuf]) -> Vec<File> {
    let open = |path: &PathBuf| -> io::Result<File> {
        let directory = File::open(path)?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
        Ok(directory)
    };
    let mut claimed = Vec::new();
    for path in cgroups {
        match open(path) {
            Ok(directory) => claimed.push(directory),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => warn!(
                "another clew passes contexts on for {}; this one does not",
                path.display()
            ),
            Err(error) => warn!(
                "contexts are not passed on for {}: {error} (it needs cgroup version 2)",
                path.display()
            ),
        }
    }
    claimed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_below_the_root() {
        let root = Path::new("/sys/fs/cgroup/unified");
        assert_eq!(directories(root, &[]), [root]);
        assert_eq!(
            directories(root, &["/".to_owned(), "/a/b".to_owned(), "c".to_owned()]),
            [root.join(""), root.join("a/b"), root.join("c")]
        );
    }
}
