//! The scene of the benches: a role's session with ten identity policies of realistic size, a boundary,
//! a session policy, a resource policy, four levels each of service control and resource control
//! policies, and twenty condition keys. And a user with ten of AWS's own managed policies.

use ringfence_policy::reference::managed;
use ringfence_policy::{
    Context, Document, Kind, PolicySet, Principal, Request, ResourcePolicy, parse,
};

pub fn document(statements: &str, kind: Kind) -> Document {
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
    parse(&text, kind).expect("a policy")
}

/// The policies of a team that has a few services, none of which is what is asked for but one.
fn identity(number: usize) -> Document {
    let last = match number {
        7 => {
            r#", {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject*"],
                "Resource": "arn:aws:s3:::data-*/${aws:PrincipalTag/team}/*",
                "Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.0/24"]},
                              "Bool": {"aws:SecureTransport": "true"}}}"#
        }
        _ => "",
    };
    document(
        &format!(
            r#"{{"Effect": "Allow", "Action": ["ec2:Describe*", "logs:*", "sqs:SendMessage"], "Resource": "*"}},
               {{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "arn:aws:dynamodb:*:*:table/t{number}-*"}},
               {{"Effect": "Deny", "Action": ["s3:DeleteBucket", "iam:*"], "Resource": "*"}}{last}"#
        ),
        Kind::Identity,
    )
}

fn context() -> Context {
    let mut context = Context::default();
    for (key, value) in [
        ("aws:PrincipalArn", "arn:aws:iam::123456789012:role/app/worker"),
        ("aws:PrincipalAccount", "123456789012"),
        ("aws:PrincipalType", "AssumedRole"),
        ("aws:PrincipalOrgID", "o-abcdefghij"),
        ("aws:userid", "AROAEXAMPLEEXAMPLE12:work"),
        ("aws:PrincipalTag/team", "blue"),
        ("aws:PrincipalTag/stage", "prod"),
        ("aws:TokenIssueTime", "2026-01-01T00:00:00Z"),
        ("aws:MultiFactorAuthPresent", "false"),
        ("aws:SourceIp", "10.1.2.3"),
        ("aws:UserAgent", "aws-sdk-rust/1.0"),
        ("aws:CurrentTime", "2026-01-01T00:10:00Z"),
        ("aws:EpochTime", "1767226200"),
        ("aws:SecureTransport", "true"),
        ("aws:RequestedRegion", "eu-west-1"),
        ("aws:ResourceAccount", "123456789012"),
        ("aws:ViaAWSService", "false"),
        ("aws:PrincipalIsAWSService", "false"),
        ("aws:ResourceTag/team", "blue"),
        ("s3:prefix", "blue/"),
    ] {
        context.set(key, value);
    }
    context
}

/// The documents of the scene.
pub struct Scene {
    pub identity: Vec<Document>,
    boundary: Document,
    session: Document,
    resource: Document,
    service_control: Vec<Document>,
    resource_control: Vec<Document>,
    context: Context,
    principal: Principal,
}

impl Scene {
    pub fn new() -> Self {
        let boundary = document(
            r#"{"Effect": "Allow", "Action": ["s3:*", "ec2:*", "dynamodb:*"], "Resource": "*"},
               {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition":
                {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "eu-central-1"]}}}"#,
            Kind::Identity,
        );
        let session = document(
            r#"{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}"#,
            Kind::Identity,
        );
        let resource = document(
            r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
               {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": "s3:ListBucket", "Resource": "*"}"#,
            Kind::Resource,
        );
        let scp = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": ["organizations:LeaveOrganization", "s3:Delete*"],
             "Resource": "*", "Condition": {"StringNotLike":
             {"aws:PrincipalArn": "arn:aws:iam::*:role/admin/*"}}}"#;
        let rcp = r#"{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Principal": "*", "Action": ["s3:*", "sts:AssumeRole"],
             "Resource": "*", "Condition":
             {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-abcdefghij"},
              "BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}}"#;
        Self {
            identity: (0..10).map(identity).collect(),
            boundary,
            session,
            resource,
            service_control: (0..4).map(|_| document(scp, Kind::Identity)).collect(),
            resource_control: (0..4).map(|_| document(rcp, Kind::Resource)).collect(),
            context: context(),
            principal: Principal::AssumedRole {
                role_arn: "arn:aws:iam::123456789012:role/app/worker".into(),
                session_arn: "arn:aws:sts::123456789012:assumed-role/worker/work".into(),
            },
        }
    }

    pub fn policies(&self) -> PolicySet<'_> {
        PolicySet {
            identity: self.identity.iter().collect(),
            boundary: Some(&self.boundary),
            session: Some(vec![&self.session]),
            resource: Some(ResourcePolicy::Ordinary(&self.resource)),
            service_control: self.service_control.iter().map(|scp| vec![scp]).collect(),
            resource_control: self.resource_control.iter().map(|rcp| vec![rcp]).collect(),
            ..PolicySet::default()
        }
    }

    pub fn request<'a>(&'a self, action: &'a str, resource: &'a str) -> Request<'a> {
        Request {
            principal: &self.principal,
            action,
            resource,
            resource_account: "123456789012".parse().expect("an account"),
            context: &self.context,
        }
    }

    /// What the seventh identity policy allows, and every other layer.
    pub fn allowed(&self) -> Request<'_> {
        self.request("s3:GetObject", "arn:aws:s3:::data-lake/blue/2026/01/part-0001")
    }

    /// The same of another team's folder.
    pub fn denied(&self) -> Request<'_> {
        self.request("s3:GetObject", "arn:aws:s3:::data-lake/red/2026/01/part-0001")
    }
}

/// The ten managed policies of AWS's with the most action patterns, and how many those are.
pub fn managed_policies() -> (Vec<Document>, usize) {
    let patterns = |document: &Document| -> usize {
        document.statements.iter().map(|statement| statement.action.patterns().len()).sum()
    };
    let mut all: Vec<Document> = managed::policies()
        .filter_map(|policy| parse(policy.document, Kind::Identity).ok())
        .collect();
    all.sort_by_key(|document| std::cmp::Reverse(patterns(document)));
    all.truncate(10);
    let count = all.iter().map(patterns).sum();
    (all, count)
}
