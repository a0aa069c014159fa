//! What a caller wants of those in between and of the callee: Accept-Contact, Reject-Contact,
//! Request-Disposition (RFC 3841 §9), Feature-Caps (RFC 6809 §6), Answer-Mode (RFC 5373 §4); and
//! the state of a subscription (RFC 6665 §8.2.2). None of it is acted upon here.

use super::{Flaw, Item, Params, chars, parse_seconds};
use std::fmt;

/// `*;audio;require`: a set of features. Of Accept-Contact, Reject-Contact and Feature-Caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureSet<'a> {
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> FeatureSet<'a> {
    /// Reads one element.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let item = Item::parse(text)?;
        if item.value == "*" { Ok(Self { params: item.params }) } else { Err(Flaw::Token) }
    }

    /// Contacts that do not match are not used at all (RFC 3841 §7.2.4).
    pub fn is_required(&self) -> bool {
        self.params.has("require")
    }

    /// Contacts that say nothing about a feature match less (RFC 3841 §7.2.4).
    pub fn is_explicit(&self) -> bool {
        self.params.has("explicit")
    }

    /// The features with their values, `""` for none.
    pub fn features(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let word = |name: &str| {
            name.eq_ignore_ascii_case("require") || name.eq_ignore_ascii_case("explicit")
        };
        let all = self.params.iter().filter(move |param| !word(param.name));
        all.map(|param| (param.name, param.value.unwrap_or_default()))
    }
}

impl fmt::Display for FeatureSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*{}", self.params)
    }
}

/// How a request is to be handled on its way (RFC 3841 §9.1). `None`: no preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RequestDisposition {
    /// `proxy` rather than `redirect`.
    pub proxy: Option<bool>,
    /// `cancel` the other branches after an answer, or `no-cancel`.
    pub cancel: Option<bool>,
    /// `fork` or `no-fork`.
    pub fork: Option<bool>,
    /// `recurse` on redirections or `no-recurse`.
    pub recurse: Option<bool>,
    /// `parallel` rather than `sequential`.
    pub parallel: Option<bool>,
    /// `queue` or `no-queue`.
    pub queue: Option<bool>,
}

const DIRECTIVES: [(&str, &str); 6] = [
    ("proxy", "redirect"),
    ("cancel", "no-cancel"),
    ("fork", "no-fork"),
    ("recurse", "no-recurse"),
    ("parallel", "sequential"),
    ("queue", "no-queue"),
];

impl RequestDisposition {
    /// Reads `proxy, recurse, parallel`. Unknown words are skipped; of two that contradict each
    /// other the last counts.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let mut all = Self::default();
        for word in super::split_commas(text) {
            if !chars::all(word.as_bytes(), chars::TOKEN) {
                return Err(Flaw::Token);
            }
            for ((yes, no), field) in DIRECTIVES.iter().zip(all.fields()) {
                if word.eq_ignore_ascii_case(yes) {
                    *field = Some(true);
                } else if word.eq_ignore_ascii_case(no) {
                    *field = Some(false);
                }
            }
        }
        Ok(all)
    }

    fn fields(&mut self) -> [&mut Option<bool>; 6] {
        let Self { proxy, cancel, fork, recurse, parallel, queue } = self;
        [proxy, cancel, fork, recurse, parallel, queue]
    }
}

impl fmt::Display for RequestDisposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        let mut separator = "";
        for ((yes, no), field) in DIRECTIVES.iter().zip(copy.fields()) {
            if let Some(on) = field {
                write!(f, "{separator}{}", if *on { yes } else { no })?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// How a call is to be answered (RFC 5373 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnswerMode {
    /// Without waiting for the user.
    pub auto: bool,
    /// Refuse the call rather than do otherwise.
    pub require: bool,
}

impl AnswerMode {
    /// Reads `Auto;require`.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let item = Item::parse(text)?;
        let auto = match item.value {
            word if word.eq_ignore_ascii_case("auto") => true,
            word if word.eq_ignore_ascii_case("manual") => false,
            _ => return Err(Flaw::Token),
        };
        Ok(Self { auto, require: item.params.has("require") })
    }
}

impl fmt::Display for AnswerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.auto { "Auto" } else { "Manual" })?;
        f.write_str(if self.require { ";require" } else { "" })
    }
}

/// The state of a subscription as a NOTIFY tells it (RFC 6665 §4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// `active`, `pending`, `terminated`, or a word of later days.
    pub state: &'a str,
    /// Why it was terminated: `deactivated`, `probation`, `rejected`, `timeout`, `giveup`,
    /// `noresource`, `invariant`.
    pub reason: Option<&'a str>,
    /// Seconds until it ends.
    pub expires: Option<u32>,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
}

impl<'a> SubscriptionState<'a> {
    /// Reads `terminated;reason=probation;retry-after=60`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let item = Item::parse(text)?;
        let seconds = |name| item.param(name).map(parse_seconds).transpose();
        Ok(Self {
            state: item.value,
            reason: item.param("reason"),
            expires: seconds("expires")?,
            retry_after: seconds("retry-after")?,
        })
    }

    /// Whether the subscription is over.
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }
}

impl fmt::Display for SubscriptionState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state)?;
        if let Some(reason) = self.reason {
            write!(f, ";reason={reason}")?;
        }
        if let Some(seconds) = self.expires {
            write!(f, ";expires={seconds}")?;
        }
        if let Some(seconds) = self.retry_after {
            write!(f, ";retry-after={seconds}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 3841 §9.2 and §9.1.
    #[test]
    fn caller_preferences_of_rfc_3841() {
        let text = "*;audio;mobility=\"mobile\";require;explicit";
        let set = FeatureSet::parse(text).unwrap();
        assert!(set.is_required() && set.is_explicit());
        let features: Vec<_> = set.features().collect();
        assert_eq!(features, [("audio", ""), ("mobility", "mobile")]);
        assert_eq!(set.to_string(), text);
        assert!(FeatureSet::parse("audio").is_err());

        let wish = RequestDisposition::parse("proxy, recurse, sequential,no-fork,x").unwrap();
        assert_eq!((wish.proxy, wish.parallel, wish.queue), (Some(true), Some(false), None));
        assert_eq!(wish.to_string(), "proxy, no-fork, recurse, sequential");
        assert!(RequestDisposition::parse("a b").is_err());
    }

    // RFC 6809 §6.2, RFC 5373 §4.
    #[test]
    fn feature_capabilities_and_answer_modes() {
        let caps = FeatureSet::parse("*;+sip.newfeature;+g.x=\"<urn:a:b>\"").unwrap();
        assert_eq!(caps.features().last(), Some(("+g.x", "<urn:a:b>")));
        for (text, auto, require) in [("Auto;require", true, true), ("Manual", false, false)] {
            let mode = AnswerMode::parse(text).unwrap();
            assert_eq!((mode.auto, mode.require, mode.to_string().as_str()), (auto, require, text));
        }
        assert!(AnswerMode::parse("Perhaps").is_err());
    }

    // RFC 6665 §4.1.3.
    #[test]
    fn states_of_subscriptions() {
        let text = "terminated;reason=probation;retry-after=60";
        let state = SubscriptionState::parse(text).unwrap();
        assert!(state.is_terminated());
        assert_eq!((state.reason, state.retry_after), (Some("probation"), Some(60)));
        assert_eq!(state.to_string(), text);
        assert_eq!(SubscriptionState::parse("active;expires=3600").unwrap().expires, Some(3600));
        assert!(SubscriptionState::parse("").is_err());
    }
}
