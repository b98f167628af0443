//! AWS X-Ray's `X-Amzn-Trace-Id`: `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`.
//!
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>.
//! A trace id is a version, 8 digits of time and 24 more; together the last two are the 32 digits of
//! a W3C trace id. Load balancers send `Root` alone, and put `Self`, an id of their own that is not
//! a span's, before a context that came to them.

use super::digits::{hex, hex64};
use super::ids::Ids;

/// The value of `X-Amzn-Trace-Id`. Fields that are none of the three are skipped; one of the three
/// that is wrong makes all of it wrong.
#[must_use]
pub fn parse(value: &[u8]) -> Option<Ids> {
    let mut ids = Ids {
        trace_id: 0,
        span_id: 0,
        sampled: None,
    };
    for field in value.split(|&byte| byte == b';') {
        let Some(equals) = field.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        let text = field[equals + 1..].trim_ascii();
        match field[..equals].trim_ascii() {
            b"Root" => ids.trace_id = root(text)?,
            b"Parent" => ids.span_id = hex64::<16>(text).filter(|id| *id != 0)?,
            b"Sampled" => ids.sampled = sampled(text)?,
            _ => {}
        }
    }
    let decides = ids.span_id == 0 && ids.sampled.is_some();
    (ids.trace_id != 0 || decides).then_some(ids)
}

fn root(text: &[u8]) -> Option<u128> {
    if text.len() != 35 || text[..2] != *b"1-" || text[10] != b'-' {
        return None;
    }
    let time = hex64::<8>(&text[2..10])?;
    let number = hex(&text[11..])?;
    Some(u128::from(time) << 96 | number).filter(|id| *id != 0)
}

/// With `?`, the sender asks the receiver to decide.
fn sampled(text: &[u8]) -> Option<Option<bool>> {
    match text {
        b"1" => Some(Some(true)),
        b"0" => Some(Some(false)),
        b"?" => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ids::shown;

    #[test]
    fn values() {
        let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
        let parent = "Parent=53995c3f42cd8ad8";
        let trace = "5759e988bd862e3fe1be46a994272793";
        let ids = format!("{trace} 53995c3f42cd8ad8");
        let alone = format!("{trace} {:016}", 0);
        for (value, expected) in [
            (
                format!("{root};{parent};Sampled=1"),
                format!("{ids} sampled"),
            ),
            (
                format!("{root};{parent};Sampled=0"),
                format!("{ids} unsampled"),
            ),
            (
                format!("{root};{parent};Sampled=?"),
                format!("{ids} deferred"),
            ),
            (format!("{root};{parent}"), format!("{ids} deferred")),
            (
                format!(" Sampled=1 ; {parent} ; {root} ;"),
                format!("{ids} sampled"),
            ),
            (
                format!("Self=1-67891233-abcdef012345678912345678;{root};{parent};Lineage=a:0"),
                format!("{ids} deferred"),
            ),
            (root.to_owned(), format!("{alone} deferred")),
            (format!("{root};Sampled=1"), format!("{alone} sampled")),
            (
                "Sampled=0".to_owned(),
                format!("{:032} {:016} unsampled", 0, 0),
            ),
            (format!("{parent};Sampled=1"), "none".to_owned()),
            ("Sampled=?".to_owned(), "none".to_owned()),
            (format!("{root};{parent};Sampled=2"), "none".to_owned()),
            (format!("{root};Parent=53995c3f42cd8ad"), "none".to_owned()),
            (format!("{root};Parent=0000000000000000"), "none".to_owned()),
            (format!("{root};Parent="), "none".to_owned()),
            (format!("{root}0;{parent}"), "none".to_owned()),
            (
                format!("Root=2-5759e988-bd862e3fe1be46a994272793;{parent}"),
                "none".to_owned(),
            ),
            (
                format!("Root=1-00000000-000000000000000000000000;{parent}"),
                "none".to_owned(),
            ),
            (
                format!("Root=1-5759e98-8bd862e3fe1be46a994272793;{parent}"),
                "none".to_owned(),
            ),
            (
                format!("Root=1-5759e98x-bd862e3fe1be46a994272793;{parent}"),
                "none".to_owned(),
            ),
            (format!("Root={trace};{parent}"), "none".to_owned()),
            ("Root=;;=;".to_owned(), "none".to_owned()),
            (String::new(), "none".to_owned()),
        ] {
            assert_eq!(shown(parse(value.as_bytes())), expected, "{value}");
        }
    }
}
