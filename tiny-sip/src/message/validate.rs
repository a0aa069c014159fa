//! What every message must hold before it is processed (RFC 3261 §8.1.1, §8.2, §16.3).

use super::{Defect, Message};
use crate::Uri;
use crate::header::{HeaderError, HeaderName};

impl Message {
    /// Checks the header fields that every request and response needs: From, To, Call-ID, CSeq and
    /// Via are there once (Via at least once) and well formed, and so are Max-Forwards,
    /// Content-Type and Contact where present. In a request the method of CSeq is the request's, and the
    /// Request-URI is well formed and has no header part.
    ///
    /// Max-Forwards, a From tag and a branch may be missing, as they are in RFC 2543. A Request-URI
    /// of an unknown scheme is well formed: that is for 416 (§8.2.2.1).
    ///
    /// # Errors
    /// The first defect; [`Defect::status`] is the answer to a request that has it.
    pub fn validate(&self) -> Result<(), Defect> {
        self.validated().map(|_| ())
    }

    /// The same, with the tags of From and To; empty where there is none.
    pub(crate) fn validated(&self) -> Result<(&str, &str), Defect> {
        use HeaderName as H;
        if self.is_request() {
            let uri = Uri::parse(self.request_uri()).map_err(|_| Defect::RequestUri)?;
            // §19.1.1: a Request-URI has no header part.
            if uri.is_sip() && !uri.headers_str().is_empty() {
                return Err(Defect::RequestUri);
            }
        }
        let mut seen = [false; SINGLE.len()];
        for line in self.lines.iter() {
            if let Some(i) = SINGLE.iter().position(|name| *name == line.name)
                && std::mem::replace(&mut seen[i], true)
            {
                return Err(Defect::Repeated(line.name));
            }
        }
        self.top_via().map_err(Defect::Header)?;
        let mut lines = self.headers(H::Via);
        if lines.next().is_some_and(|line| line.contains(',')) || lines.next().is_some() {
            for via in self.vias() {
                via.map_err(Defect::Header)?;
            }
        }
        let from = self.from().map_err(Defect::Header)?;
        let to = self.to().map_err(Defect::Header)?;
        self.call_id().map_err(Defect::Header)?;
        let cseq = self.cseq().map_err(Defect::Header)?;
        if let Some(method) = self.method()
            && cseq.method != method.as_str()
        {
            return Err(Defect::CSeqMethod);
        }
        if let Some(value) = self.header(H::MaxForwards) {
            let malformed =
                |flaw| Defect::Header(HeaderError::Malformed { name: H::MaxForwards, flaw });
            crate::header::number(value).map_err(malformed)?;
        }
        self.content_type().transpose().map_err(Defect::Header)?;
        for contact in self.contacts() {
            contact.map_err(Defect::Header)?;
        }
        Ok((from.tag().unwrap_or_default(), to.tag().unwrap_or_default()))
    }
}

// Those that decide how a message is processed. Content-Length is looked at when parsing.
const SINGLE: [HeaderName; 7] = [
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
    HeaderName::MaxForwards,
    HeaderName::ContentType,
    HeaderName::Expires,
];
