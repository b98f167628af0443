//! Numbers as headers write them. Nothing but `core`: the kernel side may need the same.

/// Hexadecimal digits of either case, 1 to 32 of them.
pub(super) const fn hex(digits: &[u8]) -> Option<u128> {
    base16(digits, true)
}

/// Lower-case hexadecimal digits, 1 to 32 of them.
pub(super) const fn lower_hex(digits: &[u8]) -> Option<u128> {
    base16(digits, false)
}

/// Exactly `LENGTH` hexadecimal digits, 16 at most, of either case.
pub(super) fn hex64<const LENGTH: usize>(digits: &[u8]) -> Option<u64> {
    const { assert!(LENGTH <= 16) };
    if digits.len() != LENGTH {
        return None;
    }
    hex(digits).map(|number| number as u64)
}

const fn base16(digits: &[u8], upper: bool) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    let mut number = 0u128;
    let mut at = 0;
    while at < digits.len() {
        let value = match digits[at] {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            digit @ b'A'..=b'F' if upper => digit - b'A' + 10,
            _ => return None,
        };
        number = number << 4 | value as u128;
        at += 1;
    }
    Some(number)
}

/// Decimal digits of a number below 2^64; leading zeros as many as one likes.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(value))
    })
}

/// 32 digits, in groups of 8, 4, 4, 4 and 12 between dashes, or without dashes.
pub(super) fn uuid(text: &[u8]) -> Option<u128> {
    match text.len() {
        32 => hex(text),
        36 => {
            let mut digits = [0; 32];
            let mut kept = 0;
            for (at, &byte) in text.iter().enumerate() {
                match (at, byte) {
                    (8 | 13 | 18 | 23, b'-') => {}
                    (8 | 13 | 18 | 23, _) => return None,
                    _ => {
                        digits[kept] = byte;
                        kept += 1;
                    }
                }
            }
            hex(&digits)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let long = "f".repeat(32);
        let longer = "0".repeat(33);
        for (digits, lower, either) in [
            ("0", Some(0), Some(0)),
            ("a0", Some(0xa0), Some(0xa0)),
            ("A0", None, Some(0xa0)),
            (&long, Some(u128::MAX), Some(u128::MAX)),
            (&longer, None, None),
            ("", None, None),
            ("g", None, None),
            ("-1", None, None),
        ] {
            assert_eq!(lower_hex(digits.as_bytes()), lower, "{digits}");
            assert_eq!(hex(digits.as_bytes()), either, "{digits}");
        }
        for (digits, expected) in [
            ("0", Some(0)),
            ("00018446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1 ", None),
            ("/", None),
            (":", None),
        ] {
            assert_eq!(decimal(digits.as_bytes()), expected, "{digits}");
        }
        for (text, expected) in [
            ("de5980b8-fce3-4a37-aab9-b4ac3af7eedd", true),
            ("de5980b8fce34a37aab9b4ac3af7eedd", true),
            ("de5980b8-fce3-4a37-aab9b-4ac3af7eedd", false),
            ("de5980b80fce304a370aab90b4ac3af7eedd", false),
            ("de5980b8-fce3-4a37-aab9-b4ac3af7eed-", false),
            ("de5980b8-fce3-4a37-aab9-b4ac3af7eed", false),
        ] {
            let number = expected.then_some(0xde59_80b8_fce3_4a37_aab9_b4ac_3af7_eedd);
            assert_eq!(uuid(text.as_bytes()), number, "{text}");
        }
        assert_eq!(hex64::<4>(b"00fF"), Some(0xff));
        assert_eq!(hex64::<4>(b"0ff"), None);
    }
}
