//! Clew's project commands: `cargo xtask …`.
fn main() {}
