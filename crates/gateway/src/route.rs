//! Which operation of which service a request asks for.
//!
//! | the request has | protocol | service | operation |
//! |---|---|---|---|
//! | `X-Amz-Target: TrentService.ListKeys` | awsJson | by the target's prefix | after the dot |
//! | `/service/NAME/operation/OP`, `smithy-protocol` | rpcv2Cbor | by name | the last segment |
//! | `Action=CreateUser` in a form or query string | awsQuery, ec2Query | by credential scope | the action |
//! | none of these | restXml, restJson1 | by credential scope | by method and path |
//!
//! Without a credential scope the host or, for awsQuery, `Version` and `Action` tell the service.
//! Nothing here is believed: a request that names one service and is signed for another is refused
//! when it is authenticated.

use crate::service::Mounted;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use ringfence_wire::ServiceError;
use ringfence_wire::protocol::{Request, query, rest};
use ringfence_wire::service::{Operation, Protocol, Service};
use std::borrow::Cow;

/// Stands for the service of a request that names none.
pub static NO_SERVICE: Service = Service {
    id: "Ringfence",
    signing_name: "",
    endpoint_prefix: "",
    action_prefix: "",
    api_version: "",
    target_prefix: None,
    xml_namespace: None,
    protocols: &[Protocol::AwsQuery],
    query_compatible: false,
    global: false,
    validation_code: "ValidationError",
    operations: &[],
};

const X_AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");

/// Longest name of an operation that is repeated to the caller or recorded.
const LONGEST_NAME: usize = 128;

/// The services of a server.
pub struct Routes {
    services: Vec<Mounted>,
}

/// Where a request goes.
pub struct Route<'r> {
    /// The service; `None` where the request names none that is here.
    pub mounted: Option<&'r Mounted>,
    /// The protocol that it speaks, and in which an error is answered.
    pub protocol: Protocol,
    /// The name of the operation as the request gives it, cut to a sane length.
    pub name: Cow<'static, str>,
    /// The operation, or why there is none.
    pub operation: Result<&'static Operation, ServiceError>,
}

impl Route<'_> {
    /// The service's model.
    pub fn service(&self) -> &'static Service {
        self.mounted.map_or(&NO_SERVICE, Mounted::service)
    }
}

impl Routes {
    /// A server with these services.
    pub fn new(services: Vec<Mounted>) -> Self {
        Self { services }
    }

    /// A service by its model.
    pub fn mounted(&self, service: &'static Service) -> Option<&Mounted> {
        self.services.iter().find(|mounted| std::ptr::eq(mounted.service(), service))
    }

    /// Finds the operation. `scope` is the service of the credential scope.
    pub fn find(&self, method: &str, request: &Request<'_>, scope: Option<&str>) -> Route<'_> {
        if let Some(target) = header(request.headers, X_AMZ_TARGET) {
            return self.by_target(target, request.headers);
        }
        if header(request.headers, SMITHY_PROTOCOL) == Some("rpc-v2-cbor")
            && let Some((service, operation)) = rpc_path(request.path)
        {
            return self.by_rpc(service, operation, scope);
        }
        let form = is_form(request.headers).then(|| std::str::from_utf8(request.body).ok());
        let form = form.flatten().unwrap_or_default();
        let param = |name| parameter(form, name).or_else(|| parameter(request.query, name));
        if let Some(action) = param("Action") {
            return self.by_action(&action, param("Version").as_deref(), scope, request.headers);
        }
        self.by_path(method, request, scope)
    }

    fn by_target(&self, target: &str, headers: &HeaderMap) -> Route<'_> {
        let (prefix, name) = target.rsplit_once('.').unwrap_or(("", target));
        let speaks_json = |s: &Service| s.protocols.iter().any(|p| is_json(*p));
        let mounted = self
            .services
            .iter()
            .find(|m| m.service().target_prefix == Some(prefix) && speaks_json(m.service()));
        let old = header(headers, CONTENT_TYPE).is_some_and(|t| t.contains("json-1.0"));
        let protocol = if old { Protocol::AwsJson10 } else { Protocol::AwsJson11 };
        named(mounted, protocol, name, || unknown_operation(String::new()))
    }

    fn by_rpc(&self, service: &str, name: &str, scope: Option<&str>) -> Route<'_> {
        let here = |m: &&Mounted| m.service().protocols.contains(&Protocol::RpcV2Cbor);
        let mounted = self
            .services
            .iter()
            .filter(here)
            .find(|m| m.service().target_prefix == Some(service))
            .or_else(|| self.by_scope(scope).find(here));
        named(mounted, Protocol::RpcV2Cbor, name, || unknown_operation(String::new()))
    }

    fn by_action(
        &self,
        action: &str,
        version: Option<&str>,
        scope: Option<&str>,
        headers: &HeaderMap,
    ) -> Route<'_> {
        let here = |m: &&Mounted| m.service().protocols.iter().any(|p| is_query(*p));
        let right = |m: &&Mounted| version.is_none_or(|v| m.service().api_version == v);
        let knows = |m: &&Mounted| right(m) && m.service().operation(action).is_some();
        // Two services may share a signing name and differ in their version, as the two kinds of
        // load balancer do.
        let mounted = self
            .by_scope(scope)
            .filter(here)
            .find(right)
            .or_else(|| self.by_scope(scope).find(here))
            .or_else(|| self.by_host(headers).filter(here))
            .or_else(|| self.services.iter().filter(here).find(knows));
        let protocol = mounted
            .and_then(|m| m.service().protocols.iter().copied().find(|p| is_query(*p)))
            .unwrap_or(Protocol::AwsQuery);
        let service = mounted.map_or(&NO_SERVICE, Mounted::service);
        named(mounted, protocol, action, || {
            let (action, version) = (cut(action), version.unwrap_or(service.api_version));
            let version = cut(version);
            unknown_operation(format!("Could not find operation {action} for version {version}"))
        })
    }

    fn by_path(&self, method: &str, request: &Request<'_>, scope: Option<&str>) -> Route<'_> {
        let mounted = self.by_scope(scope).next().or_else(|| self.by_host(request.headers));
        let service = mounted.map_or(&NO_SERVICE, Mounted::service);
        let protocol = service.protocols.first().copied().unwrap_or(Protocol::AwsQuery);
        let rest = service.protocols.iter().copied().find(|p| is_rest(*p));
        let Some(rest) = rest else {
            let missing = ServiceError::new(
                "MissingAction",
                400,
                "The request is missing an action or a required parameter.",
            );
            let operation = Err(missing);
            return Route { mounted, protocol, name: Cow::default(), operation };
        };
        let operation = best_path(service, method, request).ok_or_else(|| {
            unknown_operation(format!("There is no operation at {method} {}", cut(request.path)))
        });
        let name = operation.as_ref().map_or("", |operation| operation.name).into();
        Route { mounted, protocol: rest, name, operation }
    }

    fn by_scope<'r>(&'r self, scope: Option<&str>) -> impl Iterator<Item = &'r Mounted> {
        self.services.iter().filter(move |m| Some(m.service().signing_name) == scope)
    }

    /// By the first label of a host such as `sts.eu-west-1.amazonaws.com`.
    fn by_host(&self, headers: &HeaderMap) -> Option<&Mounted> {
        let label = header(headers, HOST)?.split('.').next()?;
        self.services.iter().find(|m| m.service().endpoint_prefix == label)
    }
}

/// The route to an operation by its name.
fn named<'r>(
    mounted: Option<&'r Mounted>,
    protocol: Protocol,
    name: &str,
    unknown: impl FnOnce() -> ServiceError,
) -> Route<'r> {
    let found = mounted.and_then(|m| m.service().operation(name));
    let name = found.map_or_else(|| Cow::Owned(cut(name).to_owned()), |known| known.name.into());
    Route { mounted, protocol, name, operation: found.ok_or_else(unknown) }
}

/// Of the operations whose pattern fits, the one that asks for most: more literal segments, then
/// more constants in the query string.
fn best_path(
    service: &'static Service,
    method: &str,
    request: &Request<'_>,
) -> Option<&'static Operation> {
    let params = query::Params::parse(request.query).ok()?;
    let fits = |operation: &&Operation| {
        operation.method == method
            && rest::match_path(operation.uri, request.path).is_some()
            && rest::match_query(operation.uri, &params)
    };
    let weight = |operation: &&Operation| {
        let literal = |s: &rest::Segment<'_>| matches!(s, rest::Segment::Literal(_));
        let literals = rest::segments(operation.uri).filter(literal).count();
        let constants = operation.uri.split_once('?').map_or(0, |(_, q)| q.split('&').count());
        (literals, constants)
    };
    service.operations.iter().filter(fits).max_by_key(weight)
}

fn unknown_operation(message: String) -> ServiceError {
    ServiceError::new("InvalidAction", 400, message)
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn is_form(headers: &HeaderMap) -> bool {
    header(headers, CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

const fn is_json(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::AwsJson10 | Protocol::AwsJson11)
}

const fn is_query(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::AwsQuery | Protocol::Ec2Query)
}

const fn is_rest(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::RestJson1 | Protocol::RestXml)
}

/// `/service/NAME/operation/OP`, possibly behind a prefix.
fn rpc_path(path: &str) -> Option<(&str, &str)> {
    let (rest, operation) = path.rsplit_once("/operation/")?;
    let (_, service) = rest.rsplit_once("/service/").or_else(|| rest.split_once("service/"))?;
    Some((service, operation))
}

/// The decoded value of a form's parameter, found without decoding the others.
fn parameter(form: &str, name: &str) -> Option<String> {
    let value = form
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, value)| value)?;
    let spaced = value.replace('+', " ");
    Some(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(LONGEST_NAME)).rev().find(|i| text.is_char_boundary(*i));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_parameter_is_found_by_its_whole_name() {
        let form = "NotAction=A&Action=Create%55ser&Version=2010-05-08&Tags.Action=B";
        assert_eq!(parameter(form, "Action").as_deref(), Some("CreateUser"));
        assert_eq!(parameter(form, "Version").as_deref(), Some("2010-05-08"));
        assert_eq!(parameter(form, "action"), None);
        assert_eq!(parameter("Action", "Action"), None);
    }

    #[test]
    fn an_rpc_path_gives_service_and_operation() {
        assert_eq!(rpc_path("/service/S/operation/O"), Some(("S", "O")));
        assert_eq!(rpc_path("/prefix/service/S/operation/O"), Some(("S", "O")));
        assert_eq!(rpc_path("/operation/O"), None);
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        let long = format!("{}é", "a".repeat(LONGEST_NAME - 1));
        assert_eq!(cut(&long).len(), LONGEST_NAME - 1);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn a_request_that_names_no_service_has_no_route() {
        let routes = Routes::new(Vec::new());
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let request = Request { path: "/", query: "", headers: &headers, body: &body };
        let route = routes.find("GET", &request, Some("iam"));
        assert!(route.mounted.is_none());
        assert_eq!(route.operation.unwrap_err().code, "MissingAction");
    }
}
