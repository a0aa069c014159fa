//! Which SIP domains a certificate speaks for (RFC 5922 §7), and the check of a server against the
//! one that was asked for. The chain is judged by rustls or the platform; only names are ours.

use std::sync::Arc;
use tokio_rustls::rustls;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use webpki::EndEntityCert;

/// A peer's verified certificate.
#[derive(Debug)]
pub(crate) struct PeerIdentity {
    certificate: CertificateDer<'static>,
    rules: Rules,
}

/// How names are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// RFC 5922: exact, and `sip:` URIs go before DNS names.
    Sip,
    /// The same, with wildcards by permission.
    SipWithWildcards,
    /// Those of HTTPS, for secure WebSocket (RFC 7118 §9.1).
    Https,
}

impl PeerIdentity {
    pub(super) fn new(certificate: CertificateDer<'static>, rules: Rules) -> Self {
        Self { certificate, rules }
    }

    /// Whether the peer proved to be this domain.
    pub(crate) fn covers(&self, name: &str) -> bool {
        let (Ok(certificate), Ok(name)) =
            (EndEntityCert::try_from(&self.certificate), ServerName::try_from(name))
        else {
            return false;
        };
        matches(&certificate, &name, self.rules)
    }
}

/// RFC 5922 §7.1: the hosts of `sip:` URIs without a user part; DNS names only if there are none.
fn identities<'a>(certificate: &EndEntityCert<'a>, rules: Rules) -> Vec<&'a str> {
    let sip = |uri: &'a str| {
        let (scheme, rest) = uri.split_once(':')?;
        let host = rest.split([';', '?']).next()?;
        // A port is no part of the comparison (§7.2).
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        (scheme.eq_ignore_ascii_case("sip") && !rest.contains('@')).then_some(host)
    };
    if rules != Rules::Https {
        let domains: Vec<&str> = certificate.valid_uri_names().filter_map(sip).collect();
        if !domains.is_empty() {
            return domains;
        }
    }
    certificate.valid_dns_names().collect()
}

fn matches(certificate: &EndEntityCert<'_>, name: &ServerName<'_>, rules: Rules) -> bool {
    let wanted = match name {
        ServerName::DnsName(wanted) => wanted.as_ref(),
        // An address in the URI: an iPAddress entry, or a sip: URI that says the same.
        ServerName::IpAddress(ip) => {
            return certificate.verify_is_valid_for_subject_name(name).is_ok()
                || identities(certificate, rules).contains(&&*text(ip));
        }
        _ => return false,
    };
    let wanted = wanted.strip_suffix('.').unwrap_or(wanted);
    identities(certificate, rules).into_iter().any(|presented| {
        let presented = presented.strip_suffix('.').unwrap_or(presented);
        match presented.strip_prefix("*.") {
            Some(parent) => {
                // One label, as RFC 6125 §6.4.3 has it.
                let rest = wanted.split_once('.').map(|(_, rest)| rest);
                rules != Rules::Sip && rest.is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
            }
            None => presented.eq_ignore_ascii_case(wanted),
        }
    })
}

fn text(ip: &IpAddr) -> String {
    std::net::IpAddr::from(*ip).to_string()
}

/// Judges a server: the chain by `chain`, the name by RFC 5922.
#[derive(Debug)]
pub(super) struct DomainVerifier {
    pub(super) chain: Arc<dyn ServerCertVerifier>,
    pub(super) rules: Rules,
    /// The chain's judge looks at the name last: then its objection to the name alone is
    /// overruled. Other judges are asked about a name that the certificate has.
    pub(super) name_last: bool,
}

impl ServerCertVerifier for DomainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
        let certificate = EndEntityCert::try_from(end_entity).map_err(bad)?;
        let ours = if self.name_last {
            None
        } else {
            let known = |dns: &&str| !dns.starts_with('*');
            let other = certificate.valid_dns_names().find(known);
            other.and_then(|dns| ServerName::try_from(dns).ok())
        };
        let asked = ours.as_ref().unwrap_or(name);
        match self.chain.verify_server_cert(end_entity, intermediates, asked, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.name_last => {}
            Err(e) => return Err(e),
            Ok(_) => {}
        }
        if matches(&certificate, name, self.rules) {
            return Ok(ServerCertVerified::assertion());
        }
        let presented = identities(&certificate, self.rules).into_iter().map(String::from);
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: name.to_owned(),
            presented: presented.collect(),
        }))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Believes every certificate, but still demands that the server holds its key.
#[derive(Debug)]
pub(super) struct Credulous(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
