//! What a code is for, as OneAccess names it, and the text that goes with it.
//!
//! An application of the account that bears the name of a type decides how its codes look: length, lifetime, sender, texts.
//! Without one the default application does; its own text for the language holds, else the one here.

use std::str::FromStr;

use crate::otp::application::{Application, ApplicationRef, Applications};
use crate::otp::channel::Channel;
use crate::otp::language::{Language, reads_traditional};
use crate::otp::phone::{Country, Phone};
use crate::otp::purpose::{MalformedPurpose, Purpose, Realm};
use crate::otp::template::Template;

/// A type of `sms/send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Register,
    Login,
    ForgetPassword,
    BindMobile,
    UpdateMobile,
    /// OneAccess spells it so.
    OtpRest,
}

/// The text names no type.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("one of REGISTER_SMS, LOGIN_SMS, FORGET_PWD_SMS, BIND_MOBILE_SMS, UPDATE_MOBILE_SMS, OTP_REST_SMS")]
pub(super) struct UnknownType;

impl FromStr for Type {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownType)
    }
}

impl Type {
    const ALL: [Self; 6] =
        [Self::Register, Self::Login, Self::ForgetPassword, Self::BindMobile, Self::UpdateMobile, Self::OtpRest];

    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Register => "REGISTER_SMS",
            Self::Login => "LOGIN_SMS",
            Self::ForgetPassword => "FORGET_PWD_SMS",
            Self::BindMobile => "BIND_MOBILE_SMS",
            Self::UpdateMobile => "UPDATE_MOBILE_SMS",
            Self::OtpRest => "OTP_REST_SMS",
        }
    }

    /// The purpose that its codes are bound to.
    pub(super) fn purpose(self) -> Result<Purpose, MalformedPurpose> {
        Purpose::new(Realm::OneAccess, self.name())
    }

    /// English, and Chinese in simplified and in traditional characters, built in.
    const fn texts(self) -> [&'static str; 3] {
        match self {
            Self::Register => [
                "{{OTP}} is your code to register with {{BRAND}}. It is valid for {{MIN}} min. Do not share it.",
                "【{{BRAND}}】您的注册验证码为{{OTP}}，{{MIN}}分钟内有效，请勿告知他人。",
                "【{{BRAND}}】您的註冊驗證碼為{{OTP}}，{{MIN}}分鐘內有效，請勿告知他人。",
            ],
            Self::Login => [
                "{{OTP}} is your code to sign in to {{BRAND}}. It is valid for {{MIN}} min. Do not share it.",
                "【{{BRAND}}】您的登录验证码为{{OTP}}，{{MIN}}分钟内有效，请勿告知他人。",
                "【{{BRAND}}】您的登入驗證碼為{{OTP}}，{{MIN}}分鐘內有效，請勿告知他人。",
            ],
            Self::ForgetPassword => [
                "{{OTP}} is your code to reset your {{BRAND}} password. It is valid for {{MIN}} min. Do not share it.",
                "【{{BRAND}}】您正在找回密码，验证码为{{OTP}}，{{MIN}}分钟内有效，请勿告知他人。",
                "【{{BRAND}}】您正在重設密碼，驗證碼為{{OTP}}，{{MIN}}分鐘內有效，請勿告知他人。",
            ],
            Self::BindMobile => [
                "{{OTP}} is your code to add this number to {{BRAND}}. It is valid for {{MIN}} min. Do not share it.",
                "【{{BRAND}}】您正在绑定手机号，验证码为{{OTP}}，{{MIN}}分钟内有效，请勿告知他人。",
                "【{{BRAND}}】您正在綁定手機號碼，驗證碼為{{OTP}}，{{MIN}}分鐘內有效，請勿告知他人。",
            ],
            Self::UpdateMobile => [
                "{{OTP}} is your code to change your {{BRAND}} number. It is valid for {{MIN}} min. Do not share it.",
                "【{{BRAND}}】您正在更换手机号，验证码为{{OTP}}，{{MIN}}分钟内有效，请勿告知他人。",
                "【{{BRAND}}】您正在更換手機號碼，驗證碼為{{OTP}}，{{MIN}}分鐘內有效，請勿告知他人。",
            ],
            Self::OtpRest => [
                "{{OTP}} is your code to confirm your {{BRAND}} sign-in. It is valid for {{MIN}} min. Do not share it.",
                "【{{BRAND}}】您的二次认证验证码为{{OTP}}，{{MIN}}分钟内有效，请勿告知他人。",
                "【{{BRAND}}】您正在進行二次驗證，驗證碼為{{OTP}}，{{MIN}}分鐘內有效，請勿告知他人。",
            ],
        }
    }

    /// The application that its codes are sent with, and the text, where it is not the application's.
    pub(super) fn terms(self, applications: &Applications, phone: &Phone) -> (ApplicationRef, Option<Template>) {
        let own = applications.list().into_iter().find(|application| application.name.as_str() == self.name());
        match own {
            Some(own) => (ApplicationRef::Id(own.id), self.text(&own, phone)),
            None => {
                let default = applications.find(ApplicationRef::Default);
                (ApplicationRef::Default, default.and_then(|default| self.text(default, phone)))
            }
        }
    }

    fn text(self, application: &Application, phone: &Phone) -> Option<Template> {
        let language = language_of(phone.country);
        if application.templates.get(language, Channel::Sms).is_some() {
            return None;
        }
        self.built_in(phone.country).map(Template::from_store)
    }

    /// The text of its own that a country reads. None where one general text has to do for all types.
    fn built_in(self, country: Option<Country>) -> Option<&'static str> {
        let [english, simplified, traditional] = self.texts();
        match language_of(country).as_str() {
            "en" => Some(english),
            "zh" if country.is_some_and(reads_traditional) => Some(traditional),
            "zh" => Some(simplified),
            _ => None,
        }
    }
}

/// What is read in a country; English where that is not known.
fn language_of(country: Option<Country>) -> Language {
    country.and_then(Language::of_country).unwrap_or(Language::ENGLISH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_purpose_of_its_own_and_texts_that_hold_the_code() {
        for (index, kind) in Type::ALL.into_iter().enumerate() {
            assert_eq!(kind.name().parse::<Type>().unwrap(), kind);
            assert!(Type::ALL[..index].iter().all(|other| other.purpose() != kind.purpose()));
            for text in kind.texts() {
                assert!(Template::parse(text).is_ok(), "{text}");
            }
        }
        for bad in ["login_sms", "OTP_RESET_SMS", "", "LOGIN_SMS "] {
            assert!(bad.parse::<Type>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_type_shows_where_english_or_chinese_is_read_in_either_script() {
        let built_in = |country: &str| Type::Login.built_in(Some(country.parse().unwrap()));
        let [english, simplified, traditional] = Type::Login.texts();
        assert_eq!((Type::Login.built_in(None), built_in("US")), (Some(english), Some(english)));
        assert_eq!(built_in("CN"), Some(simplified));
        for country in ["HK", "MO", "TW"] {
            assert_eq!(built_in(country), Some(traditional), "{country}");
        }
        assert_eq!(built_in("DE"), None);
        let mut seen = std::collections::BTreeSet::new();
        assert!(Type::ALL.into_iter().flat_map(Type::texts).all(|text| seen.insert(text)), "no two are alike");
    }
}
