//! Contexts in TCP options, between two hosts that have an agent each and a router in between: any
//! segments, small paths, and middleboxes that do not like options.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clew_testbed::{Cgroup, Namespace, Node, Pod, Process};
use clew_tests::require::{self, Need};
use clew_tests::service::{self, NFT};
use clew_tests::stage::with;
use clew_tests::store::{Store, Which};
use clew_tests::{Agent, Backend, Kind, Span, Stage};

on_each_backend!(
    segments_of_any_kind,
    a_small_path,
    a_router_that_strips_options,
    a_router_that_drops_the_option_in_handshakes,
    a_router_that_drops_the_option_in_data,
);

const NEEDS: &[Need] = &[NFT, Need::Python, Need::Program("ip"), Need::CgroupV2];
const PORT: u16 = 8080;
/// Requests on each connection.
const REQUESTS: usize = 4;

/// A client's host and a server's, each with an agent that sees nothing else.
struct Hosts<'a> {
    stage: &'a Stage,
    node: Node,
    client: Namespace,
    client_cgroup: Cgroup,
    server: Pod,
    agents: [Agent; 2],
    stores: [Arc<Store>; 2],
    _server: (Namespace, Cgroup, Process),
}

impl<'a> Hosts<'a> {
    fn new(stage: &'a Stage, backend: Backend) -> Self {
        let node = Node::new().unwrap();
        let namespaces = [(); 2].map(|()| Namespace::new().unwrap());
        let [_, server] = [0, 1].map(|n| node.attach(&namespaces[n]).unwrap());
        let cgroups = [(); 2].map(|()| Cgroup::new().unwrap());
        let stores = [(); 2].map(|()| Arc::<Store>::default());
        let binary = require::agent().unwrap();
        let agents = [0, 1].map(|n| {
            let scope = [
                "--backend",
                backend.name(),
                "--include-cgroup",
                cgroups[n].path(),
            ];
            Agent::start_into(&stores[n], &binary, &scope).unwrap()
        });
        let [client, server_namespace] = namespaces;
        let [client_cgroup, server_cgroup] = cgroups;
        // It reads a request to its end before it answers.
        let command = service::python_program("service.py", &["8080", "everywhere"]).unwrap();
        let process = Process::start(
            "service",
            server_cgroup.member(&command),
            Some(&server_namespace),
            stage.directory(),
        );
        let process = service::listening(process.unwrap(), PORT).unwrap();
        Self {
            stage,
            node,
            client,
            client_cgroup,
            server,
            agents,
            stores,
            _server: (server_namespace, server_cgroup, process),
        }
    }

    fn addresses(&self) -> [IpAddr; 2] {
        [self.server.ipv4.into(), self.server.ipv6.into()]
    }

    /// Sends requests on one connection and gives, request by request, the client's span and the
    /// server's.
    fn ask(&self, what: &str, way: &str, address: IpAddr) -> Vec<(Span, Span)> {
        let address = SocketAddr::new(address, PORT);
        let names: Vec<String> = (0..REQUESTS)
            .map(|n| self.stage.request(&format!("{what}-{n}")))
            .collect();
        let mut arguments = vec![service::source("segments.py"), way.to_owned()];
        let urls = names
            .iter()
            .map(|name| format!("http://{address}/s/{name}.0"));
        arguments.extend(urls);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let python = Command::new(require::find(Need::Python).unwrap());
        let command = self.client_cgroup.member(&with(python, &arguments));
        let directory = self.stage.directory();
        let mut client = Process::start("client", command, Some(&self.client), directory).unwrap();
        let status = client.wait(Duration::from_secs(60)).unwrap();
        assert!(status.success(), "{what}: {}", client.output());
        assert_eq!(client.output().trim(), REQUESTS.to_string(), "{what}");
        let span = |store: &Store, name: &str, kind| {
            let mut spans = store.wait(Which::Request(name), 1, Stage::SOON);
            assert_eq!(spans.len(), 1, "{name}: {spans:#?}");
            let span = spans.remove(0);
            assert_eq!(span.kind, kind, "{name}");
            span
        };
        names
            .iter()
            .map(|name| {
                let [client, server] = &self.stores;
                (
                    span(client, name, Kind::Client),
                    span(server, name, Kind::Server),
                )
            })
            .collect()
    }

    /// Asks, and every server's span must be its client's child by the option.
    fn ask_and_find(&self, what: &str, way: &str, address: IpAddr) {
        for (client, server) in self.ask(what, way, address) {
            assert_eq!(server.trace, client.trace, "{what}: {server:#?}");
            assert_eq!(server.parent.as_ref(), Some(&client.id), "{what}");
            assert_eq!(server.parent_reason(), "tcp_option", "{what}");
        }
    }

    /// Asks where no option arrives: all requests are answered, and no parent is asserted.
    fn ask_in_vain(&self, what: &str, address: IpAddr) {
        for (_, server) in self.ask(what, "plain", address) {
            assert_eq!(server.parent, None, "{what}: {server:#?}");
        }
    }

    /// A line of rules for whatever the router passes on.
    fn router(&self, rule: &str) {
        self.node
            .rules(&format!(
                "table inet middlebox {{
                   chain passing {{
                     type filter hook forward priority 0;
                     {rule}
                   }}
                 }}\n"
            ))
            .unwrap();
    }

    /// A host that has to wait for a processor sends a probe now and then; what lost its packets for
    /// the option would send one again in each request or handshake.
    fn assert_hardly_any_sent_again(&self, before: u64) {
        let again = self.sent_again() - before;
        assert!(again < REQUESTS as u64 / 2, "{again} segments sent again");
    }

    /// How many segments the client's host has sent again.
    fn sent_again(&self) -> u64 {
        let read = || std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
        let text = self.client.enter(read).unwrap();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let at = names.split(' ').position(|name| name == "RetransSegs");
        values.split(' ').nth(at.unwrap()).unwrap().parse().unwrap()
    }
}

fn hosts(stage: Option<&Stage>, backend: Backend) -> Option<Hosts<'_>> {
    stage.map(|stage| Hosts::new(stage, backend))
}

fn segments_of_any_kind(backend: Backend) {
    let stage = Stage::shared("segments", backend, NEEDS);
    let Some(hosts) = hosts(stage.as_ref(), backend) else {
        return;
    };
    for (family, address) in ["v4", "v6"].into_iter().zip(hosts.addresses()) {
        for way in ["plain", "nagle", "corked", "bytes", "long"] {
            hosts.ask_and_find(&format!("{way}-{family}"), way, address);
        }
    }
}

/// Segments with the option fit the path: none is dropped for its size, and none sent again.
fn a_small_path(backend: Backend) {
    let stage = Stage::shared("small-path", backend, NEEDS);
    let Some(hosts) = hosts(stage.as_ref(), backend) else {
        return;
    };
    // The least that IPv6 allows (RFC 8200, section 5).
    hosts
        .client
        .ip(&["link", "set", "eth0", "mtu", "1280"])
        .unwrap();
    hosts
        .node
        .namespace()
        .ip(&["link", "set", "pod1", "mtu", "1280"])
        .unwrap();
    for (family, address) in ["v4", "v6"].into_iter().zip(hosts.addresses()) {
        let before = hosts.sent_again();
        hosts.ask_and_find(&format!("long-{family}"), "long", address);
        hosts.assert_hardly_any_sent_again(before);
    }
}

fn a_router_that_strips_options(backend: Backend) {
    let stage = Stage::shared("strips", backend, NEEDS);
    let Some(hosts) = hosts(stage.as_ref(), backend) else {
        return;
    };
    hosts.router("reset tcp option 25");
    for (family, address) in ["v4", "v6"].into_iter().zip(hosts.addresses()) {
        hosts.ask_in_vain(&format!("stripped-{family}"), address);
    }
    hosts.assert_hardly_any_sent_again(0);
}

/// A SYN is lost with the option, and sent again without it: the connection comes late, but it
/// comes. After three in a row the address is left alone, and connections come at once.
///
/// Alone: what other cases' connections to the same address meet would count, for the agent that all
/// of them share.
fn a_router_that_drops_the_option_in_handshakes(backend: Backend) {
    let nothing = ["--propagate", "off", "--include-exe", "none"];
    let stage = Stage::alone("drops-syn", backend, NEEDS, &nothing);
    let Some(hosts) = hosts(stage.as_ref(), backend) else {
        return;
    };
    hosts.router("tcp option 25 exists drop");
    let address = hosts.server.ipv4.into();
    for n in 0..3 {
        hosts.ask_in_vain(&format!("lost-{n}"), address);
    }
    let before = hosts.sent_again();
    assert!(before >= 3, "the router dropped nothing: {before}");
    hosts.ask_in_vain("left-alone", address);
    hosts.assert_hardly_any_sent_again(before);
    let metrics = hosts.agents[0].metrics();
    assert!(
        metrics.drops("tcp_option_not_passed") > 0.0,
        "{}",
        metrics.text()
    );
}

/// The handshake passes with the option, and data does not: a segment's later copies go without.
fn a_router_that_drops_the_option_in_data(backend: Backend) {
    let stage = Stage::shared("drops-data", backend, NEEDS);
    let Some(hosts) = hosts(stage.as_ref(), backend) else {
        return;
    };
    hosts.router("tcp flags & syn == 0 tcp option 25 exists drop");
    hosts.ask_in_vain("data", hosts.server.ipv4.into());
    assert!(hosts.sent_again() > 0, "the router dropped nothing");
}
