//! Who is behind a span.
