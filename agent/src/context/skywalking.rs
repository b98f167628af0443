//! SkyWalking's `sw8`: eight fields, of which the first four matter here.
//!
//! <https://skywalking.apache.org/docs/main/latest/en/api/x-process-propagation-headers-v3/>:
//! `{sample}-{trace id}-{parent's segment id}-{parent's span id}-…`, texts in base64.
//!
//! SkyWalking's ids are texts. In the two forms in which its agents write trace ids (a UUID, or 32
//! digits with a thread's and a sequence number) they become 128 bits as the OpenTelemetry
//! Collector's SkyWalking receiver makes them; so do segment and span number become a span id. What
//! agents report to such a receiver and what is traced here are one trace then. Any other trace id is
//! hashed, and any other segment id names no span.

use super::digits::{decimal, hex, uuid};
use super::hash;
use super::ids::Ids;

/// Longest text that is decoded, in bytes. Agents' are of 70 at most.
const TEXT_MAX: usize = 256;

/// A text of the header, decoded.
pub struct Text {
    bytes: [u8; TEXT_MAX],
    length: usize,
}

impl Text {
    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The value of `sw8`, and the trace id as it is written there.
#[must_use]
pub fn parse(value: &[u8]) -> Option<(Ids, Text)> {
    let mut fields = value.split(|&byte| byte == b'-');
    let sampled = match fields.next()? {
        b"1" => true,
        b"0" => false,
        _ => return None,
    };
    let trace = base64(fields.next()?)?;
    let segment = base64(fields.next()?)?;
    let span = decimal(fields.next()?)?;
    // Service, instance, endpoint and address of the parent's side.
    if fields.count() != 4 || trace.length == 0 {
        return None;
    }
    let text = trace.as_bytes();
    let trace_id = uuid(text)
        .or_else(|| numbered(text, 0))
        .unwrap_or_else(|| hash::trace_id(text));
    let span_id = u32::try_from(span)
        .ok()
        .and_then(|span| span_id(segment.as_bytes(), span))
        .unwrap_or(0);
    let ids = Ids {
        trace_id,
        span_id,
        sampled: Some(sampled),
    };
    (trace_id != 0).then_some((ids, trace))
}

/// Both halves of the mapped segment id, one laid over the other.
fn span_id(segment: &[u8], span: u32) -> Option<u64> {
    let mapped = match segment.len() {
        32 => hex(segment)? ^ over_first_bytes(span),
        _ => numbered(segment, span)?,
    };
    Some((mapped >> 64) as u64 ^ mapped as u64)
}

/// `{32 digits}.{thread}.{sequence}`, and another number laid over the first four bytes. Each
/// number is laid over its bytes with the lowest first: the receiver does it so.
fn numbered(text: &[u8], first: u32) -> Option<u128> {
    let (start, rest) = text.split_at_checked(32)?;
    let mut numbers = rest.strip_prefix(b".")?.split(|&byte| byte == b'.');
    let thread = decimal(numbers.next()?)?;
    let sequence = decimal(numbers.next()?)?;
    if numbers.next().is_some() {
        return None;
    }
    let thread = u128::from((thread as u32).swap_bytes()) << 64;
    let sequence = u128::from(sequence.swap_bytes());
    Some(hex(start)? ^ over_first_bytes(first) ^ thread ^ sequence)
}

fn over_first_bytes(number: u32) -> u128 {
    u128::from(number.swap_bytes()) << 96
}

/// Base64 with its usual alphabet (RFC 4648, section 4); padding may be missing.
fn base64(text: &[u8]) -> Option<Text> {
    let mut decoded = Text {
        bytes: [0; TEXT_MAX],
        length: 0,
    };
    let end = text
        .iter()
        .position(|&byte| byte == b'=')
        .unwrap_or(text.len());
    if text.len() - end > 2 || text[end..].iter().any(|&byte| byte != b'=') || end % 4 == 1 {
        return None;
    }
    let (mut buffer, mut bits) = (0u32, 0);
    for &letter in &text[..end] {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        buffer = buffer << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *decoded.bytes.get_mut(decoded.length)? = (buffer >> bits) as u8;
            decoded.length += 1;
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ids::shown;

    /// As agents write it; `rest` is what follows the parent's span id.
    fn header(sample: &str, trace: &str, segment: &str, rest: &str) -> String {
        let [trace, segment] = [trace, segment].map(encoded);
        format!("{sample}-{trace}-{segment}-{rest}")
    }

    fn encoded(text: &str) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut written = String::new();
        for bytes in text.as_bytes().chunks(3) {
            let number =
                bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - bytes.len()));
            for place in 0..4 {
                let letter = ALPHABET[(number >> (18 - 6 * place)) as usize & 63];
                written.push(if place <= bytes.len() {
                    letter as char
                } else {
                    '='
                });
            }
        }
        written
    }

    const REST: &str = "3-c2VydmljZQ==-aW5zdGFuY2U=-L2E=-MTAuMC4wLjE6ODA=";

    fn read(value: &str) -> String {
        let found = parse(value.as_bytes());
        let text = found
            .as_ref()
            .map(|(_, text)| text.as_bytes().escape_ascii().to_string());
        let ids = shown(found.map(|(ids, _)| ids));
        format!("{ids} {}", text.unwrap_or_default())
    }

    #[test]
    fn headers() {
        let numbered = "56a5e1c519ae4c76a2b8b11d92cead7f.12.16563474296430001";
        let uuid = "de5980b8-fce3-4a37-aab9-b4ac3af7eedd";
        let digits = uuid.replace('-', "");
        let hashed = format!("{:032x}", hash::trace_id(b"order-17"));
        for (value, expected) in [
            // Reckoned by the receiver's rules, apart from this code.
            (
                header("1", numbered, numbered, REST),
                format!("56a5e1c515ae4c7613e51e7cf616977f 4640ffb9e3b8db09 sampled {numbered}"),
            ),
            (
                header("0", uuid, &digits, REST),
                format!("{digits} 77e03414c614a4ea unsampled {uuid}"),
            ),
            (
                header("1", uuid, uuid, REST),
                format!("{digits} 0000000000000000 sampled {uuid}"),
            ),
            (
                header("1", "order-17", "", REST),
                format!("{hashed} 0000000000000000 sampled order-17"),
            ),
            (
                header("1", uuid, &digits, &REST.replacen('3', "4294967296", 1)),
                format!("{digits} 0000000000000000 sampled {uuid}"),
            ),
            (header("2", uuid, uuid, REST), "none ".to_owned()),
            (header("", uuid, uuid, REST), "none ".to_owned()),
            (header("1", "", uuid, REST), "none ".to_owned()),
            (
                header("1", "00000000000000000000000000000000", uuid, REST),
                "none ".to_owned(),
            ),
            (
                header("1", uuid, uuid, "3-YQ==-YQ==-YQ=="),
                "none ".to_owned(),
            ),
            (
                header("1", uuid, uuid, &format!("{REST}-YQ==")),
                "none ".to_owned(),
            ),
            (
                header("1", uuid, uuid, &REST.replacen('3', "", 1)),
                "none ".to_owned(),
            ),
            (
                header("1", uuid, uuid, &REST.replacen('3', "x", 1)),
                "none ".to_owned(),
            ),
            (format!("1-a-YQ==-{REST}"), "none ".to_owned()),
            (format!("1-YQ=Q-YQ==-{REST}"), "none ".to_owned()),
            (format!("1-YQ===-YQ==-{REST}"), "none ".to_owned()),
            (format!("1-Y_==-YQ==-{REST}"), "none ".to_owned()),
            (
                header("1", &"x".repeat(TEXT_MAX + 1), uuid, REST),
                "none ".to_owned(),
            ),
            (String::new(), "none ".to_owned()),
        ] {
            assert_eq!(read(&value), expected, "{value}");
        }
    }

    #[test]
    fn texts_of_any_length() {
        for length in 0..=TEXT_MAX {
            let text = "abcdefg".repeat(length / 7 + 1);
            let decoded = base64(encoded(&text[..length]).as_bytes()).expect("base64");
            assert_eq!(decoded.as_bytes(), &text.as_bytes()[..length]);
            let bare = encoded(&text[..length]).replace('=', "");
            let decoded = base64(bare.as_bytes()).expect("base64");
            assert_eq!(decoded.as_bytes(), &text.as_bytes()[..length]);
        }
    }
}
