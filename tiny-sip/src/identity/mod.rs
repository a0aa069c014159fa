//! Who calls, signed: the Identity header field (RFC 8224) with a PASSporT (RFC 8225) of the base form
//! or of SHAKEN (RFC 8588), and the certificates of RFC 8226 behind it. ES256 alone. Nothing is
//! fetched here and no clock is read: certificates and the time of day are inputs.

mod cert;
mod header;
mod passport;
mod signer;
#[cfg(test)]
mod tests;
mod verify;

pub use cert::{Authority, CertificateError, TrustAnchors};
pub use header::IdentityHeader;
pub use passport::{Attestation, Party, Passport};
pub use signer::{Form, Signer, SignerError};
pub use verify::{Facts, IdentityError, VerifiedCaller, verify};
