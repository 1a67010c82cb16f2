//! Lets go of the program's own pages that only the start needed.
//!
//! A start runs through most of the program once: settings, migrations, documents, phone metadata. The kernel maps what
//! is around each page that is touched, so an idle gateway would hold nearly all of its text for ever. The pages are
//! clean copies of a file: what is needed again comes back from the page cache. Must not know what the program does.

use std::ops::Range;

/// Lets go of every page of every executable mapping that is a clean copy of its file. How many bytes were mapped there;
/// none where there is no `/proc`. It costs some page faults afterwards: to be called once, when the start is over.
#[must_use]
pub fn release() -> usize {
    let mappings = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    clean_text(&mappings).into_iter().filter(let_go).map(|range| range.len()).sum()
}

/// The executable, unwritable mappings of files in which the process changed nothing.
fn clean_text(smaps: &str) -> Vec<Range<usize>> {
    let (mut found, mut candidate) = (Vec::new(), None);
    for line in smaps.lines() {
        // Not "Private_Dirty": that also counts the pages of a file that was written just now.
        if let Some(own) = line.strip_prefix("Anonymous:") {
            found.extend(candidate.take().filter(|_| own.trim() == "0 kB"));
        } else if let Some(range) = text_of_a_file(line) {
            candidate = Some(range);
        }
    }
    found
}

/// The range of a line that opens such a mapping: `from-to r-xp offset device inode /path`.
fn text_of_a_file(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let whole = words.next()? == "r-xp" && words.nth(3)?.starts_with('/');
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    whole.then(|| address(from)).flatten().zip(address(to)).map(|(from, to)| from..to)
}

#[expect(unsafe_code, reason = "the system call is about memory; there is no safe form of it")]
fn let_go(range: &Range<usize>) -> bool {
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the range is a whole mapping of a file, private, readable, executable and never written (the kernel said so
    // just now, and nothing here makes text writable), so that every page of it is equal to the file's: dropping them
    // changes no byte that anybody can read. (A running program's file cannot be written; a library that somebody writes
    // over in place changes under every page that was not read yet, with this or without it.)
    unsafe { rustix::mm::madvise(start, range.len(), rustix::mm::Advice::LinuxDontNeed) }.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c000-55d0d000 r--p 00000000 fe:00 42 /usr/bin/otpgate
Rss:                   4 kB
Private_Dirty:         4 kB
Anonymous:             0 kB
55d0d000-55d0f000 r-xp 00001000 fe:00 42 /usr/bin/otpgate
Rss:                   8 kB
Private_Dirty:         4 kB
Anonymous:             0 kB
7f000000-7f001000 r-xp 00000000 fe:00 43 /lib/patched.so
Anonymous:             4 kB
7f100000-7f101000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
7f200000-7f201000 rwxp 00000000 fe:00 44 /lib/writable.so
Anonymous:             0 kB
";

    #[test]
    fn only_clean_text_of_files_is_let_go() {
        assert_eq!(clean_text(SMAPS), vec![0x55d0_d000..0x55d0_f000; 1]);
        assert!(clean_text("nonsense\nAnonymous: 0 kB\n").is_empty());
    }

    #[test]
    fn a_running_program_goes_on() {
        assert!(release() > 0);
        assert_eq!(clean_text(SMAPS).len(), 1, "and what was let go comes back");
    }
}
