//! The scripts, and how one is called: its first key is the marker of its place, its first argument what must stand there. So
//! every step finds out for itself whether it talks to the store that was opened, in the step that acts.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use crate::store::redis::place::{Kind, Place};

/// Begins every script that must not run on another store than the one that was opened.
pub(super) const GUARD: &str = "if redis.call('GET',KEYS[1])~=ARGV[1] then return redis.error_reply('NOMARK the store is not the one that was opened') end\n";

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

/// One call of a script.
pub(super) struct Call {
    pub(super) script: &'static Lua,
    pub(super) place: Place,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) arguments: Vec<Vec<u8>>,
}

impl Call {
    /// A call of `script` in `place`, without keys and arguments of its own yet.
    pub(super) fn new(script: &'static Lua, place: Place) -> Self {
        Self { script, place, keys: Vec::new(), arguments: Vec::new() }
    }

    /// With one more key, in the same place.
    pub(super) fn key(mut self, kind: Kind, id: &[u8]) -> Self {
        self.keys.push(self.place.key(kind, id));
        self
    }

    /// With one more argument.
    pub(super) fn arg(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With a number as one more argument.
    pub(super) fn number(self, number: u64) -> Self {
        self.arg(number.to_string())
    }

    /// The command, by the script's name or, where the server does not know it, by its text.
    pub(super) fn command(&self, marker: &[u8], by_text: bool) -> Cmd {
        let mut command = Cmd::new();
        if by_text {
            command.arg("EVAL").arg(&self.script.text);
        } else {
            command.arg("EVALSHA").arg(&self.script.name);
        }
        command.arg(1 + self.keys.len()).arg(self.place.key(Kind::Marker, b""));
        for key in &self.keys {
            command.arg(key.as_slice());
        }
        command.arg(marker);
        for argument in &self.arguments {
            command.arg(argument.as_slice());
        }
        command
    }
}
