//! What a protocol parser says: a request has begun, an exchange has ended.

use std::borrow::Cow;

use super::{Attribute, Carried, Link, RemoteContext, SpanKind, SpanStatus, Task, Timestamp};

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1 (RFC 9112).
    Http1,
    /// HTTP/2 (RFC 9113), and gRPC in it.
    Http2,
    /// PostgreSQL's frontend/backend protocol, version 3.
    Postgres,
    /// The client/server protocol of MySQL and MariaDB.
    Mysql,
    /// Cassandra's binary protocol (CQL), versions 3 to 5.
    Cassandra,
    /// Redis's serialization protocol, versions 2 and 3.
    Redis,
    /// Memcached's text and meta commands.
    Memcached,
    /// MongoDB's wire protocol.
    Mongo,
    /// Kafka's wire protocol.
    Kafka,
    /// The client protocol of NATS.
    Nats,
    /// AMQP 0-9-1.
    Amqp,
    /// MQTT 3.1, 3.1.1 and 5.
    Mqtt,
    /// FastCGI 1.0.
    FastCgi,
    /// DNS (RFC 1035), over UDP and TCP.
    Dns,
}

impl Protocol {
    /// Its name in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Postgres => "postgresql",
            Self::Mysql => "mysql",
            Self::Cassandra => "cassandra",
            Self::Redis => "redis",
            Self::Memcached => "memcached",
            Self::Mongo => "mongodb",
            Self::Kafka => "kafka",
            Self::Nats => "nats",
            Self::Amqp => "amqp",
            Self::Mqtt => "mqtt",
            Self::FastCgi => "fastcgi",
            Self::Dns => "dns",
        }
    }
}

/// From which end an exchange is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The process received the request.
    Server,
    /// The process sent the request.
    Client,
}

/// A parser's event. For one exchange, `Started` always comes before `Finished`, and each
/// `Started` is followed by exactly one `Finished` by the time its connection ends.
#[derive(Clone, Debug, PartialEq)]
pub enum ParserEvent {
    /// A request's head is complete (or as complete as it will get).
    Started(Started),
    /// An exchange is over.
    Finished(Finished),
}

/// A request's head is known: now its parent is decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// Number of the exchange on its connection, counted from 0.
    pub exchange: u64,
    /// Whose view.
    pub side: Side,
    /// Offset of the request's first byte in its stream ([`super::Chunk::position`]): both ends of
    /// a TCP connection see the same one.
    pub position: u64,
    /// When the request's first byte moved.
    pub start: Timestamp,
    /// Who received (server) or sent (client) the chunk that completed the head.
    pub task: Task,
    /// The context that the request carries, if any.
    pub context: Option<RemoteContext>,
    /// Requests on its connection may overlap, or come without being asked for (messages of a broker):
    /// they do not take turns, by which the kernel programs tell them apart.
    pub overlapping: bool,
    /// It carries telemetry, which programs send of their own accord whatever they are serving.
    pub telemetry: bool,
    /// What the kernel knows of its context. Parsers give `None`; it is added after them.
    pub carried: Option<Carried>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response is complete (or the protocol was switched by it).
    Complete,
    /// The connection ended before a response began, or before it was complete.
    Aborted,
    /// Bytes that mattered were lost before the response could be understood; what is reported is
    /// true, but incomplete.
    Lost,
}

/// Something worth knowing about how a message was understood; exported in `clew.notes` and
/// counted. Short, in words, without payload: `"head cut at capture cap"`.
pub type Note = &'static str;

/// An exchange is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The number given in [`Started::exchange`].
    pub exchange: u64,
    /// When the last byte of the exchange moved: of the response, or of whatever came last.
    pub end: Timestamp,
    /// Who moved the last byte, where that is known.
    pub task: Option<Task>,
    /// How it ended.
    pub outcome: Outcome,
    /// Span kind, where it is not the one of its side: a message that is sent or taken.
    pub kind: Option<SpanKind>,
    /// Spans that this one has to do with without being their child: those that sent the messages
    /// which it takes.
    pub links: Vec<Link>,
    /// Span name, of low cardinality (OpenTelemetry semantic conventions).
    pub name: Cow<'static, str>,
    /// Span status.
    pub status: SpanStatus,
    /// The protocol's attributes. Those of the connection (`network.*`, and `server.*` or
    /// `client.*` where the message did not name them) are added later.
    pub attributes: Vec<Attribute>,
    /// Notes.
    pub notes: Vec<Note>,
}
