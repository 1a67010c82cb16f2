//! The verification page under load: one that is open, and how heavy the heaviest is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Opens a verification; the path of its page.
pub(crate) fn open(address: SocketAddr, key: &str) -> String {
    let body = json!({ "number": "+4915112345678", "expiry": 86_400, "sends": 5, "send": "on_open" });
    let opened = ask(address, "POST", "/v1/verifications", key, &body.to_string());
    let body = opened.split_once("\r\n\r\n").unwrap().1;
    let opened: Value = serde_json::from_str(body).unwrap();
    let url = opened["pageUrl"].as_str().unwrap();
    let path = url.splitn(4, '/').nth(3).unwrap();
    format!("/{path}")
}

/// Gives the default application a logo that is about as large as one may be, and does not compress.
pub(crate) fn with_logo(address: SocketAddr, key: &str) {
    let mut state = 1_u32;
    let draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let noise: Vec<u8> = std::iter::repeat_with(draw).take(88 * 88).collect();
    let mut logo = Vec::new();
    let mut encoder = png::Encoder::new(&mut logo, 88, 88);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&noise).unwrap();
    let body =
        json!({ "verification": { "logo": STANDARD.encode(logo), "name": "Example Shop", "colour": "#b3266b" } });
    let edited = ask(address, "PATCH", "/v1/applications/default", key, &body.to_string());
    assert!(edited.starts_with("HTTP/1.1 200"), "{edited}");
}

/// What one look at a page takes over the wire, in bytes.
pub(crate) fn weight(address: SocketAddr, path: &str) -> usize {
    let answer = ask(address, "GET", path, "", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.len()
}

fn ask(address: SocketAddr, method: &str, path: &str, key: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    let key =
        if key.is_empty() { String::new() } else { format!("apikey: {key}\r\ncontent-type: application/json\r\n") };
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n{key}{length}\r\n");
    socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}
