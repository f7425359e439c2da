//! Every protocol's reader, over every operation of the models.
//!
//! The first line chooses: `PROTOCOL SERVICE.Operation PATH?QUERY`; any other line chooses by its
//! bytes. What follows is the body. No bytes make a reader panic or take long; an input that a reader
//! accepts can be written as JSON and as CBOR, and reads back the same.

#![no_main]

mod operations;

use bytes::Bytes;
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use operations::OPERATIONS;
use ringfence_wire::protocol::{Refused, Request, cbor, json, record, write_error, write_output};
use ringfence_wire::{Protocol, ServiceError, Structure};
use std::time::{Duration, Instant};

const PROTOCOLS: [(&str, Protocol); 7] = [
    ("query", Protocol::AwsQuery),
    ("ec2", Protocol::Ec2Query),
    ("json10", Protocol::AwsJson10),
    ("json11", Protocol::AwsJson11),
    ("rest-json", Protocol::RestJson1),
    ("rest-xml", Protocol::RestXml),
    ("cbor", Protocol::RpcV2Cbor),
];

/// Far more than any reader needs for the few kilobytes that the fuzzer makes, sanitizer included.
const LONGEST: Duration = Duration::from_secs(10);

fuzz_target!(|data: &[u8]| {
    let started = Instant::now();
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (line, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let text = String::from_utf8_lossy(line);
    let mut words = text.splitn(3, ' ');
    let (protocol, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (path, query) = words.next().unwrap_or("/").split_once('?').unwrap_or(("/", ""));

    let byte = |at: usize| line.get(at).copied().map_or(0, usize::from);
    let (protocol_name, protocol) = *PROTOCOLS
        .iter()
        .find(|(known, _)| *known == protocol)
        .unwrap_or(&PROTOCOLS[byte(0) % PROTOCOLS.len()]);
    let (operation, read, output) = OPERATIONS
        .iter()
        .find(|(operation, ..)| {
            name.split_once('.').is_some_and(|(service, name)| {
                operation.name == name && operation.service.signing_name == service
            })
        })
        .unwrap_or(&OPERATIONS[(byte(1) * 256 + byte(2)) % OPERATIONS.len()]);

    let headers = HeaderMap::new();
    let body = Bytes::copy_from_slice(body);
    let request = Request { path, query, headers: &headers, body: &body };
    match read(protocol, &request) {
        Ok(input) => {
            let written = json::write(&*input, &operation.input);
            let again = |protocol, body: Vec<u8>| {
                let body = Bytes::from(body);
                let request = Request { path: "/", query: "", headers: &headers, body: &body };
                let back = read(protocol, &request).unwrap_or_else(|refused| {
                    panic!("{protocol_name} took {input:?}, which does not read back: {refused:?}")
                });
                assert_eq!(json::write(&*back, &operation.input), written);
            };
            again(Protocol::AwsJson11, written.clone().into_bytes());
            again(Protocol::RpcV2Cbor, cbor::write(&*input, &operation.input));
            record::write(&mut String::new(), &*input);
        }
        Err(Refused::Violations(violations)) => {
            assert!(!violations.is_empty());
            let message: Vec<String> = violations.iter().map(|v| format!("{v:?}")).collect();
            let error =
                ServiceError::new(operation.service.validation_code, 400, message.join("; "));
            write_error(protocol, operation.service, &error, "request");
        }
        Err(Refused::Malformed(error)) => {
            let error = ServiceError::new("SerializationException", 400, error.to_string());
            write_error(protocol, operation.service, &error, "request");
        }
    }
    let mut empty: Box<dyn Structure> = output();
    write_output(protocol, operation, &mut *empty, "request");
    assert!(started.elapsed() < LONGEST, "{protocol_name} {} took too long", operation.name);
});
