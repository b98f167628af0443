//! The spans of an agent, as they come.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clew_testbed::Deadline;

use crate::otlp::Span;

/// Spans by the request that their path names: `<request>` in `/s/<request>.<hop>`. Spans without
/// such a path are under the empty name.
#[derive(Debug, Default)]
pub struct Store {
    spans: Mutex<BTreeMap<String, Vec<Span>>>,
}

impl Store {
    /// Adds spans.
    pub fn add(&self, spans: Vec<Span>) {
        let mut by_request = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for span in spans {
            let request = request_of(span.path()).unwrap_or_default().to_owned();
            by_request.entry(request).or_default().push(span);
        }
    }

    /// The spans so far of requests whose name begins with `prefix`.
    #[must_use]
    pub fn of(&self, prefix: &str) -> Vec<Span> {
        self.look(prefix, |spans| spans.cloned().collect())
    }

    /// How many spans so far are of requests whose name begins with `prefix`.
    #[must_use]
    pub fn count(&self, prefix: &str) -> usize {
        self.look(prefix, |spans| spans.count())
    }

    /// All spans so far for which `wanted` holds, whatever their path.
    #[must_use]
    pub fn all(&self, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        self.look("", |spans| {
            spans.filter(|&span| wanted(span)).cloned().collect()
        })
    }

    /// Waits until `count` spans of requests whose name begins with `prefix` are there, or the
    /// time is over; returns what is there then.
    #[must_use]
    pub fn wait(&self, prefix: &str, count: usize, within: Duration) -> Vec<Span> {
        let enough = || (self.count(prefix) >= count).then_some(());
        let _what_is_missing_shows_in_what_is_there = Deadline::after(within).poll(enough);
        self.of(prefix)
    }

    fn look<T>(&self, prefix: &str, work: impl FnOnce(&mut dyn Iterator<Item = &Span>) -> T) -> T {
        let by_request = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spans = by_request
            .range(prefix.to_owned()..)
            .take_while(|(request, _)| request.starts_with(prefix))
            .flat_map(|(_, spans)| spans);
        work(&mut spans)
    }
}

/// `<request>` in a path `…/s/<request>.<hop>…`.
fn request_of(path: &str) -> Option<&str> {
    let token = path[path.find("/s/")? + 3..].split('/').next()?;
    Some(token.rsplit_once('.').map_or(token, |(request, _)| request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_that_a_path_names() {
        for (path, request) in [
            ("/s/case-0.1", Some("case-0")),
            ("/nginx/haproxy/s/case-0.12", Some("case-0")),
            ("/s/case-0.1/more.html", Some("case-0")),
            ("/s/case", Some("case")),
            ("/v1/traces", None),
            ("", None),
        ] {
            assert_eq!(request_of(path), request, "{path}");
        }
    }
}
