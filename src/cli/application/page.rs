//! The flags that say how an application's verification page looks and where it may lead. Knows no store.

use std::path::PathBuf;

use clap::Args;

use crate::otp::page::{
    Colour, ENTRIES, LOGO_BYTES, Logo, MalformedLogo, ORIGINS_BYTES, Origin, PageName, PageSettings, ReturnPrefix,
    origins_fit,
};

/// The settings of an application's verification page. What is not named stays as it is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Verification page")]
pub struct PageArgs {
    /// What the page calls who asks, at most 64 characters; else the application's brand
    #[arg(long, value_name = "NAME", value_parser = |text: &str| PageName::parse(text), conflicts_with = "no_page_name")]
    pub page_name: Option<PageName>,
    /// Let the page call it by the application's brand again
    #[arg(long)]
    pub no_page_name: bool,
    /// The colour of its button, such as #0a66c2
    #[arg(long, value_name = "COLOUR", value_parser = |text: &str| Colour::parse(text), conflicts_with = "no_page_colour")]
    pub page_colour: Option<Colour>,
    /// Give the button its first colour again
    #[arg(long)]
    pub no_page_colour: bool,
    /// The image above it: a PNG file of at most 8 KiB
    #[arg(long, value_name = "FILE", conflicts_with = "no_page_logo")]
    pub page_logo: Option<PathBuf>,
    /// Drop the image
    #[arg(long)]
    pub no_page_logo: bool,
    /// Where the page may lead to: an https origin, or one with a path that ends with /; may be repeated, and replaces those before
    #[arg(long = "return-url", value_name = "PREFIX", value_parser = |text: &str| ReturnPrefix::parse(text), conflicts_with = "no_return_urls")]
    pub return_urls: Vec<ReturnPrefix>,
    /// Let the page lead nowhere
    #[arg(long)]
    pub no_return_urls: bool,
    /// Who may show the page in a frame: an https origin; may be repeated, and replaces those before
    #[arg(long = "embed-origin", value_name = "ORIGIN", value_parser = |text: &str| Origin::parse(text), conflicts_with = "no_embed_origins")]
    pub embed_origins: Vec<Origin>,
    /// Let nobody show the page in a frame
    #[arg(long)]
    pub no_embed_origins: bool,
    /// Text messages of verifications hold the page's address
    #[arg(long, conflicts_with = "no_link_in_message")]
    pub link_in_message: bool,
    /// They do not, as at first
    #[arg(long)]
    pub no_link_in_message: bool,
}

impl PageArgs {
    /// Changes `page` as the flags say.
    ///
    /// # Errors
    /// In words, when the image cannot be taken, or there are too many addresses, or too long ones.
    pub fn apply(&self, page: &mut PageSettings) -> Result<(), String> {
        if self.page_name.is_some() || self.no_page_name {
            page.name.clone_from(&self.page_name);
        }
        if self.page_colour.is_some() || self.no_page_colour {
            page.colour.clone_from(&self.page_colour);
        }
        if self.no_page_logo {
            page.logo = None;
        }
        if let Some(path) = &self.page_logo {
            page.logo = Some(read_logo(path)?);
        }
        if !self.return_urls.is_empty() || self.no_return_urls {
            page.return_urls.clone_from(&self.return_urls);
        }
        if !self.embed_origins.is_empty() || self.no_embed_origins {
            page.embed_origins.clone_from(&self.embed_origins);
            if !origins_fit(&page.embed_origins) {
                return Err(format!(
                    "all --embed-origin together have at most {ORIGINS_BYTES} characters, because every page names all of them"
                ));
            }
        }
        if self.link_in_message || self.no_link_in_message {
            page.link_in_message = self.link_in_message;
        }
        if page.return_urls.len() > ENTRIES || page.embed_origins.len() > ENTRIES {
            return Err(format!("an application has at most {ENTRIES} of --return-url and of --embed-origin"));
        }
        Ok(())
    }
}

fn read_logo(path: &std::path::Path) -> Result<Logo, String> {
    use std::io::Read as _;
    let named = |what: &dyn std::fmt::Display| format!("--page-logo: {}: {what}", path.display());
    let file = std::fs::File::open(path).map_err(|error| named(&error))?;
    let (mut bytes, most) = (Vec::new(), u64::try_from(LOGO_BYTES).unwrap_or(u64::MAX));
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| named(&error))?;
    Logo::of_bytes(&bytes)
        .map_err(|MalformedLogo| named(&"must be a PNG image of at most 8 KiB and 1024 pixels a side"))
}
