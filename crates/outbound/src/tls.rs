//! Whom TLS trusts: the machine's roots; and where those do not vouch for the server, a certificate
//! that it shows and whose thumbprint is listed: an authority that has signed the server's
//! certificate, or that certificate itself, which then needs no authority.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_verify-thumbprint.html>

use crate::{NotAnswered, unreachable, untrusted};
use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::{Arc, LazyLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Speaks TLS over a connection to the server of this name.
///
/// # Errors
/// [`NotAnswered::Untrusted`] for a server that is not trusted, or speaks no TLS.
pub(crate) async fn over(
    stream: TcpStream,
    host: &str,
    thumbprints: &[String],
) -> Result<TlsStream<TcpStream>, NotAnswered> {
    let name = ServerName::try_from(host.to_owned()).map_err(unreachable)?;
    let verifier = Arc::new(Verifier::of(thumbprints));
    let config = ClientConfig::builder_with_provider(CRYPTO.clone())
        .with_safe_default_protocol_versions()
        .map_err(unreachable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(untrusted)
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
