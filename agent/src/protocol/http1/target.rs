//! Request targets (RFC 9112, section 3.2) and authorities (RFC 3986, section 3.2).

/// A request's target, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Of an absolute target.
    pub(super) scheme: Option<&'a str>,
    /// Of an absolute target, or of CONNECT.
    pub(super) authority: Option<Authority<'a>>,
    /// `None` for CONNECT.
    pub(super) path: Option<&'a str>,
    pub(super) query: Option<&'a str>,
}

/// `[user[:password]@]host[:port]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// `user[:password]`.
    pub(super) user: Option<&'a str>,
    /// `host[:port]`, as written.
    pub(super) host_port: &'a str,
    /// Without the brackets of an IPv6 address.
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
}

impl<'a> Target<'a> {
    pub(super) fn parse(method: &str, target: &'a str) -> Self {
        if method == "CONNECT" {
            return Self {
                authority: Some(Authority::parse(target)),
                ..Self::default()
            };
        }
        let absolute = || {
            target.split_once("://").filter(|(scheme, _)| {
                !scheme.is_empty()
                    && scheme
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            })
        };
        // Most begin with a slash, which no scheme has: they need not be searched.
        let absolute = if target.starts_with('/') {
            None
        } else {
            absolute()
        };
        let Some((scheme, rest)) = absolute else {
            let (path, query) = split_query(target);
            return Self {
                path: Some(path),
                query,
                ..Self::default()
            };
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (path, query) = split_query(&rest[end..]);
        Self {
            scheme: Some(scheme),
            authority: Some(Authority::parse(&rest[..end])),
            path: Some(if path.is_empty() { "/" } else { path }),
            query,
        }
    }
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

impl<'a> Authority<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (user, host_port) = match text.rsplit_once('@') {
            Some((user, host_port)) => (Some(user), host_port),
            None => (None, text),
        };
        let (host, port) = match host_port
            .strip_prefix('[')
            .and_then(|v6| v6.split_once(']'))
        {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match host_port.rsplit_once(':') {
                // More than one colon without brackets: an IPv6 address (in Forwarded and the
                // like), not a port.
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                _ => (host_port, None),
            },
        };
        Self {
            user,
            host_port,
            host,
            port: port.and_then(|port| port.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scheme|user|host|port|path|query`, `-` for what is not there.
    fn read(method: &str, target: &str) -> String {
        let target = Target::parse(method, target);
        let authority = target.authority.unwrap_or_default();
        let port = authority.port.map(|port| port.to_string());
        [
            target.scheme,
            authority.user,
            target.authority.map(|authority| authority.host),
            port.as_deref(),
            target.path,
            target.query,
        ]
        .map(|part| part.unwrap_or("-"))
        .join("|")
    }

    #[test]
    fn forms() {
        let table = [
            ("GET", "/", "-|-|-|-|/|-"),
            ("GET", "/a/b?c=d?e", "-|-|-|-|/a/b|c=d?e"),
            ("GET", "/a?", "-|-|-|-|/a|"),
            ("OPTIONS", "*", "-|-|-|-|*|-"),
            ("GET", "http://h/p?q", "http|-|h|-|/p|q"),
            ("GET", "http://h:81", "http|-|h|81|/|-"),
            ("GET", "https://u:p@h?q", "https|u:p|h|-|/|q"),
            ("GET", "http://[::1]:8080/x", "http|-|::1|8080|/x|-"),
            ("GET", "/r?u=http://x/", "-|-|-|-|/r|u=http://x/"),
            ("CONNECT", "h:443", "-|-|h|443|-|-"),
            ("CONNECT", "[::1]:443", "-|-|::1|443|-|-"),
            ("CONNECT", "h:99999", "-|-|h|-|-|-"),
            ("GET", "http://", "http|-||-|/|-"),
        ];
        for (method, target, expected) in table {
            assert_eq!(read(method, target), expected, "{method} {target}");
        }
    }
}
