//! The Identity header field (RFC 8224 §4): a token, whole or compact, and its parameters.

use crate::header::Flaw;

/// The value of one Identity header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityHeader<'a> {
    /// JSON header and claims in base64url; `None` in the compact form (`..signature`).
    pub parts: Option<(&'a str, &'a str)>,
    /// The signature in base64url.
    pub signature: &'a str,
    /// Where the certificate is, without angle brackets.
    pub info: &'a str,
    /// The algorithm; ES256 when absent.
    pub alg: Option<&'a str>,
    /// The extension, without quotes.
    pub ppt: Option<&'a str>,
}

impl<'a> IdentityHeader<'a> {
    /// Reads one header line.
    ///
    /// # Errors
    /// A token that has not three parts, or no `info`.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let text = text.trim();
        let end = text.find(|c: char| c == ';' || c.is_ascii_whitespace()).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        let mut pieces = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (pieces.next(), pieces.next(), pieces.next(), pieces.next())
        else {
            return Err(Flaw::Token);
        };
        let parts = match (header, payload) {
            ("", "") => None,
            ("", _) | (_, "") => return Err(Flaw::Token),
            both => Some(both),
        };
        if signature.is_empty() {
            return Err(Flaw::Token);
        }
        // `info=<https://…>`: an angle bracket is no token, so that it is read by hand.
        let (mut info, mut alg, mut ppt) = (None, None, None);
        let mut rest = rest.trim_start();
        while let Some(after) = rest.strip_prefix(';') {
            let after = after.trim_start();
            let (name, value) = after.split_once('=').ok_or(Flaw::Param)?;
            let value = value.trim_start();
            let (value, tail) = if let Some(uri) = value.strip_prefix('<') {
                uri.split_once('>').ok_or(Flaw::Param)?
            } else if let Some(quoted) = value.strip_prefix('"') {
                quoted.split_once('"').ok_or(Flaw::Param)?
            } else {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim_end(), &value[end..])
            };
            match name.trim_end().to_ascii_lowercase().as_str() {
                "info" => info = Some(value),
                "alg" => alg = Some(value),
                "ppt" => ppt = Some(value),
                _ => {}
            }
            rest = tail.trim_start();
        }
        if !rest.is_empty() {
            return Err(Flaw::Trailing);
        }
        Ok(Self { parts, signature, info: info.ok_or(Flaw::Param)?, alg, ppt })
    }

    /// Whether this build can say anything about it: other algorithms and extensions are to be
    /// treated as if they were not there (RFC 8224 §6.2).
    pub fn is_known(&self) -> bool {
        self.alg.is_none_or(|alg| alg == "ES256") && self.ppt.is_none_or(|ppt| ppt == "shaken")
    }
}

// Kept beside the parser: what the printer may put between the brackets.
pub(super) fn is_info(uri: &str) -> bool {
    !uri.is_empty() && uri.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\".contains(&b))
}
