//! How far a long command has come, on stderr: one line that is written over where somebody watches, else a line for each part
//! that is done. Knows no work.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line is written over.
const EVERY: Duration = Duration::from_millis(100);
/// Columns of the bar.
const WIDTH: u64 = 30;

/// The line.
pub struct Progress {
    terminal: bool,
    written: Option<Instant>,
    part: Option<String>,
    last: (u64, u64),
}

impl Progress {
    /// Nothing is shown yet.
    #[must_use]
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), written: None, part: None, last: (0, 0) }
    }

    /// So many of so many, of this part.
    pub fn show(&mut self, part: &str, done: u64, of: u64) {
        if self.part.as_deref() != Some(part) {
            self.end();
            self.part = Some(part.to_owned());
        }
        self.last = (done, of);
        #[expect(clippy::disallowed_methods, reason = "how often a line is written is nobody's rule")]
        let now = Instant::now();
        if self.terminal && self.written.is_none_or(|written| now.duration_since(written) >= EVERY) {
            self.written = Some(now);
            self.line("\r", "");
        }
    }

    /// The part is over: its line stays.
    pub fn end(&mut self) {
        if self.part.is_some() {
            self.line(if self.terminal { "\r" } else { "" }, "\n");
            self.part = None;
            self.written = None;
        }
    }

    fn line(&self, before: &str, behind: &str) {
        let ((done, of), part) = (self.last, self.part.as_deref().unwrap_or_default());
        // Where stderr is gone there is nobody to tell.
        let _ = write!(std::io::stderr(), "{before}{}{behind}", text(part, done, of, self.terminal));
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn text(part: &str, done: u64, of: u64, bar: bool) -> String {
    // A source may be longer than it was when it was counted.
    let of = of.max(done);
    let full = (done * WIDTH).checked_div(of).unwrap_or(WIDTH);
    if bar {
        let bar: String = (0..WIDTH).map(|column| if column < full { '#' } else { '.' }).collect();
        format!("{part:<24} [{bar}] {done} of {of}")
    } else {
        format!("{part}: {done} of {of}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        assert_eq!(text("copy codes", 0, 0, false), "copy codes: 0 of 0");
        assert!(text("copy codes", 5, 10, true).contains("[###############...............] 5 of 10"));
        assert!(text("copy codes", 12, 10, true).contains("[##############################] 12 of 12"));
    }
}
