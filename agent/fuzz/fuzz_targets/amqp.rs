//! See `clew_fuzz::fuzz`.

#![no_main]

use clew::protocol::amqp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| clew_fuzz::fuzz(&amqp::ENTRY, input));
