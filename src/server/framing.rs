//! Where each HTTP/1 message begins and ends, read off the bytes as they pass; knows nothing of sockets or of hyper.
//!
//! hyper parses the requests, and forgives what request smuggling lives on: `Content-Length` beside
//! `Transfer-Encoding` (it drops the length before anybody can see it, in either order), two equal
//! `Content-Length` fields, bare LF line ends. RFC 9112 sections 6.1, 6.3 and 2.2 let a server refuse all of them,
//! and a gateway behind proxies should. So the bytes are looked at on their way to hyper: one search for LF a line,
//! a closer look only at fields that begin with C or T, bodies skipped by their length.
//!
//! It also says where a connection stands (between messages, in a head, in a body), which the deadlines need.

use std::io::BufRead as _;

/// Bytes of a line that are kept when it arrives in pieces; the names that matter and their values are shorter.
const HELD: usize = 64;

/// The longest line that gives a chunk's size, with its extensions (RFC 9112 section 7.1.1 asks for a limit).
const CHUNK_LINE: usize = 256;

/// What a request did that it must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The end of the message could be read in two ways: 400.
    Framing,
    /// The request line passed its limit: 414.
    TargetTooLong,
    /// The header section passed its limit: 431.
    FieldsTooLarge,
}

/// A fault, and how many of the bytes given may still be passed on before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) passed: usize,
    pub(super) fault: Fault,
}

/// Where the byte stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Between two messages: nothing of the next one is here.
    Boundary,
    /// Inside a request line or a header section.
    Head,
    /// Inside a request's body.
    Body,
}

/// Bytes that a request may spend on its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct FramingLimits {
    /// The request line with the blank lines before it.
    pub(super) request_line: usize,
    /// The header section, and again the trailers.
    pub(super) fields: usize,
    /// How many fields the header section may have; not bytes.
    pub(super) field_count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    RequestLine,
    Fields,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
}

/// The reader of message boundaries on one connection.
#[derive(Debug)]
pub(super) struct Framing {
    limits: FramingLimits,
    part: Part,
    /// Bytes of this part so far.
    spent: usize,
    /// Fields of this head so far.
    fields: usize,
    /// The line so far, when it came in pieces.
    held: [u8; HELD],
    line: usize,
    last: u8,
    length: Option<u64>,
    chunked: bool,
    heads: u32,
}

impl Framing {
    pub(super) const fn new(limits: FramingLimits) -> Self {
        Self {
            limits,
            part: Part::RequestLine,
            spent: 0,
            fields: 0,
            held: [0; HELD],
            line: 0,
            last: 0,
            length: None,
            chunked: false,
            heads: 0,
        }
    }

    /// Heads that were seen to their end.
    pub(super) const fn heads(&self) -> u32 {
        self.heads
    }

    pub(super) const fn position(&self) -> Position {
        match self.part {
            Part::RequestLine if self.spent == 0 => Position::Boundary,
            Part::RequestLine | Part::Fields => Position::Head,
            _ => Position::Body,
        }
    }

    /// After a fault: the beginning and the last byte of what was passed on of the field that it lies in, nothing of which
    /// may have been; none where it is no field's.
    pub(super) fn faulty_field(&self) -> Option<(&[u8], u8)> {
        (self.part == Part::Fields).then(|| (self.held.split_at(self.line.min(HELD)).0, self.last))
    }

    /// Follows `bytes`, the next ones of the stream.
    ///
    /// # Errors
    /// The first fault; nothing may be scanned after it.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.part {
                Part::Length(left) => self.skip(left, rest.len(), Part::Length, Part::RequestLine),
                Part::ChunkData(left) => self.skip(left, rest.len(), Part::ChunkData, Part::ChunkEnd),
                _ => {
                    self.take_line(rest).map_err(|cut| Cut { passed: bytes.len() - rest.len() + cut.passed, ..cut })?
                }
            };
            rest = rest.split_at(taken).1;
        }
        Ok(())
    }

    /// Takes what `here` bytes have of a run of `left`; the part after that is the rest of the run, or `next`.
    fn skip(&mut self, left: u64, here: usize, run: impl Fn(u64) -> Part, next: Part) -> usize {
        let taken = usize::try_from(left).map_or(here, |left| left.min(here));
        match left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX)) {
            0 => self.enter(next),
            left => self.part = run(left),
        }
        taken
    }

    /// Takes one line or the piece of it that is here. Of a faulty field no more is passed on than already was, so that
    /// the head can be ended before it.
    fn take_line(&mut self, rest: &[u8]) -> Result<usize, Cut> {
        let (line, last) = (self.line, self.last);
        self.read_line(rest).map_err(|cut| match self.part {
            Part::Fields => {
                (self.line, self.last) = (line, last);
                Cut { passed: 0, ..cut }
            }
            _ => cut,
        })
    }

    fn read_line(&mut self, rest: &[u8]) -> Result<usize, Cut> {
        let end = line_feed(rest);
        let piece = rest.split_at(end.unwrap_or(rest.len())).0;
        let (budget, excess) = match self.part {
            Part::RequestLine => (self.limits.request_line, Fault::TargetTooLong),
            // The first byte of a field too many is seen before hyper counts it.
            Part::Fields if self.is_full() && piece.first().is_some_and(|byte| *byte != b'\r') => {
                (0, Fault::FieldsTooLarge)
            }
            Part::Fields => (self.limits.fields, Fault::FieldsTooLarge),
            Part::Trailers => (self.limits.fields, Fault::Framing),
            _ => (CHUNK_LINE, Fault::Framing),
        };
        let budget = budget.saturating_sub(self.spent);
        if piece.len() > budget {
            return Err(Cut { passed: budget, fault: excess });
        }
        self.spent += piece.len();
        if end.is_none() || self.line > 0 {
            self.hold(piece);
        }
        if end.is_none() {
            return Ok(piece.len());
        }
        self.spent += 1;
        // A line that came whole is read where it lies.
        let held;
        let (line, whole) = if self.line > 0 {
            held = self.held;
            (held.split_at(self.line.min(HELD)).0, self.line <= HELD)
        } else {
            self.last = piece.last().copied().unwrap_or_default();
            (piece, true)
        };
        let withheld = |fault| Cut { passed: piece.len(), fault };
        if self.last != b'\r' {
            return Err(withheld(Fault::Framing));
        }
        let line = if whole { line.split_last().map_or(line, |(_, line)| line) } else { line };
        self.line = 0;
        self.last = 0;
        self.end_of_line(line, whole).map_err(withheld)?;
        Ok(piece.len() + 1)
    }

    /// Whether the next line must be the end of the head.
    const fn is_full(&self) -> bool {
        self.line == 0 && self.fields >= self.limits.field_count
    }

    fn hold(&mut self, piece: &[u8]) {
        for (slot, byte) in self.held.iter_mut().skip(self.line).zip(piece) {
            *slot = *byte;
        }
        self.line += piece.len();
        if let Some(last) = piece.last() {
            self.last = *last;
        }
    }

    /// Handles one line without its CRLF; of a line that is not `whole` only the beginning is given.
    fn end_of_line(&mut self, line: &[u8], whole: bool) -> Result<(), Fault> {
        match self.part {
            // Empty lines before a request line are to be ignored (RFC 9112 section 2.2).
            Part::RequestLine if line.is_empty() => {}
            Part::RequestLine => self.enter(Part::Fields),
            Part::Fields if line.is_empty() => self.end_of_head(),
            Part::Fields => {
                self.fields += 1;
                self.field(line, whole)?;
            }
            Part::ChunkSize => match chunk_size(line) {
                Some(0) => self.enter(Part::Trailers),
                Some(size) => self.enter(Part::ChunkData(size)),
                None => return Err(Fault::Framing),
            },
            Part::ChunkEnd if line.is_empty() => self.enter(Part::ChunkSize),
            Part::ChunkEnd => return Err(Fault::Framing),
            Part::Trailers if line.is_empty() => self.enter(Part::RequestLine),
            Part::Trailers | Part::Length(_) | Part::ChunkData(_) => {}
        }
        Ok(())
    }

    /// Looks at one field for what frames the body. Names and values in all other respects are hyper's to judge.
    fn field(&mut self, line: &[u8], whole: bool) -> Result<(), Fault> {
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return Ok(());
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return Ok(()) };
        let length = name.eq_ignore_ascii_case(b"content-length");
        if !length && !name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Ok(());
        }
        if self.length.is_some() || self.chunked || !whole {
            return Err(Fault::Framing);
        }
        if length {
            self.length = Some(decimal(value.trim_ascii()).ok_or(Fault::Framing)?);
        } else {
            // That the coding is exactly "chunked" is checked on the parsed request, in strict.rs.
            self.chunked = true;
        }
        Ok(())
    }

    fn end_of_head(&mut self) {
        self.heads = self.heads.wrapping_add(1);
        let part = match (self.chunked, self.length) {
            (true, _) => Part::ChunkSize,
            (false, None | Some(0)) => Part::RequestLine,
            (false, Some(length)) => Part::Length(length),
        };
        self.chunked = false;
        self.length = None;
        self.enter(part);
    }

    const fn enter(&mut self, part: Part) {
        self.part = part;
        self.spent = 0;
        self.fields = 0;
    }
}

/// The index of the first LF. (`skip_until` is the standard library's way to the platform's `memchr`.)
fn line_feed(bytes: &[u8]) -> Option<usize> {
    let mut reader = bytes;
    let read = reader.skip_until(b'\n').unwrap_or_default();
    let index = read.checked_sub(1)?;
    (bytes.get(index) == Some(&b'\n')).then_some(index)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The size on a chunk's first line; its extensions are skipped, as RFC 9112 section 7.1.1 asks.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FramingLimits = FramingLimits { request_line: 100, fields: 200, field_count: 5 };

    /// Scans `bytes` in pieces of `step`; the position and heads at the end, or the fault with the bytes passed.
    fn scan(bytes: &[u8], step: usize) -> Result<(Position, u32), Cut> {
        let mut framing = Framing::new(LIMITS);
        for (index, piece) in bytes.chunks(step).enumerate() {
            framing.scan(piece).map_err(|cut| Cut { passed: index * step + cut.passed, ..cut })?;
        }
        Ok((framing.position(), framing.heads()))
    }

    #[test]
    fn follows_messages_however_they_are_cut() {
        let post = b"POST / HTTP/1.1\r\nHost: a\r\nCONTENT-length:  5 \r\n\r\nab\ncdGET / HTTP/1.1\r\n\r\n";
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n12\n45\r\n0\r\nX: y\r\n\r\n\r\n";
        let long_field =
            [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 150], b"\r\nContent-Length: 3\r\n\r\nabc"].concat();
        for step in 1..80 {
            assert_eq!(scan(post, step), Ok((Position::Boundary, 2)), "step {step}");
            assert_eq!(scan(chunked, step), Ok((Position::Head, 1)), "step {step}");
            assert_eq!(scan(&long_field, step), Ok((Position::Boundary, 1)), "step {step}");
            assert_eq!(scan(&post[..post.len() - 20], step), Ok((Position::Body, 1)), "step {step}");
        }
    }

    #[test]
    fn finds_the_same_fault_however_the_bytes_are_cut() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\n";
        for (tail, passed, fault) in [
            ("Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 37, Fault::Framing),
            ("Content-Length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 46, Fault::Framing),
            ("Transfer-Encoding: chunked\r\ncontent-length: 1\r\n\r\n", 46, Fault::Framing),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 55, Fault::Framing),
            ("Content-Length: 1x\r\n\r\n", 19, Fault::Framing),
            ("Content-Length: 18446744073709551616\r\n\r\n", 37, Fault::Framing),
            ("A: b\n\r\n", 4, Fault::Framing),
            ("Transfer-Encoding: chunked\r\n\r\n5\n", 31, Fault::Framing),
            ("Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 36, Fault::Framing),
            ("Transfer-Encoding: chunked\r\n\r\n-1\r\n", 33, Fault::Framing),
        ] {
            let bytes = format!("{head}{tail}");
            let found = head.len() + passed;
            let (before, _) = bytes.split_at(found);
            let line = before.rfind('\n').map_or(0, |end| end + 1);
            for step in 1..bytes.len() {
                // Of a field that is at fault, only what came before the piece that shows it.
                let passed = if before.contains("\r\n\r\n") { found } else { line.max(found / step * step) };
                assert_eq!(scan(bytes.as_bytes(), step), Err(Cut { passed, fault }), "{tail:?} by {step}");
            }
        }
    }

    #[test]
    fn cuts_what_is_too_long_at_the_limit() {
        let target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100));
        let fields = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(200));
        for step in [1, 7, 1000] {
            assert_eq!(scan(target.as_bytes(), step), Err(Cut { passed: 100, fault: Fault::TargetTooLong }));
            // Up to the limit, in whole pieces, and nothing of a field that comes in one.
            let passed = if step == 1000 { 16 } else { 216 / step * step };
            assert_eq!(scan(fields.as_bytes(), step), Err(Cut { passed, fault: Fault::FieldsTooLarge }));
        }
    }

    #[test]
    fn a_field_too_many_is_cut_before_its_first_byte() {
        let enough = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(5));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(6));
        for step in [1, 4, 7, 1000] {
            assert_eq!(scan(enough.repeat(2).as_bytes(), step), Ok((Position::Boundary, 2)), "step {step}");
            assert_eq!(
                scan(many.as_bytes(), step),
                Err(Cut { passed: 46, fault: Fault::FieldsTooLarge }),
                "step {step}"
            );
        }
    }

    #[test]
    fn tells_what_was_passed_of_a_faulty_field() {
        let fields = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5x\r\n\r\n".as_bytes();
        for (split, passed) in [(10, ""), (25, ""), (26, "C"), (43, "Content-Length: 5x"), (44, "Content-Length: 5x\r")]
        {
            let mut framing = Framing::new(LIMITS);
            let (first, rest) = fields.split_at(split);
            assert_eq!(framing.scan(first), Ok(()));
            assert_eq!(framing.scan(rest).unwrap_err().fault, Fault::Framing, "at {split}");
            let (begin, last) = framing.faulty_field().unwrap();
            assert_eq!(begin, passed.as_bytes(), "at {split}");
            assert!(begin.is_empty() || begin.last() == Some(&last), "at {split}");
        }
        let mut framing = Framing::new(LIMITS);
        assert!(framing.scan(b"GET / HTTP/1.1\n").is_err() && framing.faulty_field().is_none());
    }
}
