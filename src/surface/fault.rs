//! One thing that is wrong with a request, and its place. Must not know how the request was read.

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Place,
    /// What would be right, in words that follow "must be" or stand alone.
    pub detail: String,
}

/// What is said of a field that is required and not there.
pub(super) const REQUIRED: &str = "is required";
/// What is said of a member that comes twice.
pub(super) const REPEATED: &str = "must be given once";

/// Where a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the JSON body: a JSON pointer (RFC 6901); empty for the whole body.
    Pointer(String),
    /// A query parameter.
    Parameter(String),
}

impl Fault {
    /// Whether something required is not there.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        self.detail == REQUIRED
    }

    /// Whether it is there more than once.
    #[must_use]
    pub fn is_repetition(&self) -> bool {
        self.detail == REPEATED
    }

    /// The name of the field or parameter, for dialects that have no pointers.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.at {
            Place::Pointer(pointer) if pointer.is_empty() => "body",
            Place::Pointer(pointer) => pointer.trim_start_matches('/'),
            Place::Parameter(name) => name,
        }
    }
}
