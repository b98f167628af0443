//! Embeds the kernel programs, so that `clew` is a single file.
//!
//! `cargo xtask build` compiles them and names the object in `CLEW_EBPF_OBJECT`. Without it (a
//! plain `cargo check`, say) the place is tried where xtask leaves the object for the target's
//! architecture; failing that the agent is built without kernel programs, which `clew doctor` and
//! `clew run` say.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=CLEW_EBPF_OBJECT");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let object = env::var_os("CLEW_EBPF_OBJECT").map_or_else(
        || {
            let architecture = env::var("CARGO_CFG_TARGET_ARCH").expect("set by cargo");
            manifest.join(format!("../ebpf/target/{architecture}/clew-ebpf"))
        },
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    let bytes = fs::read(&object).unwrap_or_default();
    if bytes.is_empty() {
        println!("cargo::warning=built without kernel programs: run `cargo xtask build`");
    }
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo")).join("clew-ebpf");
    fs::write(&target, bytes).expect("writing to OUT_DIR");
}
