//! The dialects: each parses into the domain's commands, calls its service and words the answers. No policy lives here.

pub mod admin;
pub mod answer;
pub mod extract;
pub mod input;
pub mod open;
pub mod otp;
pub mod problem;
