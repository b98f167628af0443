//! Plans: what a request makes the services do, and thereby the truth about its spans.
//!
//! Each message on the wire has a path of its own, `/s/<request>.<hop>`. A proxy is configured to
//! put its name before the path (`/nginx/s/…`), so its two sides differ too.

use serde_json::{Value, json};

/// One exchange that takes place: a client span and a server span with this path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its path: unique.
    pub path: String,
    /// The hop whose server sent this one; `None` for what the driver sent.
    pub parent: Option<String>,
    /// The request that it belongs to.
    pub request: String,
}

/// How a service makes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after another.
    InTurn,
    /// All are sent by the task that serves the request, before it reads an answer. (By a runtime
    /// without a means for that: all at once, as programs in it usually do that.)
    AtOnce,
    /// Each is made by a thread that was begun for it.
    OnThreads,
}

/// A call that the driver or a service makes.
#[derive(Clone, Debug)]
pub struct Call {
    base: String,
    proxies: Vec<&'static str>,
    work_ms: u32,
    order: Order,
    calls: Vec<Call>,
    fails_first: bool,
}

impl Call {
    /// A call to `base` (scheme, host and port).
    #[must_use]
    pub fn to(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            proxies: Vec::new(),
            work_ms: 0,
            order: Order::InTurn,
            calls: Vec::new(),
            fails_first: false,
        }
    }

    /// What listens there is a proxy that puts this name before the path and passes it on. Several
    /// are given in the order in which the request passes them.
    #[must_use]
    pub fn through(mut self, proxy: &'static str) -> Self {
        self.proxies.push(proxy);
        self
    }

    /// The service takes this long before it makes its calls.
    #[must_use]
    pub fn working(mut self, milliseconds: u32) -> Self {
        self.work_ms = milliseconds;
        self
    }

    /// How the service makes its calls; without it, in turn.
    #[must_use]
    pub fn making_them(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// The service first answers 503, without making its calls, and is called again. Only for what a
    /// service calls: the driver repeats nothing.
    #[must_use]
    pub fn failing_first(mut self) -> Self {
        self.fails_first = true;
        self
    }

    /// The service makes this call before it answers, after those given earlier.
    #[must_use]
    pub fn calling(mut self, call: Self) -> Self {
        self.calls.push(call);
        self
    }

    /// The call as one request with a unique name.
    #[must_use]
    pub fn request(&self, name: &str) -> Request {
        let mut hops = Vec::new();
        let mut number = 0;
        let (url, plan) = self.spread(name, None, &mut number, &mut hops);
        Request {
            url,
            plan: plan.to_string(),
            hops,
        }
    }

    fn spread(
        &self,
        request: &str,
        parent: Option<String>,
        number: &mut u32,
        hops: &mut Vec<Hop>,
    ) -> (String, Value) {
        *number += 1;
        let mut path = format!("/s/{request}.{number}");
        let url = format!("{}{path}", self.base);
        let mut parent = parent;
        let mut proxies = self.proxies.iter();
        loop {
            hops.push(Hop {
                path: path.clone(),
                parent,
                request: request.to_owned(),
            });
            let Some(proxy) = proxies.next() else {
                break;
            };
            parent = Some(path.clone());
            path = format!("/{proxy}{path}");
        }
        let calls: Vec<Value> = self
            .calls
            .iter()
            .map(|call| call.spread_with_retry(request, &path, number, hops))
            .collect();
        let mut plan = json!({"work_ms": self.work_ms, "calls": calls});
        match self.order {
            Order::InTurn => {}
            Order::AtOnce => plan["at_once"] = "task".into(),
            Order::OnThreads => plan["at_once"] = "threads".into(),
        }
        (url, plan)
    }

    /// The call as the service with the path `parent` makes it.
    fn spread_with_retry(
        &self,
        request: &str,
        parent: &str,
        number: &mut u32,
        hops: &mut Vec<Hop>,
    ) -> Value {
        let mut spread = |call: &Self| {
            let (url, plan) = call.spread(request, Some(parent.to_owned()), number, hops);
            json!({"url": url, "plan": plan})
        };
        if !self.fails_first {
            return spread(self);
        }
        let mut first = spread(&Self {
            calls: Vec::new(),
            ..self.clone()
        });
        first["plan"]["status"] = 503.into();
        first["retry"] = spread(self);
        first
    }
}

/// A request that the driver sends, and what will have happened when it is answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to.
    pub url: String,
    /// The value of its `X-Plan` header.
    pub plan: String,
    /// The truth.
    pub hops: Vec<Hop>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_with_proxies() {
        let call = Call::to("http://a:1")
            .through("haproxy")
            .through("nginx")
            .working(5)
            .calling(Call::to("http://b:2").calling(Call::to("http://c:3")))
            .calling(Call::to("http://d:4"));
        let request = call.request("t-0");
        assert_eq!(request.url, "http://a:1/s/t-0.1");
        assert_eq!(
            request.plan,
            concat!(
                r#"{"calls":[{"plan":{"calls":[{"plan":{"calls":[],"work_ms":0},"#,
                r#""url":"http://c:3/s/t-0.3"}],"work_ms":0},"url":"http://b:2/s/t-0.2"},"#,
                r#"{"plan":{"calls":[],"work_ms":0},"url":"http://d:4/s/t-0.4"}],"work_ms":5}"#
            )
        );
        let hops: Vec<_> = request
            .hops
            .iter()
            .map(|hop| (hop.path.as_str(), hop.parent.as_deref()))
            .collect();
        assert_eq!(
            hops,
            [
                ("/s/t-0.1", None),
                ("/haproxy/s/t-0.1", Some("/s/t-0.1")),
                ("/nginx/haproxy/s/t-0.1", Some("/haproxy/s/t-0.1")),
                ("/s/t-0.2", Some("/nginx/haproxy/s/t-0.1")),
                ("/s/t-0.3", Some("/s/t-0.2")),
                ("/s/t-0.4", Some("/nginx/haproxy/s/t-0.1")),
            ]
        );
    }

    #[test]
    fn a_call_that_is_repeated_beside_another() {
        let call = Call::to("http://a:1")
            .making_them(Order::AtOnce)
            .calling(
                Call::to("http://b:2")
                    .failing_first()
                    .calling(Call::to("http://c:3")),
            )
            .calling(Call::to("http://d:4"));
        let request = call.request("t-0");
        assert_eq!(
            request.plan,
            concat!(
                r#"{"at_once":"task","calls":[{"plan":{"calls":[],"status":503,"work_ms":0},"#,
                r#""retry":{"plan":{"calls":[{"plan":{"calls":[],"work_ms":0},"#,
                r#""url":"http://c:3/s/t-0.4"}],"work_ms":0},"url":"http://b:2/s/t-0.3"},"#,
                r#""url":"http://b:2/s/t-0.2"},{"plan":{"calls":[],"work_ms":0},"#,
                r#""url":"http://d:4/s/t-0.5"}],"work_ms":0}"#
            )
        );
        let hops: Vec<_> = request
            .hops
            .iter()
            .map(|hop| (hop.path.as_str(), hop.parent.as_deref()))
            .collect();
        assert_eq!(
            hops,
            [
                ("/s/t-0.1", None),
                ("/s/t-0.2", Some("/s/t-0.1")),
                ("/s/t-0.3", Some("/s/t-0.1")),
                ("/s/t-0.4", Some("/s/t-0.3")),
                ("/s/t-0.5", Some("/s/t-0.1")),
            ]
        );
    }
}
