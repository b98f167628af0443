//! End to end: real programs, traced by the real agent, compared with what they did.
//!
//! Each case runs on both backends. What a machine lacks skips a case with a word about it;
//! `CLEW_REQUIRE=1` makes that a failure.

/// Makes a test of each case and backend: `socket::<case>` and `syscall::<case>`.
macro_rules! on_each_backend {
    ($($case:ident),+ $(,)?) => {
        mod socket {
            $(#[test] fn $case() { super::$case(clew_tests::Backend::Socket); })+
        }
        mod fentry {
            $(#[test] fn $case() { super::$case(clew_tests::Backend::Fentry); })+
        }
        mod syscall {
            $(#[test] fn $case() { super::$case(clew_tests::Backend::Syscall); })+
        }
    };
}

mod budgets;
mod bystanders;
mod chains;
mod context;
mod dns;
mod export;
mod formats;
mod hostile;
mod inject;
mod interop;
mod lifecycle;
mod nat;
mod offspring;
mod operations;
mod option;
mod overload;
mod protocol;
mod sampling;
mod scope;
mod shapes;
mod system_calls;
mod traces_left;
