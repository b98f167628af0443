//! OpenTelemetry's environment variables, as its specification writes their values.
//!
//! "OpenTelemetry Protocol Exporter" and "Environment Variable Specification",
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use std::path::PathBuf;
use std::time::Duration;

use super::layers::{Pairs, Standard};
use super::value::Setting;

/// The two variables of an OTLP option: that of traces is the stronger.
macro_rules! otlp {
    ($suffix:literal, $read:expr) => {
        [
            Standard {
                name: concat!("OTEL_EXPORTER_OTLP_TRACES_", $suffix),
                read: $read,
            },
            Standard {
                name: concat!("OTEL_EXPORTER_OTLP_", $suffix),
                read: $read,
            },
        ]
    };
}

/// An option whose value is written as in the configuration file.
pub fn protocol<T: Setting>() -> [Standard<T>; 2] {
    otlp!("PROTOCOL", T::read)
}

/// `…_COMPRESSION`.
pub fn compression<T: Setting>() -> [Standard<T>; 2] {
    otlp!("COMPRESSION", T::read)
}

/// `…_HEADERS`.
pub fn headers() -> [Standard<Pairs>; 2] {
    otlp!("HEADERS", pairs)
}

/// `…_TIMEOUT`.
pub fn timeout() -> [Standard<Duration>; 2] {
    otlp!("TIMEOUT", milliseconds)
}

/// `…_INSECURE`.
pub fn insecure() -> [Standard<bool>; 2] {
    otlp!("INSECURE", boolean)
}

/// `…_CERTIFICATE`.
pub fn certificate() -> [Standard<PathBuf>; 2] {
    otlp!("CERTIFICATE", PathBuf::read)
}

/// `…_CLIENT_KEY`.
pub fn client_key() -> [Standard<PathBuf>; 2] {
    otlp!("CLIENT_KEY", PathBuf::read)
}

/// `…_CLIENT_CERTIFICATE`.
pub fn client_certificate() -> [Standard<PathBuf>; 2] {
    otlp!("CLIENT_CERTIFICATE", PathBuf::read)
}

/// A variable that holds a number of milliseconds.
pub fn in_milliseconds(name: &'static str) -> [Standard<Duration>; 1] {
    [Standard {
        name,
        read: milliseconds,
    }]
}

/// A variable that holds a number.
pub fn number(name: &'static str) -> [Standard<usize>; 1] {
    [Standard {
        name,
        read: usize::read,
    }]
}

/// `OTEL_TRACES_SAMPLER`. Names of choices count in any case ("Enum").
pub fn sampler<T: Setting>() -> [Standard<T>; 1] {
    [Standard {
        name: "OTEL_TRACES_SAMPLER",
        read: |text| T::read(&text.to_ascii_lowercase()),
    }]
}

/// The sampler's argument.
pub const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// [`SAMPLER_ARGUMENT`], for samplers that take a ratio.
pub fn sampler_argument<T: Setting>() -> [Standard<T>; 1] {
    [Standard {
        name: SAMPLER_ARGUMENT,
        read: T::read,
    }]
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(number @ 1..=86_400_000) => Ok(Duration::from_millis(number)),
        _ => Err("expected a number of milliseconds".to_owned()),
    }
}

/// "Any value that is not explicitly defined here as a true value […] MUST be interpreted as
/// false", in any case; a warning is due for what is neither.
fn boolean(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err("expected `true` or `false`".to_owned())
    }
}

/// `key1=value1,key2=value2`, percent-encoded: W3C Baggage without its properties.
///
/// # Errors
///
/// A member without `=` or key, or with a wrong escape. The message never shows a value: headers
/// are where credentials live.
pub fn pairs(text: &str) -> Result<Pairs, String> {
    text.split(',')
        .map(str::trim)
        .filter(|member| !member.is_empty())
        .map(|member| {
            let (key, value) = member.split_once('=').ok_or_else(|| {
                "expected `key=value`, several separated by commas; one has no `=`".to_owned()
            })?;
            // Properties (`;…`) are allowed by the header's grammar and mean nothing here.
            let value = value.split_once(';').map_or(value, |(value, _)| value);
            let key = decode(key.trim()).filter(|key| !key.is_empty());
            match (key, decode(value.trim())) {
                (Some(key), Some(value)) => Ok((key, value)),
                (None, _) => {
                    Err("expected `key=value`; one key is empty or wrongly encoded".into())
                }
                (Some(key), None) => Err(format!("the value of `{key}` is wrongly encoded")),
            }
        })
        .collect()
}

/// Undoes percent-encoding (RFC 3986, section 2.1); `None` for a wrong escape or what is not
/// UTF-8 then.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
            decoded.push(u8::try_from(value).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lists() {
        let list = |pairs: &[(&str, &str)]| -> Result<Pairs, String> {
            Ok(pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect())
        };
        for (text, wanted) in [
            ("k=v", list(&[("k", "v")])),
            ("a=1 , b=2", list(&[("a", "1"), ("b", "2")])),
            (
                "authorization=Bearer%20a%3Db%2C=",
                list(&[("authorization", "Bearer a=b,=")]),
            ),
            ("x=%C3%A9;property=1,,", list(&[("x", "\u{e9}")])),
            ("empty=", list(&[("empty", "")])),
        ] {
            assert_eq!(pairs(text), wanted, "{text:?}");
        }
        for text in [
            "secret",
            "=secret",
            "k=secret%2",
            "k=secret%zz",
            "k=secret%ff",
        ] {
            let error = pairs(text).expect_err(text);
            assert!(!error.contains("secret"), "{text:?}: {error}");
        }
    }

    #[test]
    fn numbers_and_truth() {
        assert_eq!(milliseconds("250"), Ok(Duration::from_millis(250)));
        assert!(milliseconds("1s").is_err());
        assert!(milliseconds("-1").is_err());
        assert_eq!(boolean("TRUE"), Ok(true));
        assert!(boolean("1").is_err());
    }
}
