//! Settings made into rustls configurations, and the two handshakes.

use super::identity::{Credulous, DomainVerifier, Rules};
use super::{ClientAuth, Identity, Material, PeerIdentity, Roots, TlsConfig, TlsError};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::rustls;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The settings in force.
#[derive(Clone)]
pub(crate) struct Engine {
    // For TLS and for secure WebSocket, whose rules about names differ.
    sip: Arc<ClientConfig>,
    https: Arc<ClientConfig>,
    server: Option<Arc<ServerConfig>>,
    sip_rules: Rules,
    insecure: bool,
}

impl Engine {
    pub(crate) fn new(config: &TlsConfig) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let sip_rules = if config.wildcards { Rules::SipWithWildcards } else { Rules::Sip };
        let (chain, name_last) = chain_verifier(config, &provider)?;
        let client = |rules| {
            let verifier: Arc<dyn ServerCertVerifier> = match config.insecure {
                true => Arc::new(Credulous(Arc::clone(&provider))),
                false => {
                    let chain = Arc::clone(&chain);
                    Arc::new(DomainVerifier { chain, rules, name_last })
                }
            };
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(|e| unusable("the cipher suites", e))?
                .dangerous()
                .with_custom_certificate_verifier(verifier);
            let mut client = match &config.client {
                None => builder.with_no_client_auth(),
                Some(identity) => {
                    let (chain, key) = load(identity, "the client certificate")?;
                    builder
                        .with_client_auth_cert(chain, key)
                        .map_err(|e| unusable("the client certificate", e))?
                }
            };
            client.resumption = match config.sessions {
                0 => Resumption::disabled(),
                most => Resumption::in_memory_sessions(most),
            };
            Ok(Arc::new(client))
        };
        Ok(Self {
            sip: client(sip_rules)?,
            https: client(Rules::Https)?,
            server: server(config, &provider)?,
            sip_rules,
            insecure: config.insecure,
        })
    }

    pub(crate) fn can_accept(&self) -> bool {
        self.server.is_some()
    }

    /// Connects as a client that wants this domain.
    pub(crate) async fn connect(
        &self,
        name: &str,
        websocket: bool,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<PeerIdentity>)> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no name"))
        })?;
        let config = if websocket { &self.https } else { &self.sip };
        let stream = TlsConnector::from(Arc::clone(config)).connect(server, stream).await?;
        let rules = if websocket { Rules::Https } else { self.sip_rules };
        // An unchecked certificate proves nothing.
        let peer = stream.get_ref().1.peer_certificates().filter(|_| !self.insecure);
        let identity = first(peer, rules);
        Ok((TlsStream::Client(stream), identity))
    }

    /// Answers a client.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<PeerIdentity>)> {
        let Some(server) = &self.server else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = TlsAcceptor::from(Arc::clone(server)).accept(stream).await?;
        let identity = first(stream.get_ref().1.peer_certificates(), self.sip_rules);
        Ok((TlsStream::Server(stream), identity))
    }
}

fn first(certificates: Option<&[CertificateDer<'_>]>, rules: Rules) -> Option<PeerIdentity> {
    Some(PeerIdentity::new(certificates?.first()?.clone().into_owned(), rules))
}

fn chain_verifier(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<(Arc<dyn ServerCertVerifier>, bool), TlsError> {
    let provider = Arc::clone(provider);
    match &config.roots {
        _ if config.insecure => Ok((Arc::new(Credulous(provider)), true)),
        Roots::Platform => {
            let verifier = rustls_platform_verifier::Verifier::new(provider)
                .map_err(|e| unusable("the platform's roots", e))?;
            // There the verifier is rustls's own.
            let webpki = cfg!(all(unix, not(target_os = "android"), not(target_vendor = "apple")));
            Ok((Arc::new(verifier), webpki))
        }
        Roots::Only(authorities) => {
            let roots = Arc::new(root_store(authorities)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|e| unusable("the authorities", e))?;
            Ok((verifier, true))
        }
    }
}

fn server(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let Some(identity) = &config.server else { return Ok(None) };
    let (chain, key) = load(identity, "the server certificate")?;
    let verifier = |roots: &Roots, required: bool| {
        let Roots::Only(authorities) = roots else { return Err(TlsError::PlatformForClients) };
        let roots = Arc::new(root_store(authorities)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|e| unusable("the clients' authorities", e))
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable("the cipher suites", e))?;
    let builder = match &config.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional(roots) => builder.with_client_cert_verifier(verifier(roots, false)?),
        ClientAuth::Required(roots) => builder.with_client_cert_verifier(verifier(roots, true)?),
    };
    let mut server =
        builder.with_single_cert(chain, key).map_err(|e| unusable("the server certificate", e))?;
    server.session_storage = match config.sessions {
        0 => Arc::new(NoServerSessionStorage {}),
        most => ServerSessionMemoryCache::new(most),
    };
    Ok(Some(Arc::new(server)))
}

fn root_store(authorities: &[Material]) -> Result<RootCertStore, TlsError> {
    let what = "the authorities";
    let mut store = RootCertStore::empty();
    for material in authorities {
        for certificate in certificates(material, what)? {
            store.add(certificate).map_err(|e| unusable(what, e))?;
        }
    }
    if store.is_empty() {
        return Err(TlsError::Missing { what, wanted: "certificate" });
    }
    Ok(store)
}

type Loaded = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn load(identity: &Identity, what: &'static str) -> Result<Loaded, TlsError> {
    let chain = certificates(&identity.chain, what)?;
    let missing = || TlsError::Missing { what, wanted: "private key" };
    let from_pem = |pem: &[u8]| PrivateKeyDer::from_pem_slice(pem).map_err(|_| missing());
    let from_der =
        |der: &[u8]| PrivateKeyDer::try_from(der.to_vec()).map_err(|e| unusable(what, e));
    let key = match &identity.key {
        Material::Pem(pem) => from_pem(pem.expose().as_bytes())?,
        Material::Der(all) => from_der(all.first().ok_or_else(missing)?)?,
        Material::File(path) => {
            let bytes = zeroize::Zeroizing::new(read(path)?);
            if is_pem(&bytes) { from_pem(&bytes)? } else { from_der(&bytes)? }
        }
    };
    Ok((chain, key))
}

fn certificates(
    material: &Material,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let from_pem = |pem: &[u8]| {
        CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| unusable(what, e))
    };
    let found = match material {
        Material::Pem(pem) => from_pem(pem.expose().as_bytes())?,
        Material::Der(all) => all.iter().map(|der| der.to_vec().into()).collect(),
        Material::File(path) => {
            let bytes = read(path)?;
            if is_pem(&bytes) { from_pem(&bytes)? } else { vec![bytes.into()] }
        }
    };
    if found.is_empty() {
        return Err(TlsError::Missing { what, wanted: "certificate" });
    }
    Ok(found)
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(10).any(|w| w == b"-----BEGIN")
}

fn unusable(what: &'static str, error: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable { what, detail: error.to_string() }
}
