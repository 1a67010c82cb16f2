//! strace on a running server: from its n-th call to its m-th the system fails on the files of the store, or every call
//! on them is timed.
//!
//! A fault ends by its count, never by detaching: a call that is held at that moment would answer something else.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What is to fail, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// System calls, comma-separated.
    pub(crate) calls: &'static str,
    /// The error they give.
    pub(crate) error: &'static str,
    /// The number of the first call that fails: strace counts for each thread.
    pub(crate) first: usize,
    /// The number of the last one.
    pub(crate) last: usize,
    /// The files on which calls count.
    pub(crate) files: &'static [&'static str],
}

/// A tracer on a server.
pub(crate) struct Tracer {
    child: Child,
    log: PathBuf,
}

impl Tracer {
    /// Attaches to the process `id`, whose store is in `data`, and lets `fault` happen to it.
    pub(crate) fn attach(id: u32, data: &Path, fault: Fault) -> Self {
        let Fault { calls, error, first, last, files } = fault;
        let inject = format!("inject={calls}:error={error}:when={first}..{last}");
        Self::run(id, data, files, &["-e", &format!("trace={calls}"), "-e", &inject])
    }

    /// Attaches to it and times `calls` on `files`, each of which begins `delay` microseconds late.
    pub(crate) fn watch(id: u32, data: &Path, calls: &str, files: &[&str], delay: u32) -> Self {
        let slow = format!("inject={calls}:delay_enter={delay}");
        Self::run(id, data, files, &["-T", "-e", &format!("trace={calls}"), "-e", &slow])
    }

    /// Waits until every thread is held.
    fn run(id: u32, data: &Path, files: &[&str], flags: &[&str]) -> Self {
        let log = data.with_extension("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-ttt", "-s", "0", "-p", &id.to_string(), "-o"]).arg(&log).args(flags);
        for file in files {
            command.arg("-P").arg(data.join(file));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("strace cannot be run: {error}"));
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (mut said, mut line) = (String::new(), String::new());
        while stderr.read_line(&mut line).unwrap() > 0 {
            if line.contains("attached") {
                // Whatever it says later must not block it.
                std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
                return Self { child, log };
            }
            said += &std::mem::take(&mut line);
        }
        let status = child.wait().unwrap();
        panic!(
            "strace cannot attach ({status}): {said}this needs the right to trace: kernel.yama.ptrace_scope=0, or CAP_SYS_PTRACE"
        );
    }

    /// When the first call failed, in microseconds since 1970.
    pub(crate) fn failed_at(&self) -> Option<u64> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let line = text.lines().find(|line| line.contains("(INJECTED)"))?;
        micros(line.split_whitespace().nth(1)?)
    }

    /// When each call that succeeded began and ended, in microseconds since 1970. For a tracer that watches.
    fn calls(&self) -> Vec<(u64, u64)> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let (mut calls, mut unfinished) = (Vec::new(), BTreeMap::new());
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(thread), Some(at)) = (words.next(), words.next().and_then(micros)) else { continue };
            if line.contains("<unfinished ...>") {
                unfinished.insert(thread, at);
            } else if line.contains("resumed>") && line.contains("= 0 ") {
                calls.extend(unfinished.remove(thread).map(|began| (began, at)));
            } else if let Some((_, took)) = line.split_once('<').filter(|_| line.contains("= 0 ")) {
                calls.push((at, at + micros(took.trim_end_matches('>')).unwrap()));
            }
        }
        calls
    }

    /// As [`Tracer::calls`], once the server is gone.
    pub(crate) fn wait_for_calls(mut self) -> Vec<(u64, u64)> {
        self.child.wait().unwrap();
        self.calls()
    }

    /// Waits for its end, which is the end of the server.
    pub(crate) fn wait(mut self) -> Option<u64> {
        self.child.wait().unwrap();
        self.failed_at()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds with six decimals, in microseconds.
fn micros(text: &str) -> Option<u64> {
    let (seconds, micros) = text.split_once('.').filter(|(_, micros)| micros.len() == 6)?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
}
