//! One span, one line.

use crate::export::waterfall::{
    Look, Paint, arrow, cut, duration, evidence, is_error, label, safe, status,
};
use crate::model::ExportSpan;

/// Time of its end (UTC), duration, service, kind, what, status, evidence.
pub(super) fn line(span: &ExportSpan, look: Look, text: &mut String) {
    let paint = Paint(look.colour);
    let error = is_error(span);
    let service = safe(&span.resource.service);
    let evidence = evidence(span);
    // 14 for the time, 9 for the duration, 5 for the status, and the spaces between.
    let room = look
        .width
        .saturating_sub(14 + 9 + 16 + 5 + evidence.chars().count() + 10)
        .max(20);
    let status = status(span);
    let status = format!("{status:>3}");
    text.push_str(&format!(
        "{} {:>9}  {} {} {} {} {}\n",
        paint.dim(&clock(span.end_unix_nanos)),
        duration(span.end_unix_nanos.saturating_sub(span.start_unix_nanos)),
        paint.bold(&pad(&cut(&service, 16), 16)),
        arrow(span),
        pad(&cut(&label(span), room), room),
        if error {
            paint.red(&status)
        } else {
            paint.green(&status)
        },
        paint.dim(&evidence),
    ));
}

fn pad(text: &str, width: usize) -> String {
    let used = unicode_width::UnicodeWidthStr::width(text);
    format!("{text}{}", " ".repeat(width.saturating_sub(used)))
}

/// `HH:MM:SS.mmmZ`.
fn clock(unix_nanos: u64) -> String {
    let millis = unix_nanos / 1_000_000;
    let seconds = millis / 1000;
    format!(
        "{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        millis % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::{below, resource, server};
    use crate::model::{Attribute, Evidence, SpanStatus};

    #[test]
    fn golden() {
        let look = Look {
            colour: false,
            width: 90,
        };
        let mut text = String::new();
        let shop = resource("shop");
        line(
            &below(server(&shop, 1, 1, 0, 901), 2, Evidence::Socket),
            look,
            &mut text,
        );
        let mut hostile = server(&shop, 1, 1, 0, 3);
        hostile.span.status = SpanStatus::Error;
        hostile.span.attributes = vec![
            Attribute::new("http.request.method", "GET"),
            Attribute::new("url.path", "/\u{1b}]0;owned\u{7}\r\n\u{202e}x".to_owned()),
        ];
        line(&hostile, look, &mut text);
        assert_eq!(
            text,
            "\
22:13:20.901Z    901 ms  shop             ▸ GET /pay                         200 by socket
22:13:20.003Z    3.0 ms  shop             ▸ GET /\\u{1b}]0;owned\\u{7}\\r\\n\\u{202e}x ERR root
"
        );
    }
}
