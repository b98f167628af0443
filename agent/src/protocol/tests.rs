//! Each recording is known for what it is, and for nothing else.

use std::path::{Path, PathBuf};

use super::recording::{Piece, parse};
use super::*;

/// Every recording beside a protocol, with the name of the protocol's folder.
fn recordings() -> Vec<(String, PathBuf, Vec<Piece>)> {
    let protocols = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol");
    let mut found = Vec::new();
    for protocol in std::fs::read_dir(protocols).unwrap().flatten() {
        let name = protocol.file_name().into_string().unwrap();
        let files = std::fs::read_dir(protocol.path().join("recordings"));
        for file in files.into_iter().flatten().flatten() {
            let file_name = file.file_name().into_string().unwrap();
            // Those begin as HTTP/1 and become another protocol.
            if file_name.ends_with(".txt") && !file_name.starts_with("upgrade") {
                let text = std::fs::read_to_string(file.path()).unwrap();
                found.push((name.clone(), file.path(), parse(&text).unwrap()));
            }
        }
    }
    found
}

fn sample(piece: &Piece, from_start: bool) -> Sample<'_> {
    let client = Sample {
        direction: piece.direction(Side::Client),
        sender: None,
        from_start,
        bytes: &piece.data,
        length: piece.length(),
    };
    Sample {
        sender: from_start.then_some(if piece.from_client {
            Side::Client
        } else {
            Side::Server
        }),
        ..client
    }
}

/// Which protocol a piece is, of a stream or, by the recording's name, as a datagram.
fn known(path: &Path, sample: &Sample<'_>) -> Option<&'static str> {
    let is_datagram = path.to_string_lossy().ends_with("udp.txt");
    let found = match is_datagram {
        true => identify_datagram(sample),
        false => identify(sample),
    };
    found.ok().map(|entry| entry.protocol.label())
}

#[test]
fn from_the_start() {
    for (name, path, pieces) in recordings() {
        // Whoever speaks first may say too little; then it is the other's first piece that tells.
        let firsts =
            [true, false].map(|client| pieces.iter().position(|p| p.from_client == client));
        let mut firsts: Vec<usize> = firsts.into_iter().flatten().collect();
        firsts.sort_unstable();
        let found = firsts
            .iter()
            .find_map(|&first| known(&path, &sample(&pieces[first], true)));
        assert!(
            found.is_some_and(|label| label.starts_with(&name)),
            "{} is taken for {found:?}",
            path.display()
        );
    }
}

/// So many bytes before a piece are taken along; more may be, but hardly are.
const ENDS: usize = 32;

/// A connection that is joined late is not known by every chunk, but no chunk is taken for another
/// protocol's.
#[test]
fn from_the_middle() {
    for (name, path, pieces) in recordings() {
        let mut before = [const { Vec::new() }; 2];
        for (number, piece) in pieces.iter().enumerate() {
            // What came just before may have been read in short pieces.
            let end: &mut Vec<u8> = &mut before[usize::from(piece.from_client)];
            for shown in 0..=end.len() {
                let mut joined = piece.clone();
                joined.data = [&end[end.len() - shown..], &piece.data].concat();
                let sample = sample(&joined, false);
                if let Some(label) = known(&path, &sample) {
                    assert!(
                        label.starts_with(&name),
                        "{}: piece {number} behind {shown} bytes is taken for {label}",
                        path.display()
                    );
                }
            }
            end.extend_from_slice(&piece.data);
            end.drain(..end.len().saturating_sub(ENDS));
            if piece.hidden > 0 {
                end.clear();
            }
        }
    }
}
