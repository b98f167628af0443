//! The agent starts in the midst of connections that are in use: it soon tells all, and nothing that was
//! not.

use std::collections::BTreeMap;

use clew_testbed::{Deadline, Process};
use clew_tests::operations::{self, Operation};
use clew_tests::require::Need;
use clew_tests::servers::{Server, mosquitto};
use clew_tests::service::python_program;
use clew_tests::{Agent, Backend, Kind, Span, Stage, report};

on_each_backend!(
    redis, memcached, postgres, mariadb, cassandra, mongo, nats, kafka, amqp, mqtt, mqtt_unix,
    http1, http2, grpc, fastcgi, php, dns
);

fn redis(backend: Backend) {
    Late::new("redis", Server::Redis, 7911).check(backend);
}

fn memcached(backend: Backend) {
    Late::new("memcached", Server::Memcached, 7913).check(backend);
}

fn postgres(backend: Backend) {
    Late::new("postgres", Server::Postgres, 7915).check(backend);
}

fn mariadb(backend: Backend) {
    Late::new("mariadb", Server::Mariadb, 7917).check(backend);
}

fn cassandra(backend: Backend) {
    let case = Late::new("cassandra", Server::Cassandra, 7929);
    // At any time.
    let unasked = super::databases::FINDING;
    Late { unasked, ..case }.check(backend);
}

fn mongo(backend: Backend) {
    Late::new("mongo", Server::FerretDb, 7931).check(backend);
}

fn nats(backend: Backend) {
    Late::new("nats", Server::Nats, 7919).check(backend);
}

fn kafka(backend: Backend) {
    let case = Late::new("kafka", Server::Kafka, 7927);
    // It asks for the topic's first, at any time.
    let unasked = &["Metadata"];
    Late { unasked, ..case }.check(backend);
}

fn amqp(backend: Backend) {
    Late::new("amqp", Server::RabbitMq, 7933).check(backend);
}

fn mqtt(backend: Backend) {
    Late::new("mqtt", Server::Mosquitto, 7935).check(backend);
}

/// Which end of it the client is, the sockets' addresses say.
fn mqtt_unix(backend: Backend) {
    let case = Late::new("mqtt", Server::Mosquitto, 7943);
    let socket = Some(mosquitto::SOCKET);
    Late { socket, ..case }.check(backend);
}

fn http1(backend: Backend) {
    // Its server of HTTP/1 is the one behind.
    let case = Late::new("http1", Server::Http2, 7921);
    Late { behind: 1, ..case }.check(backend);
}

fn http2(backend: Backend) {
    Late::new("http2", Server::Http2, 7923).check(backend);
}

fn grpc(backend: Backend) {
    Late::new("grpc", Server::Grpc, 7925).check(backend);
}

fn fastcgi(backend: Backend) {
    Late::new("fastcgi", Server::FastCgi, 7937).check(backend);
}

fn php(backend: Backend) {
    Late::new("php", Server::Php, 7939).check(backend);
}

/// Over TCP, by which resolvers and servers keep connections to each other.
fn dns(backend: Backend) {
    Late::new("dns", Server::Unbound, 7941).check(backend);
}

/// A client that is busy on one connection, and its server.
#[derive(Clone, Copy)]
struct Late {
    protocol: &'static str,
    server: Server,
    port: u16,
    /// How far behind the server's port the one is that the client uses.
    behind: u16,
    /// The Unix socket in the server's directory that it uses instead.
    socket: Option<&'static str>,
    /// Names of spans that the client does not log.
    unasked: &'static [&'static str],
}

/// How often a client did something, all in all and when the agent must have seen it.
type Before = BTreeMap<String, [usize; 2]>;

impl Late {
    const fn new(protocol: &'static str, server: Server, port: u16) -> Self {
        Self {
            protocol,
            server,
            port,
            behind: 0,
            socket: None,
            unasked: &[],
        }
    }

    fn check(self, backend: Backend) {
        let over = if self.socket.is_some() {
            " over unix"
        } else {
            ""
        };
        let test = format!("late {}{over}", self.protocol);
        let mut needs = self.server.needs().to_vec();
        needs.push(Need::Python);
        let Some(stage) = Stage::without_agent(&test, backend, &needs) else {
            return;
        };
        let port = self.port + backend.ports();
        let server = self.server.start(&stage, port).unwrap();
        let (place, scope) = match (self.socket, server.directory()) {
            (Some(socket), Some(directory)) => (
                directory.join(socket).display().to_string(),
                // Both name the directory in their command lines.
                [
                    "--include-cmd".to_owned(),
                    format!("*{}*", directory.display()),
                ],
            ),
            _ => {
                let port = (port + self.behind).to_string();
                (port.clone(), ["--include-port".to_owned(), port])
            }
        };
        let told = stage.directory().join("told");
        let arguments = [self.protocol, &place, &told.display().to_string()];
        let client = python_program("protocols/late", &arguments).unwrap();
        let mut client = stage.start("client", client).unwrap();
        wait_for("started", &client);
        let agent = Agent::start(backend, &scope.each_ref().map(String::as_str)).unwrap();
        std::fs::write(&told, "").unwrap();
        let status = client.wait(Stage::SOON).unwrap();
        let output = client.output();
        assert!(status.success(), "{test}: {output}");

        let marked = operations::read(&output).unwrap();
        let before = before(&output);
        let served: Vec<Operation> = marked.iter().filter_map(Operation::at_server).collect();
        let of_marked =
            |span: &Span| !before.contains_key(&span.name) && !self.unasked.contains(&&*span.name);
        let wanted = marked.len() + served.len();
        let _what_is_missing_shows = Deadline::after(Stage::SOON)
            .poll(|| (agent.spans().all(of_marked).len() >= wanted).then_some(()));
        let (servers, clients): (Vec<Span>, Vec<Span>) = agent
            .spans()
            .all(|span| !self.unasked.contains(&&*span.name))
            .into_iter()
            .partition(|span| span.kind == Kind::Server);
        report(&format!(
            "{test}, {backend:?}: {} marked operations after {} others, {} and {} spans",
            marked.len(),
            before.values().map(|[all, _]| all).sum::<usize>(),
            clients.len(),
            servers.len(),
        ));
        for (side, marked, spans) in [("client", &marked, clients), ("server", &served, servers)] {
            let (new, old): (Vec<Span>, Vec<Span>) = spans.into_iter().partition(of_marked);
            let differences = operations::differences(marked, &new);
            assert!(differences.is_empty(), "{test}, {side}: {differences:#?}");
            // A broker has none for what it delivers.
            let has = |name: &str| side == "client" || !name.starts_with("process ");
            for (name, &[all, sure]) in before.iter().filter(|(name, _)| has(name)) {
                let of_name = || old.iter().filter(|span| span.name == *name);
                let wrong = of_name().find(|span| span.error);
                assert!(wrong.is_none(), "{test}, {side}: {wrong:#?}");
                let found = of_name().count();
                let right = sure..=all;
                assert!(
                    right.contains(&found),
                    "{test}, {side}: {found} × {name}, of {right:?}"
                );
            }
        }
    }
}

fn wait_for(words: &str, client: &Process) {
    let has_said = || client.output().contains(words).then_some(());
    let said = Deadline::after(Stage::SOON).poll(has_said);
    assert!(said.is_some(), "{}", client.output());
}

fn before(output: &str) -> Before {
    let line = output.lines().find_map(|line| line.strip_prefix("before "));
    serde_json::from_str(line.expect("what it did before")).unwrap()
}
