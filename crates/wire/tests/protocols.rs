//! The protocol cases of Smithy and AWS, as botocore carries them, read the way a server needs
//! them: a request that a client sends is read back into its parameters, and a result is written
//! into an answer that a client reads as that result.
//!
//! The cases lie in `../shared/data/protocols` from the project's root, or where the environment's
//! `RINGFENCE_SHARED_DATA` says; without them there is nothing to judge, and the tests say so.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use ringfence_wire::protocol::query::Params;
use ringfence_wire::protocol::{Body, Request, read_input, rest, write_error, write_output};
use ringfence_wire::shape::{Kind, Location};
use ringfence_wire::{Operation, Protocol, ServiceError};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use support::dynamic::Fields;
use support::model::Model;
use support::{answer, client, same};

/// Input cases whose request says something else than the parameters that the client was given:
/// what it says, and why.
const SAYS: &[(&str, &str, &str)] = &[
    ("input/ec2/Ec2EmptyQueryLists", "{}", "ec2Query cannot say that a list is empty"),
    ("input/query/QueryEmptyQueryMaps", "{}", "awsQuery cannot say that a map is empty"),
    (
        "input/rest-json/RestJsonOmitsEmptyListQueryValues",
        "{}",
        "a query string cannot say that a list is empty",
    ),
    (
        "input/rest-json/RestJsonHttpPrefixHeadersAreNotPresent",
        r#"{"foo":"Foo"}"#,
        "headers cannot say that a map is empty",
    ),
    (
        "input/rest-xml/HttpPrefixHeadersAreNotPresent",
        r#"{"foo":"Foo"}"#,
        "headers cannot say that a map is empty",
    ),
    (
        "input/rest-json/RestJsonHttpWithEmptyStructurePayload",
        r#"{"payloadConfig":{}}"#,
        "an absent structure is sent as an empty one",
    ),
    (
        "input/rest-json/RestJsonHttpWithHeadersButNoPayload",
        r#"{"testId":"t-12345","payloadConfig":{}}"#,
        "an absent structure is sent as an empty one",
    ),
];

/// Output cases that are answered in other bytes, which a client reads as the same, by reason: most
/// show what a client puts up with from some server.
const OTHER_BYTES: &[(&str, &[&str])] = &[
    (
        "the client reads a time with an offset; a server writes UTC",
        &[
            "output/ec2/Ec2QueryDateTimeWithNegativeOffset",
            "output/ec2/Ec2QueryDateTimeWithPositiveOffset",
            "output/json/AwsJson11DateTimeWithNegativeOffset",
            "output/json/AwsJson11DateTimeWithPositiveOffset",
            "output/query/AwsQueryDateTimeWithNegativeOffset",
            "output/query/AwsQueryDateTimeWithPositiveOffset",
            "output/rest-json/RestJsonDateTimeWithNegativeOffset",
            "output/rest-json/RestJsonDateTimeWithPositiveOffset",
            "output/rest-xml/RestXmlDateTimeWithNegativeOffset",
            "output/rest-xml/RestXmlDateTimeWithPositiveOffset",
        ],
    ),
    (
        "the client cuts the shape's name out of a longer one, which a server sends plain",
        &[
            "output/json/AwsJson11FooErrorUsingXAmznErrorTypeWithUri",
            "output/json/AwsJson11FooErrorUsingXAmznErrorTypeWithUriAndNamespace",
            "output/json/AwsJson11FooErrorUsingCode",
            "output/json/AwsJson11FooErrorUsingCodeAndNamespace",
            "output/json/AwsJson11FooErrorUsingCodeUriAndNamespace",
            "output/json/AwsJson11FooErrorWithDunderTypeAndNamespace",
            "output/json/AwsJson11FooErrorWithDunderTypeUriAndNamespace",
            "output/json_1_0-query-compatible/QueryCompatibleAwsJson10NoCustomCodeError",
            "output/json_1_0/AwsJson10InvalidGreetingError",
            "output/json_1_0/AwsJson10FooErrorUsingXAmznErrorTypeWithUri",
            "output/json_1_0/AwsJson10FooErrorUsingXAmznErrorTypeWithUriAndNamespace",
            "output/json_1_0/AwsJson10FooErrorUsingCode",
            "output/json_1_0/AwsJson10FooErrorUsingCodeAndNamespace",
            "output/json_1_0/AwsJson10FooErrorUsingCodeUriAndNamespace",
            "output/json_1_0/AwsJson10FooErrorWithDunderTypeAndNamespace",
            "output/json_1_0/AwsJson10FooErrorWithDunderTypeUriAndNamespace",
            "output/json_1_0/AwsJson10ComplexError",
            "output/json_1_0/AwsJson10EmptyComplexError",
            "output/rest-json/RestJsonFooErrorUsingXAmznErrorTypeWithUri",
            "output/rest-json/RestJsonFooErrorUsingXAmznErrorTypeWithUriAndNamespace",
            "output/rest-json/RestJsonFooErrorUsingCode",
            "output/rest-json/RestJsonFooErrorUsingCodeAndNamespace",
            "output/rest-json/RestJsonFooErrorUsingCodeUriAndNamespace",
            "output/rest-json/RestJsonFooErrorWithDunderTypeAndNamespace",
            "output/rest-json/RestJsonFooErrorWithDunderTypeUriAndNamespace",
            "output/smithy-rpc-v2-cbor-query-compatible/QueryCompatibleRpcV2CborNoCustomCodeError",
            "output/smithy-rpc-v2-cbor/RpcV2CborInvalidGreetingError",
            "output/smithy-rpc-v2-cbor/RpcV2CborComplexError",
            "output/smithy-rpc-v2-cbor/RpcV2CborEmptyComplexError",
        ],
    ),
    (
        "restJson1 errors are named in the header alone, not in the body",
        &["output/rest-json/RestJsonFooErrorWithDunderType"],
    ),
    (
        "the model's one status is awsQuery's, and the name comes plain",
        &[
            "output/json_1_0-query-compatible/QueryCompatibleAwsJson10CustomCodeError",
            "output/smithy-rpc-v2-cbor-query-compatible/QueryCompatibleRpcV2CborCustomCodeError",
        ],
    ),
    (
        "the client takes an empty body for an empty structure, which a server writes out",
        &[
            "output/json/json_1_1_service_responds_with_no_payload",
            "output/json_1_0/AwsJson10ServiceRespondsWithNoPayload",
            "output/rest-json/RestJsonEmptyInputAndEmptyOutputJsonObjectOutput",
            "output/rest-json/RestJsonGreetingWithErrorsNoPayload",
            "output/rest-json/RestJsonHttpResponseCodeWithNoPayload",
            "output/rest-json/RestJsonIgnoreQueryParamsInResponseNoPayload",
            "output/rest-json/RestJsonNoInputAndOutputNoPayload",
            "output/smithy-rpc-v2-cbor/empty_output_no_body",
        ],
    ),
    (
        "the client passes over members that the model does not know, which a server does not send",
        &[
            "output/json/handles_unexpected_json_output",
            "output/json/AwsJson11DeserializeIgnoreType",
            "output/json_1_0/AwsJson10DeserializeIgnoreType",
            "output/json_1_0/AwsJson10HandlesUnexpectedJsonOutput",
            "output/rest-json/RestJsonDeserializeIgnoreType",
            "output/rest-xml/InvalidGreetingError",
            "output/smithy-rpc-v2-cbor/RpcV2CborExtraFieldsInTheBodyShouldBeSkippedByClients",
        ],
    ),
    (
        "the client passes over nulls, which a server leaves out",
        &[
            "output/json/AwsJson11StructuresDontDeserializeNullValues",
            "output/json_1_0/AwsJson10DeserializeAllowNulls",
            "output/rest-json/RestJsonDeserializesDenseSetMapAndSkipsNull",
            "output/rest-json/RestJsonDoesntDeserializeNullStructureValues",
            "output/smithy-rpc-v2-cbor/RpcV2CborDeserializesDenseSetMapAndSkipsNull",
            "output/smithy-rpc-v2-cbor/RpcV2CborClientDoesntDeserializeNullStructureValues",
        ],
    ),
    (
        "the client takes a body where there is no output, and a type for none; a server sends neither",
        &[
            "output/smithy-rpc-v2-cbor/NoOutputClientAllowsEmptyCbor",
            "output/smithy-rpc-v2-cbor/NoOutputClientAllowsEmptyBody",
        ],
    ),
    (
        "the case's body has a message, and the case none to write",
        &["output/ec2/Ec2ComplexError", "output/rest-xml/ComplexError"],
    ),
    (
        "the model gives `nested` a namespace, which the case leaves out",
        &["output/ec2/Ec2XmlNamespaces", "output/query/QueryXmlNamespaces"],
    ),
    ("white space stands in an empty map", &["output/query/QueryXmlEmptyMaps"]),
    (
        "the type of ec2Query's replies names the character set in every other case",
        &["output/ec2/Ec2XmlEmptyLists"],
    ),
    ("the header is a request's", &["output/json/AwsJson11IntEnums"]),
    ("an empty body has no type", &["output/rest-xml/RestXmlHttpResponseCode"]),
    (
        "the body is another case's; rpcv2Cbor knows no payload, and an empty structure is a map",
        &["output/smithy-rpc-v2-cbor/RpcV2CborPayloadWithUnsetUnion"],
    ),
];

/// Cases that cannot be judged, by reason.
const PASSED_OVER: &[(&str, &[&str])] = &[(
    "the client compresses the body, and the case does not give it",
    &[
        "input/ec2/SDKAppendsGzipAndIgnoresHttpProvidedEncoding_ec2Query",
        "input/ec2/SDKAppliedContentEncoding_ec2Query",
        "input/json/SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_1",
        "input/json/SDKAppliedContentEncoding_awsJson1_1",
        "input/json_1_0/SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_0",
        "input/json_1_0/SDKAppliedContentEncoding_awsJson1_0",
        "input/query/SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsQuery",
        "input/query/SDKAppliedContentEncoding_awsQuery",
        "input/rest-json/SDKAppendedGzipAfterProvidedEncoding_restJson1",
        "input/rest-json/SDKAppliedContentEncoding_restJson1",
        "input/rest-xml/SDKAppendedGzipAfterProvidedEncoding_restXml",
        "input/rest-xml/SDKAppliedContentEncoding_restXml",
    ],
)];

/// The token with which the cases' clients fill idempotency tokens.
const TOKEN: &str = "00000000-0000-4000-8000-000000000000";

/// Each suite file of one direction with the name of its file; `None` without the data.
fn suites(direction: &str) -> Option<Vec<(String, Json)>> {
    let root = std::env::var_os("RINGFENCE_SHARED_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let folder = root.join("protocols").join(direction);
    if !folder.is_dir() {
        println!("passed over the {direction} cases: there is no folder {}", folder.display());
        return None;
    }
    let mut files: Vec<PathBuf> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    };
    Some(files.into_iter().map(read).collect())
}

/// What became of the cases of one direction.
#[derive(Default)]
struct Tally {
    seen: BTreeSet<String>,
    judged: usize,
    other_bytes: usize,
    passed_over: Vec<(String, &'static str)>,
    failures: Vec<String>,
}

impl Tally {
    /// Notes one case: `Err` says that it does not hold, `Ok(Err)` that only its bytes differ.
    fn note(&mut self, id: String, result: Result<Result<(), String>, String>) {
        let listed = |list: &[(&'static str, &[&str])]| {
            list.iter().find(|(_, names)| names.contains(&id.as_str())).map(|(why, _)| *why)
        };
        match (result, listed(PASSED_OVER), listed(OTHER_BYTES)) {
            (Err(_), Some(why), _) => self.passed_over.push((id.clone(), why)),
            (Ok(_), Some(_), _) => {
                self.failures.push(format!("{id}: passed over, but it holds"));
            }
            (Err(error), None, _) => self.failures.push(format!("{id}: {error}")),
            (Ok(Ok(())), None, None) => self.judged += 1,
            (Ok(Err(_)), None, Some(_)) => {
                self.judged += 1;
                self.other_bytes += 1;
            }
            (Ok(Ok(())), None, Some(_)) => {
                self.failures.push(format!("{id}: listed as other bytes, but they are the same"));
            }
            (Ok(Err(error)), None, None) => {
                self.failures.push(format!("{id}: same meaning, other bytes: {error}"));
            }
        }
        self.seen.insert(id);
    }

    /// Fails on failures and on names in a list that no case has.
    fn finish(mut self, direction: &str, verb: &str) {
        let lists = PASSED_OVER.iter().chain(OTHER_BYTES).flat_map(|(_, names)| *names).copied();
        for id in lists.chain(SAYS.iter().map(|(id, _, _)| *id)) {
            if id.starts_with(direction) && !self.seen.contains(id) {
                self.failures.push(format!("{id}: listed, but there is no such case"));
            }
        }
        println!("{} {verb}, {} passed over", self.judged, self.passed_over.len());
        if self.other_bytes > 0 {
            println!("  {} of them in other bytes with the same meaning", self.other_bytes);
        }
        for (id, why) in &self.passed_over {
            println!("  {id}: {why}");
        }
        assert!(
            self.failures.is_empty(),
            "{} cases do not hold:\n{}",
            self.failures.len(),
            self.failures.join("\n")
        );
    }
}

#[test]
fn requests_are_read_into_the_parameters_that_clients_sent() {
    let Some(files) = suites("input") else { return };
    let mut tally = Tally::default();
    for (file, content) in &files {
        for suite in content.as_array().unwrap() {
            let model = Model::new(suite);
            for case in suite["cases"].as_array().unwrap() {
                let id = format!("input/{file}/{}", case["id"].as_str().unwrap());
                let result = read_case(&model, suite, case, &id);
                tally.note(id, result.map(Ok));
            }
        }
    }
    tally.finish("input/", "read");
}

fn read_case(model: &Model<'_>, suite: &Json, case: &Json, id: &str) -> Result<(), String> {
    let protocol = model.protocol();
    let operation = model.operation(&case["given"], None);
    let serialized = &case["serialized"];
    let uri = serialized["uri"].as_str().unwrap();
    // A client may be told of a path that comes before every operation's; the server is not.
    let endpoint = suite["clientEndpoint"].as_str().unwrap_or_default();
    let before = endpoint.splitn(4, '/').nth(3).map(|path| format!("/{path}"));
    let uri = before.as_deref().and_then(|path| uri.strip_prefix(path)).unwrap_or(uri);
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in serialized["headers"].as_object().into_iter().flatten() {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    let body = serialized["body"].as_str().unwrap_or_default();
    let body = match protocol {
        Protocol::RpcV2Cbor => Bytes::from(answer::decode(body)),
        _ => Bytes::from(body.to_owned()),
    };
    if matches!(protocol, Protocol::RestJson1 | Protocol::RestXml) {
        route(operation, serialized, path, query)?;
    }
    let mut into = Fields::new(operation.input.shape);
    let request = Request { path, query, headers: &headers, body: &body };
    read_input(protocol, operation, &request, &mut into).map_err(|error| format!("{error:?}"))?;
    let read = into.to_json();
    let mut expected = expected_input(operation, &case["params"], query);
    if let Some((_, says, _)) = SAYS.iter().find(|(name, _, _)| *name == id) {
        if same(&expected, &read) {
            return Err("listed as saying something else, but it does not".into());
        }
        expected = serde_json::from_str(says).unwrap();
    }
    match same(&expected, &read) {
        true => Ok(()),
        false => Err(format!("read {read}, expected {expected}")),
    }
}

/// Checks that the request would reach its operation.
fn route(operation: &Operation, request: &Json, path: &str, query: &str) -> Result<(), String> {
    let params = Params::parse(query).map_err(|error| error.to_string())?;
    let found = request["method"].as_str() == Some(operation.method)
        && rest::match_path(operation.uri, path).is_some()
        && rest::match_query(operation.uri, &params);
    if found { Ok(()) } else { Err(format!("{path}?{query} is not {}", operation.uri)) }
}

/// The parameters of a case, with what a client adds to them unasked.
fn expected_input(operation: &Operation, params: &Json, query: &str) -> Json {
    let mut expected = params.clone();
    let table = operation.input.shape.as_structure().map_or(&[][..], |shape| shape.members);
    for member in table {
        if member.is_idempotency_token() && expected.get(member.name).is_none() {
            expected[member.name] = json!(TOKEN);
        }
        // Smithy's `httpQueryParams`: a server puts every parameter into the map, those that other
        // members name too; cases for clients leave these out.
        if let (Location::QueryString, Kind::Map(map)) = (member.location, &member.shape.kind) {
            let mut all = serde_json::Map::new();
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let decode = |text| {
                    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
                };
                let (name, value) = (decode(name), json!(decode(value)));
                match (all.get_mut(&name), &map.value.shape.kind) {
                    (Some(Json::Array(values)), _) => values.push(value),
                    (None, Kind::List(_)) => drop(all.insert(name, json!([value]))),
                    (None, _) => drop(all.insert(name, value)),
                    (Some(_), _) => {}
                }
            }
            if !all.is_empty() {
                expected[member.name] = Json::Object(all);
            }
        }
    }
    expected
}

#[test]
fn results_and_errors_are_written_as_clients_read_them() {
    let Some(files) = suites("output") else { return };
    let mut tally = Tally::default();
    for (file, content) in &files {
        for suite in content.as_array().unwrap() {
            let model = Model::new(suite);
            for case in suite["cases"].as_array().unwrap() {
                let id = format!("output/{file}/{}", case["id"].as_str().unwrap());
                tally.note(id, write_case(&model, case));
            }
        }
    }
    tally.finish("output/", "written");
}

/// Writes the answer of a case: `Err` says how its meaning differs, `Ok(Err)` how its bytes do.
fn write_case(model: &Model<'_>, case: &Json) -> Result<Result<(), String>, String> {
    let protocol = model.protocol();
    let response = &case["response"];
    // The cases keep the service's namespace in their bodies only, and in no error.
    let namespace = "https://example.com/";
    let namespace =
        response["body"].as_str().is_some_and(|body| body.contains(namespace)).then_some(namespace);
    let operation = model.operation(&case["given"], namespace);
    let request_id = response["headers"]["X-Amzn-Requestid"].as_str().unwrap_or("request-id");
    let failed = case.get("errorCode").is_some();
    let reply = if failed {
        let fields = Fields::from_json(operation.errors[0], &case["error"]);
        let message = case["errorMessage"].as_str().unwrap_or_default();
        let error = ServiceError::modeled(Arc::new(fields)).with_message(message);
        write_error(protocol, operation.service, &error, request_id)
    } else {
        let mut output = Fields::from_json(operation.output.shape, &case["result"]);
        write_output(protocol, operation, &mut output, request_id)
    };
    let body = match &reply.body {
        Body::Whole(bytes) => bytes.clone(),
        Body::Stream(_) => return Err("the answer streams".into()),
    };
    let found = client::read(protocol, operation, &reply, &body)?;
    let error = found.error.as_ref().map(|(code, message)| (code.as_str(), message.as_deref()));
    let expected = case["errorCode"].as_str().map(|code| (code, case["errorMessage"].as_str()));
    if error != expected {
        return Err(format!("the error reads {error:?}, expected {expected:?}"));
    }
    // By the status's class a client tells whose fault it is, and whether to try again.
    if response["status_code"].as_u64().map(|status| status / 100)
        != Some(u64::from(reply.status / 100))
    {
        return Err(format!("the status is {}", reply.status));
    }
    let members = &case[if failed { "error" } else { "result" }];
    if !same(members, &found.members) {
        return Err(format!("reads {}, expected {members}", found.members));
    }
    Ok(answer::difference(protocol, operation, response, &reply, &body))
}
