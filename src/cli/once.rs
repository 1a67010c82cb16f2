//! What is shown once, such as a new key: written in one piece, so that a reader who has seen enough does not cut it off, and never
//! lost quietly. Knows no command.

use std::io::Write;

use crate::cli::CliError;

/// Writes `text` out, all of it. `remedy` says where things stand, and what to do, when nobody could see it.
///
/// # Errors
/// [`CliError::Unshown`], also where who read it has gone.
pub fn show_once(text: &str, remedy: &str, out: &mut dyn Write) -> Result<(), CliError> {
    let shown = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    shown.map_err(|error| CliError::Unshown { problem: error.to_string(), remedy: remedy.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::*;

    /// Takes a first piece, then nothing.
    struct Gone(usize);

    impl Write for Gone {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 > 1 { Err(ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_has_gone_ends_a_command_quietly_but_not_one_that_shows_a_secret() {
        assert!(show_once("the key\nand more\n", "", &mut Gone(0)).is_ok(), "one piece");
        let error = show_once("the key\n", "make another one", &mut Gone(1)).unwrap_err();
        let said = error.to_string();
        assert!(error.exit_code() == 70 && said.ends_with("; make another one"), "{said}");
        let quiet = CliError::from(io::Error::from(ErrorKind::BrokenPipe));
        assert!(matches!(quiet, CliError::ReaderGone) && quiet.exit_code() == 0);
        assert_eq!(CliError::from(io::Error::from(ErrorKind::StorageFull)).exit_code(), 70);
        let judged = |kind: ErrorKind| CliError::unless_gone(Err(kind.into())).is_ok();
        assert!(judged(ErrorKind::BrokenPipe) && !judged(ErrorKind::StorageFull));
    }
}
