//! Fetches an issuer's keys: its discovery document, and the key set that this names.
//! <https://openid.net/specs/openid-connect-discovery-1_0.html>
//!
//! Time and size are bounded, nothing is followed elsewhere, and what was fetched is shown to
//! nobody. Without TLS only a loopback address is asked, and only where the issuer is one itself.
//!
//! **Whom TLS trusts.** The machine's roots; and where those do not vouch for the server, a
//! certificate that it shows and whose thumbprint the provider lists: an authority that has signed
//! the server's certificate, or that certificate itself, which then needs no authority.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html>

use super::keys::KeySet;
use aws_lc_rs::digest;
use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Time for both documents together.
const TIME: Duration = Duration::from_secs(5);
/// Bytes of either document.
pub(super) const LONGEST: usize = 256 * 1024;

/// Why there is no key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFetched {
    /// No answer came.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The answer is of no use.
    #[error("{0}")]
    Unusable(String),
}

fn unreachable(error: impl std::fmt::Display) -> NotFetched {
    NotFetched::Unreachable(error.to_string())
}

fn unusable(why: impl Into<String>) -> NotFetched {
    NotFetched::Unusable(why.into())
}

/// Asks issuers.
#[derive(Debug, Default)]
pub(super) struct Fetcher;

impl Fetcher {
    /// The key set of an issuer.
    pub async fn key_set(
        &self,
        issuer: &str,
        thumbprints: &[String],
    ) -> Result<KeySet, NotFetched> {
        let fetching = async {
            // Section 4 of the specification: a slash at the end is taken off first.
            let base = issuer.strip_suffix('/').unwrap_or(issuer);
            let plain = issuer.starts_with("http://");
            let found =
                get(&format!("{base}/.well-known/openid-configuration"), plain, thumbprints)
                    .await?;
            let found: serde_json::Value = serde_json::from_slice(&found)
                .map_err(|_| unusable("the discovery document is no JSON"))?;
            if found["issuer"] != issuer {
                return Err(unusable("the discovery document is another issuer's"));
            }
            let keys = found["jwks_uri"].as_str().ok_or_else(|| unusable("no `jwks_uri`"))?;
            let keys = get(keys, plain, thumbprints).await?;
            KeySet::parse(&keys).map_err(|why| unusable(why.to_string()))
        };
        tokio::time::timeout(TIME, fetching).await.map_err(unreachable)?
    }
}

/// One document. `plain` lets a loopback address answer without TLS.
async fn get(url: &str, plain: bool, thumbprints: &[String]) -> Result<Bytes, NotFetched> {
    let uri: Uri = url.parse().map_err(|_| unusable("no URL"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if plain => false,
        _ => return Err(unusable("a URL without TLS")),
    };
    let authority = uri.authority().ok_or_else(|| unusable("a URL without a host"))?;
    if authority.as_str().contains('@') {
        return Err(unusable("a URL with a user"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = connect(host, port, !tls).await?;
    if !tls {
        return exchange(stream, &uri, authority.as_str()).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(unreachable)?;
    let verifier = Arc::new(Verifier::of(thumbprints));
    let config = ClientConfig::builder_with_provider(CRYPTO.clone())
        .with_safe_default_protocol_versions()
        .map_err(unreachable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(unreachable)?;
    exchange(stream, &uri, authority.as_str()).await
}

async fn connect(host: &str, port: u16, loopback: bool) -> Result<TcpStream, NotFetched> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(unreachable)?;
    let usable = |address: &SocketAddr| !loopback || address.ip().is_loopback();
    let mut last = unreachable("the name has no address that may be asked");
    for address in found.filter(usable) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = unreachable(error),
        }
    }
    Err(last)
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    uri: &Uri,
    authority: &str,
) -> Result<Bytes, NotFetched> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(unreachable)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::get(path)
        .header(http::header::HOST, authority)
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::USER_AGENT, concat!("ringfence/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(unreachable)?;
    let answering = async {
        let answer = sender.send_request(request).await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_server_error() {
            return Err(unreachable(format!("HTTP status {status}")));
        }
        if status != http::StatusCode::OK {
            return Err(unusable(format!("HTTP status {status}")));
        }
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        Ok(body.map_err(|error| unusable(error.to_string()))?.to_bytes())
    };
    // The connection is driven here, and ends with the answer.
    tokio::pin!(answering, connection);
    tokio::select! {
        biased;
        answer = &mut answering => answer,
        ended = &mut connection => match ended {
            Ok(()) => answering.await,
            Err(error) => Err(unreachable(error)),
        },
    }
}

static CRYPTO: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(provider::default_provider()));

/// The machine's roots, read at the first fetch.
static SYSTEM: LazyLock<Option<Arc<WebPkiServerVerifier>>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of this machine was not read");
    }
    roots.add_parsable_certificates(found.certs);
    trusting(roots)
});

fn trusting(roots: RootCertStore) -> Option<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), CRYPTO.clone()).build().ok()
}

/// Judges a server's certificate by the machine's roots, or else by thumbprints.
#[derive(Debug)]
struct Verifier {
    thumbprints: Vec<Vec<u8>>,
}

impl Verifier {
    fn of(thumbprints: &[String]) -> Self {
        Self {
            thumbprints: thumbprints.iter().filter_map(|print| hex::decode(print).ok()).collect(),
        }
    }

    fn lists(&self, certificate: &CertificateDer<'_>) -> bool {
        let print = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
        self.thumbprints.iter().any(|listed| listed == print.as_ref())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = |verifier: &WebPkiServerVerifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let by_system = match &*SYSTEM {
            Some(verifier) => judged(verifier),
            None => Err(rustls::CertificateError::UnknownIssuer.into()),
        };
        let Err(refused) = by_system else { return by_system };
        if self.lists(end_entity) {
            // It is the very certificate that was listed: there is no chain to build.
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let mut listed = RootCertStore::empty();
        listed.add_parsable_certificates(
            intermediates.iter().filter(|one| self.lists(one)).map(|one| one.clone().into_owned()),
        );
        match trusting(listed) {
            Some(verifier) => judged(&verifier),
            None => Err(refused),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &CRYPTO.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &CRYPTO.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        CRYPTO.signature_verification_algorithms.supported_schemes()
    }
}
