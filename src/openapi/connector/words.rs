//! The types of the table of wording: what a maker reads of an operation, a parameter and a field. They are built in
//! constants, so that the whole table is checked by the compiler and costs nothing at the start. They must not know how a
//! definition is made.

/// How prominent something is in a designer (`x-ms-visibility`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Shown first.
    Important,
    /// Shown. It is written by leaving the extension out: Microsoft's schema refuses a word for it.
    Normal,
    /// Shown when asked for.
    Advanced,
    /// Hidden: for the designer itself.
    Internal,
}

impl Visibility {
    /// The word in a definition.
    pub(super) const fn word(self) -> Option<&'static str> {
        match self {
            Self::Important => Some("important"),
            Self::Normal => None,
            Self::Advanced => Some("advanced"),
            Self::Internal => Some("internal"),
        }
    }
}

/// What a field or parameter is beside its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing more.
    Plain,
    /// One of a few words, each with its label; the first value is taken where `default` is none.
    Choice {
        /// Values and labels: those of the `enum`, or a new one where the document has none.
        labels: &'static [(&'static str, &'static str)],
        /// What holds when nothing is chosen.
        default: Option<&'static str>,
    },
    /// An application, chosen from a list that the designer asks for.
    Application,
    /// The address that the platform is called back at; the platform fills it in.
    Callback,
}

/// A parameter, or a field of a body or an answer.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in the document.
    pub source: &'static str,
    /// Its name in the definition.
    pub name: &'static str,
    /// Its title, in title case.
    pub title: &'static str,
    /// A sentence.
    pub description: &'static str,
    /// How prominent it is.
    pub visibility: Visibility,
    /// What else it is.
    pub role: Role,
}

/// The words of a field.
pub(super) const fn field(name: &'static str, title: &'static str, description: &'static str) -> Field {
    Field { source: name, name, title, description, visibility: Visibility::Normal, role: Role::Plain }
}

impl Field {
    pub(super) const fn important(self) -> Self {
        Self { visibility: Visibility::Important, ..self }
    }

    pub(super) const fn advanced(self) -> Self {
        Self { visibility: Visibility::Advanced, ..self }
    }

    /// The same field under the name that a contract gives it.
    pub(super) const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(super) const fn labels(self, labels: &'static [(&'static str, &'static str)]) -> Self {
        Self { role: Role::Choice { labels, default: None }, ..self }
    }

    pub(super) const fn choice(self, labels: &'static [(&'static str, &'static str)], default: &'static str) -> Self {
        Self { role: Role::Choice { labels, default: Some(default) }, ..self }
    }

    pub(super) const fn application(self) -> Self {
        Self { role: Role::Application, ..self }
    }

    pub(super) const fn callback(self) -> Self {
        Self { role: Role::Callback, visibility: Visibility::Internal, ..self }
    }
}

/// The fields of a schema, in the order in which a designer shows them.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Its name in the document.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// What starts a flow.
#[derive(Clone, Copy, Debug)]
pub struct Trigger {
    /// How to see it work (`x-ms-trigger-hint`).
    pub hint: &'static str,
    /// The schemas of what may be posted to the callback: a designer shows one, with the fields of all, under the first one's name.
    pub content: &'static [&'static str],
    /// What that is.
    pub description: &'static str,
}

/// What is posted to the callback of a step that waits.
#[derive(Clone, Copy, Debug)]
pub struct Awaited {
    /// The schema of it.
    pub content: &'static [&'static str],
    /// What that is.
    pub description: &'static str,
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its id in the document.
    pub source: &'static str,
    /// Its id in the definition: kept for ever, because flows name it.
    pub id: &'static str,
    /// Its title, in sentence case: at most 80 letters, digits, spaces and parentheses.
    pub summary: &'static str,
    /// What it does, in sentences.
    pub description: &'static str,
    /// How prominent it is.
    pub visibility: Visibility,
    /// Its parameters outside of the body.
    pub parameters: &'static [Field],
    /// What its body holds, where it has one.
    pub body: Option<&'static str>,
    /// Whether it starts flows.
    pub trigger: Option<Trigger>,
    /// Whether it pauses a flow until it is called back (a webhook action).
    pub awaited: Option<Awaited>,
}

/// The words of an action without parameters and body.
pub(super) const fn action(
    id: &'static str,
    visibility: Visibility,
    summary: &'static str,
    description: &'static str,
) -> Operation {
    Operation {
        source: id,
        id,
        summary,
        description,
        visibility,
        parameters: &[],
        body: None,
        trigger: None,
        awaited: None,
    }
}

impl Operation {
    pub(super) const fn source(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    pub(super) const fn parameters(self, parameters: &'static [Field]) -> Self {
        Self { parameters, ..self }
    }

    pub(super) const fn trigger(self, trigger: Trigger) -> Self {
        Self { trigger: Some(trigger), ..self }
    }

    pub(super) const fn awaited(self, awaited: Awaited) -> Self {
        Self { awaited: Some(awaited), ..self }
    }

    pub(super) const fn body(self, words: &'static str) -> Self {
        Self { body: Some(words), ..self }
    }
}

/// All words of one edition of the connector.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// The connector's name: at most 30 characters, without "API" and "Connector".
    pub title: &'static str,
    /// What the connector is for: 30 to 500 characters.
    pub description: &'static str,
    /// The operations that are exported, in the order of the reference; all others stay out.
    pub operations: &'static [Operation],
    /// The schemas that they use.
    pub schemas: &'static [Schema],
    /// The operation that tests a connection: a GET without parameters.
    pub test_connection: &'static str,
    /// The operation that lists applications, and the members of one that hold its id and its name.
    pub applications: Option<(&'static str, &'static str, &'static str)>,
    /// Header fields of answers that a maker may use, with their titles.
    pub headers: &'static [(&'static str, &'static str)],
    /// Its answers hold null, as the contract has it: clients that check them have to be told where.
    pub answers_null: bool,
}
