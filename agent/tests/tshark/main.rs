//! Against tshark, whose dissectors are nobody's here: recorded connections become packets, tshark says
//! what they are, and Clew's exchanges of the same recordings must say the same of what both know.
//!
//! Names, redacted texts and what has no span are Clew's own decisions, so each protocol has two
//! functions that put into lines what can be compared exactly. Where the two cannot agree, the line
//! stands in a table with its reason; a line there that both have, or none, fails too.
//!
//! Without tshark the tests say that they are skipped, or fail where `CLEW_REQUIRE=1` says that
//! everything must be there. tshark 4.0 does not know NATS.

mod amqp;
mod capture;
mod cassandra;
mod compare;
mod dissector;
mod dns;
mod fastcgi;
mod http1;
mod http2;
mod kafka;
mod memcached;
mod mongo;
mod mqtt;
mod mysql;
mod postgres;
mod redis;
