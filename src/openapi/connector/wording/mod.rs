//! What a maker reads: the one table of wording. A test holds that it says something of everything that is exported, and
//! of nothing else. It must not know how a definition is made.

mod compatible;
mod entities;
mod native;
mod verifications;

pub(super) use compatible::COMPATIBLE;
pub(super) use native::NATIVE;
