//! Requests that mean harm: whatever comes, a reader answers soon and does not fall over.

#![allow(clippy::panic, clippy::unwrap_used)]

use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;
use ringfence_wire::protocol::{Refused, Request, cbor, read_input};
use ringfence_wire::service::{AccessLevel, Auth, Authorization, AuthorizationSource};
use ringfence_wire::shape::{Location, Member, Shape};
use ringfence_wire::value::{Boxed, Document, Map};
use ringfence_wire::{Operation, Protocol, Service, Timestamp, structure};
use std::time::{Duration, Instant};

static TEXT: Shape = Shape::string("Text").max(64);
static DOCUMENT: Shape = Shape::document("Document");
static NUMBER: Shape = Shape::long("Number");
static FLOAT: Shape = Shape::double("Float");
static DATA: Shape = Shape::blob("Data");
static AT: Shape = Shape::timestamp("At");
static TEXTS: Shape = Shape::list("Texts", Member::new("member", &TEXT));
static NODES: Shape = Shape::list("Nodes", Member::new("member", &NODE));
static NODE_MAP: Shape =
    Shape::map("NodeMap", Member::new("key", &TEXT), Member::new("value", &NODE));
static TEXT_MAP: Shape =
    Shape::map("TextMap", Member::new("key", &TEXT), Member::new("value", &TEXTS));
static NODE: Shape = Shape::structure(
    "Node",
    &[
        Member::new("text", &TEXT),
        Member::new("next", &NODE),
        Member::new("list", &NODES),
        Member::new("map", &NODE_MAP),
        Member::new("document", &DOCUMENT),
        Member::new("number", &NUMBER),
        Member::new("float", &FLOAT),
        Member::new("data", &DATA),
        Member::new("at", &AT),
        Member::new("label", &TEXT).at(Location::Uri),
        Member::new("header", &TEXTS).wire("x-list").at(Location::Header),
        Member::new("all", &TEXT_MAP).at(Location::QueryString),
    ],
);
static ROOT: Member = Member::new("Node", &NODE);

structure! { Node = NODE {
    0 text: Option<String>,
    1 next: Option<Boxed<Node>>,
    2 list: Option<Vec<Node>>,
    3 map: Option<Map<Node>>,
    4 document: Option<Document>,
    5 number: Option<i64>,
    6 float: Option<f64>,
    7 data: Option<Bytes>,
    8 at: Option<Timestamp>,
    9 label: Option<String>,
    10 header: Option<Vec<String>>,
    11 all: Option<Map<Vec<String>>>,
} }

static SERVICE: Service = Service {
    id: "Hostile",
    signing_name: "hostile",
    endpoint_prefix: "hostile",
    action_prefix: "hostile",
    api_version: "2024-01-01",
    target_prefix: None,
    xml_namespace: None,
    protocols: &PROTOCOLS,
    query_compatible: false,
    global: false,
    validation_code: "ValidationException",
    operations: &[],
};

static OPERATION: Operation = Operation {
    name: "Read",
    service: &SERVICE,
    method: "POST",
    uri: "/nodes/{label+}",
    status: 200,
    input: Member::new("Node", &NODE),
    output: Member::new("Node", &NODE),
    result_wrapper: None,
    input_namespace: None,
    errors: &[],
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
};

static PROTOCOLS: [Protocol; 7] = [
    Protocol::AwsQuery,
    Protocol::Ec2Query,
    Protocol::AwsJson10,
    Protocol::AwsJson11,
    Protocol::RestJson1,
    Protocol::RestXml,
    Protocol::RpcV2Cbor,
];

/// Longest time that any one request here may take, in a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn read_at(
    protocol: Protocol,
    path: &str,
    query: &str,
    body: impl Into<Bytes>,
) -> Result<Node, Refused> {
    let (headers, body) = (HeaderMap::new(), body.into());
    let request = Request { path, query, headers: &headers, body: &body };
    let mut into = Node::default();
    let start = Instant::now();
    let result = read_input(protocol, &OPERATION, &request, &mut into);
    assert!(start.elapsed() < SOON, "{protocol:?} took {:?}", start.elapsed());
    result.map(|()| into)
}

fn read(protocol: Protocol, body: impl Into<Bytes>) -> Result<Node, Refused> {
    read_at(protocol, "/nodes/a", "", body)
}

fn refused(protocol: Protocol, what: &str, body: impl Into<Bytes>) {
    let result = read(protocol, body);
    assert!(matches!(result, Err(Refused::Malformed(_))), "{protocol:?} {what}: {result:?}");
}

const DEEP: usize = 10_000;

#[test]
fn json_that_nests_deep_is_refused() {
    for protocol in [Protocol::AwsJson11, Protocol::RestJson1] {
        for (open, middle, close) in [
            (r#"{"next":"#, "{}", "}"),
            (r#"{"list":["#, "{}", "]}"),
            (r#"{"map":{"a":"#, "{}", "}}"),
        ] {
            let body = open.repeat(DEEP) + middle + &close.repeat(DEEP);
            refused(protocol, open, body);
            refused(protocol, open, open.repeat(DEEP));
        }
        for member in ["document", "nobody knows"] {
            for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
                let nested = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
                refused(protocol, member, format!(r#"{{"{member}":{nested}}}"#));
            }
        }
    }
}

#[test]
fn cbor_that_nests_deep_is_refused_or_passed_over() {
    let key = |name: &str| [&[0x60 + name.len() as u8], name.as_bytes()].concat();
    for (open, close) in [
        ([vec![0xa1], key("next")].concat(), vec![]),
        ([vec![0xa1], key("list"), vec![0x81]].concat(), vec![]),
        ([vec![0xbf], key("list"), vec![0x9f]].concat(), vec![0xff, 0xff]),
        ([vec![0xa1], key("map"), vec![0xa1], key("a")].concat(), vec![]),
    ] {
        let body = [open.repeat(DEEP), vec![0xa0], close.repeat(DEEP)].concat();
        refused(Protocol::RpcV2Cbor, "nested", body);
        refused(Protocol::RpcV2Cbor, "cut", open.repeat(DEEP));
    }
    // What no member takes is skipped, however deep it is.
    for (open, close) in [(0x81, None), (0x9f, Some(0xff)), (0xc1, None)] {
        let mut body = [vec![0xa1], key("x"), vec![open; 1_000_000]].concat();
        refused(Protocol::RpcV2Cbor, "cut", body.clone());
        body.push(0xf6);
        body.extend(close.into_iter().cycle().take(1_000_000));
        let _ = read(Protocol::RpcV2Cbor, body);
    }
}

#[test]
fn cbor_that_promises_much_is_refused() {
    for body in [
        &b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\xa1\x64list\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x64text\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x64data\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x61x\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        refused(Protocol::RpcV2Cbor, "promise", body);
    }
}

#[test]
fn xml_that_nests_deep_is_refused_or_passed_over() {
    for (open, close) in [
        ("<next>", "</next>"),
        ("<list><member>", "</member></list>"),
        ("<map><entry><key>a</key><value>", "</value></entry></map>"),
    ] {
        let body = format!("<Node>{}{}</Node>", open.repeat(DEEP), close.repeat(DEEP));
        refused(Protocol::RestXml, open, body);
        refused(Protocol::RestXml, "cut", format!("<Node>{}", open.repeat(DEEP)));
    }
    const DEEPER: usize = 500_000;
    let body = format!("<Node>{}{}</Node>", "<x>".repeat(DEEPER), "</x>".repeat(DEEPER));
    assert_eq!(read(Protocol::RestXml, body).unwrap().text, None);
    refused(Protocol::RestXml, "cut", format!("<Node>{}", "<x>".repeat(DEEPER)));
    // Brackets in text are no elements.
    let text = "<".repeat(64);
    let body = format!("<Node><!-- {text} --><text><![CDATA[{text}]]></text></Node>");
    assert_eq!(read(Protocol::RestXml, body).unwrap().text, Some(text));
}

#[test]
fn xml_entities_and_document_types_are_refused() {
    for body in [
        r#"<!DOCTYPE a [<!ENTITY x "y">]><Node><text>&x;</text></Node>"#,
        r#"<!DOCTYPE a SYSTEM "file:///etc/passwd"><Node/>"#,
        "<Node><text>&nobody;</text></Node>",
    ] {
        refused(Protocol::RestXml, "entity", body);
    }
}

#[test]
fn forms_that_nest_deep_are_refused() {
    for protocol in [Protocol::AwsQuery, Protocol::Ec2Query] {
        for (aws, ec2) in [("next.", "Next."), ("list.member.1.", "List.1.")] {
            let step = if protocol == Protocol::AwsQuery { aws } else { ec2 };
            let last = if protocol == Protocol::AwsQuery { "text" } else { "Text" };
            refused(protocol, step, format!("{}{last}=a", step.repeat(DEEP)));
        }
    }
    let mut form = String::new();
    let mut name = String::new();
    for _ in 0..200 {
        name += "map.entry.1.";
        form += &format!("{name}key=a&");
        name += "value.";
    }
    refused(Protocol::AwsQuery, "maps", form + &name + "text=a");
}

#[test]
fn a_form_with_very_many_parameters_is_read_soon() {
    const MANY: usize = 100_000;
    let form = |each: &dyn Fn(usize) -> String| (0..MANY).map(each).collect::<String>();
    let node = read(Protocol::AwsQuery, form(&|n| format!("list.member.{n}.text={n}&"))).unwrap();
    let list = node.list.unwrap();
    assert_eq!(list.len(), MANY);
    assert_eq!(list[MANY - 1].text.as_deref(), Some("99999"));

    let node = read(
        Protocol::AwsQuery,
        form(&|n| format!("map.entry.{n}.key={n}&map.entry.{n}.value.text={n}&")),
    );
    assert_eq!(node.unwrap().map.unwrap().len(), MANY);

    let node = read(Protocol::AwsQuery, form(&|n| format!("x{n}={n}&"))).unwrap();
    assert_eq!(node, Node::default());
    let node = read(Protocol::AwsQuery, "text=a&".repeat(MANY)).unwrap();
    assert_eq!(node.text.as_deref(), Some("a"));
    // Each too long: the violations are many, and their message is bounded elsewhere.
    let long = "x".repeat(65);
    let result = read(Protocol::AwsQuery, form(&|n| format!("list.member.{n}.text={long}&")));
    assert!(matches!(result, Err(Refused::Violations(violations)) if violations.len() == 100));

    for each in [&(|n| format!("p{n}=1&")) as &dyn Fn(usize) -> String, &|_| "p=1&".into()] {
        let node = read_at(Protocol::RestJson1, "/nodes/a", &form(each), "").unwrap();
        let all = node.all.unwrap();
        assert_eq!(all.values().map(Vec::len).sum::<usize>(), MANY);
    }
}

#[test]
fn of_duplicates_one_alone_is_read() {
    let json = r#"{"text":"a","list":[{"text":"a"}],"next":{"text":"a"},
                   "text":"b","list":[{}],"next":{"number":1}}"#;
    let want = Node {
        text: Some("b".into()),
        list: Some(vec![Node::default()]),
        next: Some(Node { number: Some(1), ..Node::default() }.into()),
        ..Node::default()
    };
    assert_eq!(read(Protocol::AwsJson11, json), Ok(want));
    let cbor = b"\xa2\x64text\x61a\x64text\x61b";
    assert_eq!(read(Protocol::RpcV2Cbor, &cbor[..]).unwrap().text.as_deref(), Some("b"));
    let form = "text=a&text=b&list.member.1.text=a&list.member.1.text=b&list.member.01.text=c";
    let node = read(Protocol::AwsQuery, form).unwrap();
    assert_eq!(node.text.as_deref(), Some("a"));
    assert_eq!(node.list.unwrap().len(), 1);
    let xml = "<Node><text>a</text><text>b</text></Node>";
    assert_eq!(read(Protocol::RestXml, xml).unwrap().text.as_deref(), Some("a"));
}

#[test]
fn a_body_does_not_reach_members_that_travel_elsewhere() {
    for (protocol, body) in [
        (Protocol::RestJson1, r#"{"label":"b","x-list":["b"],"all":{"b":["b"]},"text":"t"}"#),
        (
            Protocol::RestXml,
            "<Node><label>b</label><x-list>b</x-list><all><entry><key>b</key><value/></entry></all>\
             <text>t</text></Node>",
        ),
    ] {
        match read(protocol, body) {
            Ok(node) => {
                assert_eq!(node.label.as_deref(), Some("a"), "{protocol:?}");
                assert_eq!((node.header, node.all), (None, None), "{protocol:?}");
            }
            Err(refused) => assert!(matches!(refused, Refused::Malformed(_)), "{refused:?}"),
        }
    }
}

/// A valid body of a protocol, with something of everything that it can carry.
fn valid(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::AwsQuery => b"Action=Read&Version=1&text=a%20b&next.number=-7&next.float=1e3&\
            list.member.1.text=a&list.member.2.at=2015-01-25T08%3A00%3A00Z&data=AAEC&\
            map.entry.1.key=k&map.entry.1.value.text=v"
            .to_vec(),
        Protocol::Ec2Query => b"Action=Read&Version=1&Text=a%20b&Next.Number=-7&Next.Float=NaN&\
            List.1.Text=a&List.2.At=1422172800.5&Data=AAEC"
            .to_vec(),
        Protocol::RestXml => {
            b"<?xml version=\"1.0\"?><Node xmlns=\"urn:x\"><text>a &amp; &#x62;</text>\
            <!-- c --><next><number>-7</number><float>Infinity</float></next><list><member>\
            <text><![CDATA[x]]></text></member></list><map><entry><key>k</key><value><at>\
            2015-01-25T08:00:00.5Z</at></value></entry></map><data>AAEC</data></Node>"
                .to_vec()
        }
        Protocol::RpcV2Cbor => {
            let inner = Node {
                number: Some(-7),
                float: Some(f64::NAN),
                at: Some(Timestamp { seconds: 1_422_172_800, nanos: 500_000_000 }),
                ..Node::default()
            };
            let node = Node {
                text: Some("a \u{1F63A}".into()),
                next: Some(inner.clone().into()),
                list: Some(vec![inner.clone(), Node::default()]),
                map: Some([("k".to_owned(), inner)].into()),
                data: Some(Bytes::from_static(&[0, 1, 2])),
                ..Node::default()
            };
            cbor::write(&node, &ROOT)
        }
        _ => br#"{"text":"a \ud83d\ude3a","next":{"number":-7,"float":"NaN","at":1422172800.5},
            "list":[{"text":"x"},null,{}],"map":{"k":{"at":"2015-01-25T08:00:00Z"}},
            "document":{"a":[1,2.5,null,true,{"b":"c"}]},"data":"AAEC","unknown":[1,{"x":[]}]}"#
            .to_vec(),
    }
}

#[test]
fn a_body_that_is_cut_off_is_refused() {
    for protocol in PROTOCOLS {
        let body = valid(protocol);
        assert!(read(protocol, body.clone()).is_ok(), "{protocol:?}");
        for end in 1..body.len() {
            let result = read(protocol, body[..end].to_vec());
            // A form may end anywhere.
            if !matches!(protocol, Protocol::AwsQuery | Protocol::Ec2Query) {
                assert!(result.is_err(), "{protocol:?} cut at {end} reads {result:?}");
            }
        }
    }
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(PROTOCOLS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_mutated_body_never_panics(
        protocol in protocol(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..8),
        end in any::<prop::sample::Index>(),
    ) {
        let mut body = valid(protocol);
        for (at, byte, how) in changes {
            let at = at.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ if body.len() > 1 => drop(body.remove(at)),
                _ => {}
            }
        }
        body.truncate(end.index(body.len() * 4).max(1));
        let _ = read(protocol, body);
    }

    #[test]
    fn any_bytes_and_any_path_never_panic(
        protocol in protocol(),
        body in prop::collection::vec(any::<u8>(), 0..64),
        path in ".{0,24}",
        query in "[a-z%=&+.0-9é]{0,40}",
    ) {
        let _ = read_at(protocol, &path, &query, body);
        let _ = read_at(protocol, &format!("/nodes/{path}"), &query, "");
    }

    #[test]
    fn any_header_never_panics(protocol in protocol(), value in "[ -~é]{0,40}") {
        let mut headers = HeaderMap::new();
        headers.insert("x-list", http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        let request = Request {
            path: "/nodes/a",
            query: "",
            headers: &headers,
            body: &Bytes::new(),
        };
        let _ = read_input(protocol, &OPERATION, &request, &mut Node::default());
    }
}
