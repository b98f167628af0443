//! The programs under trace: how each is started.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clew_testbed::Process;

use crate::require::{self, Need};
use crate::stage::{Stage, with};

/// A runtime with a service that carries out plans ([`crate::plan`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Python's `http.server`: a thread per connection.
    Python,
    /// A WSGI application in gunicorn: a pool of threads, which read and answer requests, in a
    /// forked worker.
    Gunicorn,
    /// The same in waitress: an event loop reads and answers, a pool of threads does the work.
    Waitress,
    /// Node's `http`: an event loop.
    Node,
    /// Go's `net/http`: goroutines.
    Go,
    /// The JDK's HTTP server and client: a thread that waits for requests hands each connection that
    /// has one to a pool of threads.
    Java,
    /// Python again: this many threads that accept connections themselves.
    AcceptingThreads(u16),
    /// Python again: this many processes, forked beforehand, that accept connections themselves.
    AcceptingProcesses(u16),
    /// Python again: one thread reads all requests and hands them, through a pipe, to this many others.
    HandingOn(u16),
}

impl Runtime {
    /// All that have no fixed number of workers.
    pub const ALL: &'static [Self] = &[
        Self::Python,
        Self::Gunicorn,
        Self::Waitress,
        Self::Node,
        Self::Go,
        Self::Java,
    ];

    /// What all of them need.
    pub const NEEDS: &'static [Need] = &[
        Need::Python,
        Need::Program("node"),
        Need::Program("go"),
        Need::Program("javac"),
    ];

    /// Whether each request is served by one thread from its head to its answer, with blocking
    /// sockets: then that thread is proof of a parent at any concurrency.
    #[must_use]
    pub const fn has_thread_per_request(self) -> bool {
        matches!(
            self,
            Self::Python
                | Self::Gunicorn
                | Self::Java
                | Self::AcceptingThreads(_)
                | Self::AcceptingProcesses(_)
        )
    }

    /// Starts its service on a port of the stage's loopback, and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be built or does not listen.
    pub fn start(self, stage: &Stage, port: u16) -> Result<Process> {
        let name = format!("{self:?}-{port}");
        let command = self.command((Ipv4Addr::LOCALHOST, port).into())?;
        listening(stage.start(&name, command)?, port)
    }

    /// The command of its service, which listens at the address.
    ///
    /// # Errors
    /// When it cannot be built, or what it needs is not there.
    pub fn command(self, address: SocketAddr) -> Result<Command> {
        let port = address.port().to_string();
        let workers = |kind: &[&str], workers: u16| {
            let workers = workers.to_string();
            [&[port.as_str()], kind, &[workers.as_str()]]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut command = match self {
            Self::Python => python("service.py", &[&port])?,
            Self::Gunicorn => {
                let bind = format!("--bind={address}");
                let options = [&bind, "--worker-class=gthread", "--threads=128"];
                let more = ["--keep-alive=60", "--backlog=1024"];
                wsgi("gunicorn", &[&options[..], &more].concat())?
            }
            Self::Waitress => {
                let listen = format!("--listen={address}");
                wsgi(
                    "waitress",
                    &[&listen, "--threads=64", "--channel-timeout=600"],
                )?
            }
            Self::Node => with(Command::new("node"), &[&source("service.js"), &port]),
            Self::Go => with(Command::new(go_program("go")?), &[&port]),
            Self::Java => java(&[], &port)?,
            Self::AcceptingThreads(number) => {
                python("accepting.py", &workers(&["threads"], number))?
            }
            Self::AcceptingProcesses(number) => {
                python("accepting.py", &workers(&["processes"], number))?
            }
            Self::HandingOn(number) => python("handing.py", &workers(&[], number))?,
        };
        command.env("SERVICE_ADDRESS", address.ip().to_string());
        Ok(command)
    }
}

/// Half of the JVM's start-up time is the second compiler's. Without `nodelay` each answer waits for
/// a delayed acknowledgement; the others are how many connections are kept, and for how long.
const JAVA_OPTIONS: [&str; 6] = [
    "-XX:TieredStopAtLevel=1",
    "-Xmx128m",
    "-Dsun.net.httpserver.nodelay=true",
    "-Dsun.net.httpserver.maxIdleConnections=2048",
    "-Dsun.net.httpserver.idleInterval=600",
    "-Dhttp.maxConnections=1024",
];

/// The JDK's service, with further options for the virtual machine.
pub(crate) fn java(options: &[&str], port: &str) -> Result<Command> {
    let mut command = with(with(Command::new("java"), &JAVA_OPTIONS), options);
    command
        .arg("-cp")
        .arg(java_service()?)
        .args(["Service", port]);
    Ok(command)
}

fn python(program: &str, arguments: &[impl AsRef<OsStr>]) -> Result<Command> {
    let python = require::find(Need::Python).map_err(anyhow::Error::msg)?;
    let mut command = with(Command::new(python), &[&source(program)]);
    command.args(arguments);
    Ok(command)
}

/// A WSGI server with `tests/services/wsgi.py`.
fn wsgi(server: &str, options: &[&str]) -> Result<Command> {
    let python = require::find(Need::Python).map_err(anyhow::Error::msg)?;
    let mut command = with(Command::new(python), &["-m", server]);
    command
        .current_dir(source(""))
        .args(options)
        .arg("wsgi:application");
    Ok(command)
}

/// A Python program of `tests/services`.
///
/// # Errors
/// Without the tests' Python environment.
pub fn python_program(name: &str, arguments: &[&str]) -> Result<Command> {
    python(name, arguments)
}

/// Starts nginx with these directives inside its `http` block.
///
/// # Errors
/// When it does not listen on the port.
pub fn nginx(stage: &Stage, name: &str, http: &str, port: u16) -> Result<Process> {
    listening(stage.start(name, nginx_command(stage, name, http)?)?, port)
}

/// The command of [`nginx`], to be started elsewhere.
///
/// # Errors
/// When its configuration cannot be written, or nginx is not installed.
pub fn nginx_command(stage: &Stage, name: &str, http: &str) -> Result<Command> {
    let directory = stage.directory().join(name);
    std::fs::create_dir_all(directory.join("www"))?;
    let shown = directory.display();
    let configuration = directory.join("nginx.conf");
    std::fs::write(
        &configuration,
        format!(
            "daemon off; worker_processes 1; user root; pid {shown}/nginx.pid;
             events {{ worker_connections 16384; }}
             http {{
               log_format path '$uri'; access_log {shown}/access.log path;
               client_body_temp_path {shown}/client; proxy_temp_path {shown}/proxy;
               fastcgi_temp_path {shown}/fastcgi; uwsgi_temp_path {shown}/uwsgi;
               scgi_temp_path {shown}/scgi;
               sendfile on; keepalive_requests 1000000; client_max_body_size 0;
               root {shown}/www;
               {http}
             }}\n"
        ),
    )?;
    let mut command = Command::new(require::find(NGINX).map_err(anyhow::Error::msg)?);
    command.args(["-e", "stderr", "-c"]).arg(configuration);
    Ok(command)
}

/// nginx.
pub const NGINX: Need = Need::Program("nginx");
/// curl.
pub const CURL: Need = Need::Program("curl");
/// nft, to translate addresses.
pub const NFT: Need = Need::Program("nft");
/// HAProxy.
pub const HAPROXY: Need = Need::Program("haproxy");
/// The load generator wrk.
pub const WRK: Need = Need::Program("wrk");

/// nginx's directives for a proxy that puts `/nginx` before the path, with kept connections to
/// what is behind it.
#[must_use]
pub fn nginx_proxy(port: u16, backend: u16) -> String {
    format!(
        "upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; }}
         server {{
           listen 127.0.0.1:{port} backlog=1024;
           location / {{
             proxy_pass http://backend/nginx/;
             proxy_http_version 1.1; proxy_set_header Connection '';
           }}
         }}"
    )
}

/// Starts HAProxy as a proxy that puts `/haproxy` before the path.
///
/// # Errors
/// When it does not listen.
pub fn haproxy(stage: &Stage, port: u16, backend: u16) -> Result<Process> {
    let configuration = stage.directory().join("haproxy.cfg");
    std::fs::write(
        &configuration,
        format!(
            "global\n  maxconn 4096\n  nbthread 1\n\
             defaults\n  mode http\n  timeout connect 10s\n  timeout client 60s\n  \
             timeout server 60s\n\
             listen proxy\n  bind 127.0.0.1:{port}\n  http-request set-path /haproxy%[path]\n  \
             server backend 127.0.0.1:{backend}\n"
        ),
    )?;
    let mut command = Command::new(require::find(HAPROXY).map_err(anyhow::Error::msg)?);
    command.arg("-db").arg("-f").arg(configuration);
    listening(stage.start("haproxy", command)?, port)
}

/// Waits until a process listens on a port of its loopback.
///
/// # Errors
/// When it does not within a minute: Java on a busy machine takes its time.
pub fn listening(mut process: Process, port: u16) -> Result<Process> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    process.wait_listening(address, Duration::from_secs(60))?;
    Ok(process)
}

/// A file of `tests/services`.
#[must_use]
pub fn source(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("services");
    path.join(name).display().to_string()
}

/// What was compiled in this run of the tests, by name.
static BUILT: Mutex<BTreeMap<String, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());

/// The program of a Go module in `tests/services`.
///
/// # Errors
/// When it cannot be built.
pub fn go_program(module: &str) -> Result<PathBuf> {
    built(&module.replace('/', "-"), |output| {
        let mut command = Command::new("go");
        command.args(["build", "-o"]).arg(output).arg(".");
        command
            .current_dir(source(module))
            .env("GOTOOLCHAIN", "local");
        command
    })
}

fn java_service() -> Result<PathBuf> {
    built("java", |output| {
        let mut command = Command::new("javac");
        command.arg("-d").arg(output).arg(source("Service.java"));
        command
    })
}

/// Compiles all that tests need compiled.
///
/// # Errors
/// When one cannot be.
pub fn build_all() -> Result<()> {
    java_service()?;
    for directory in ["", "protocols/"] {
        for entry in std::fs::read_dir(source(directory))? {
            let entry = entry?;
            if entry.path().join("go.mod").is_file() {
                let name = entry.file_name();
                go_program(&format!("{directory}{}", name.to_string_lossy()))?;
            }
        }
    }
    Ok(())
}

/// Compiles once per run, one at a time: a compiler takes all processors. Not where `CLEW_TEST_BUILT` says
/// that it has been done.
fn built(name: &str, compiler: impl FnOnce(&Path) -> Command) -> Result<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let done = built.entry(name.to_owned()).or_insert_with(|| {
        let output = require::workspace().join("target/test-services").join(name);
        if std::env::var_os("CLEW_TEST_BUILT").is_none() {
            compile(compiler(&output), &output).map_err(|error| format!("{error:#}"))?;
        } else if !output.exists() {
            return Err(format!("{} has not been built", output.display()));
        }
        Ok(output)
    });
    done.clone().map_err(anyhow::Error::msg)
}

fn compile(mut command: Command, output: &Path) -> Result<()> {
    if let Some(directory) = output.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let result = command.output().context("starting a compiler")?;
    let errors = String::from_utf8_lossy(&result.stderr);
    ensure!(result.status.success(), "{errors}");
    Ok(())
}
