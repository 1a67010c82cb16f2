//! The disk below both: this machine's own, or the same one with syncs as slow as those of a network volume.
//!
//! A machine with a fast disk measures the processor, not the disk: both belong in the table. The slow one is a small
//! library, made with the C compiler that the build needs anyway, that lets a sync end three milliseconds later.

use std::path::{Path, PathBuf};
use std::process::Command;

const SLOW_SYNC: &str = r"
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    static int later(int result) { struct timespec t = { 0, 3000000 }; nanosleep(&t, 0); return result; }
    int fsync(int file) { return later(syscall(SYS_fsync, file)); }
    int fdatasync(int file) { return later(syscall(SYS_fdatasync, file)); }
";

/// Which disk.
pub(crate) enum Disk {
    Own,
    Slow(PathBuf),
}

impl Disk {
    /// Makes the library in `folder`.
    pub(crate) fn slow(folder: &Path) -> Self {
        let (source, library) = (folder.join("slow_sync.c"), folder.join("slow_sync.so"));
        std::fs::write(&source, SLOW_SYNC).unwrap();
        let made =
            Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).args([&library, &source]).status().unwrap();
        assert!(made.success());
        Self::Slow(library)
    }

    /// Lets a process that is about to be started work on this disk.
    pub(crate) fn under(&self, command: &mut Command) {
        if let Self::Slow(library) = self {
            command.env("LD_PRELOAD", library);
        }
    }
}
