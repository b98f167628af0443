//! Recordings of real clients and servers.

use crate::protocol::{http1, testing};

const RECORDINGS: &str = "src/protocol/http1/recordings";

testing::recordings!(RECORDINGS, http1::ENTRY.make, curl_nginx, pipelined);
