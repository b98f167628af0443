//! The header's bytes (W3C Trace Context, section 3.2).

/// Length of the header with its name and line end.
pub const HEADER_LENGTH: usize = 70;

/// `traceparent: 00-<trace id>-<span id>-<flags>` and CR LF.
#[inline(always)]
#[must_use]
pub fn header(trace_id: &[u8; 16], span_id: &[u8; 8], flags: u8) -> [u8; HEADER_LENGTH] {
    let mut line = *b"traceparent: 00-................................-................-..\r\n";
    let mut index = 0;
    while index < 16 {
        write_hex(&mut line, 16 + 2 * index, trace_id[index]);
        index += 1;
    }
    index = 0;
    while index < 8 {
        write_hex(&mut line, 49 + 2 * index, span_id[index]);
        index += 1;
    }
    write_hex(&mut line, 66, flags);
    line
}

#[inline(always)]
fn write_hex(line: &mut [u8; HEADER_LENGTH], at: usize, byte: u8) {
    line[at] = digit(byte >> 4);
    line[at + 1] = digit(byte & 0xf);
}

/// Lower case, as section 3.2.2 demands; without a branch, each of which would cost the kernel's
/// verifier.
#[inline(always)]
const fn digit(nibble: u8) -> u8 {
    b'0' + nibble + ((nibble + 6) >> 4) * (b'a' - b'9' - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes() {
        let trace_id = [
            0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e,
            0x47, 0x36,
        ];
        let span_id = [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];
        assert_eq!(
            &header(&trace_id, &span_id, 1)[..],
            b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
        );
    }
}
