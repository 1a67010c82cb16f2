//! A message in words: an application's text, filled in, with the lines that let a phone read the code by itself.
//!
//! The courier sends what this makes, and whoever saves a text is told what this would take. Knows no carrier.

use zeroize::Zeroizing;

use crate::otp::application::Application;
use crate::otp::channel::Channel;
use crate::otp::code::Code;
use crate::otp::context::Context;
use crate::otp::segment::Extent;
use crate::otp::template::{Template, Values};

/// The whole message of `application` on `channel`. `link` is the page of the verification that it was sent for; it is in the
/// message where its text names it, or the application wants it behind every text. It is built in one piece: no copy of the code is left behind.
#[must_use]
pub fn message(
    application: &Application,
    template: &Template,
    code: &Code,
    lifetime_seconds: u64,
    channel: Channel,
    context: Option<&Context>,
    link: Option<&str>,
) -> Zeroizing<String> {
    let link = link.filter(|_| application.page.link_in_message || template.shows_link());
    let values = Values { code, lifetime_seconds, brand: application.brand(), context, link };
    let room = application.autofill.room(code);
    let mut text = template.render(&values, channel, room);
    if channel == Channel::Sms {
        application.autofill.append(&mut text, code);
    }
    text
}

/// What each of the application's own texts for text messages takes, by language, with a code of its length and its
/// longest lifetime.
pub fn extents(application: &Application) -> impl Iterator<Item = (String, Extent)> {
    let code = Code::zeros(application.pin_length);
    let seconds = application.expire.get().into();
    let own = application.templates.of_channel(Channel::Sms);
    own.map(move |(language, template)| {
        let text = message(application, template, &code, seconds, Channel::Sms, None, None);
        (language.to_string(), Extent::of(&text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use crate::otp::application::Brand;
    use crate::otp::autofill::{RetrieverHash, WebOtpDomain};
    use crate::otp::id::{AccountId, ApplicationId};

    fn application() -> Application {
        let id = ApplicationId::generate(&crate::secret::SystemEntropy);
        Application::new(id, 1, AccountId::default_account(), Application::default_name(), UnixMillis(1))
    }

    fn word(application: &Application, text: &str, channel: Channel) -> String {
        let (template, code) = (Template::parse(text).unwrap(), Code::parse_own("0123").unwrap());
        message(application, &template, &code, 300, channel, None, None).to_string()
    }

    #[test]
    fn wording_ends_a_text_message_and_no_call_with_the_lines_for_phones() {
        let mut application = application();
        application.autofill.webotp_domain = Some(WebOtpDomain::parse("example.com").unwrap());
        application.autofill.retriever_hash = Some(RetrieverHash::parse("FA+9qCX9VSu").unwrap());
        assert_eq!(word(&application, "Code {{OTP}}", Channel::Sms), "Code 0123\nFA+9qCX9VSu\n@example.com #0123");
        assert_eq!(word(&application, "Code {{OTP}}", Channel::Voice), "Code 0, 1, 2, 3");
    }

    #[test]
    fn wording_brands_by_brand_then_name_then_sender() {
        let mut application = application();
        assert_eq!(word(&application, "{{BRAND}}: {{OTP}}", Channel::Sms), "VERIFY: 0123");
        application.name = crate::otp::application::ApplicationName::parse("Shop").unwrap();
        assert_eq!(word(&application, "{{BRAND}}: {{OTP}}", Channel::Sms), "Shop: 0123");
        application.brand = Some(Brand::parse("{{OTP}} & Söhne").unwrap());
        assert_eq!(word(&application, "{{BRAND}}: {{OTP}}", Channel::Sms), "{{OTP}} & Söhne: 0123");
    }

    #[test]
    fn wording_counts_what_is_really_sent() {
        let mut application = application();
        let set = |application: &mut Application, text: &str| {
            application.templates.set("de".parse().unwrap(), Channel::Sms, Template::parse(text).unwrap());
        };
        set(&mut application, &format!("{}{{{{OTP}}}}", "a".repeat(154)));
        application.templates.set("de".parse().unwrap(), Channel::Voice, Template::parse("{{OTP}}").unwrap());
        let sizes = |application: &Application| {
            extents(application).map(|(name, extent)| (name, extent.units, extent.segments)).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&application), [("de".to_owned(), 160, 1)]);
        application.autofill.webotp_domain = Some(WebOtpDomain::parse("a.de").unwrap());
        assert_eq!(sizes(&application), [("de".to_owned(), 174, 2)]);
    }

    #[test]
    fn a_link_is_in_a_text_message_where_it_is_wanted() {
        let mut application = application();
        application.autofill.webotp_domain = Some("otp.example.com".to_owned().try_into().unwrap());
        let code = Code::parse_own("012345").unwrap();
        let say = |application: &Application, text: &str, channel| {
            let link = Some("https://otp.example.com/verify/x");
            message(application, &Template::parse(text).unwrap(), &code, 300, channel, None, link).to_string()
        };
        let end = "\n@otp.example.com #012345";
        assert_eq!(say(&application, "Code {{OTP}}", Channel::Sms), format!("Code 012345{end}"));
        let linked = format!("012345 https://otp.example.com/verify/x{end}");
        assert_eq!(say(&application, "{{OTP}} {{LINK}}", Channel::Sms), linked);
        application.page.link_in_message = true;
        let behind = format!("Code 012345\nhttps://otp.example.com/verify/x{end}");
        assert_eq!(say(&application, "Code {{OTP}}", Channel::Sms), behind);
        assert_eq!(say(&application, "{{OTP}} {{LINK}}", Channel::Sms), linked, "once");
        assert!(
            !say(&application, "Code {{OTP}}", Channel::Voice).contains("https"),
            "nobody can follow what is read out"
        );
    }
}
