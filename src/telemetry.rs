//! What an operator sees from outside: the log on stderr, and the metrics. Knows nothing of what it counts.
//!
//! Nothing secret comes here: no code, no key, no number, no query string; label values are words of the program.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

mod labels;
mod metrics;
mod observers;

pub use labels::{AuthRefusal, Courier, Label, QuotaVerdict, SendOutcome, StatusClass, VerifyOutcome, Webhook};
pub use metrics::{Metrics, RouteMetrics, SourceKind, Tally};
pub use observers::Observers;

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is no filter.
    #[error("log.level: \"{0}\" is no level or filter; write one such as info, or info,otpgate=debug")]
    Level(String),
    /// A log is set up already.
    #[error("the log is set up already")]
    Twice,
}

/// Sets the process's log up: to stderr, for people or, where `json` is, one JSON object a line. Once a process.
///
/// # Errors
/// [`LogError`], for a bad `level` or a second call.
pub fn init_log(json: bool, level: &str) -> Result<(), LogError> {
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    subscriber(json, level, ansi, std::io::stderr)?.try_init().map_err(|_| LogError::Twice)
}

fn subscriber<W>(json: bool, level: &str, ansi: bool, writer: W) -> Result<tracing::Dispatch, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(level).map_err(|_| LogError::Level(level.to_owned()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(ansi);
    Ok(if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).into()
    } else {
        builder.into()
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_text_or_json_and_the_filter_holds() {
        for json in [false, true] {
            let page = Page::default();
            let writer = page.clone();
            let dispatch = subscriber(json, "info", false, move || writer.clone()).unwrap();
            tracing::dispatcher::with_default(&dispatch, || {
                tracing::info!(route = "/v1/otp", "a line\nand a forged one");
                tracing::debug!("not this");
            });
            let text = String::from_utf8(page.0.lock().clone()).unwrap();
            assert!(!text.contains("not this"), "{text}");
            assert!(text.contains("/v1/otp"), "{text}");
            if json {
                let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
                assert_eq!(line["message"], "a line\nand a forged one");
            }
        }
        assert!(matches!(subscriber(false, "otpgate=loud", false, io::stderr), Err(LogError::Level(_))));
    }
}
