//! Texts and their meanings: durations, sizes, numbers, truth values, port ranges.
//!
//! Each kind of value can be read and written again, so that `clew config` prints what it would
//! accept.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A kind of value: how it is read from text, how it is written, what may be written.
pub trait Setting: Sized {
    /// It may hold a password: messages do not show it.
    const PRIVATE: bool = false;

    /// Reads it.
    ///
    /// # Errors
    ///
    /// A sentence part that says what is allowed: `expected …`.
    fn read(text: &str) -> Result<Self, String>;

    /// Writes it as [`Self::read`] takes it.
    fn write(&self) -> String;
}

impl Setting for String {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("expected some text".to_owned());
        }
        Ok(text.to_owned())
    }

    fn write(&self) -> String {
        self.clone()
    }
}

impl Setting for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        String::read(text).map(Self::from)
    }

    fn write(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("expected `true` or `false`".to_owned()),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn read(text: &str) -> Result<Self, String> {
        match text.replace('_', "").parse() {
            Ok(0) | Err(_) => Err("expected a whole number of at least 1".to_owned()),
            Ok(number) => Ok(number),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        // `:9464` and `9464` are what people type; such a service belongs on loopback unless an
        // address says otherwise.
        let completed = match text.strip_prefix(':').unwrap_or(text) {
            port if port.parse::<u16>().is_ok() => format!("127.0.0.1:{port}"),
            _ => text.replacen("localhost:", "127.0.0.1:", 1),
        };
        completed
            .parse()
            .map_err(|_| "expected an address and port, such as `127.0.0.1:9464`".to_owned())
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for Duration {
    fn read(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text).ok_or(DURATION)?;
        let nanoseconds_per_unit = match unit {
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" | "min" => 60e9,
            "h" => 3600e9,
            _ => return Err(DURATION.to_owned()),
        };
        let nanoseconds = number * nanoseconds_per_unit;
        // A day is beyond any sensible value here, and far from any overflow.
        if !(1e3..=86_400e9).contains(&nanoseconds) {
            return Err("expected a duration between 1us and 24h".to_owned());
        }
        Ok(Self::from_nanos(nanoseconds.round() as u64))
    }

    fn write(&self) -> String {
        let microseconds = self.as_micros();
        for (unit, factor) in [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)] {
            if microseconds >= factor && microseconds.is_multiple_of(factor) {
                return format!("{}{unit}", microseconds / factor);
            }
        }
        if microseconds.is_multiple_of(1000) {
            format!("{}ms", microseconds / 1000)
        } else {
            format!("{microseconds}us")
        }
    }
}

const DURATION: &str = "expected a duration with its unit, such as `500ms`, `1s`, `2m` or `1h`";

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

impl Size {
    /// So many KiB.
    #[must_use]
    pub const fn kib(number: usize) -> Self {
        Self(number << 10)
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(number: usize) -> Self {
        Self(number << 20)
    }
}

impl Setting for Size {
    fn read(text: &str) -> Result<Self, String> {
        const SIZE: &str = "expected a size, such as `512`, `64KiB` or `8MiB`";
        let (number, unit) = match text.parse::<u32>() {
            Ok(number) => (f64::from(number), "B"),
            Err(_) => split_unit(text).ok_or(SIZE)?,
        };
        let factor = match unit {
            "B" => 1.0,
            "K" | "KiB" => 1024.0,
            "M" | "MiB" => 1_048_576.0,
            "G" | "GiB" => 1_073_741_824.0,
            "kB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            _ => return Err(SIZE.to_owned()),
        };
        let bytes = number * factor;
        if !(1.0..=64.0 * 1_073_741_824.0).contains(&bytes) {
            return Err("expected a size between 1 byte and 64GiB".to_owned());
        }
        Ok(Self(bytes as usize))
    }

    fn write(&self) -> String {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 >= 1 << shift && self.0.is_multiple_of(1 << shift) {
                return format!("{}{unit}", self.0 >> shift);
            }
        }
        self.0.to_string()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write())
    }
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl PortRange {
    /// Whether `port` is one of them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl Setting for PortRange {
    fn read(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err("expected a port or a range, such as `8080` or `8000-8999`".to_owned()),
        }
    }

    fn write(&self) -> String {
        if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}-{}", self.first, self.last)
        }
    }
}

/// `12.5ms` to 12.5 and `ms`.
fn split_unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Makes an enum whose variants are written as given, with [`Setting`] for it.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// What may be written.
            pub const CHOICES: &'static [&'static str] = &[$($text),+];
        }

        impl $crate::config::value::Setting for $name {
            fn read(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::config::value::wrong_choice(text, Self::CHOICES)),
                }
            }

            fn write(&self) -> String {
                match self { $(Self::$variant => $text.to_owned()),+ }
            }
        }
    };
}
pub(super) use choice;

/// What to say about a text that is none of the choices.
pub fn wrong_choice(text: &str, choices: &[&str]) -> String {
    let hint = nearest(text, choices)
        .map(|near| format!(" (did you mean `{near}`?)"))
        .unwrap_or_default();
    let list: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    format!("expected one of {}{hint}", list.join(", "))
}

/// The candidate that `text` is most probably a misspelling of, if any is near enough.
pub fn nearest<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(text, candidate), *candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads each text; what is written for it must read as the same value again.
    fn check<T: Setting>(cases: &[(&str, Option<&str>)]) {
        for (text, wanted) in cases {
            let written = T::read(text).ok().map(|value| value.write());
            assert_eq!(written.as_deref(), *wanted, "{text:?}");
            if let Some(written) = written {
                let again = T::read(&written).ok().map(|value| value.write());
                assert_eq!(again, Some(written), "{text:?} written and read again");
            }
        }
    }

    #[test]
    fn durations() {
        check::<Duration>(&[
            ("1s", Some("1s")),
            ("1.5s", Some("1500ms")),
            ("500 ms", Some("500ms")),
            ("90s", Some("90s")),
            ("120s", Some("2m")),
            ("2h", Some("2h")),
            ("250us", Some("250us")),
            ("5", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("0s", None),
            ("1e3s", None),
            ("1 fortnight", None),
            ("99999h", None),
            ("1.2.3s", None),
        ]);
    }

    #[test]
    fn sizes() {
        check::<Size>(&[
            ("512", Some("512")),
            ("8MiB", Some("8MiB")),
            ("8M", Some("8MiB")),
            ("8192KiB", Some("8MiB")),
            ("1.5 KiB", Some("1536")),
            ("10kB", Some("10000")),
            ("1GiB", Some("1GiB")),
            ("0", None),
            ("-1", None),
            ("8 megs", None),
            ("999999999GiB", None),
        ]);
    }

    #[test]
    fn ports_addresses_and_others() {
        check::<PortRange>(&[
            ("80", Some("80")),
            ("8000-8999", Some("8000-8999")),
            ("9-9", Some("9")),
            ("0", None),
            ("9-8", None),
            ("65536", None),
            ("http", None),
        ]);
        check::<SocketAddr>(&[
            ("9464", Some("127.0.0.1:9464")),
            (":9464", Some("127.0.0.1:9464")),
            ("localhost:9464", Some("127.0.0.1:9464")),
            ("0.0.0.0:1", Some("0.0.0.0:1")),
            ("[::1]:1", Some("[::1]:1")),
            ("nowhere", None),
        ]);
        check::<usize>(&[("65_536", Some("65536")), ("0", None), ("-3", None)]);
        check::<bool>(&[("true", Some("true")), ("yes", None)]);
    }

    #[test]
    fn misspellings() {
        let choices = ["endpoint", "protocol", "headers"];
        assert_eq!(nearest("endpont", &choices), Some("endpoint"));
        assert_eq!(nearest("header", &choices), Some("headers"));
        assert_eq!(nearest("colour", &choices), None);
        assert_eq!(
            wrong_choice("gzp", &["none", "gzip"]),
            "expected one of `none`, `gzip` (did you mean `gzip`?)"
        );
    }
}
