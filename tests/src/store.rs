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

/// Which requests' spans.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Those of one request.
    Request(&'a str),
    /// Those of all requests whose name begins so.
    Named(&'a str),
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

    /// Forgets what has come so far.
    pub fn clear(&self) {
        let mut by_request = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        by_request.clear();
    }

    /// The spans so far.
    #[must_use]
    pub fn of(&self, which: Which<'_>) -> Vec<Span> {
        self.look(which, |spans| spans.cloned().collect())
    }

    /// How many spans there are so far.
    #[must_use]
    pub fn count(&self, which: Which<'_>) -> usize {
        self.look(which, |spans| spans.count())
    }

    /// All spans so far for which `wanted` holds, whatever their path.
    #[must_use]
    pub fn all(&self, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        self.look(Which::Named(""), |spans| {
            spans.filter(|&span| wanted(span)).cloned().collect()
        })
    }

    /// Waits until there are `count` spans, or the time is over; returns what is there then.
    #[must_use]
    pub fn wait(&self, which: Which<'_>, count: usize, within: Duration) -> Vec<Span> {
        let enough = || (self.count(which) >= count).then_some(());
        let _what_is_missing_shows_in_what_is_there = Deadline::after(within).poll(enough);
        self.of(which)
    }

    fn look<T>(
        &self,
        which: Which<'_>,
        work: impl FnOnce(&mut dyn Iterator<Item = &Span>) -> T,
    ) -> T {
        let by_request = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        match which {
            Which::Request(name) => work(&mut by_request.get(name).into_iter().flatten()),
            Which::Named(prefix) => {
                let named = by_request
                    .range(prefix.to_owned()..)
                    .take_while(|(request, _)| request.starts_with(prefix));
                work(&mut named.flat_map(|(_, spans)| spans))
            }
        }
    }
}

/// `<request>` in a path `…/s/<request>.<hop>…`.
#[must_use]
pub fn request_of(path: &str) -> Option<&str> {
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
