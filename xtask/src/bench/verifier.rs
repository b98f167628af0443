//! What the kernel programs cost each kernel's verifier, and which it accepts.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clew_testbed::{Cgroups, Machine};
use serde_json::Value;

use super::document::{self, Table};
use crate::build::{self, Profile};
use crate::{command, setup, vm};

/// What can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Other kernels than this host's: 5.10, 6.1, 6.12, 7.2, `all`
    #[arg(long, default_value = "all")]
    kernel: String,
    /// Put the table into docs/kernels.md
    #[arg(long)]
    write: bool,
}

/// A machine is emulated, and tries every program of every backend.
const MACHINE: Duration = Duration::from_secs(1500);

/// Asks `clew doctor` on each kernel.
///
/// # Errors
/// When it cannot be asked.
pub fn verifier(options: &Options) -> Result<()> {
    setup::machines()?;
    let clew = build::agent(Profile::Release)?;
    let mut reports = Vec::new();
    for kernel in vm::named(&options.kernel)? {
        let machine = Machine {
            tools: &setup::python_tools(),
            kernel: &kernel.image()?,
            within: MACHINE,
            tap: None,
            cgroups: Cgroups::default(),
            locked_down: false,
        };
        let program = [clew.clone().into(), "doctor".into(), "--json".into()];
        println!("asking Linux {}", kernel.series());
        reports.push(report(&mut machine.command(&program)?)?);
    }
    reports.push(report(command::as_root(&clew)?.args(["doctor", "--json"]))?);
    let section = section(&reports);
    println!("{section}");
    if options.write {
        document::write("docs/kernels.md", "bench verifier", &section)?;
    }
    Ok(())
}

/// What `clew doctor` prints, perhaps among what the machine says.
fn report(doctor: &mut Command) -> Result<Value> {
    // Its exit status says only whether anything works.
    let output = doctor.output().context("starting `clew doctor`")?.stdout;
    let text = String::from_utf8_lossy(&output);
    let object = text
        .find('{')
        .zip(text.rfind('}'))
        .and_then(|(begin, end)| text.get(begin..=end))
        .with_context(|| format!("no report in {text:?}"))?;
    serde_json::from_str(object).context("reading what `clew doctor` says")
}

fn section(reports: &[Value]) -> String {
    let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (column, report) in reports.iter().enumerate() {
        for check in report["checks"].as_array().into_iter().flatten() {
            let text = |field: &str| check[field].as_str().unwrap_or_default();
            let Some(name) = ["hook.", "backend.", "propagate."]
                .iter()
                .any(|kind| text("name").starts_with(kind))
                .then(|| text("name"))
            else {
                continue;
            };
            let row = rows
                .entry(name)
                .or_insert_with(|| vec![String::new(); reports.len()]);
            row[column] = match (text("status"), text("detail").split_once(' ')) {
                ("works", Some((number, _))) if name.starts_with("hook.") => number.to_owned(),
                ("works", _) => "works".to_owned(),
                _ => "no".to_owned(),
            };
        }
    }
    let kernels = reports
        .iter()
        .map(|report| report["kernel"].as_str().unwrap_or("?"));
    let columns: Vec<&str> = std::iter::once("").chain(kernels).collect();
    let mut table = Table::new(
        "What works, and how many instructions the verifier followed for each program of the best backend",
        &columns,
    );
    for (name, cells) in rows {
        let cells = cells.join(" | ");
        table.row(&[format!("`{name}`"), cells]);
    }
    table.note(
        "The limit is a million. Kernels before 5.16 do not tell the number. Empty: the kernel has no such \
         hook, or the best backend does not need it.",
    );
    table.text
}
