use super::*;
use crate::model::{ConnectionId, Direction};

/// Frames that begin with their length; three bytes are wanted of each.
fn framing(bytes: &[u8]) -> Framing {
    match bytes.first() {
        None => Framing::More,
        Some(0) => Framing::Nonsense,
        Some(&length) => Framing::Frame {
            wanted: 3,
            length: length.into(),
        },
    }
}

/// Chunks: `(gap, captured bytes, hidden bytes)`.
type Chunks<'a> = &'a [(u64, &'a [u8], u64)];

/// Plays chunks, and writes down what is found.
fn walk(
    from_start: bool,
    chunks: Chunks<'_>,
    mut take: impl FnMut(&mut Frames, &Chunk<'_>),
) -> Vec<String> {
    let mut frames = Frames::new(from_start, 8);
    let mut position = 100;
    let mut found = Vec::new();
    for (time, &(gap, data, hidden)) in (1..).zip(chunks) {
        position += gap;
        let chunk = Chunk {
            connection: ConnectionId(1),
            direction: Direction::Sent,
            position,
            gap,
            length: data.len() as u64 + hidden,
            data,
            time: Timestamp(time),
            task: Task::default(),
        };
        position = chunk.end();
        take(&mut frames, &chunk);
        while let Some(step) = frames.next(framing) {
            found.push(match step {
                Step::Frame(frame) => format!(
                    "{} {:?}{} {}-{}",
                    frame.position,
                    frame.bytes,
                    if frame.cut { " cut" } else { "" },
                    frame.first.time.0,
                    frame.last.time.0,
                ),
                Step::Ended(moved) => format!("end {}", moved.time.0),
                Step::Lost => "lost".to_owned(),
            });
        }
    }
    found
}

/// Joined late, where a frame of four bytes that ends in 9 is known as one.
#[test]
fn pieces() {
    let cases: [(Chunks<'_>, &[&str]); 8] = [
        (
            &[(0, &[4], 0), (0, &[1, 2, 9], 0), (0, &[3, 1, 2], 0)],
            &["100 [4, 1, 2] 1-2", "end 2", "104 [3, 1, 2] 3-3", "end 3"],
        ),
        // Byte by byte, and behind others.
        (
            &[
                (0, &[4, 4], 0),
                (0, &[4], 0),
                (0, &[1], 0),
                (0, &[2], 0),
                (0, &[9], 0),
            ],
            &["102 [4, 1, 2] 2-4", "end 5"],
        ),
        // Not across a gap, nor what was not captured whole, nor what is long.
        (&[(0, &[4], 0), (1, &[1, 2, 9], 0)], &[]),
        (&[(0, &[4], 1), (0, &[2, 9], 0)], &[]),
        (&[(0, &[4; 17], 0), (0, &[1, 2, 9], 0)], &[]),
        // The rest is only partly captured.
        (
            &[(0, &[4], 0), (0, &[1, 2, 9], 4), (0, &[4, 1, 2, 9], 0)],
            &["108 [4, 1, 2] 3-3", "end 3"],
        ),
        // More pieces than are kept.
        (
            &[
                (0, &[4], 0),
                (0, &[1], 0),
                (0, &[], 0),
                (0, &[], 0),
                (0, &[], 0),
                (0, &[], 0),
                (0, &[], 0),
                (0, &[], 0),
                (0, &[2, 9], 0),
            ],
            &["100 [4, 1, 2] 1-9", "end 9"],
        ),
        (
            &[
                (0, &[4], 0),
                (0, &[1], 0),
                (0, &[5], 0),
                (0, &[5], 0),
                (0, &[5], 0),
                (0, &[5], 0),
                (0, &[5], 0),
                (0, &[5], 0),
                (0, &[5], 0),
                (0, &[4, 1, 2, 9], 0),
            ],
            &["109 [4, 1, 2] 10-10", "end 10"],
        ),
    ];
    for (chunks, expected) in cases {
        let found = walk(false, chunks, |frames, chunk| {
            frames.chunk_or_pieces(chunk, |bytes, length| {
                assert!(bytes.len() < PIECES_MAX + 17);
                length == 4 && matches!(bytes, [4, _, _, 9])
            });
        });
        assert_eq!(found, expected, "{chunks:?}");
    }
}

#[test]
fn steps() {
    type Case<'a> = (bool, Chunks<'a>, &'a [&'a str]);
    let cases: [Case<'_>; 9] = [
        (
            true,
            &[(0, &[3, 1, 2, 4, 1, 2, 3], 0)],
            &["100 [3, 1, 2] 1-1", "end 1", "103 [4, 1, 2] 1-1", "end 1"],
        ),
        // In pieces.
        (
            true,
            &[(0, &[4], 0), (0, &[1], 0), (0, &[2], 0), (0, &[3, 1], 0)],
            &["100 [4, 1, 2] 1-3", "end 4", "104 [1] 4-4", "end 4"],
        ),
        // Unseen bytes inside of a frame do no harm, whether they are cut off or lost.
        (
            true,
            &[(0, &[9, 1, 2], 2), (3, &[8], 0), (0, &[1], 0)],
            &["100 [9, 1, 2] 1-1", "end 2", "109 [1] 3-3", "end 3"],
        ),
        // Unseen bytes that are wanted.
        (true, &[(0, &[4, 1], 2)], &["100 [4, 1] cut 1-1", "end 1"]),
        // The next frame begins among unseen bytes.
        (
            true,
            &[
                (0, &[3, 1, 2], 4),
                (0, &[3, 1, 2], 0),
                (0, &[4, 1, 2, 3], 0),
            ],
            &[
                "100 [3, 1, 2] 1-1",
                "end 1",
                "lost",
                "110 [4, 1, 2] 3-3",
                "end 3",
            ],
        ),
        (
            true,
            &[(0, &[4, 1, 2], 0), (2, &[4, 1, 2, 3], 0)],
            &["100 [4, 1, 2] 1-1", "lost", "105 [4, 1, 2] 2-2", "end 2"],
        ),
        (true, &[(0, &[0, 4], 0)], &["lost"]),
        // Joined late.
        (
            false,
            &[(0, &[3], 0), (0, &[4, 1, 2, 3], 0)],
            &["101 [4, 1, 2] 2-2", "end 2"],
        ),
        (true, &[(0, &[], 5)], &["lost"]),
    ];
    for (from_start, chunks, expected) in cases {
        let found = walk(from_start, chunks, |frames, chunk| {
            frames.chunk(chunk, |data| data.first() == Some(&4));
        });
        assert_eq!(found, expected, "{chunks:?}");
    }
}
