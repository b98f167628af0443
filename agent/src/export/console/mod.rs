//! Spans on a terminal: each one as it ends, and each trace of this host when it is complete.

mod line;
mod traces;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use tracing::error;

use super::queue::Queue;
use super::waterfall::{Look, waterfall};
use line::line;
use traces::Traces;

/// How often new spans are looked for: what a person takes for "at once".
const TICK: Duration = Duration::from_millis(100);
/// Width where the output is no terminal.
const DEFAULT_WIDTH: usize = 110;

/// Writes until the queue is closed and drained.
pub(super) async fn run(queue: &Queue) {
    let mut traces = Traces::default();
    let mut out = io::stdout();
    loop {
        let spans = queue.next(TICK).await;
        let leaving = spans.is_empty() && queue.leave_by().is_some();
        let look = look();
        let mut text = String::new();
        let count = spans.len() as u64;
        for span in spans {
            line(&span, look, &mut text);
            traces.add(span, Instant::now());
        }
        for trace in traces.complete(Instant::now(), leaving) {
            text.push_str(&waterfall(&trace, look));
        }
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(error) = written {
            if error.kind() != io::ErrorKind::BrokenPipe {
                error!("spans can no longer be written to standard output: {error}");
            }
            return;
        }
        queue.exported(count);
        if leaving {
            return;
        }
    }
}

/// Asked each time: a window can be resized.
fn look() -> Look {
    let terminal = io::stdout().is_terminal();
    // https://no-color.org: present and not empty.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    Look {
        colour: terminal && !no_color && !dumb,
        width: width.filter(|_| terminal).unwrap_or(DEFAULT_WIDTH),
    }
}
