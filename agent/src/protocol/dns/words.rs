//! Names of what DNS has numbers for (IANA, "Domain Name System (DNS) Parameters").

use std::borrow::Cow;

/// Record types that questions are asked for, with their spans' names.
const TYPES: &[(u16, &str, &str)] = &[
    (1, "A", "DNS query A"),
    (2, "NS", "DNS query NS"),
    (5, "CNAME", "DNS query CNAME"),
    (6, "SOA", "DNS query SOA"),
    (12, "PTR", "DNS query PTR"),
    (13, "HINFO", "DNS query HINFO"),
    (15, "MX", "DNS query MX"),
    (16, "TXT", "DNS query TXT"),
    (28, "AAAA", "DNS query AAAA"),
    (33, "SRV", "DNS query SRV"),
    (35, "NAPTR", "DNS query NAPTR"),
    (39, "DNAME", "DNS query DNAME"),
    (43, "DS", "DNS query DS"),
    (44, "SSHFP", "DNS query SSHFP"),
    (46, "RRSIG", "DNS query RRSIG"),
    (47, "NSEC", "DNS query NSEC"),
    (48, "DNSKEY", "DNS query DNSKEY"),
    (50, "NSEC3", "DNS query NSEC3"),
    (52, "TLSA", "DNS query TLSA"),
    (59, "CDS", "DNS query CDS"),
    (60, "CDNSKEY", "DNS query CDNSKEY"),
    (64, "SVCB", "DNS query SVCB"),
    (65, "HTTPS", "DNS query HTTPS"),
    (99, "SPF", "DNS query SPF"),
    (251, "IXFR", "DNS query IXFR"),
    (252, "AXFR", "DNS query AXFR"),
    (255, "ANY", "DNS query ANY"),
    (257, "CAA", "DNS query CAA"),
];

/// Incremental and whole zone transfers (RFC 1995, RFC 5936).
pub(super) const TRANSFERS: [u16; 2] = [251, 252];

/// A record type's name; `TYPE123` for one without (RFC 3597, section 5).
pub(super) fn type_name(number: u16) -> Cow<'static, str> {
    match TYPES.iter().find(|known| known.0 == number) {
        Some(&(_, name, _)) => Cow::Borrowed(name),
        None => Cow::Owned(format!("TYPE{number}")),
    }
}

/// The name of a span that asks for a record type.
pub(super) fn span_name(number: u16) -> &'static str {
    match TYPES.iter().find(|known| known.0 == number) {
        Some(&(_, _, name)) => name,
        None => "DNS query",
    }
}

/// The name of a response code; `RCODE123` for one without.
pub(super) fn response_code(number: u16) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        0 => "NOERROR",
        1 => "FORMERR",
        SERVER_FAILURE => "SERVFAIL",
        3 => "NXDOMAIN",
        NOT_IMPLEMENTED => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        23 => "BADCOOKIE",
        _ => return Cow::Owned(format!("RCODE{number}")),
    })
}

/// What a server says of itself, not of what it was asked.
pub(super) const SERVER_FAILURE: u16 = 2;
/// Likewise.
pub(super) const NOT_IMPLEMENTED: u16 = 4;
