use super::*;
use crate::enrich::testing::{Files, TestProc};
use crate::model::{Attribute, Value};

const CONTAINER: &str = "3dd988081e7149463c043b5d9c57d7309e079c5e9290f91feba1cc45a04d6a5b";
const DOCKER: &str =
    "0::/docker/3dd988081e7149463c043b5d9c57d7309e079c5e9290f91feba1cc45a04d6a5b\n";
const DOCKER_PATH: &str =
    "/docker/3dd988081e7149463c043b5d9c57d7309e079c5e9290f91feba1cc45a04d6a5b";

fn table(proc: &TestProc) -> Processes {
    let host = Host {
        attributes: vec![Attribute::new("host.name", "h")],
    };
    Processes::new(Box::new(proc.clone()), host, 100)
}

fn seconds(number: u64) -> Timestamp {
    Timestamp(number * 1_000_000_000)
}

fn curl(pid: u32) -> Exec<'static> {
    Exec {
        pid,
        parent: 1,
        time: seconds(1),
        cgroup: 7,
        name: b"curl\0\0\0",
        arguments: b"curl\0-u\0user:hunter2\0http://h/\0",
        environment: b"HOME=/root\0TOKEN=hunter2\0",
    }
}

fn value(resource: &Resource, key: &str) -> Option<String> {
    let mut all = resource
        .attributes
        .iter()
        .filter(|attribute| attribute.key == key);
    let found = all.next().map(|attribute| match &attribute.value {
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    });
    assert!(all.next().is_none(), "{key} is there twice");
    found
}

#[test]
fn a_process_that_is_gone_already_is_known_by_its_event() {
    let proc = TestProc::default();
    proc.state().cgroups.insert(7, DOCKER_PATH);
    let mut processes = table(&proc);
    processes.exec(&curl(9));
    processes.exit(9, seconds(1));
    let resource = processes.resource(9, seconds(2));
    for (key, wanted) in [
        ("service.name", Some("curl")),
        ("process.pid", Some("Integer(9)")),
        ("process.executable.name", Some("curl")),
        ("process.executable.path", None),
        ("process.command", Some("curl")),
        ("container.id", Some(CONTAINER)),
        ("host.name", Some("h")),
    ] {
        assert_eq!(value(&resource, key).as_deref(), wanted, "{key}");
    }
    assert!(!format!("{resource:?}").contains("hunter2"));
}

#[test]
fn event_before_proc_and_proc_before_parent() {
    let proc = TestProc::default();
    proc.state().processes.insert(
        9,
        Files {
            executable: Some("/usr/bin/curl"),
            environment: b"OTEL_SERVICE_NAME=from-proc\0",
            cgroups: "0::/a\n",
            ..Files::default()
        },
    );
    let mut processes = table(&proc);
    processes.exec(&Exec {
        environment: b"OTEL_SERVICE_NAME=from-event\0",
        ..curl(9)
    });
    let identity = processes.identity(9, seconds(1));
    assert_eq!(identity.service, "from-event");
    assert_eq!(identity.executable, "/usr/bin/curl");
    assert_eq!(identity.cgroups, ["/a"]);

    // No environment in the event: `/proc` is asked.
    processes.exec(&Exec {
        environment: b"",
        ..curl(9)
    });
    assert_eq!(processes.identity(9, seconds(1)).service, "from-proc");

    // Cut in the event: the part beyond may hold it.
    let long = vec![b'x'; ENVIRONMENT_MAX];
    processes.exec(&Exec {
        environment: &long,
        ..curl(9)
    });
    assert_eq!(processes.identity(9, seconds(1)).service, "from-proc");

    // Gone, and its cgroup unknown: it is where its parent is.
    processes.exec(&Exec {
        parent: 9,
        ..curl(10)
    });
    assert_eq!(processes.identity(10, seconds(1)).cgroups, ["/a"]);
}

#[test]
fn older_processes_are_read_once_and_forks_share_what_they_are() {
    let proc = TestProc::default();
    proc.state().processes.insert(
        5,
        Files {
            executable: Some("/usr/bin/python3.11"),
            arguments: b"python3\0/srv/pay.py\0",
            environment: b"OTEL_RESOURCE_ATTRIBUTES=service.version=3,host.name=mine\0",
            cgroups: DOCKER,
            name: "python3",
            start: 1,
        },
    );
    let mut processes = table(&proc);
    let resource = processes.resource(5, seconds(1));
    for (key, wanted) in [
        ("service.name", "pay"),
        ("service.version", "3"),
        ("host.name", "mine"),
        ("process.runtime.name", "cpython"),
        ("process.executable.path", "/usr/bin/python3.11"),
        ("container.id", CONTAINER),
    ] {
        assert_eq!(value(&resource, key).as_deref(), Some(wanted), "{key}");
    }
    let reads = proc.state().reads;
    assert!(Arc::ptr_eq(&resource, &processes.resource(5, seconds(2))));
    processes.fork(5, 6, seconds(2));
    let child = processes.resource(6, seconds(2));
    assert_eq!(proc.state().reads, reads, "nothing is read twice");
    assert_eq!(child.service, "pay");
    assert_eq!(value(&child, "process.pid").as_deref(), Some("Integer(6)"));
}

#[test]
fn a_program_replaces_the_one_before() {
    let proc = TestProc::default();
    let mut processes = table(&proc);
    processes.exec(&Exec {
        name: b"sh",
        arguments: b"sh\0-c\0exec curl\0",
        ..curl(9)
    });
    assert_eq!(processes.resource(9, seconds(1)).service, "sh");
    processes.exec(&curl(9));
    assert_eq!(processes.resource(9, seconds(1)).service, "curl");
}

#[test]
fn unknown_processes_have_a_resource_too() {
    let mut processes = table(&TestProc::default());
    let resource = processes.resource(404, seconds(1));
    assert_eq!(resource.service, "unknown_service");
    assert_eq!(value(&resource, "process.executable.name"), None);
    processes.fork(405, 406, seconds(1));
    assert_eq!(
        processes.resource(406, seconds(1)).service,
        "unknown_service"
    );
}

#[test]
fn ended_processes_stay_for_a_while() {
    let mut processes = table(&TestProc::default());
    processes.exec(&curl(9));
    processes.exit(9, seconds(2));
    processes.expire(seconds(20));
    assert_eq!(processes.resource(9, seconds(20)).service, "curl");
    processes.expire(seconds(40));
    assert!(processes.is_empty());
}

#[test]
fn a_pid_that_is_used_again_is_a_new_process() {
    let proc = TestProc::default();
    let mut processes = table(&proc);
    processes.exec(&curl(9));
    processes.exit(9, seconds(1));
    processes.fork(1, 9, seconds(2));
    processes.expire(seconds(100));
    // The unknown 1 is no longer there.
    assert_eq!(processes.len(), 1, "the new 9 has not ended");
}

#[test]
fn lost_events_are_made_up_for() {
    let proc = TestProc::default();
    let started = |name, start| Files {
        name,
        start,
        ..Files::default()
    };
    proc.state().processes.insert(8, started("first", 100));
    proc.state().processes.insert(9, started("stays", 100));
    let mut processes = table(&proc);
    for pid in [8, 9] {
        processes.resource(pid, seconds(1));
    }
    // 8 is another process now, and no event said so.
    proc.state().processes.insert(8, started("second", 200));
    processes.verify(seconds(2));
    assert_eq!(processes.resource(8, seconds(2)).service, "second");
    assert_eq!(processes.resource(9, seconds(2)).service, "stays");
    // 9 ended, and no event said so.
    proc.state().processes.remove(&9);
    processes.verify(seconds(3));
    processes.expire(seconds(60));
    assert_eq!(processes.len(), 1);
}

#[test]
fn the_table_is_bounded_and_the_useful_stay() {
    let mut processes = table(&TestProc::default());
    for pid in 1..=10_000 {
        processes.exec(&Exec {
            time: Timestamp(u64::from(pid)),
            ..curl(pid)
        });
        if pid % 2 == 0 {
            processes.exit(pid, seconds(1));
        }
        processes.resource(1, Timestamp(u64::from(pid)));
        assert!(processes.len() <= 100);
    }
    assert_eq!(processes.resource(1, seconds(1)).service, "curl");
    let kept = processes.table.values().filter(|one| one.ended.is_some());
    assert_eq!(processes.forgotten() + kept.count() as u64, 5000);
}

proptest::proptest! {
    /// Processes choose their arguments, variables and names: nothing there can do harm.
    #[test]
    fn nonsense_gives_a_resource(
        name in proptest::collection::vec(0_u8.., 0..20),
        arguments in "(python3|java|node|-m|-jar|/|[^a]|\0){0,12}",
        environment in "(OTEL_SERVICE_NAME=|OTEL_RESOURCE_ATTRIBUTES=|[a=,%]|\0|[^a]){0,12}",
    ) {
        let mut processes = table(&TestProc::default());
        processes.exec(&Exec {
            name: &name,
            arguments: arguments.as_bytes(),
            environment: environment.as_bytes(),
            ..curl(9)
        });
        proptest::prop_assert!(!processes.resource(9, seconds(1)).service.is_empty());
        let paths = cgroup::paths(&arguments);
        let id = crate::enrich::container_of(&paths).id;
        proptest::prop_assert!(id.is_none_or(|id| id.len() >= 32));
    }
}
