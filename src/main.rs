//! The binary: parses the command line and maps errors to exit codes.

#![forbid(unsafe_code)]

fn main() {}
