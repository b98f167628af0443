//! What is traced, and what is not.

use std::process::Command;

use clew_testbed::Cgroup;
use clew_tests::require::Need;
use clew_tests::service::{self, CURL, NGINX};
use clew_tests::stage::with;
use clew_tests::{Backend, Kind, Stage};

on_each_backend!(by_executable, by_command_line, by_port, by_cgroup,);

const HELLO: &str =
    "server { listen 127.0.0.1:8080; listen 127.0.0.1:8081; return 200 'hello\n'; }";

fn by_executable(backend: Backend) {
    for (test, scope, seen) in [
        ("include-exe", ["--include-exe", "curl"], Kind::Client),
        ("exclude-exe", ["--exclude-exe", "ngin*"], Kind::Client),
        ("server-exe", ["--include-exe", "*/nginx"], Kind::Server),
    ] {
        let Some(stage) = Stage::own(test, backend, &[CURL, NGINX], &scope) else {
            return;
        };
        let _nginx = service::nginx(&stage, "nginx", HELLO, 8080).unwrap();
        for what in ["first", "last"] {
            let path = stage.path(what);
            stage.curl(&[&format!("http://127.0.0.1:8080{path}")]);
            assert_eq!(stage.spans_of(&path, 1)[0].kind, seen, "{scope:?}");
        }
        // By the time of the last one, the first one's other side would be there.
        assert_eq!(
            stage.spans_of(&stage.path("first"), 1).len(),
            1,
            "{scope:?}"
        );
    }
}

fn by_command_line(backend: Backend) {
    let scope = ["--include-cmd", "chosen-command"];
    let Some(stage) = Stage::own("cmd", backend, &[CURL, NGINX], &scope) else {
        return;
    };
    let _nginx = service::nginx(&stage, "nginx", HELLO, 8080).unwrap();
    let other = stage.path("other");
    stage.curl(&[&format!("http://127.0.0.1:8080{other}")]);
    let chosen = stage.path("chosen-command");
    stage.curl(&[&format!("http://127.0.0.1:8080{chosen}")]);
    assert_eq!(stage.spans_of(&chosen, 1)[0].kind, Kind::Client);
    assert!(stage.spans_of(&other, 0).is_empty());
}

fn by_port(backend: Backend) {
    for (test, scope) in [
        ("include-port", ["--include-port", "8081-8090"]),
        ("exclude-port", ["--exclude-port", "8080"]),
    ] {
        let Some(stage) = Stage::own(test, backend, &[CURL, NGINX], &scope) else {
            return;
        };
        let _nginx = service::nginx(&stage, "nginx", HELLO, 8080).unwrap();
        let (out, within) = (stage.path("out"), stage.path("in"));
        stage.curl(&[&format!("http://127.0.0.1:8080{out}")]);
        stage.curl(&[&format!("http://127.0.0.1:8081{within}")]);
        stage.pair(&within);
        assert!(stage.spans_of(&out, 0).is_empty(), "{scope:?}");
    }
}

/// curl as a member of the cgroup.
fn curl_in(cgroup: &Cgroup, stage: &Stage, url: &str) {
    let curl = with(Command::new("curl"), &["--silent", url]);
    stage.run(cgroup.member(&curl)).unwrap();
}

fn by_cgroup(backend: Backend) {
    if !clew_tests::require::met("cgroup", &[CURL, NGINX, Need::CgroupV2]) {
        return;
    }
    let cgroup = Cgroup::new().unwrap();
    let inner = cgroup.below("inner").unwrap();
    for (option, test) in [
        ("--include-cgroup", "include"),
        ("--exclude-cgroup", "exclude"),
    ] {
        let test = format!("cgroup-{test}");
        let Some(stage) = Stage::own(&test, backend, &[CURL, NGINX], &[option, cgroup.path()])
        else {
            return;
        };
        let _nginx = service::nginx(&stage, "nginx", HELLO, 8080).unwrap();
        let [member, below, outside, last] =
            ["member", "below", "outside", "last"].map(|what| stage.path(what));
        let url = |path: &str| format!("http://127.0.0.1:8080{path}");
        curl_in(&cgroup, &stage, &url(&member));
        curl_in(&inner, &stage, &url(&below));
        stage.curl(&[&url(&outside)]);
        curl_in(&cgroup, &stage, &url(&last));

        let kinds = |path: &str, count| -> Vec<Kind> {
            stage
                .spans_of(path, count)
                .iter()
                .map(|span| span.kind)
                .collect()
        };
        if option == "--include-cgroup" {
            assert_eq!(kinds(&last, 1), [Kind::Client]);
            assert_eq!(kinds(&member, 1), [Kind::Client]);
            assert_eq!(kinds(&below, 1), [Kind::Client]);
            assert_eq!(kinds(&outside, 0), []);
        } else {
            assert_eq!(kinds(&last, 1), [Kind::Server]);
            assert_eq!(kinds(&member, 1), [Kind::Server]);
            assert_eq!(kinds(&below, 1), [Kind::Server]);
            assert_eq!(kinds(&outside, 2), [Kind::Client, Kind::Server]);
        }
    }
}
