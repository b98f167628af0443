//! Databases, caches and brokers: every operation that a real client logs has its span, and no other
//! span comes of it.

mod caches;
mod databases;
mod late;
mod messages;
mod remote;

use clew_tests::clients::Client;
use clew_tests::operations::{self, Operation};
use clew_tests::servers::Server;
use clew_tests::{Backend, Kind, Span, Stage, report};

/// Clients that use a server, with an agent that sees nothing else.
#[derive(Clone, Copy)]
struct Case<'a> {
    test: &'a str,
    server: Server,
    /// Of two, and two more 50 further: cases of both backends run side by side.
    port: u16,
    clients: &'a [Client],
    /// The server has a span for each operation, too.
    both_sides: bool,
    /// Names of spans that clients do not log: what libraries ask for of their own accord.
    unasked: &'a [&'a str],
}

impl<'a> Case<'a> {
    const fn new(test: &'a str, server: Server, port: u16, clients: &'a [Client]) -> Self {
        Self {
            test,
            server,
            port,
            clients,
            both_sides: true,
            unasked: &[],
        }
    }

    /// The same, but the server has no span for each operation.
    const fn at_clients(self) -> Self {
        Self {
            both_sides: false,
            ..self
        }
    }

    /// The same, with these spans in any number.
    const fn beside(self, unasked: &'a [&'a str]) -> Self {
        Self { unasked, ..self }
    }

    /// Compares what the clients log with the spans of their side, and of the server's.
    fn check(self, backend: Backend) {
        let port = self.port + backend.ports();
        let scope = ["--include-port", &port.to_string()];
        let mut needs = self.server.needs().to_vec();
        needs.extend(self.clients.iter().flat_map(|client| client.needs()));
        let Some(stage) = Stage::own(self.test, backend, &needs, &scope) else {
            return;
        };
        let _server = self.server.start(&stage, port).unwrap();
        // What was said until it was ready is none of the clients'.
        stage.agent().spans().clear();
        let mut operations = Vec::new();
        for client in self.clients {
            let output = stage.run(client.command(port).unwrap()).unwrap();
            operations.extend(operations::read(&output).unwrap());
        }
        let asked = |span: &Span| !self.unasked.contains(&&*span.name);
        let counted = |span: &Span| asked(span) && (self.both_sides || span.kind != Kind::Server);
        let served: Vec<Operation> = match self.both_sides {
            true => operations.iter().filter_map(Operation::at_server).collect(),
            false => Vec::new(),
        };
        let wanted = operations.len() + served.len();
        let _what_is_missing_shows = clew_testbed::Deadline::after(Stage::SOON).poll(|| {
            let found = stage.agent().spans().all(counted).len();
            (found >= wanted).then_some(())
        });
        let (servers, clients): (Vec<Span>, Vec<Span>) = stage
            .agent()
            .spans()
            .all(asked)
            .into_iter()
            .partition(|span| span.kind == Kind::Server);
        let test = self.test;
        report(&format!(
            "{test}, {backend:?}: {} operations, {} spans of clients, {} of the server",
            operations.len(),
            clients.len(),
            servers.len()
        ));
        let differences = operations::differences(&operations, &clients);
        assert!(differences.is_empty(), "{test}: {differences:#?}");
        if self.both_sides {
            let differences = operations::differences(&served, &servers);
            assert!(differences.is_empty(), "{test}, server: {differences:#?}");
        }
    }
}
