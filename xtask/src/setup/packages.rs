//! The real programs that the tests and the demo trace, and the tools around them.

use std::path::Path;

use anyhow::Result;

use super::apt;
use crate::command;

/// A need, how it is recognised, and the Debian package that meets it. A program that is there by
/// another way (a newer Go in /usr/local, a Python of pyenv) is taken as it is.
const NEEDS: &[(Sign, &str)] = &[
    (Sign::Program("g++"), "g++"),
    (Sign::Program("ip"), "iproute2"),
    (Sign::Program("nft"), "nftables"),
    (Sign::Program("curl"), "curl"),
    (Sign::Program("python3"), "python3"),
    (Sign::Library("ensurepip"), "python3-venv"),
    (Sign::Program("nginx"), "nginx-light"),
    (
        Sign::File("/usr/lib/nginx/modules/ngx_http_echo_module.so"),
        "libnginx-mod-http-echo",
    ),
    (Sign::Program("haproxy"), "haproxy"),
    (Sign::Program("apache2"), "apache2-bin"),
    (Sign::Program("wrk"), "wrk"),
    (Sign::Program("node"), "nodejs"),
    (Sign::Program("npm"), "npm"),
    (Sign::Program("javac"), "default-jdk-headless"),
    (Sign::Program("mvn"), "maven"),
    (Sign::Program("go"), "golang-go"),
    (Sign::Program("socat"), "socat"),
    (Sign::Program("psql"), "postgresql"),
    (Sign::Program("mariadbd"), "mariadb-server"),
    (Sign::Program("mariadb"), "mariadb-client"),
    (Sign::Program("redis-server"), "redis-server"),
    (Sign::Program("memcached"), "memcached"),
    (Sign::Program("nats-server"), "nats-server"),
    (Sign::Program("etcd"), "etcd-server"),
    (Sign::Program("etcdctl"), "etcd-client"),
    (Sign::Program("php-fpm8.2"), "php-fpm"),
    (Sign::Program("rabbitmq-server"), "rabbitmq-server"),
    (Sign::Program("mosquitto"), "mosquitto"),
    (Sign::Program("mosquitto_pub"), "mosquitto-clients"),
    (Sign::Program("bpftool"), "bpftool"),
    (Sign::Program("dnsmasq"), "dnsmasq-base"),
    (Sign::Program("unbound"), "unbound"),
    (Sign::Program("dig"), "bind9-dnsutils"),
    (Sign::Program("tshark"), "tshark"),
    // The last four are for `cargo xtask vm`.
    (Sign::Program("qemu-system-x86_64"), "qemu-system-x86"),
    (Sign::Program("busybox"), "busybox-static"),
    (Sign::Program("kmod"), "kmod"),
    (Sign::Program("udevadm"), "udev"),
];

/// What shows that a need is met.
#[derive(Clone, Copy)]
enum Sign {
    Program(&'static str),
    File(&'static str),
    /// A module that `python3` can import.
    Library(&'static str),
}

impl Sign {
    fn is_there(self) -> bool {
        match self {
            Self::Program(program) => command::find(program).is_some(),
            Self::File(path) => Path::new(path).is_file(),
            Self::Library(module) => super::python::can_import(module),
        }
    }
}

/// Whether there is all that `cargo xtask vm` needs of them.
pub fn has_machines() -> bool {
    ["qemu-system-x86_64", "busybox", "kmod", "udevadm"]
        .into_iter()
        .all(|program| command::find(program).is_some())
}

/// Installs what is missing. Where there is no apt it says what is, and goes on: tests that need
/// it are skipped, or fail under `--require`.
pub fn ensure() -> Result<()> {
    let missing: Vec<&str> = NEEDS
        .iter()
        // A package that is installed and still lacks the sign is not mended by installing it.
        .filter(|(sign, package)| !sign.is_there() && !(apt::is_installed(package)))
        .map(|&(_, package)| package)
        .collect();
    if missing.is_empty() {
        println!("packages for tests: present");
        return Ok(());
    }
    if !apt::is_available() {
        println!(
            "packages for tests: no apt here; install the like of {}",
            missing.join(", ")
        );
        return Ok(());
    }
    if !missing.iter().all(|package| apt::is_known(package)) {
        apt::refresh()?;
    }
    apt::install(&missing)
}
