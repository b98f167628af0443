//! Both ends on this host, and between them a node that translates addresses as kube-proxy does.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use clew_testbed::{Namespace, Node, Pod, Process};
use clew_tests::plan::{Call, Hop};
use clew_tests::require::Need;
use clew_tests::score::Score;
use clew_tests::service::{self, NFT};
use clew_tests::stage::lone_hop;
use clew_tests::store::Which;
use clew_tests::{Agent, Backend, Stage, raw, report};

on_each_backend!(
    service_addresses_of_a_cluster,
    a_translated_connection_older_than_the_agent,
    equal_addresses_in_two_clusters,
);

const NEEDS: &[Need] = &[NFT, Need::Python];

/// A cluster of one node: a client's pod, and two services that call each other by the addresses
/// that only the node's rules know.
struct Cluster {
    node: Node,
    services: [(Namespace, Pod); 2],
    _processes: [Process; 2],
}

/// A service's virtual address, by its number.
const CLUSTER_IPV4: [&str; 2] = ["10.96.0.10", "10.96.0.20"];
const CLUSTER_IPV6: [&str; 2] = ["fd96::10", "fd96::20"];

impl Cluster {
    fn new(stage: &Stage, name: &str, client: &Namespace) -> Self {
        let node = Node::new().unwrap();
        node.attach(client).unwrap();
        let services = [(); 2].map(|()| {
            let namespace = Namespace::new().unwrap();
            let pod = node.attach(&namespace).unwrap();
            (namespace, pod)
        });
        let processes = [0, 1].map(|n| {
            let namespace: &Namespace = &services[n].0;
            let command = service::python_program("service.py", &["8080", "everywhere"]).unwrap();
            let name = format!("{name}-service-{n}");
            let process = Process::start(&name, command, Some(namespace), stage.directory());
            service::listening(process.unwrap(), 8080).unwrap()
        });
        let pods = [services[0].1, services[1].1];
        node.rules(&rules(pods)).unwrap();
        Self {
            node,
            services,
            _processes: processes,
        }
    }

    /// Each service calls the other, and itself: that connection has the node's address at its
    /// other end (hairpin), since an answer that did not pass the node would not be translated.
    fn call(addresses: [&str; 2]) -> Call {
        let [one, two] = addresses.map(|address| Call::to(&format!("http://{address}")));
        one.clone()
            .working(1)
            .calling(two.clone().calling(one.clone()))
            .calling(one)
            .calling(two)
    }
}

/// What kube-proxy does: a connection to a service's address goes to a pod, and one of a pod to
/// itself gets the node's address as its source. The second service is masqueraded for all, as
/// with an external traffic policy `Cluster`.
fn rules(pods: [Pod; 2]) -> String {
    let mut rules = String::new();
    for (family, address) in [("ip", "ip"), ("ip6", "ip6")] {
        let virtual_address = |n: usize| match family {
            "ip" => CLUSTER_IPV4[n],
            _ => CLUSTER_IPV6[n],
        };
        let target = |n: usize| match family {
            "ip" => pods[n].ipv4.to_string(),
            _ => pods[n].ipv6.to_string(),
        };
        let goes_to = |n: usize| {
            let to = SocketAddr::new(target(n).parse().expect("an address"), 8080);
            format!(
                "{address} daddr {} tcp dport 80 dnat to {to}\n",
                virtual_address(n)
            )
        };
        let (one, two) = (target(0), target(1));
        rules.push_str(&format!(
            "table {family} services {{
               chain incoming {{
                 type nat hook prerouting priority dstnat;
                 {}{}
               }}
               chain outgoing {{
                 type nat hook postrouting priority srcnat;
                 {address} saddr {one} {address} daddr {one} masquerade
                 {address} daddr {two} tcp dport 8080 masquerade
               }}
             }}\n",
            goes_to(0),
            goes_to(1),
        ));
    }
    rules
}

/// Kept connections, one request at a time and many.
fn service_addresses_of_a_cluster(backend: Backend) {
    let Some(stage) = Stage::shared("cluster", backend, NEEDS) else {
        return;
    };
    let _cluster = Cluster::new(&stage, "a", stage.namespace());
    let bracketed = CLUSTER_IPV6.map(|address| format!("[{address}]"));
    let [one, two] = &bracketed;
    for (what, addresses) in [("v4", CLUSTER_IPV4), ("v6", [one, two])] {
        for threads in [1, 8] {
            let call = Cluster::call(addresses);
            let score = stage.load(what, &call, 5 * threads, threads).unwrap();
            report(&format!(
                "{backend:?}: {what}, {threads} at a time: {}",
                score.figures()
            ));
            score.assert_exact();
        }
    }
}

fn a_translated_connection_older_than_the_agent(backend: Backend) {
    let Some(stage) = Stage::shared("old-cluster", backend, NEEDS) else {
        return;
    };
    let _cluster = Cluster::new(&stage, "a", stage.namespace());
    let address: SocketAddr = format!("{}:80", CLUSTER_IPV4[1]).parse().unwrap();
    let connect = || TcpStream::connect(address).unwrap();
    let mut stream = stage.namespace().enter(connect).unwrap();
    let send = |stream: &mut TcpStream, paths: &[String]| {
        let heads = paths
            .iter()
            .map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        stream
            .write_all(heads.collect::<String>().as_bytes())
            .unwrap();
        for _ in paths {
            raw::read_until(stream, "done\n").unwrap();
        }
    };
    send(&mut stream, &[stage.path("before")]);
    let agent = Agent::start(backend, &[]).unwrap();
    // One by one, then two in one write.
    let paths = ["one", "two", "three", "four"].map(|what| stage.path(what));
    send(&mut stream, &paths[..1]);
    send(&mut stream, &paths[1..2]);
    send(&mut stream, &paths[2..]);

    let hops: Vec<Hop> = paths.iter().map(|path| lone_hop(path)).collect();
    let all = stage.request("");
    let spans = agent.spans().wait(Which::Named(&all), 8, Stage::SOON);
    Score::of(&spans, &hops).assert_exact();
}

/// Two clusters whose pods and services have the same addresses, at work at the same time.
fn equal_addresses_in_two_clusters(backend: Backend) {
    let Some(stage) = Stage::shared("equal", backend, NEEDS) else {
        return;
    };
    let clients = [(); 2].map(|()| Namespace::new().unwrap());
    let clusters = [("a", &clients[0]), ("b", &clients[1])]
        .map(|(name, client)| Cluster::new(&stage, name, client));
    assert_eq!(clusters[0].services[0].1, clusters[1].services[0].1);
    assert_ne!(
        clusters[0].node.namespace().name(),
        clusters[1].node.namespace().name()
    );
    // Services by their virtual addresses, and by the pods' own.
    let pods = clusters[0]
        .services
        .each_ref()
        .map(|(_, pod)| format!("{}:8080", pod.ipv4));
    let [one, two] = &pods;
    for (what, addresses) in [("virtual", CLUSTER_IPV4), ("own", [one, two])] {
        let call = Cluster::call(addresses);
        let load = |client, name: &str| {
            let what = format!("{what}-{name}");
            stage.load_from(client, &what, &call, 40, 8).unwrap()
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| load(&clients[1], "b"));
            load(&clients[0], "a").assert_exact();
            other.join().unwrap().assert_exact();
        });
    }
}
