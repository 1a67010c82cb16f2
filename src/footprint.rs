//! Lets go of the program's own pages that only the start needed.
//!
//! A start runs through most of the program once: settings, migrations, documents, phone metadata. The kernel maps what
//! is around each page that is touched, more of it the larger the pieces in which the file lies in the page cache, so an idle
//! gateway would hold nearly all of its text and constants for ever. The pages are clean copies of a file: what is needed again
//! comes back from the page cache. Must not know what the program does.

use std::ops::Range;

/// Lets go of every page of the program and its libraries that is a clean copy of its file: text and constants. How many bytes
/// were mapped there; none where there is no `/proc`. It costs some page faults afterwards: to be called once, when the start is
/// over.
#[must_use]
pub fn release() -> usize {
    let mappings = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    clean(&mappings).into_iter().filter(let_go).map(|range| range.len()).sum()
}

/// A private mapping of a file that cannot be written.
struct Mapping<'a> {
    range: Range<usize>,
    executable: bool,
    file: &'a str,
}

impl<'a> Mapping<'a> {
    /// Of a line that opens one: `from-to r-xp offset device inode /path`.
    fn opened_by(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (from, to) = words.next()?.split_once('-')?;
        let executable = match words.next()? {
            "r-xp" => true,
            "r--p" => false,
            _ => return None,
        };
        let file = words.nth(3)?.trim_start();
        let address = |digits| usize::from_str_radix(digits, 16).ok();
        let range = address(from)?..address(to)?;
        file.starts_with('/').then_some(Self { range, executable, file })
    }
}

/// The unwritable mappings, in which the process changed nothing, of files that it executes. Those are mapped until it ends; what
/// else may be mapped could be another mapping by the time that it is let go.
fn clean(smaps: &str) -> Vec<Range<usize>> {
    let (mut found, mut candidate) = (Vec::new(), None);
    for line in smaps.lines() {
        // Not "Private_Dirty": that also counts the pages of a file that was written just now.
        if let Some(own) = line.strip_prefix("Anonymous:") {
            found.extend(candidate.take().filter(|_| own.trim() == "0 kB"));
        } else if let Some(mapping) = Mapping::opened_by(line) {
            candidate = Some(mapping);
        }
    }
    let is_executed = |file: &str| found.iter().any(|mapping: &Mapping<'_>| mapping.executable && mapping.file == file);
    found.iter().filter(|mapping| is_executed(mapping.file)).map(|mapping| mapping.range.clone()).collect()
}

#[expect(unsafe_code, reason = "the system call is about memory; there is no safe form of it")]
fn let_go(range: &Range<usize>) -> bool {
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the range is a whole mapping of a file that is executed, private, unwritable and never written (the kernel said so
    // just now, and nothing here makes text or constants writable), so that every page of it is equal to the file's: dropping
    // them changes no byte that anybody can read. (A running program's file cannot be written; a library that somebody writes
    // over in place changes under every page that was not read yet, with this or without it.)
    unsafe { rustix::mm::madvise(start, range.len(), rustix::mm::Advice::LinuxDontNeed) }.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c000-55d0d000 r--p 00000000 fe:00 42                         /usr/bin/otp gate
Rss:                   4 kB
Private_Dirty:         4 kB
Anonymous:             0 kB
55d0d000-55d0f000 r-xp 00001000 fe:00 42                         /usr/bin/otp gate
Rss:                   8 kB
Private_Dirty:         4 kB
Anonymous:             0 kB
55d10000-55d11000 r--p 00003000 fe:00 42                         /usr/bin/otp gate
Anonymous:             4 kB
55d11000-55d12000 rw-p 00004000 fe:00 42                         /usr/bin/otp gate
Anonymous:             0 kB
7f000000-7f001000 r-xp 00000000 fe:00 43                         /lib/patched.so
Anonymous:             4 kB
7f001000-7f002000 r--p 00001000 fe:00 43                         /lib/patched.so
Anonymous:             0 kB
7f100000-7f101000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
7f200000-7f201000 rwxp 00000000 fe:00 44                         /lib/writable.so
Anonymous:             0 kB
7f300000-7f301000 r--p 00000000 fe:00 45                         /usr/share/data
Anonymous:             0 kB
7f400000-7f401000 r--p 00000000 00:00 0 
Anonymous:             0 kB
";

    #[test]
    fn only_what_is_clean_of_files_that_are_executed_is_let_go() {
        assert_eq!(clean(SMAPS), [0x55d0_c000..0x55d0_d000, 0x55d0_d000..0x55d0_f000]);
        assert!(clean("nonsense\nAnonymous: 0 kB\n").is_empty());
    }

    #[test]
    fn a_running_program_goes_on() {
        assert!(release() > 0);
        assert_eq!(clean(SMAPS).len(), 2, "and what was let go comes back");
    }
}
