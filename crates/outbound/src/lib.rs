//! The HTTP calls that the server itself makes: to issuers of tokens, to the endpoints of topics, and to the
//! proxies of external key stores.
//!
//! The size of an answer is bounded, and nothing is followed elsewhere; time is the caller's to bound.
//! Without TLS only a loopback address is asked, and only where the caller says so. Whom TLS trusts
//! is in `tls`.
//!
//! ```no_run
//! # async fn example() -> Result<(), ringfence_outbound::NotAnswered> {
//! use ringfence_outbound::Ask;
//! let keys = Ask::of("https://id.example.com/keys").get().await?;
//! # Ok(())
//! # }
//! ```

mod tls;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes of an answer.
pub const LONGEST: usize = 256 * 1024;

/// Characters of what another says that are repeated.
const LONGEST_QUOTE: usize = 300;

/// What another has said, fit for a log or a terminal: its beginning, without control characters.
pub fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_QUOTE).collect()
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotAnswered {
    /// None came.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The server did not prove who it is.
    #[error("no TLS: {0}")]
    Untrusted(String),
    /// It is of no use.
    #[error("{0}")]
    Unusable(String),
}

pub(crate) fn unreachable(error: impl std::fmt::Display) -> NotAnswered {
    NotAnswered::Unreachable(error.to_string())
}

pub(crate) fn untrusted(error: impl std::fmt::Display) -> NotAnswered {
    NotAnswered::Untrusted(error.to_string())
}

fn unusable(why: impl Into<String>) -> NotAnswered {
    NotAnswered::Unusable(why.into())
}

/// One call to a URL.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    url: &'a str,
    plain: bool,
    thumbprints: &'a [String],
}

impl<'a> Ask<'a> {
    /// Of this URL, over TLS.
    pub const fn of(url: &'a str) -> Self {
        Self { url, plain: false, thumbprints: &[] }
    }

    /// Lets a loopback address answer without TLS.
    pub const fn plain(self, plain: bool) -> Self {
        Self { plain, ..self }
    }

    /// SHA-1 of certificates that are trusted beside the machine's roots, in hex.
    pub const fn trusting(self, thumbprints: &'a [String]) -> Self {
        Self { thumbprints, ..self }
    }

    /// Fetches a JSON document. The answer must be `200 OK`.
    ///
    /// # Errors
    /// [`NotAnswered`].
    pub async fn get(self) -> Result<Bytes, NotAnswered> {
        let headers = [(http::header::ACCEPT, HeaderValue::from_static("application/json"))];
        let (status, body) = self.send(Method::GET, headers, Bytes::new()).await?;
        match status {
            http::StatusCode::OK => Ok(body),
            _ => Err(unusable(format!("HTTP status {status}"))),
        }
    }

    /// Hands a body over. Any answer of success is one.
    ///
    /// # Errors
    /// [`NotAnswered`].
    pub async fn post(
        self,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Result<(), NotAnswered> {
        let (status, _) = self.send(Method::POST, headers, body).await?;
        if status.is_success() { Ok(()) } else { Err(unusable(format!("HTTP status {status}"))) }
    }

    async fn send(
        self,
        method: Method,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Result<(http::StatusCode, Bytes), NotAnswered> {
        let (status, body) = self.exchange(method, headers, body).await?;
        match status.is_server_error() {
            true => Err(unreachable(format!("HTTP status {status}"))),
            false => Ok((status, body)),
        }
    }

    /// Sends a request and takes any answer, whatever its status.
    ///
    /// # Errors
    /// [`NotAnswered`].
    pub async fn exchange(
        self,
        method: Method,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Result<(http::StatusCode, Bytes), NotAnswered> {
        let uri: Uri = self.url.parse().map_err(|_| unusable("no URL"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.plain => false,
            _ => return Err(unusable("a URL without TLS")),
        };
        let authority = uri.authority().ok_or_else(|| unusable("a URL without a host"))?;
        if authority.as_str().contains('@') {
            return Err(unusable("a URL with a user"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, authority.as_str())
            .header(http::header::USER_AGENT, concat!("ringfence/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(unreachable)?;
        request.headers_mut().extend(headers);
        let stream = connect(host, port, !tls).await?;
        if tls {
            exchange(tls::over(stream, host, self.thumbprints).await?, request).await
        } else {
            exchange(stream, request).await
        }
    }
}

async fn connect(host: &str, port: u16, loopback: bool) -> Result<TcpStream, NotAnswered> {
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
    request: http::Request<Full<Bytes>>,
) -> Result<(http::StatusCode, Bytes), NotAnswered> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(unreachable)?;
    let answering = async {
        let answer = sender.send_request(request).await.map_err(unreachable)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        Ok((status, body.map_err(|error| unusable(error.to_string()))?.to_bytes()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_said_is_quoted_in_part_and_without_control_characters() {
        assert_eq!(quoted("\u{1b}[31mno\n\u{9b}"), "[31mno");
        assert_eq!(quoted(&"é".repeat(1000)), "é".repeat(LONGEST_QUOTE));
    }

    #[tokio::test]
    async fn without_tls_only_a_loopback_address_is_asked_and_only_where_that_is_said() {
        for (url, plain, why) in [
            ("http://127.0.0.1:1/", false, "a URL without TLS"),
            ("http://192.0.2.1:1/", true, "no answer: the name has no address that may be asked"),
            ("https://a@example.com/", false, "a URL with a user"),
            ("ftp://127.0.0.1/", true, "a URL without TLS"),
            ("127.0.0.1", true, "a URL without TLS"),
        ] {
            let refused = Ask::of(url).plain(plain).get().await.unwrap_err();
            assert_eq!(refused.to_string(), why, "{url}");
        }
    }
}
