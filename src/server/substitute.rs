//! What hyper gets to read instead of the rest of a request in which the framing found a fault. Knows no sockets.
//!
//! Where the fault lies in the header section, hyper is given the shortest end of a head that it can read behind what it
//! has: so the request comes to the bridge, which refuses every head whose end the framing did not see, and whoever words
//! the refusal knows whom it is for. Elsewhere it is given what it refuses by itself.

use bytes::Bytes;

use super::framing::Fault;

/// The rest of a request with `fault`. `field` is the beginning and the last byte of what hyper has of the faulty field, as
/// [`Framing::faulty_field`](super::framing::Framing::faulty_field) gives it.
pub(super) fn substitute(fault: Fault, field: Option<(&[u8], u8)>) -> Bytes {
    let rest: &'static str = match (field, fault) {
        (Some((begin, last)), _) => end_of_head(begin, last),
        // The cut line gets a version.
        (None, Fault::TargetTooLong) => " HTTP/1.1\r\n\r\n",
        // No part of a message may hold a NUL.
        (None, Fault::Framing | Fault::FieldsTooLarge) => "\0\r\n\r\n",
    };
    Bytes::from_static(rest.as_bytes())
}

/// The end of a head behind a field that was cut. A piece of a name must not become the name of another field, and what
/// frames the body must stay what hyper can read.
fn end_of_head(begin: &[u8], last: u8) -> &'static str {
    if begin.is_empty() {
        return "\r\n";
    }
    if last == b'\r' {
        return if begin.len() == 1 { "\n" } else { "\n\r\n" };
    }
    let mut parts = begin.splitn(2, |byte| *byte == b':');
    match (parts.next(), parts.next()) {
        // Still in the name, or in a field whose name is too long to be one that matters.
        (_, None) | (None, _) => "x:\r\n\r\n",
        (Some(name), Some(value)) if name.eq_ignore_ascii_case(b"content-length") && value.trim_ascii().is_empty() => {
            "0\r\n\r\n"
        }
        (Some(name), Some(_)) if name.eq_ignore_ascii_case(b"transfer-encoding") => ",chunked\r\n\r\n",
        (Some(_), Some(_)) => "\r\n\r\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(field: &str) -> String {
        let bytes = field.as_bytes();
        let begin = bytes.split_at(bytes.len().min(64)).0;
        let rest = substitute(Fault::FieldsTooLarge, Some((begin, bytes.last().copied().unwrap_or_default())));
        format!("{field}{}", String::from_utf8(rest.to_vec()).unwrap())
    }

    #[test]
    fn a_head_ends_behind_whatever_was_cut() {
        for (cut, ended) in [
            ("", "\r\n"),
            ("\r", "\r\n"),
            ("X", "Xx:\r\n\r\n"),
            ("X:", "X:\r\n\r\n"),
            ("X: y\r", "X: y\r\n\r\n"),
            ("Content-Length", "Content-Lengthx:\r\n\r\n"),
            ("Content-Length:", "Content-Length:0\r\n\r\n"),
            ("content-length: ", "content-length: 0\r\n\r\n"),
            ("Content-Length: 5", "Content-Length: 5\r\n\r\n"),
            ("Transfer-Encoding: chu", "Transfer-Encoding: chu,chunked\r\n\r\n"),
        ] {
            assert_eq!(behind(cut), ended);
        }
        let long = "n".repeat(70);
        assert_eq!(behind(&long), format!("{long}x:\r\n\r\n"));
    }

    #[test]
    fn what_is_no_field_is_ended_otherwise() {
        assert_eq!(substitute(Fault::TargetTooLong, None), " HTTP/1.1\r\n\r\n");
        assert_eq!(substitute(Fault::Framing, None), "\0\r\n\r\n");
    }
}
