//! See `clew_fuzz::fuzz`.

#![no_main]

use clew::protocol::mqtt;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| clew_fuzz::fuzz(&mqtt::ENTRY, input));
