//! PASSporTs (RFC 8225): the claims, printed in the one form that is signed (§9: members sorted, no
//! blanks) and read with bounds.

use crate::base64::{Alphabet, decode, encode};
use crate::uri::{Scheme, Uri};
use serde_json::Value;
use std::fmt::Write as _;

/// Somebody who calls or is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// A telephone number: digits only, as RFC 8224 §8.3 makes it.
    Number(String),
    /// Any other URI (§8.5), or the user part of one.
    Uri(String),
}

impl Party {
    /// The canonical form of a URI: a number where it is one (`tel:`, `user=phone`, or a user part
    /// that begins with `+`), else `scheme:user@host` (RFC 8224 §8.2).
    pub fn of(uri: &str) -> Option<Self> {
        let parsed = Uri::parse(uri).ok()?;
        if parsed.scheme() == Scheme::Tel {
            let rest = &uri[parsed.scheme_str().len() + 1..];
            return number(rest.split(';').next().unwrap_or_default()).map(Self::Number);
        }
        if !parsed.is_sip() {
            return None;
        }
        let user = parsed.user().unwrap_or_default();
        let phone = parsed.param("user").is_some_and(|v| v.eq_ignore_ascii_case("phone"));
        if (phone || user.starts_with('+'))
            && let Some(number) = number(user.split(';').next().unwrap_or_default())
        {
            return Some(Self::Number(number));
        }
        let scheme = if parsed.is_sips() { "sips" } else { "sip" };
        let at = if user.is_empty() { "" } else { "@" };
        let host = parsed.host().to_ascii_lowercase();
        Some(Self::Uri(format!("{scheme}:{user}{at}{host}")))
    }

    fn key(&self) -> &'static str {
        match self {
            Self::Number(_) => "tn",
            Self::Uri(_) => "uri",
        }
    }

    fn value(&self) -> &str {
        match self {
            Self::Number(text) | Self::Uri(text) => text,
        }
    }
}

/// RFC 8224 §8.3: without separators and the leading `+`; digits, `*` and `#` remain.
fn number(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| !"-.() ".contains(*c)).collect();
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    let good = |b: u8| b.is_ascii_digit() || b == b'*' || b == b'#';
    (!digits.is_empty() && digits.len() <= 32 && digits.bytes().all(good))
        .then(|| digits.to_owned())
}

/// How sure the signing provider is (RFC 8588 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attestation {
    /// A, full: it knows the caller and the right to the number.
    Full,
    /// B, partial: it knows the caller.
    Partial,
    /// C, gateway: it knows where the call came in.
    Gateway,
}

impl Attestation {
    /// `A`, `B` or `C`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "A",
            Self::Partial => "B",
            Self::Gateway => "C",
        }
    }

    /// Reads the letter.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Partial, Self::Gateway].into_iter().find(|a| a.as_str() == text)
    }
}

/// The claims of a PASSporT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passport {
    /// Who calls.
    pub orig: Party,
    /// Who is called; not empty.
    pub dest: Vec<Party>,
    /// When it was signed, in seconds since 1970.
    pub iat: i64,
    /// SHAKEN's word on the caller; with it `ppt` is `shaken`.
    pub attest: Option<Attestation>,
    /// SHAKEN's name of where the call came from.
    pub origid: Option<String>,
    /// Where the certificate is.
    pub x5u: String,
}

impl Passport {
    /// The `ppt` of the header.
    pub fn ppt(&self) -> Option<&'static str> {
        self.attest.map(|_| "shaken")
    }

    /// `header.payload`, in base64url: what is signed.
    pub fn signing_input(&self) -> String {
        let url = |text: &str| encode(Alphabet::Url, text.as_bytes());
        format!("{}.{}", url(&self.header_json()), url(&self.payload_json()))
    }

    pub(super) fn header_json(&self) -> String {
        let ppt = self.ppt().map(|ppt| format!(r#""ppt":"{ppt}","#)).unwrap_or_default();
        format!(r#"{{"alg":"ES256",{ppt}"typ":"passport","x5u":{}}}"#, quoted(&self.x5u))
    }

    pub(super) fn payload_json(&self) -> String {
        let mut json = String::from("{");
        if let Some(attest) = self.attest {
            let _ = write!(json, r#""attest":"{}","#, attest.as_str());
        }
        json.push_str(r#""dest":{"#);
        let mut first = true;
        for key in ["tn", "uri"] {
            let mut of: Vec<_> = self.dest.iter().filter(|d| d.key() == key).collect();
            of.sort();
            if of.is_empty() {
                continue;
            }
            let list: Vec<_> = of.into_iter().map(|d| quoted(d.value())).collect();
            let comma = if first { "" } else { "," };
            let _ = write!(json, r#"{comma}"{key}":[{}]"#, list.join(","));
            first = false;
        }
        let orig = &self.orig;
        let _ = write!(
            json,
            r#"}},"iat":{},"orig":{{"{}":{}}}"#,
            self.iat,
            orig.key(),
            quoted(orig.value())
        );
        if let Some(origid) = self.origid.as_ref().filter(|_| self.attest.is_some()) {
            let _ = write!(json, r#","origid":{}"#, quoted(origid));
        }
        json.push('}');
        json
    }

    /// Reads `header.payload` of a token; `Err` names what is wrong with it.
    pub(super) fn parse(header: &str, payload: &str) -> Result<Self, &'static str> {
        let json = |part: &str| -> Option<Value> {
            serde_json::from_slice(&decode(Alphabet::Url, part)?).ok()
        };
        let header = json(header).ok_or("its header is no JSON")?;
        let payload = json(payload).ok_or("its claims are no JSON")?;
        if header["alg"].as_str() != Some("ES256") {
            return Err("its algorithm is not ES256");
        }
        if header["typ"].as_str() != Some("passport") {
            return Err("its type is not passport");
        }
        let shaken = match &header["ppt"] {
            Value::Null => false,
            Value::String(ppt) if ppt == "shaken" => true,
            _ => return Err("its extension (ppt) is not known"),
        };
        let x5u = header["x5u"].as_str().ok_or("it names no certificate")?.to_owned();
        // A number, but senders have been seen that quote it (as RFC 8588 §6 does by mistake).
        let iat = &payload["iat"];
        let iat = iat
            .as_i64()
            .or_else(|| iat.as_str()?.parse().ok())
            .ok_or("it does not say when it was made")?;
        let parties = |value: &Value| -> Vec<Party> {
            let of = |key: &str, make: fn(String) -> Party| match &value[key] {
                Value::String(one) => vec![make(one.clone())],
                Value::Array(all) => all
                    .iter()
                    .take(64)
                    .filter_map(|v| v.as_str().map(|v| make(v.to_owned())))
                    .collect(),
                _ => Vec::new(),
            };
            let mut all = of("tn", |tn| Party::Number(number(&tn).unwrap_or(tn)));
            all.extend(of("uri", |uri| {
                let canonical = Party::of(&uri).filter(|p| matches!(p, Party::Uri(_)));
                canonical.unwrap_or(Party::Uri(uri))
            }));
            all
        };
        let orig = parties(&payload["orig"]);
        let [orig] = <[Party; 1]>::try_from(orig).map_err(|_| "it does not name one caller")?;
        let dest = parties(&payload["dest"]);
        if dest.is_empty() {
            return Err("it names nobody who is called");
        }
        let attest = payload["attest"].as_str().and_then(Attestation::parse);
        if shaken && attest.is_none() {
            return Err("a shaken PASSporT without attestation");
        }
        let origid = payload["origid"].as_str().map(str::to_owned);
        let attest = attest.filter(|_| shaken);
        Ok(Self { orig, dest, iat, attest, origid, x5u })
    }
}

/// A JSON string with the escapes that are due, no others.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
