//! gRPC (etcd's too), HTTP/2 and FastCGI.

use clew_tests::clients::Client;
use clew_tests::servers::Server;
use clew_tests::service::{self, CURL, NGINX};
use clew_tests::{Backend, Kind, Span, Stage};

use super::Case;

on_each_backend!(grpc, etcd, http2, fastcgi, php, behind_nginx);

fn grpc(backend: Backend) {
    let clients = [
        Client::Python("grpc_client.py", &[]),
        Client::Go("grpc_go", &[]),
        Client::Java("Grpc.java", "grpc", &[]),
    ];
    Case::new("grpc", Server::Grpc, 7819, &clients).check(backend);
}

fn etcd(backend: Backend) {
    let clients = [
        Client::Python("etcd.py", &[]),
        Client::Shell("etcdctl.sh", "etcdctl", &[]),
    ];
    Case::new("etcd", Server::Etcd, 7845, &clients).check(backend);
}

fn http2(backend: Backend) {
    let clients = [
        Client::Shell("http2.sh", "curl", &[]),
        Client::Python("http2.py", &[]),
    ];
    Case::new("http2", Server::Http2, 7823, &clients).check(backend);
}

fn fastcgi(backend: Backend) {
    let clients = [Client::Python("fastcgi.py", &[])];
    Case::new("fastcgi", Server::FastCgi, 7825, &clients).check(backend);
}

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/services/protocols/fastcgi.php"
);

fn php(backend: Backend) {
    let clients = [Client::Python("fastcgi.py", &[SCRIPT])];
    Case::new("php", Server::Php, 7827, &clients).check(backend);
}

/// Applications of FastCGI where they usually are. What comes in by HTTP goes on by FastCGI: each request
/// is one trace, from curl to the application.
fn behind_nginx(backend: Backend) {
    const WEB: u16 = 8080;
    let applications = [("php", Server::Php, 9001), ("go", Server::FastCgi, 9002)];
    let mut needs = vec![CURL, NGINX];
    needs.extend(
        applications
            .iter()
            .flat_map(|(_, server, _)| server.needs()),
    );
    let Some(stage) = Stage::shared("behind-nginx", backend, &needs) else {
        return;
    };
    let _running = applications.map(|(_, server, port)| server.start(&stage, port).unwrap());
    let mut settings = String::new();
    for (name, _, port) in applications {
        settings.push_str(&format!(
            "upstream {name} {{ server 127.0.0.1:{port}; keepalive 2; }}
             server {{
               listen 127.0.0.1:{WEB}; server_name {name};
               location / {{
                 fastcgi_pass {name}; fastcgi_keep_conn on;
                 include /etc/nginx/fastcgi_params;
                 fastcgi_param SCRIPT_FILENAME {SCRIPT};
               }}
             }}\n"
        ));
    }
    let _nginx = service::nginx(&stage, "web", &settings, WEB).unwrap();
    for (name, _, port) in applications {
        for (what, query, more, status) in [
            ("get", "?id=1", &[][..], "200"),
            ("post", "", &["--data", "item=tea"][..], "200"),
            ("fail", "?fail=1", &[][..], "500"),
        ] {
            let path = stage.path(&format!("{name}-{what}"));
            let url = format!("http://127.0.0.1:{WEB}{path}{query}");
            let host = format!("Host: {name}");
            stage.curl(&[&["--header", &host, &url][..], more].concat());
            let chain = chain(stage.spans_of(&path, 4));
            let shown: Vec<_> = chain
                .iter()
                .map(|span| (span.kind, &*span.name, span.error))
                .collect();
            let method = if what == "post" { "POST" } else { "GET" };
            let fails = status == "500";
            let expected = [Kind::Client, Kind::Server, Kind::Client, Kind::Server];
            assert_eq!(
                shown,
                expected.map(|kind| (kind, method, fails)),
                "{chain:#?}"
            );
            for span in &chain {
                assert_eq!(
                    span.attribute("http.response.status_code"),
                    status,
                    "{span:#?}"
                );
            }
            let port = port.to_string();
            assert_eq!(chain[2].attribute("network.peer.port"), port, "{chain:#?}");
            assert_eq!(chain[3].attribute("url.path"), path, "{chain:#?}");
        }
    }
}

/// Each span behind the one that is its parent.
fn chain(mut spans: Vec<Span>) -> Vec<Span> {
    let mut chain: Vec<Span> = Vec::new();
    while let Some(at) = spans
        .iter()
        .position(|span| span.parent.as_ref() == chain.last().map(|last| &last.id))
    {
        chain.push(spans.swap_remove(at));
    }
    assert!(spans.is_empty(), "behind {chain:#?} are not {spans:#?}");
    chain
}
