//! Databases, caches and brokers: every operation that a real client logs has its span, and no other
//! span comes of it.

use std::process::Command;

use clew_tests::operations::{self, Operation};
use clew_tests::require::{self, Need};
use clew_tests::servers::Server;
use clew_tests::service;
use clew_tests::stage::with;
use clew_tests::{Backend, Kind, Span, Stage, report};

on_both_backends!(redis,);

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
/// spans of their side. What the server's side must have in common with it is `of_server`.
fn check(
    test: &str,
    backend: Backend,
    server: Server,
    port: u16,
    clients: &[Client],
    of_server: impl Fn(&Operation) -> bool,
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
    let served = operations.iter().filter(|one| of_server(one)).count();
    let wanted = operations.len() + served;
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
    let served: Vec<Operation> = operations.into_iter().filter(of_server).collect();
    let differences = operations::differences(&served, &servers);
    assert!(differences.is_empty(), "{test}, server: {differences:#?}");
}

fn redis(backend: Backend) {
    let clients = [
        Client::Python("redis_py.py", &["2"]),
        Client::Python("redis_py.py", &["3"]),
    ];
    check("redis", backend, Server::Redis, 7811, &clients, |_| true);
}
