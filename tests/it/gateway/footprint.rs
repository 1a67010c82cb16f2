//! What an idle gateway keeps mapped of its own program.

use crate::support::{Gateway, Options};

/// Kilobytes of files that the process has mapped and touched.
fn file_pages(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn what_only_the_start_needed_is_let_go() {
    let gateway = Gateway::with_options(&Options::default());
    let mut most = file_pages(gateway.server.id());
    let pause = std::time::Duration::from_millis(50);
    let mut now = most;
    // At most half a minute: it happens a second after the phone metadata is warm.
    for _ in 0..600 {
        now = file_pages(gateway.server.id());
        most = most.max(now);
        if now < most * 3 / 4 {
            break;
        }
        std::thread::sleep(pause);
    }
    assert!(now < most * 3 / 4, "{most} kB after the start, {now} kB idle");
    let sent = gateway.client().post_json("/v1/otp", &serde_json::json!({ "number": "+4915112345678" }));
    sent.expect(200);
}
