//! The guards leave nothing behind. Without root, or without `ip`, there is nothing to guard and
//! the tests say so.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use clew_testbed::{Cgroup, Deadline, Network, Process, temp_dir};

const SOON: Duration = Duration::from_secs(20);

fn network() -> Option<Network> {
    match Network::new() {
        Ok(network) => Some(network),
        Err(error) if std::env::var_os("CLEW_REQUIRE").is_none() => {
            eprintln!("skipped: {error:#}");
            None
        }
        Err(error) => panic!("CLEW_REQUIRE is set, and: {error:#}"),
    }
}

#[test]
fn a_server_on_one_host_is_reached_from_another() -> Result<()> {
    let Some(mut network) = network() else {
        return Ok(());
    };
    let (client, server) = (network.host()?, network.host()?);
    let directory = temp_dir()?;

    for address in [
        SocketAddr::from((server.ipv4, 80)),
        SocketAddr::from((server.ipv6, 80)),
    ] {
        let mut command = Command::new("python3");
        command.args([
            "-m",
            "http.server",
            "80",
            "--bind",
            &address.ip().to_string(),
        ]);
        let mut process =
            Process::start("server", command, Some(&server.namespace), directory.path())?;
        process.wait_listening(address, SOON)?;
        let reached = client
            .namespace
            .enter(|| std::net::TcpStream::connect(address))?;
        assert!(reached.is_ok(), "{address}: {reached:?}");
    }
    Ok(())
}

#[test]
fn everything_ends_with_its_guard() -> Result<()> {
    let Some(mut network) = network() else {
        return Ok(());
    };
    let host = network.host()?;
    let directory = temp_dir()?;
    // A program that ignores the request to end, with a child in its group.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' TERM; sleep 600 & echo $!; wait; wait"]);
    let process = Process::start("stubborn", command, Some(&host.namespace), directory.path())?;
    let deadline = Deadline::after(SOON);
    let grandchild = deadline
        .poll(|| process.output().trim().parse::<u32>().ok())
        .expect("it prints a pid");
    let (path, pid) = (host.namespace.path(), process.pid());
    assert!(path.exists() && running(pid) && running(grandchild));

    drop(process);
    assert!(!running(pid));
    let gone = deadline.poll(|| (!running(grandchild)).then_some(()));
    assert!(gone.is_some(), "the grandchild {grandchild} still runs");
    drop(host);
    assert!(!path.exists());
    Ok(())
}

#[test]
fn a_member_of_a_cgroup_ends_with_it() -> Result<()> {
    let cgroup = match Cgroup::new() {
        Ok(cgroup) => cgroup,
        Err(error) if std::env::var_os("CLEW_REQUIRE").is_none() => {
            eprintln!("skipped: {error:#}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let inner = cgroup.below("inner")?;
    let directory = temp_dir()?;
    let mut command = Command::new("sh");
    // Arguments and environment arrive as they are; the group is its own from the start.
    command.args([
        "-c",
        "echo \"$0 $MEANT\"; cat /proc/self/cgroup; exec sleep 600",
        "a b",
    ]);
    command.env("MEANT", "c  d");
    let process = Process::start("member", inner.member(&command), None, directory.path())?;
    let deadline = Deadline::after(SOON);
    let line = format!("0::{}/inner\n", cgroup.path());
    let told = deadline.poll(|| process.output().contains(&line).then(|| process.output()));
    let told = told.unwrap_or_else(|| panic!("not {line}: {}", process.output()));
    assert!(told.starts_with("a b c  d\n"), "{told}");

    let paths = [inner.directory().to_owned(), cgroup.directory().to_owned()];
    drop(inner);
    drop(cgroup);
    assert!(!running(process.pid()));
    assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
    Ok(())
}

#[test]
fn an_impaired_link_still_carries() -> Result<()> {
    let Some(mut network) = network() else {
        return Ok(());
    };
    let (client, server) = (network.host()?, network.host()?);
    let [one, other] = [client.impair()?, server.impair()?];
    assert_eq!(one, other);
    // Another connection's loss cannot end this one: TCP repeats.
    let bytes = 1 << 20;
    let listener = server
        .namespace
        .enter(|| std::net::TcpListener::bind((server.ipv4, 80)))??;
    let sender = std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        Ok(stream.write_all(&vec![7; bytes])?)
    });
    let stream = client
        .namespace
        .enter(|| std::net::TcpStream::connect((server.ipv4, 80)))?;
    let mut received = Vec::new();
    stream?.read_to_end(&mut received)?;
    sender.join().expect("no panic")?;
    assert!(received.len() == bytes && received.iter().all(|byte| *byte == 7));
    Ok(())
}

#[test]
fn a_program_that_ends_early_is_reported_with_its_output() -> Result<()> {
    let directory = temp_dir()?;
    let mut command = Command::new("sh");
    command.args(["-c", "echo no such luck >&2; exit 3"]);
    let mut process = Process::start("early", command, None, directory.path())?;
    let status = process.wait(SOON)?;
    assert_eq!(status.code(), Some(3));
    let error = process
        .wait_listening(SocketAddr::from(([127, 0, 0, 1], 1)), SOON)
        .expect_err("nothing listens");
    assert!(format!("{error:#}").contains("no such luck"), "{error:#}");
    Ok(())
}

/// Whether a process runs; a zombie does not.
fn running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" Z"))
    })
}
