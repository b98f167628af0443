//! FerretDB, which speaks MongoDB's protocol and keeps its data in SQLite. MongoDB's own server is in no
//! distribution any more.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::require::Need;
use crate::service::go_program;

pub(super) const NEEDS: &[Need] = &[Need::Program("go")];

/// What Go builds may be in a folder that is closed to others, so it is started as root.
pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let mut server = Command::new(go_program("protocols/ferretdb")?);
    // It takes a directory by the slash.
    let data = format!("{}/", directory.display());
    server.args([port.to_string(), data]);
    Ok(server)
}
