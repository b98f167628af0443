//! Databases, caches and brokers: every operation that a real client logs has its span, and no other
//! span comes of it.

use std::process::Command;

use clew_tests::operations::{self, Operation};
use clew_tests::require::{self, Need};
use clew_tests::servers::Server;
use clew_tests::service;
use clew_tests::stage::with;
use clew_tests::{Backend, Kind, Span, Stage, report};

on_both_backends!(redis, memcached, postgres, nats, grpc,);

/// Who uses a server.
#[derive(Clone, Copy)]
enum Client {
    /// A script of `services/protocols`, and its arguments after the port.
    Python(&'static str, &'static [&'static str]),
}

impl Client {
    fn command(self, port: u16) -> Command {
        let Self::Python(script, arguments) = self;
        let python = Command::new(require::find(Need::Python).unwrap());
        let script = service::source(&format!("protocols/{script}"));
        let command = with(python, &[&script, &port.to_string()]);
        with(command, arguments)
    }
}

/// Lets clients use a server, with an agent that sees nothing else, and compares what they log with the
/// spans of their side, and with those of the server's, where that has one for each (`both_sides`).
fn check(
    test: &str,
    backend: Backend,
    server: Server,
    port: u16,
    clients: &[Client],
    both_sides: bool,
) {
    // Cases of both backends run side by side.
    let port = port + if backend == Backend::Socket { 0 } else { 50 };
    let scope = ["--include-port", &port.to_string()];
    let needs = [server.need(), Need::Python];
    let Some(stage) = Stage::own(test, backend, &needs, &scope) else {
        return;
    };
    let _server = server.start(&stage, port).unwrap();
    // What was said until it was ready is none of the clients'.
    stage.agent().spans().clear();
    let mut operations = Vec::new();
    for client in clients {
        let output = stage.run(client.command(port)).unwrap();
        operations.extend(operations::read(&output).unwrap());
    }
    let wanted = operations.len() * if both_sides { 2 } else { 1 };
    let _what_is_missing_shows = clew_testbed::Deadline::after(Stage::SOON).poll(|| {
        let found = stage.agent().spans().all(|_| true).len();
        (found >= wanted).then_some(())
    });
    let (servers, clients): (Vec<Span>, Vec<Span>) = stage
        .agent()
        .spans()
        .all(|_| true)
        .into_iter()
        .partition(|span| span.kind == Kind::Server);
    report(&format!(
        "{test}, {backend:?}: {} operations, {} spans of clients, {} of the server",
        operations.len(),
        clients.len(),
        servers.len()
    ));
    let differences = operations::differences(&operations, &clients);
    assert!(differences.is_empty(), "{test}: {differences:#?}");
    if both_sides {
        let served: Vec<_> = operations.iter().map(Operation::at_server).collect();
        let differences = operations::differences(&served, &servers);
        assert!(differences.is_empty(), "{test}, server: {differences:#?}");
    }
}

fn redis(backend: Backend) {
    let clients = [
        Client::Python("redis_py.py", &["2"]),
        Client::Python("redis_py.py", &["3"]),
    ];
    check("redis", backend, Server::Redis, 7811, &clients, true);
}

fn memcached(backend: Backend) {
    let clients = [
        Client::Python("memcached_py.py", &["pymemcache"]),
        Client::Python("memcached_py.py", &["meta"]),
    ];
    check(
        "memcached",
        backend,
        Server::Memcached,
        7812,
        &clients,
        true,
    );
}

fn postgres(backend: Backend) {
    let parts = &[
        "simple", "extended", "pipeline", "copy", "large", "scram", "refused",
    ];
    let clients = [Client::Python("postgres.py", parts)];
    check("postgres", backend, Server::Postgres, 7813, &clients, true);
}

/// The broker has spans for what is published, and none for what it delivers.
fn nats(backend: Backend) {
    let clients = [Client::Python("nats.py", &[])];
    check("nats", backend, Server::Nats, 7814, &clients, false);
}

fn grpc(backend: Backend) {
    let clients = [Client::Python("grpc_client.py", &[])];
    check("grpc", backend, Server::Grpc, 7815, &clients, true);
}
