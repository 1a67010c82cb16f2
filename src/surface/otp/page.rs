//! What the native interface says of an application's verification page. It must not know how the page is made.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::otp::page::{
    Colour, ENTRIES, Logo, ORIGINS_BYTES, Origin, PageName, PageSettings, ReturnPrefix, origins_fit,
};
use crate::surface::input::Input;

/// The member that says it.
const MEMBER: &str = "verification";

/// How its verification page looks, and where it may lead.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageEntity {
    /// What the page calls who asks; left out where that is the application's brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// The colour of its button.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "#0a66c2")]
    colour: Option<String>,
    /// Whether there is an image above it.
    has_logo: bool,
    /// Where it may lead: everything below these.
    return_urls: Vec<String>,
    /// Who may show it in a frame.
    embed_origins: Vec<String>,
    /// Whether messages of verifications hold its address.
    link_in_message: bool,
}

impl From<&PageSettings> for PageEntity {
    fn from(page: &PageSettings) -> Self {
        Self {
            name: page.name.as_ref().map(|name| name.as_str().to_owned()),
            colour: page.colour.as_ref().map(|colour| colour.as_str().to_owned()),
            has_logo: page.logo.is_some(),
            return_urls: page.return_urls.iter().map(|prefix| prefix.as_str().to_owned()).collect(),
            embed_origins: page.embed_origins.iter().map(|origin| origin.as_str().to_owned()).collect(),
            link_in_message: page.link_in_message,
        }
    }
}

/// How the verification page is to look; null drops a member, and an absent one stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the member; `PageEdit::read` reads it, to name every fault at once")]
pub(super) struct PageBody {
    /// What the page calls who asks, without control characters.
    #[schema(max_length = 64)]
    name: Option<String>,
    /// The colour of its button.
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$", example = "#0a66c2")]
    colour: Option<String>,
    /// The image above it: PNG of at most 8 KiB and 1,024 pixels a side, in Base64.
    #[schema(max_length = 10924)]
    logo: Option<String>,
    /// Where it may lead: https origins, or such with a path that ends with `/`, and everything below them. http is taken for
    /// localhost and 127.0.0.1.
    #[schema(max_items = 20)]
    return_urls: Option<Vec<String>>,
    /// Who may show it in a frame: https origins of at most 1,024 characters together. http is taken for localhost and
    /// 127.0.0.1.
    #[schema(max_items = 20)]
    embed_origins: Option<Vec<String>>,
    /// Whether messages of verifications hold its address: where their text has `{{LINK}}`, else behind it.
    link_in_message: Option<bool>,
}

/// What is to change of it. Of a member: not named, dropped, or set.
#[derive(Default)]
pub(super) struct PageEdit {
    name: Option<Option<PageName>>,
    colour: Option<Option<Colour>>,
    logo: Option<Option<Logo>>,
    return_urls: Option<Vec<ReturnPrefix>>,
    embed_origins: Option<Vec<Origin>>,
    link_in_message: Option<bool>,
}

impl PageEdit {
    /// Reads the member; faults stay with the input.
    pub(super) fn read(input: &mut Input) -> Self {
        let mut members = match input.optional_value(MEMBER) {
            None => return Self::default(),
            Some(Value::Object(members)) => members,
            Some(_) => {
                input.fault(MEMBER, "must be an object, such as {\"returnUrls\": [\"https://www.example.com\"]}");
                return Self::default();
            }
        };
        let edit = Self {
            name: text(input, &mut members, "name", PageName::parse),
            colour: text(input, &mut members, "colour", Colour::parse),
            logo: text(input, &mut members, "logo", Logo::parse),
            return_urls: list(input, &mut members, "returnUrls", ReturnPrefix::parse),
            embed_origins: origins(input, &mut members),
            link_in_message: match members.remove("linkInMessage") {
                None => None,
                Some(Value::Null) => Some(false),
                Some(Value::Bool(link)) => Some(link),
                Some(_) => {
                    input.fault_below(MEMBER, "linkInMessage", "must be true or false");
                    None
                }
            },
        };
        for name in members.keys() {
            input.fault_below(MEMBER, name, "is not known here");
        }
        edit
    }

    pub(super) fn apply(&self, page: &mut PageSettings) {
        if let Some(name) = &self.name {
            page.name.clone_from(name);
        }
        if let Some(colour) = &self.colour {
            page.colour.clone_from(colour);
        }
        if let Some(logo) = &self.logo {
            page.logo.clone_from(logo);
        }
        if let Some(prefixes) = &self.return_urls {
            page.return_urls.clone_from(prefixes);
        }
        if let Some(origins) = &self.embed_origins {
            page.embed_origins.clone_from(origins);
        }
        page.link_in_message = self.link_in_message.unwrap_or(page.link_in_message);
    }
}

fn text<T, E: std::fmt::Display>(
    input: &mut Input,
    members: &mut Map<String, Value>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<Option<T>> {
    let parsed = match members.remove(name)? {
        Value::Null => return Some(None),
        Value::String(text) => parse(&text).map_err(|error| format!("must be {error}")),
        _ => Err("must be a string, or null to drop it".to_owned()),
    };
    parsed.map(Some).map_err(|detail| input.fault_below(MEMBER, name, detail)).ok()
}

fn origins(input: &mut Input, members: &mut Map<String, Value>) -> Option<Vec<Origin>> {
    let name = "embedOrigins";
    let origins = list(input, members, name, Origin::parse)?;
    if !origins_fit(&origins) {
        let most =
            format!("must have at most {ORIGINS_BYTES} characters together, because every page names all of them");
        input.fault_below(MEMBER, name, most);
        return None;
    }
    Some(origins)
}

fn list<T, E: std::fmt::Display>(
    input: &mut Input,
    members: &mut Map<String, Value>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<Vec<T>> {
    let items = match members.remove(name)? {
        Value::Null => return Some(Vec::new()),
        Value::Array(items) if items.len() <= ENTRIES => items,
        _ => {
            input.fault_below(MEMBER, name, format!("must be an array of at most {ENTRIES} addresses"));
            return None;
        }
    };
    let mut parsed = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match item.as_str().map(&parse) {
            Some(Ok(item)) => parsed.push(item),
            Some(Err(error)) => input.fault_below_at(MEMBER, name, index, format!("must be {error}")),
            None => input.fault_below_at(MEMBER, name, index, "must be a string"),
        }
    }
    (parsed.len() == items.len()).then_some(parsed)
}
