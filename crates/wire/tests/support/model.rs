//! A case's model as the static tables that the generator would write for it.

use ringfence_wire::service::{
    AccessLevel, Auth, Authorization, AuthorizationSource, Operation, Protocol, Service,
};
use ringfence_wire::shape::{Location, Member, Shape, TimestampFormat, prelude};
use serde_json::{Map, Value as Json};
use std::cell::RefCell;
use std::collections::HashMap;

/// How often a shape that contains itself is unrolled: tables made at run time cannot refer to one
/// another in a circle, and no case nests this deep.
const UNROLLED: usize = 8;

/// The shapes of one suite, made when they are first asked for.
pub struct Model<'m> {
    metadata: &'m Json,
    shapes: &'m Map<String, Json>,
    made: RefCell<HashMap<(String, usize), &'static Shape>>,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn name(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn text<'v>(value: &'v Json, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn flag(value: &Json, key: &str) -> bool {
    value.get(key).is_some_and(|v| v.as_bool().unwrap_or(true))
}

fn format(name: &str) -> TimestampFormat {
    match name {
        "iso8601" => TimestampFormat::DateTime,
        "unixTimestamp" => TimestampFormat::EpochSeconds,
        "rfc822" => TimestampFormat::HttpDate,
        other => panic!("unknown timestamp format `{other}`"),
    }
}

fn namespace(value: &Json) -> (&'static str, &'static str) {
    (
        name(value.as_str().or_else(|| text(value, "uri")).unwrap_or_default()),
        name(text(value, "prefix").unwrap_or_default()),
    )
}

impl<'m> Model<'m> {
    /// The model of a suite.
    pub fn new(suite: &'m Json) -> Self {
        Self {
            metadata: &suite["metadata"],
            shapes: suite["shapes"].as_object().expect("a suite has shapes"),
            made: RefCell::default(),
        }
    }

    /// The suite's protocol.
    pub fn protocol(&self) -> Protocol {
        match (text(self.metadata, "protocol"), text(self.metadata, "jsonVersion")) {
            (Some("query"), _) => Protocol::AwsQuery,
            (Some("ec2"), _) => Protocol::Ec2Query,
            (Some("json"), Some("1.0")) => Protocol::AwsJson10,
            (Some("json"), _) => Protocol::AwsJson11,
            (Some("rest-json"), _) => Protocol::RestJson1,
            (Some("rest-xml"), _) => Protocol::RestXml,
            (Some("smithy-rpc-v2-cbor"), _) => Protocol::RpcV2Cbor,
            other => panic!("unknown protocol {other:?}"),
        }
    }

    /// The operation of a case. `xml_namespace` stands for a fact of the service that the cases
    /// leave out of their metadata.
    pub fn operation(
        &self,
        given: &Json,
        xml_namespace: Option<&'static str>,
    ) -> &'static Operation {
        let metadata = |key| text(self.metadata, key).map(name);
        let service = leak(Service {
            id: metadata("serviceId").unwrap_or("Cases"),
            signing_name: "cases",
            endpoint_prefix: "cases",
            action_prefix: "cases",
            api_version: metadata("apiVersion").unwrap_or_default(),
            target_prefix: metadata("targetPrefix"),
            xml_namespace,
            protocols: leak([self.protocol()]),
            query_compatible: self.metadata.get("awsQueryCompatible").is_some(),
            global: false,
            validation_code: "ValidationException",
            // The operation refers to its service, so the service cannot list it.
            operations: &[],
        });
        let http = &given["http"];
        let errors: Vec<&'static Shape> = given["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| Some(self.shape(text(error, "shape")?)))
            .collect();
        let input = &given["input"];
        leak(Operation {
            name: name(text(given, "name").expect("an operation has a name")),
            service,
            method: name(text(http, "method").expect("an operation has a method")),
            uri: name(text(http, "requestUri").expect("an operation has a path")),
            status: http["responseCode"].as_u64().map_or(200, |status| status as u16),
            input: self.root(input),
            output: self.root(&given["output"]),
            // The cases leave out `resultWrapper`, which names every awsQuery result so.
            result_wrapper: (self.protocol() == Protocol::AwsQuery && given["output"].is_object())
                .then(|| name(&format!("{}Result", text(given, "name").unwrap_or_default()))),
            input_namespace: None,
            errors: errors.leak(),
            auth: Auth::SigV4,
            pagination: None,
            authorization: Authorization {
                source: AuthorizationSource::NotNeeded,
                actions: &[],
                access_level: AccessLevel::Read,
                resources: &[],
                condition_keys: &[],
                passes: &[],
            },
        })
    }

    fn root(&self, io: &Json) -> Member {
        let Some(shape) = text(io, "shape") else { return Member::new("Empty", &prelude::EMPTY) };
        let mut root = Member::new(name(shape), self.shape(shape));
        if let Some(wire) = text(io, "locationName") {
            root = root.wire(name(wire));
        }
        if let Some(value) = io.get("xmlNamespace") {
            let (uri, prefix) = namespace(value);
            root = root.namespace(uri, prefix);
        }
        root
    }

    fn shape(&self, shape: &str) -> &'static Shape {
        self.unrolled(shape, UNROLLED)
    }

    fn unrolled(&self, shape: &str, left: usize) -> &'static Shape {
        let key = (shape.to_owned(), left);
        if let Some(made) = self.made.borrow().get(&key) {
            return made;
        }
        let made = leak(self.table(shape, left));
        self.made.borrow_mut().insert(key, made);
        made
    }

    fn table(&self, shape: &str, left: usize) -> Shape {
        let spec = self.shapes.get(shape).unwrap_or_else(|| panic!("no shape `{shape}`"));
        let id = name(shape);
        let mut out = match text(spec, "type").expect("a shape has a type") {
            "structure" if flag(spec, "document") => Shape::document(id),
            "structure" => self.structure(id, spec, left),
            "list" => Shape::list(id, self.member("member", &spec["member"], false, left)),
            "map" => Shape::map(
                id,
                self.member("key", &spec["key"], false, left),
                self.member("value", &spec["value"], false, left),
            ),
            "string" => Shape::string(id),
            "integer" => Shape::integer(id),
            "long" => Shape::long(id),
            "float" => Shape::float(id),
            "double" => Shape::double(id),
            "boolean" => Shape::boolean(id),
            "blob" => Shape::blob(id),
            "timestamp" => Shape::timestamp(id),
            other => panic!("unknown type `{other}`"),
        };
        if let Some(values) = spec["enum"].as_array() {
            let values: Vec<&'static str> =
                values.iter().filter_map(Json::as_str).map(name).collect();
            out = out.values(values.leak());
        }
        if let Some(value) = text(spec, "timestampFormat") {
            out = out.format(format(value));
        }
        if flag(spec, "sparse") {
            out = out.sparse();
        }
        if flag(spec, "flattened") {
            out = out.flattened();
        }
        out
    }

    fn structure(&self, id: &'static str, spec: &Json, left: usize) -> Shape {
        let required = |name: &str| {
            let list = spec["required"].as_array();
            list.is_some_and(|list| list.iter().any(|item| item.as_str() == Some(name)))
        };
        let specs = spec["members"].as_object().filter(|_| left > 0);
        let members: Vec<Member> = specs
            .into_iter()
            .flatten()
            .map(|(name, member)| self.member(name, member, required(name), left - 1))
            .collect();
        let payload = text(spec, "payload")
            .and_then(|payload| members.iter().position(|member| member.name == payload));
        let mut out = Shape::structure(id, members.leak());
        if let Some(index) = payload {
            out = out.payload(index);
        }
        if flag(spec, "union") {
            out = out.union();
        }
        if let Some(wire) = text(spec, "locationName") {
            out = out.wire(name(wire));
        }
        if let Some(value) = spec.get("xmlNamespace") {
            let (uri, prefix) = namespace(value);
            out = out.namespace(uri, prefix);
        }
        if flag(spec, "exception") || spec.get("error").is_some() {
            let error = &spec["error"];
            let fault = flag(spec, "fault");
            let status = error["httpStatusCode"].as_u64().map(|status| status as u16);
            let status = status.unwrap_or(if fault { 500 } else { 400 });
            let code = text(error, "code").map_or(id, name);
            out = out.error(code, status, status < 500 && !fault);
        }
        out
    }

    fn member(&self, id: &str, spec: &Json, required: bool, left: usize) -> Member {
        let shape = text(spec, "shape").expect("a member has a shape");
        let mut out = Member::new(name(id), self.unrolled(shape, left));
        if let Some(wire) = text(spec, "locationName").filter(|wire| *wire != id) {
            out = out.wire(name(wire));
        }
        if let Some(query) = text(spec, "queryName") {
            out = out.query(name(query));
        }
        out = match text(spec, "location") {
            None => out,
            Some("uri") => out.at(Location::Uri),
            Some("querystring") => out.at(Location::QueryString),
            Some("header") => out.at(Location::Header),
            Some("headers") => out.at(Location::Headers),
            Some("statusCode") => out.at(Location::StatusCode),
            Some(other) => panic!("unknown location `{other}`"),
        };
        if let Some(value) = spec.get("xmlNamespace") {
            let (uri, prefix) = namespace(value);
            out = out.namespace(uri, prefix);
        }
        if let Some(value) = text(spec, "timestampFormat") {
            out = out.format(format(value));
        }
        if flag(spec, "flattened") {
            out = out.flattened();
        }
        if flag(spec, "xmlAttribute") {
            out = out.xml_attribute();
        }
        if flag(spec, "idempotencyToken") {
            out = out.idempotency_token();
        }
        if flag(spec, "jsonvalue") {
            out = out.json_value();
        }
        if flag(spec, "hostLabel") {
            out = out.host_label();
        }
        if required { out.required() } else { out }
    }
}
