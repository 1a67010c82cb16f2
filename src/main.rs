//! The binary: hands the command line and the environment to the library, and ends with its exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    otpgate::cli::main(std::env::args_os(), std::env::vars_os().collect())
}
