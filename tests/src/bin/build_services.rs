//! Compiles the services and clients that tests would compile when they need them: for a machine that can
//! only read this one's files (`cargo xtask test --kernels`).

#![forbid(unsafe_code)]

fn main() -> anyhow::Result<()> {
    clew_tests::service::build_all()
}
