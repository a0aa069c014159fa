//! Digest authentication (RFC 7616, RFC 8760, RFC 3261 §22; RFC 2617 for peers without qop): the
//! client's answer to a challenge and the server's check of it. Passwords are never logged.

mod client;
mod compute;
mod server;

pub use crate::header::{AuthParams, Challenge, Credentials};
pub use client::{Answer, QopPolicy, ServerProof, Session, check_rspauth};
pub use compute::{Algorithm, Ha1, Inputs, Qop, response};
pub use server::{Verdict, challenge, parse_nonce_count, verify};

#[cfg(test)]
mod tests;
