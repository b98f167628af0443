//! From any text to a trace id: the first 16 bytes of its SHA-256 (FIPS 180-4).
//!
//! The point is not secrecy but that every host, every release and everybody else comes to the same
//! id: `printf %s abc123 | sha256sum | cut -c 1-32`. That the low bits are as good as random counts
//! too, since sampling by trace id looks at nothing else; ids that count upwards must not be kept
//! or dropped in long runs.
//!
//! Written here, over `core` alone and in constant space, because the kernel side is to come to the
//! same id one day.

/// The trace id that stands for a text; 0, which is none, for one text in 2^128.
pub(super) fn trace_id(text: &[u8]) -> u128 {
    let mut state = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    let mut blocks = text.chunks_exact(BLOCK);
    for block in &mut blocks {
        compress(&mut state, block);
    }
    // Section 5.1.1: a one bit, zeros, and the length in bits at the end of a block.
    let rest = blocks.remainder();
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x80;
    if rest.len() >= BLOCK - 8 {
        compress(&mut state, &last);
        last = [0; BLOCK];
    }
    last[BLOCK - 8..].copy_from_slice(&(text.len() as u64 * 8).to_be_bytes());
    compress(&mut state, &last);
    state[..4]
        .iter()
        .fold(0, |id, word| id << 32 | u128::from(*word))
}

const BLOCK: usize = 64;

/// Section 6.2.2, with the message schedule in a ring of 16 words.
fn compress(state: &mut [u32; 8], block: &[u8]) {
    let mut schedule = [0u32; 16];
    for (word, bytes) in schedule.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes
            .iter()
            .fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (round, constant) in CONSTANTS.iter().enumerate() {
        if round >= 16 {
            let before = |back: usize| schedule[(round - back) % 16];
            let (w15, w2) = (before(15), before(2));
            let small0 = w15.rotate_right(7) ^ w15.rotate_right(18) ^ w15 >> 3;
            let small1 = w2.rotate_right(17) ^ w2.rotate_right(19) ^ w2 >> 10;
            schedule[round % 16] = before(16)
                .wrapping_add(small0)
                .wrapping_add(before(7))
                .wrapping_add(small1);
        }
        let big1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let first = h
            .wrapping_add(big1)
            .wrapping_add(choice)
            .wrapping_add(*constant)
            .wrapping_add(schedule[round % 16]);
        let big0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        let second = big0.wrapping_add(majority);
        (h, g, f, e) = (g, f, e, d.wrapping_add(first));
        (d, c, b, a) = (c, b, a, first.wrapping_add(second));
    }
    for (word, more) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(more);
    }
}

/// Section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64
/// primes.
const CONSTANTS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What `sha256sum` says; lengths around a block's end, where the padding changes its form.
    #[test]
    fn the_beginning_of_sha_256() {
        for (text, expected) in [
            ("".to_owned(), "e3b0c44298fc1c149afbf4c8996fb924"),
            ("abc".to_owned(), "ba7816bf8f01cfea414140de5dae2223"),
            ("abc123".to_owned(), "6ca13d52ca70c883e0f0bb101e425a89"),
            ("abc124".to_owned(), "cd7011e7a6b27d44ce22a71a4cdfc2c4"),
            ("a".repeat(55), "9f4390f8d30c2dd92ec9f095b65e2b9a"),
            ("a".repeat(56), "b35439a4ac6f0948b6d6f9e3c6af0f5f"),
            ("a".repeat(63), "7d3e74a05d7db15bce4ad9ec0658ea98"),
            ("a".repeat(64), "ffe054fe7ae0cb6dc65c3af9b61d5209"),
            ("a".repeat(65), "635361c48bb9eab14198e76ea8ab7f1a"),
            ("a".repeat(119), "31eba51c313a5c08226adf18d4a359cf"),
            ("a".repeat(120), "2f3d335432c70b580af0e8e1b3674a7c"),
            ("a".repeat(1000), "41edece42d63e8d9bf515a9ba6932e1c"),
        ] {
            assert_eq!(format!("{:032x}", trace_id(text.as_bytes())), expected);
        }
    }
}
