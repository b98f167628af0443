//! See `clew_fuzz::fuzz`.

#![no_main]

use clew::protocol::http2;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| clew_fuzz::fuzz(&http2::ENTRY, input));
