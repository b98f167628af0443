//! The kernel programs' object file, fitted to what will be used of it.

use std::borrow::Cow;

use clew_common::inject::SOCKETS_MAX;

/// `BPF_MAP_TYPE_SOCKHASH` and `BPF_MAP_TYPE_HASH` (include/uapi/linux/bpf.h).
const SOCKHASH: u32 = 18;
const HASH: u32 = 1;
/// How the definition of `HEADER_SOCKETS` begins (`struct bpf_map_def`): type, sizes of key and
/// value, entries. The number of entries makes it the only place.
const DEFINITION: [u32; 4] = [SOCKHASH, 8, 4, SOCKETS_MAX];
const WITHOUT: [u32; 4] = [HASH, 8, 4, 1];

/// The object without the map of sockets.
///
/// All maps of an object are created together, and the kernel asks for `CAP_NET_ADMIN` for this
/// one: without the wish for headers the agent must start without it. The programs that use the map
/// are not loaded then.
pub(super) fn without_header_sockets(object: &[u8]) -> Cow<'_, [u8]> {
    let definition = bytes(DEFINITION);
    match memchr::memmem::find(object, &definition) {
        Some(at) => {
            let mut object = object.to_vec();
            object[at..at + definition.len()].copy_from_slice(&bytes(WITHOUT));
            object.into()
        }
        None => object.into(),
    }
}

fn bytes(words: [u32; 4]) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_there_once() {
        let object = super::super::OBJECT;
        if object.is_empty() {
            eprintln!("skipped: built without kernel programs");
            return;
        }
        let definition = bytes(DEFINITION);
        let places = memchr::memmem::find_iter(object, &definition).count();
        assert_eq!(places, 1);
        let fitted = without_header_sockets(object);
        assert!(memchr::memmem::find(&fitted, &definition).is_none());
        assert_eq!(fitted.len(), object.len());
    }
}
