//! The `clew` command: parse arguments, wire, run, exit.

fn main() {}
