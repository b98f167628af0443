//! `cargo xtask test`.
/// x
#[derive(clap::Args)]
pub struct Options {}
/// x
pub fn test(_: &Options) -> anyhow::Result<()> {
    Ok(())
}
