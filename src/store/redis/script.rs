//! The scripts, and how one is called: its first key is the marker of its place, its first argument what must stand there. So
//! every step finds out for itself whether it talks to the store that was opened, in the step that acts.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use crate::store::redis::place::{Kind, Place};

/// Begins every script that must not run on another store than the one that was opened.
pub(super) const GUARD: &str = "if redis.call('GET',KEYS[1])~=ARGV[1] then return redis.error_reply('NOMARK the store is not the one that was opened') end\n";

/// What every call has besides its own keys and arguments, and its bytes where it goes by name.
const FIXED: usize = 5;
const FIXED_BYTES: usize = 96;

/// A script: its text, and the name that the server knows it by.
pub(super) struct Lua {
    text: String,
    name: String,
}

/// A script, made when it is first needed.
pub(super) type Lazy = LazyLock<Lua>;

impl Lua {
    /// `body` with the guard before it.
    pub(super) fn guarded(body: &str) -> Self {
        Self::bare(&format!("{GUARD}{body}"))
    }

    /// A script that runs whatever the marker is: what makes the marker.
    pub(super) fn bare(body: &str) -> Self {
        let name = Script::new(body).get_hash().to_owned();
        Self { text: body.to_owned(), name }
    }
}

/// Byte strings, one behind the other: a call has some twenty of them.
#[derive(Debug, Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Parts {
    /// Room for so many, of so many bytes together.
    pub(super) fn with_capacity(parts: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(parts) }
    }

    /// One more.
    pub(super) fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
        self.ends.push(self.bytes.len());
    }

    /// One more: a number, in decimal digits.
    pub(super) fn number(&mut self, mut number: u64) {
        let from = self.bytes.len();
        loop {
            self.bytes.push(b'0' + (number % 10) as u8);
            number /= 10;
            if number == 0 {
                break;
            }
        }
        if let Some(digits) = self.bytes.get_mut(from..) {
            digits.reverse();
        }
        self.ends.push(self.bytes.len());
    }

    /// One more: the name of what lies in `place`.
    pub(super) fn name(&mut self, place: Place, kind: Kind, id: &[u8]) {
        place.name(&mut self.bytes, kind, id);
        self.ends.push(self.bytes.len());
    }

    /// Which one the name of what lies in `place` is: one more, unless it is among them.
    pub(super) fn find_or_name(&mut self, place: Place, kind: Kind, id: &[u8]) -> usize {
        self.name(place, kind, id);
        let last = self.ends.len().saturating_sub(1);
        let (name, from) = (self.get(last), last.checked_sub(1).and_then(|at| self.ends.get(at)).copied());
        match (0..last).find(|at| self.get(*at) == name) {
            Some(at) => {
                self.ends.pop();
                self.bytes.truncate(from.unwrap_or_default());
                at
            }
            None => last,
        }
    }

    fn get(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or_default());
        self.ends.get(at).and_then(|to| self.bytes.get(from..*to)).unwrap_or_default()
    }

    /// All of `others` behind these.
    pub(super) fn append(&mut self, others: &Self) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(&others.bytes);
        self.ends.extend(others.ends.iter().map(|end| from + end));
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let from = std::iter::once(0).chain(self.ends.iter().copied());
        from.zip(&self.ends).map(|(from, to)| self.bytes.get(from..*to).unwrap_or_default())
    }
}

/// One call of a script.
pub(super) struct Call {
    script: &'static Lua,
    pub(super) place: Place,
    pub(super) keys: Parts,
    pub(super) arguments: Parts,
}

impl Call {
    /// A call of `script` in `place`, without keys and arguments of its own yet.
    pub(super) fn new(script: &'static Lua, place: Place) -> Self {
        Self { script, place, keys: Parts::default(), arguments: Parts::default() }
    }

    /// With one more key, in the same place.
    pub(super) fn key(mut self, kind: Kind, id: &[u8]) -> Self {
        self.keys.name(self.place, kind, id);
        self
    }

    /// With one more argument.
    pub(super) fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.arguments.push(argument.as_ref());
        self
    }

    /// With a number as one more argument.
    pub(super) fn number(mut self, number: u64) -> Self {
        self.arguments.number(number);
        self
    }

    /// The command, by the script's name or, where the server does not know it, by its text.
    pub(super) fn command(&self, marker: &[u8], by_text: bool) -> Cmd {
        let parts = self.keys.len() + self.arguments.len();
        let bytes = self.keys.bytes.len() + self.arguments.bytes.len();
        let mut command = Cmd::with_capacity(parts + FIXED, bytes + FIXED_BYTES);
        if by_text {
            command.arg("EVAL").arg(&self.script.text);
        } else {
            command.arg("EVALSHA").arg(&self.script.name);
        }
        command.arg(1 + self.keys.len()).arg(self.place.key(Kind::Marker, b""));
        for key in self.keys.iter() {
            command.arg(key);
        }
        command.arg(marker);
        for argument in self.arguments.iter() {
            command.arg(argument);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_out_as_they_went_in() {
        let (mut parts, mut more) = (Parts::default(), Parts::with_capacity(2, 10));
        parts.push(b"");
        parts.push(b"one");
        parts.number(0);
        parts.number(1_234_567_890_123);
        parts.number(u64::MAX);
        more.push(b"two");
        more.push(b"");
        parts.append(&more);
        let all: Vec<_> = parts.iter().collect();
        assert_eq!(all, [&b""[..], b"one", b"0", b"1234567890123", b"18446744073709551615", b"two", b""]);
        assert_eq!(parts.len(), 7);
    }

    #[test]
    fn a_name_that_is_there_is_not_there_twice() {
        let (mut parts, place) = (Parts::default(), Place::Shard(7));
        let found = [b"a", b"b", b"a", b"b", b"c"].map(|id| parts.find_or_name(place, Kind::Otp, id));
        assert_eq!(found, [0, 1, 0, 1, 2]);
        let names = [b"a", b"b", b"c"].map(|id| place.key(Kind::Otp, id));
        assert_eq!(parts.iter().collect::<Vec<_>>(), names);
    }
}
