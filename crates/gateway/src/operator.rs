//! What the server tells and does for whoever runs it, apart from AWS's services:
//!
//! | path | answer |
//! |---|---|
//! | `GET /_ringfence/health` | 200 when calls are answered |
//! | `GET /_ringfence/metrics` | Prometheus's text format |
//! | `GET /_ringfence/NAME/…` | what a service publishes for everyone: an issuer's keys |
//! | `POST /_ringfence/NAME/…` | an API beside AWS's (`beside.rs`) |
//! | `POST /_ringfence/clock` | moves the clock, and does what is due then (`--dev`) |
//! | `POST /_ringfence/reset`, `/moto-api/reset` | starts over (`--dev`) |

use crate::gateway::Gateway;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, header};
use ringfence_wire::protocol::Reply;
use ringfence_wire::shape::TimestampFormat;
use std::sync::Arc;

/// Whether a path is the operator's. No AWS service has it: the name of an S3 bucket has no
/// underscore, and `moto-api` is what existing test suites call.
pub(crate) fn is_operators(path: &str) -> bool {
    path.starts_with("/_ringfence/") || path == "/moto-api/reset"
}

/// Answers an operator's request.
pub(crate) async fn answer(gateway: &Gateway, parts: &Parts, body: &Bytes) -> Reply {
    let reply = at_once(gateway, parts, body);
    // What the new time makes due is done before the answer, so that a test sees it.
    if parts.uri.path() == "/_ringfence/clock" && reply.status == 200 {
        gateway.carry_on().await;
    }
    reply
}

fn at_once(gateway: &Gateway, parts: &Parts, body: &Bytes) -> Reply {
    match (parts.uri.path(), &gateway.dev) {
        ("/_ringfence/health", _) => only(parts, &Method::GET, || json(200, "{\"status\":\"ok\"}")),
        ("/_ringfence/metrics", _) => only(parts, &Method::GET, || {
            Reply::new(200, "text/plain; version=0.0.4", gateway.metrics.text())
        }),
        ("/_ringfence/clock", Some(dev)) => {
            only(parts, &Method::POST, || match dev.move_clock(body) {
                Ok(now) => {
                    let now = now.format(TimestampFormat::DateTime);
                    json(200, &serde_json::json!({ "now": now }).to_string())
                }
                Err(message) => error(400, &message),
            })
        }
        ("/_ringfence/reset" | "/moto-api/reset", Some(dev)) => {
            only(parts, &Method::POST, || match dev.start_over() {
                Ok(world) => {
                    gateway.world.store(Arc::new(world));
                    json(200, "{\"status\":\"ok\"}")
                }
                Err(message) => error(500, &message),
            })
        }
        (path, _) => match path.strip_prefix("/_ringfence/") {
            Some(rest) if rest.contains('/') => {
                only(parts, &Method::GET, || published(gateway, rest))
            }
            _ => error(404, "there is nothing here"),
        },
    }
}

/// What a service publishes.
fn published(gateway: &Gateway, path: &str) -> Reply {
    let Some(document) = gateway.world.load().publishers.find(path) else {
        return error(404, "there is nothing here");
    };
    let kept = format!("public, max-age={}", document.max_age);
    Reply::new(200, document.content_type, document.body)
        .header(header::CACHE_CONTROL, &kept)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

fn only(parts: &Parts, method: &Method, answer: impl FnOnce() -> Reply) -> Reply {
    // A HEAD is a GET whose body hyper leaves out.
    let asked = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    if asked == method {
        return answer();
    }
    error(405, "this path takes another method").header(header::ALLOW, method.as_str())
}

fn error(status: u16, message: &str) -> Reply {
    json(status, &serde_json::json!({ "message": message }).to_string())
}

fn json(status: u16, body: &str) -> Reply {
    Reply::new(status, "application/json", body.to_owned())
}
