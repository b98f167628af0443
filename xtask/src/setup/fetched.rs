//! What only some tests need, from other languages' registries.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::workspace;

/// Says what came of it; true where something had to be fetched. Where it could not be had, the tests
/// that need it are skipped, or fail under `--require`.
pub fn report(what: &str, fetched: Result<bool>) {
    match fetched {
        Ok(true) => {}
        Ok(false) => println!("{what}: present"),
        Err(error) => println!("{what}: not fetched, tests will be skipped or fail: {error:#}"),
    }
}

/// The folder of the programs under trace.
pub fn services() -> PathBuf {
    workspace::root().join("tests/services")
}

/// Fills a folder with what a list asks for, unless a copy of this list is in it: that is written last,
/// so what was not finished has none.
///
/// # Errors
/// When the list cannot be read, or what it asks for not be had.
pub fn by_list(
    list: &Path,
    folder: &Path,
    copy: &str,
    fetch: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    let wanted = fs::read(list).with_context(|| format!("reading {}", list.display()))?;
    let copy = folder.join(copy);
    if fs::read(&copy).is_ok_and(|present| present == wanted) {
        return Ok(false);
    }
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    fetch()?;
    fs::write(&copy, wanted).with_context(|| format!("writing {}", copy.display()))?;
    Ok(true)
}

/// The files and folders in one, sorted.
///
/// # Errors
/// When it cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        entries.collect()
    };
    let mut paths = read().with_context(|| format!("reading {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}
