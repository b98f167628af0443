//! What may be missing from a kernel's structures.

use clew_common::offsets::{Iterators, MISSING, Offsets};
use tracing::warn;

use super::btf::{Btf, BtfError};

/// A structure or field that a kernel may be built without, and what is lost by it. Without any
/// other field nothing can be traced.
struct Optional {
    owner: &'static str,
    /// How the field's name begins.
    field: &'static str,
    lost: &'static str,
}

const OPTIONAL: &[Optional] = &[
    // CONFIG_IPV6=n
    Optional {
        owner: "sock_common",
        field: "skc_v6_",
        lost: "IPv6 addresses",
    },
    // CONFIG_UNIX=m: a module has type information of its own.
    Optional {
        owner: "unix_",
        field: "",
        lost: "paths and peers of Unix sockets",
    },
    // Only the `fentry` backend looks at it; a kernel that names it otherwise has the socket
    // tracepoints.
    Optional {
        owner: "iov_iter",
        field: "",
        lost: "what is sent and received, with the `fentry` backend",
    },
    // Fields that only say more.
    Optional {
        owner: "inet_",
        field: "",
        lost: "which end has begun a connection that is older than Clew",
    },
    Optional {
        owner: "tcp_sock",
        field: "bytes_",
        lost: "which end has begun a connection that is older than Clew",
    },
    Optional {
        owner: "sock",
        field: "sk_max_ack_backlog",
        lost: "which end has accepted a connection that is older than Clew",
    },
];

/// The offsets of the running kernel's fields, as `lookup` finds them.
///
/// # Errors
///
/// The first error of `lookup`, unless the field is one that may be missing.
pub(super) fn offsets(
    mut lookup: impl FnMut(&str, &str) -> Result<u32, BtfError>,
) -> Result<Offsets, BtfError> {
    Offsets::resolve(|owner, field| match lookup(owner, field) {
        Err(error @ BtfError::NoField { .. }) => match lost(owner, field) {
            Some(lost) => {
                warn!("{error}; lost: {lost}");
                Ok(MISSING)
            }
            None => Err(error),
        },
        result => result,
    })
}

/// How the running kernel tells buffers apart.
///
/// # Errors
///
/// [`BtfError::Malformed`].
pub(super) fn iterators(btf: &Btf) -> Result<Iterators, BtfError> {
    let number = |name| btf.enumerator(name).map(|found| found.unwrap_or(MISSING));
    // Until 5.13 the field holds the direction too, in its lowest bit.
    let mask = match btf.offset("iov_iter", "iter_type") {
        Ok(_) => 0xff,
        Err(_) => 0xfe,
    };
    Ok(Iterators {
        mask,
        plain: number("ITER_UBUF")?,
        scattered: number("ITER_IOVEC")?,
    })
}

fn lost(owner: &str, field: &str) -> Option<&'static str> {
    OPTIONAL
        .iter()
        .find(|optional| owner.starts_with(optional.owner) && field.starts_with(optional.field))
        .map(|optional| optional.lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offsets of a kernel that has all fields, at 8, but those that `lacks` names.
    fn kernel(lacks: fn(&str, &str) -> bool) -> Result<Offsets, BtfError> {
        offsets(|owner, field| {
            if lacks(owner, field) {
                return Err(BtfError::NoField {
                    owner: owner.to_owned(),
                    field: field.to_owned(),
                });
            }
            Ok(8)
        })
    }

    #[test]
    fn a_missing_field_costs_what_it_is_for() {
        let no_ipv6 = kernel(|_, field| field.starts_with("skc_v6_")).unwrap();
        assert_eq!(no_ipv6.sock_local_v6, MISSING);
        assert_eq!(no_ipv6.sock_remote_v6, MISSING);
        assert_eq!(no_ipv6.sock_local_v4, 8);
        assert_eq!(no_ipv6.unix_peer, 8);

        let no_unix = kernel(|owner, _| owner == "unix_sock" || owner == "unix_address").unwrap();
        assert_eq!(no_unix.unix_peer, MISSING);
        assert_eq!(no_unix.unix_address_name, MISSING);
        assert_eq!(no_unix.sock_local_v6, 8);
    }

    #[test]
    fn without_a_field_that_all_need_there_is_no_tracing() {
        let error = kernel(|owner, field| owner == "tcp_sock" && field == "copied_seq");
        assert_eq!(
            error.unwrap_err().to_string(),
            "this kernel has no field `copied_seq` in `struct tcp_sock`"
        );
    }

    #[test]
    fn other_errors_are_not_taken_for_a_missing_field() {
        let result = offsets(|_, _| Err(BtfError::Malformed(7)));
        assert!(matches!(result, Err(BtfError::Malformed(7))));
    }
}
