//! Services and their operations as static tables, and the typed handle of each operation.

use crate::shape::{Member, Namespace, Shape, prelude};
use crate::value::Structure;

/// A wire protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Form-encoded requests, XML responses.
    AwsQuery,
    /// EC2's variant of awsQuery.
    Ec2Query,
    /// JSON with `X-Amz-Target`, version 1.0.
    AwsJson10,
    /// JSON with `X-Amz-Target`, version 1.1.
    AwsJson11,
    /// JSON bodies with HTTP bindings.
    RestJson1,
    /// XML bodies with HTTP bindings.
    RestXml,
    /// CBOR at `/service/…/operation/…`.
    RpcV2Cbor,
}

/// One AWS service.
#[derive(Debug)]
pub struct Service {
    /// `serviceId`, for example `Cognito Identity Provider`.
    pub id: &'static str,
    /// The name in a credential scope, for example `iam`.
    pub signing_name: &'static str,
    /// The endpoint prefix, for example `monitoring`.
    pub endpoint_prefix: &'static str,
    /// The prefix of its actions in policies, for example `iam`.
    pub action_prefix: &'static str,
    /// `apiVersion`, which awsQuery requests name.
    pub api_version: &'static str,
    /// What comes before the dot in `X-Amz-Target`.
    pub target_prefix: Option<&'static str>,
    /// Namespace of XML bodies.
    pub xml_namespace: Option<&'static str>,
    /// The protocols that it speaks, the preferred one first.
    pub protocols: &'static [Protocol],
    /// It once spoke awsQuery: errors carry `x-amzn-query-error`.
    pub query_compatible: bool,
    /// One region serves all (IAM, Organizations): the credential scope's region is fixed.
    pub global: bool,
    /// The code of constraint violations: `ValidationException`, or `ValidationError` for some.
    pub validation_code: &'static str,
    /// Its operations, sorted by name.
    pub operations: &'static [Operation],
}

impl Service {
    /// The operation of this name.
    pub fn operation(&self, name: &str) -> Option<&'static Operation>
    where
        Self: 'static,
    {
        let operations: &'static [Operation] = self.operations;
        operations.binary_search_by(|op| op.name.cmp(name)).ok().map(|i| &operations[i])
    }
}

/// One operation of a service.
#[derive(Debug)]
pub struct Operation {
    /// AWS's name, for example `CreateUser`.
    pub name: &'static str,
    /// The service that it belongs to.
    pub service: &'static Service,
    /// HTTP method.
    pub method: &'static str,
    /// URI pattern, for example `/{Bucket}/{Key+}?tagging`.
    pub uri: &'static str,
    /// Status of a success.
    pub status: u16,
    /// The input as a root member.
    pub input: Member,
    /// The output as a root member.
    pub output: Member,
    /// The element around an awsQuery result.
    pub result_wrapper: Option<&'static str>,
    /// Namespace of a restXml request body.
    pub input_namespace: Option<Namespace>,
    /// The errors that the model lists.
    pub errors: &'static [&'static Shape],
    /// Whether requests must be signed.
    pub auth: Auth,
    /// How it pages.
    pub pagination: Option<Pagination>,
    /// How it is authorised.
    pub authorization: Authorization,
}

impl Operation {
    /// Whether the model gives the operation an output, if only an empty one.
    pub fn has_output(&self) -> bool {
        !std::ptr::eq(self.output.shape, &prelude::EMPTY)
    }
}

/// Whether an operation's requests must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Signed.
    SigV4,
    /// Signed, the payload left out of the signature.
    SigV4UnsignedPayload,
    /// Not signed: the operation authenticates by what it is given.
    None,
}

/// The names of an operation's paging members, as botocore's `paginators-1.json` gives them.
#[derive(Debug, Clone, Copy)]
pub struct Pagination {
    /// The input member that carries the token.
    pub input_token: &'static str,
    /// The output member that carries the next token.
    pub output_token: &'static str,
    /// The input member that limits the page.
    pub limit: Option<&'static str>,
    /// The output member that says whether more follows.
    pub more: Option<&'static str>,
}

/// The row of an operation in the service authorization reference.
#[derive(Debug, Clone, Copy)]
pub struct Authorization {
    /// Where the row comes from.
    pub source: AuthorizationSource,
    /// The actions that the operation asks for, the main one first, for example `iam:CreateUser`.
    pub actions: &'static [&'static str],
    /// The access level of the main action.
    pub access_level: AccessLevel,
    /// The ARN formats of the resource types that the main action takes.
    pub resources: &'static [&'static str],
    /// The condition keys that it takes beside the global ones.
    pub condition_keys: &'static [&'static str],
    /// The input members by which it is passed a role, or an instance profile that holds one, as
    /// paths of [`members`](crate::members): whoever gives one must have `iam:PassRole` on it.
    pub passes: &'static [&'static str],
}

/// Where an authorization row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationSource {
    /// The service authorization reference, where the action has the operation's name.
    Reference,
    /// The generator's own table of exceptions.
    Table,
    /// The operation needs no permission.
    NotNeeded,
}

/// The access levels of the service authorization reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLevel {
    /// Lists resources.
    List,
    /// Reads, changes nothing.
    Read,
    /// Changes something.
    Write,
    /// Grants or changes permissions.
    PermissionsManagement,
    /// Changes tags only.
    Tagging,
}

impl AccessLevel {
    /// Whether CloudTrail calls the event read-only.
    pub const fn is_read_only(self) -> bool {
        matches!(self, Self::List | Self::Read)
    }
}

/// An operation with its types: what handlers are written against.
pub trait TypedOperation: 'static {
    /// The decoded input.
    type Input: Structure + Default + Send + 'static;
    /// The output to encode.
    type Output: Structure + Default + Send + 'static;
    /// The operation's table.
    const OPERATION: &'static Operation;
}
