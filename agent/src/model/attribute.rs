//! Span attributes.

use std::borrow::Cow;

/// The value of an attribute (OpenTelemetry "AnyValue", the types that semantic conventions use).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A signed integer.
    Integer(i64),
    /// A truth value.
    Bool(bool),
    /// A list of texts.
    Texts(Box<[String]>),
}

// Its size counts, because a span has up to twenty: the tag takes no room, it hides in the text's
// capacity. A second variant of three words (a `Vec`, say) would prevent that, and their list would
// outgrow the sizes that glibc's malloc keeps at hand for each thread (1032 bytes).
const _: () = assert!(size_of::<Value>() == size_of::<Cow<'static, str>>());

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// A named value on a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The name, from OpenTelemetry's semantic conventions or starting with `clew.`.
    pub key: Cow<'static, str>,
    /// The value.
    pub value: Value,
}

impl Attribute {
    /// An attribute with a name known at compile time.
    pub fn new(key: &'static str, value: impl Into<Value>) -> Self {
        Self {
            key: Cow::Borrowed(key),
            value: value.into(),
        }
    }
}
