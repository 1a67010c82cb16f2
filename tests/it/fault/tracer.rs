//! strace on a running server: from its n-th call to its m-th the system fails on the files of the store.
//!
//! A fault ends by its count, never by detaching: a call that is held at that moment would answer something else.

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
    /// Attaches to the process `id`, whose store is in `data`, and waits until every thread is held.
    pub(crate) fn attach(id: u32, data: &Path, fault: Fault) -> Self {
        let log = data.with_extension("trace");
        let Fault { calls, error, first, last, files } = fault;
        let mut command = Command::new("strace");
        command.args(["-f", "-ttt", "-s", "0", "-p", &id.to_string(), "-o"]).arg(&log);
        command.args(["-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={calls}:error={error}:when={first}..{last}")]);
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
        let (seconds, micros) = line.split_whitespace().nth(1)?.split_once('.')?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
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
