//! The least that a hyper server does: one thread a core, HTTP/1.1, a constant answer. To a request that names
//! a length it reads the body and answers as many bytes: what it costs to move a call's bytes, and nothing else.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::HeaderValue;
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::TcpListener;
use tokio::task::LocalSet;

/// The request that it is asked.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The header by which a request asks for an answer of so many bytes.
const ANSWER_BYTES: &str = "x-answer-bytes";

/// A request of another server, asking for an answer as long as that server's was.
pub fn same_bytes(request: &[u8], answer: &str) -> Vec<u8> {
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let line = request.iter().position(|byte| *byte == b'\n').expect("a first line") + 1;
    let header = format!("{ANSWER_BYTES}: {}\r\n", body.len());
    [&request[..line], header.as_bytes(), &request[line..]].concat()
}

/// Serves until it is killed.
pub fn serve(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<_> = (0..cores)
        .map(|_| {
            let listener = listener.try_clone().expect("a second handle");
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let local = LocalSet::new();
                runtime.expect("a runtime").block_on(local.run_until(accept(listener)));
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a thread");
    }
}

async fn accept(listener: TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let answer = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
        tokio::task::spawn_local(async move {
            // A client that goes is no failure.
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await,
            );
        });
    }
}

async fn answer(request: Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
    let bytes =
        request.headers().get(ANSWER_BYTES).and_then(|bytes| bytes.to_str().ok()?.parse().ok());
    let Some(bytes) = bytes else {
        return Response::new(Full::new(Bytes::from_static(b"Hello, world!")));
    };
    request.into_body().collect().await.expect("a body");
    let mut response = Response::new(Full::new(Bytes::from(vec![b'x'; bytes])));
    // As those of AWS's answers.
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
    let id = HeaderValue::from_static("00000000-0000-4000-8000-000000000000");
    headers.insert("x-amzn-requestid", id);
    response
}
