//! What names have in common that differ in ids: names of spans must not be as many as those.

/// The same name with `wildcard` for the parts that are ids; `None` where none is.
#[must_use]
pub fn template(
    name: &str,
    separator: char,
    wildcard: &str,
    is_id: impl Fn(&str) -> bool,
) -> Option<String> {
    if !name.split(separator).any(&is_id) {
        return None;
    }
    let mut template = String::with_capacity(name.len());
    for (number, part) in name.split(separator).enumerate() {
        if number > 0 {
            template.push(separator);
        }
        template.push_str(if is_id(part) { wildcard } else { part });
    }
    Some(template)
}

/// Whether a part looks like an id: numbers, and long ones with digits among letters.
#[must_use]
pub fn is_id(part: &str) -> bool {
    const LONG: usize = 8;
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    match part.len() {
        0 => false,
        LONG.. => digits >= 2,
        length => digits == length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        for (name, expected) in [
            ("site/hall-1/temperature", None),
            ("site/4711/temperature", Some("site/+/temperature")),
            (
                "/dev/0af76519-16cd-43dd-8448-eb211c80319c/",
                Some("/dev/+/"),
            ),
            ("$SYS/broker/uptime", None),
            ("", None),
        ] {
            assert_eq!(
                template(name, '/', "+", is_id).as_deref(),
                expected,
                "{name}"
            );
        }
    }
}
