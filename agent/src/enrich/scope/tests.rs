use super::*;
use crate::config::Setting;
use crate::enrich::Container;

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn nginx() -> Identity {
    Identity {
        executable: "/usr/sbin/nginx".to_owned(),
        command: "nginx -c /etc/nginx/pay.conf".to_owned(),
        cgroups: list(&["/system.slice/nginx.service", "/legacy"]),
        container: Container {
            id: Some("3dd988081e71".to_owned()),
            pod: None,
        },
        ..Identity::default()
    }
}

fn executables(items: &[&str]) -> Rules {
    Rules {
        executables: list(items),
        ..Rules::default()
    }
}

fn commands(items: &[&str]) -> Rules {
    Rules {
        commands: list(items),
        ..Rules::default()
    }
}

fn containers(items: &[&str]) -> Rules {
    Rules {
        containers: list(items),
        ..Rules::default()
    }
}

fn cgroups(items: &[&str]) -> Rules {
    Rules {
        cgroups: list(items),
        ..Rules::default()
    }
}

fn ports(items: &[&str]) -> Rules {
    Rules {
        ports: items
            .iter()
            .map(|item| PortRange::read(item).expect("a port"))
            .collect(),
        ..Rules::default()
    }
}

#[test]
fn processes() {
    use Verdict::{Ignored, Traced};
    let nothing = Rules::default;
    for (include, exclude, wanted) in [
        (nothing(), nothing(), Traced),
        (executables(&["nginx"]), nothing(), Traced),
        (executables(&["ngin?"]), nothing(), Traced),
        (executables(&["curl", "ng*"]), nothing(), Traced),
        (executables(&["gin"]), nothing(), Ignored),
        (executables(&["/usr/sbin/nginx"]), nothing(), Traced),
        (executables(&["/usr/*/nginx"]), nothing(), Traced),
        (executables(&["/opt/*"]), nothing(), Ignored),
        (commands(&["pay.conf"]), nothing(), Traced),
        (commands(&["*pay.conf"]), nothing(), Traced),
        (commands(&["pay*"]), nothing(), Ignored),
        (containers(&["3dd9"]), nothing(), Traced),
        (containers(&["dd9"]), nothing(), Ignored),
        (cgroups(&["/system.slice"]), nothing(), Traced),
        (cgroups(&["system.slice/nginx.service/"]), nothing(), Traced),
        (cgroups(&["/legacy"]), nothing(), Traced),
        (cgroups(&["/system"]), nothing(), Ignored),
        (cgroups(&["/"]), nothing(), Traced),
        (nothing(), executables(&["nginx"]), Ignored),
        (nothing(), executables(&["curl"]), Traced),
        (executables(&["nginx"]), cgroups(&["/legacy"]), Ignored),
        // Ports say nothing about processes.
        (ports(&["80"]), ports(&["80"]), Traced),
    ] {
        let scope = Scope { include, exclude };
        let filter = Filter::new(scope.clone());
        assert_eq!(filter.process(&nginx()), wanted, "{scope:?}");
    }
    let unknown = Identity::default();
    let filter = Filter::new(Scope {
        include: containers(&["3"]),
        ..Scope::default()
    });
    assert_eq!(filter.process(&unknown), Ignored);
}

#[test]
fn connections() {
    use Role::{Accepted, Connected, Unknown};
    use Verdict::{Ignored, Traced};
    let tcp = |local: &str, remote: &str| Address::Tcp {
        local: local.parse().expect("an address"),
        remote: remote.parse().expect("an address"),
    };
    let inbound = tcp("10.0.0.1:80", "10.0.0.2:40000");
    let outbound = tcp("10.0.0.1:40000", "[::1]:8080");
    let unix = Address::Unix {
        path: "/run/x".to_owned(),
        socket: 1,
        peer: 2,
    };
    let nothing = Rules::default;
    for (include, exclude, address, role, wanted) in [
        (nothing(), nothing(), &inbound, Accepted, Traced),
        (ports(&["80"]), nothing(), &inbound, Accepted, Traced),
        (ports(&["40000"]), nothing(), &inbound, Accepted, Ignored),
        (ports(&["40000"]), nothing(), &inbound, Unknown, Traced),
        (
            ports(&["8000-8999"]),
            nothing(),
            &outbound,
            Connected,
            Traced,
        ),
        (ports(&["80"]), nothing(), &outbound, Connected, Ignored),
        (nothing(), ports(&["8080"]), &outbound, Connected, Ignored),
        (nothing(), ports(&["40000"]), &outbound, Connected, Traced),
        (
            ports(&["80"]),
            ports(&["1-100"]),
            &inbound,
            Accepted,
            Ignored,
        ),
        (nothing(), ports(&["1-65535"]), &unix, Accepted, Traced),
        (ports(&["1-65535"]), nothing(), &unix, Accepted, Ignored),
        // Executables say nothing about connections.
        (
            executables(&["x"]),
            executables(&["*"]),
            &inbound,
            Accepted,
            Traced,
        ),
    ] {
        let scope = Scope { include, exclude };
        let filter = Filter::new(scope.clone());
        assert_eq!(
            filter.connection(address, role),
            wanted,
            "{scope:?} {address:?}"
        );
    }
}

#[test]
fn globs() {
    for (pattern, text, wanted) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("*.py", "x.py.py", true),
        ("?", "é", true),
        ("??", "é", false),
        ("a**", "a", true),
    ] {
        assert_eq!(glob(pattern, text), wanted, "{pattern} {text}");
    }
    let many = "*a".repeat(60) + "b";
    assert!(!glob(&many, &"a".repeat(4000)), "without taking forever");
}
