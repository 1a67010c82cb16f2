//! The binary: hands the command line and the environment to the library, and ends with its exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    otpgate::cli::main(std::env::args_os(), std::env::vars_os().collect())
}
