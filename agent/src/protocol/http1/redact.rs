//! Secrets in URLs.
//!
//! OpenTelemetry's conventions ask for the values of `AWSAccessKeyId`, `Signature`, `sig` and
//! `X-Goog-Signature` to be replaced by `REDACTED`, and for credentials before a host to become
//! `REDACTED:REDACTED`. A tracer that nobody configured in the application sees every URL, so the
//! list here also has the names under which applications commonly pass credentials; a value
//! redacted needlessly (`?code=404`) costs less than a password in a trace store.

use std::borrow::Cow;

/// What stands in place of a secret.
pub(super) const REDACTED: &str = "REDACTED";

/// Parameters whose values are secrets, in lower case.
const SECRET_PARAMETERS: [&str; 38] = [
    // Named by the conventions (url.query).
    "awsaccesskeyid",
    "signature",
    "sig",
    "x-goog-signature",
    // Their siblings in presigned URLs.
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "x-goog-credential",
    // OAuth 2 and OpenID Connect.
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "code",
    "assertion",
    // What applications call theirs.
    "token",
    "auth",
    "auth_token",
    "authorization",
    "api_key",
    "apikey",
    "api-key",
    "key",
    "private_key",
    "secret",
    "password",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "credential",
    "credentials",
    "jwt",
    "otp",
    "pin",
    "session",
    "session_id",
    "sessionid",
    "sid",
];

/// Which query parameters are kept from spans.
#[derive(Clone, Debug)]
pub struct Redaction {
    /// In lower case.
    secret: Vec<Cow<'static, str>>,
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            secret: SECRET_PARAMETERS.map(Cow::Borrowed).to_vec(),
        }
    }
}

impl Redaction {
    /// Redacts the values of these parameters besides the built-in ones, whatever the case of
    /// their letters.
    pub fn with(parameters: impl IntoIterator<Item = String>) -> Self {
        let lower = |name: String| Cow::Owned(name.to_ascii_lowercase());
        let mut redaction = Self::default();
        redaction.secret.extend(parameters.into_iter().map(lower));
        redaction
    }

    /// A query with the values of secret parameters replaced.
    pub(super) fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        let secret = |part: &&str| {
            part.split_once('=')
                .is_some_and(|(key, _)| self.is_secret(key))
        };
        if !query.split(['&', ';']).any(|part| secret(&part)) {
            return Cow::Borrowed(query);
        }
        let mut redacted = String::with_capacity(query.len());
        for part in query.split_inclusive(['&', ';']) {
            let bare = part.trim_end_matches(['&', ';']);
            match bare.split_once('=') {
                Some((key, _)) if self.is_secret(key) => {
                    redacted.push_str(key);
                    redacted.push('=');
                    redacted.push_str(REDACTED);
                    redacted.push_str(&part[bare.len()..]);
                }
                _ => redacted.push_str(part),
            }
        }
        Cow::Owned(redacted)
    }

    /// Whether a header holds a secret, by the same names: `session-id` and `X-Session-Id` do if
    /// `session_id` does.
    pub(super) fn is_secret_header(&self, name: &str) -> bool {
        let name = name.strip_prefix("x-").unwrap_or(name);
        self.is_secret(name) || self.is_secret(&name.replace('-', "_"))
    }

    fn is_secret(&self, key: &str) -> bool {
        let key = percent_decoded(key);
        self.secret
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&key))
    }
}

/// `%41` is `A` to the server too.
fn percent_decoded(key: &str) -> Cow<'_, str> {
    if !key.contains('%') {
        return Cow::Borrowed(key);
    }
    let mut bytes = key.bytes();
    let mut decoded = Vec::with_capacity(key.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digit = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                bytes = ahead;
            }
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values() {
        let table = [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("sig=abc", "sig=REDACTED"),
            ("a=1&Signature=x%3D&b=2", "a=1&Signature=REDACTED&b=2"),
            (
                "AWSAccessKeyId=A&X-Goog-Signature=B",
                "AWSAccessKeyId=REDACTED&X-Goog-Signature=REDACTED",
            ),
            ("PASSWORD=a=b&&x", "PASSWORD=REDACTED&&x"),
            ("a=1;token=2;b", "a=1;token=REDACTED;b"),
            ("%73ig=abc&%zz=1&%", "%73ig=REDACTED&%zz=1&%"),
            ("token&sign=1&tokens=2", "token&sign=1&tokens=2"),
            ("token=", "token=REDACTED"),
            ("=&=x", "=&=x"),
        ];
        for (query, expected) in table {
            assert_eq!(Redaction::default().query(query), expected);
        }
    }

    #[test]
    fn secret_headers() {
        let own = Redaction::with(["card_id".to_owned()]);
        for (name, secret) in [
            ("trace-id", false),
            ("session-id", true),
            ("x-api-key", true),
            ("card-id", true),
        ] {
            assert_eq!(own.is_secret_header(name), secret, "{name}");
        }
    }

    #[test]
    fn a_list_of_ones_own() {
        let own = Redaction::with(["Card".to_owned()]);
        assert_eq!(
            own.query("card=1&sig=2&id=3"),
            "card=REDACTED&sig=REDACTED&id=3"
        );
    }
}
