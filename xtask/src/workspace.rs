//! Where things are.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo leaves what it builds for this host.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || root().join("target"),
        // Relative to the directory that cargo was called in, as cargo has it.
        |directory| std::path::absolute(&directory).unwrap_or_else(|_| directory.into()),
    )
}

/// Where tools of our own go that outlive a `cargo clean` and serve every checkout.
pub fn tools_dir() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|c| c.is_absolute());
    cache
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .map_or_else(|| root().join("target/tools"), |cache| cache.join("clew"))
}
