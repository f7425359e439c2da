//! Decisions that other authors expect of AWS, asked of [`decide`].
//!
//! The cases lie outside the project (`RINGFENCE_SHARED_DATA`, or `../shared/data` from its root);
//! where they are missing the test says so and passes over them. A case that AWS's documentation
//! contradicts stands in [`DISPUTED`] with the page that does; one that becomes right, or vanishes,
//! must leave that list.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests, helpers included.

use ringfence_policy::account::{Assumption, Known, assume};
use ringfence_policy::{
    AccountId, Arn, Context, Decision, Document, Kind, Layer, PolicySet, Principal, Request,
    ResourcePolicy, parse,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The decision, in which the fast form and the slow one agree.
fn decide(request: &Request<'_>, policies: &PolicySet<'_>) -> Decision {
    let decision = ringfence_policy::decide(request, policies);
    assert_eq!(decision, ringfence_policy::evaluate::decide(request, policies), "{request:?}");
    decision
}

/// Cases of a discovery mode, in which keys are not known, that hang on what the cases do not say.
const PASSED_OVER: &[(&str, &str)] = &[
    ("iam-simulate/core/discoveryMode/contextKeyConstraints/sourceContext/6/", STRICT),
    ("iam-simulate/core/discoveryMode/ignoredConditions/rcp/1/", STRICT),
    ("iam-simulate/core/discoveryMode/ignoredConditions/scp/1/", STRICT),
    ("iam-simulate/core/discoveryMode/ignoredConditions/strictPatterns/0/", STRICT),
    ("iam-simulate/core/s3/abac/14/", STRICT),
    ("iam-simulate/core/discoveryMode/roleVsSession/0/", ANY_SESSION),
    ("iam-simulate/core/discoveryMode/roleVsSession/1/", ANY_SESSION),
    ("iam-simulate/core/discoveryMode/roleVsSession/2/", ANY_SESSION),
    ("iam-simulate/core/discoveryMode/roleVsSession/3/", ANY_SESSION),
    ("iam-simulate/core/discoveryMode/roleVsSession/4/", ANY_SESSION),
    ("iam-simulate/core/discoveryMode/roleVsSession/5/", ANY_SESSION),
    (
        "iam-simulate/core/discoveryMode/ignoredConditions/rcp/2/",
        "a resource control policy without a principal, which AWS refuses",
    ),
];
const STRICT: &str = "some keys are known after all";
const ANY_SESSION: &str = "a role stands for any session of it";

/// Stands for the account `aws`, which no number is.
const AWS: AccountId = AccountId::new(0).unwrap();

/// Cases held to be wrong, or to ask what is not the decision's to answer: the beginning of their ids,
/// why, and the page that says so.
const DISPUTED: &[(&str, &str, &str)] = &[
    (
        "arsenal/50/",
        "a condition has an operator",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html",
    ),
    (
        "arsenal/52/",
        "integer dates are seconds since 1970, not milliseconds",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-epochtime",
    ),
    (
        "arsenal/55/",
        "integer dates are seconds since 1970, not milliseconds",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-epochtime",
    ),
    (
        "arsenal/84/",
        "there is no BinaryNotEquals",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_BinaryEquals",
    ),
    (
        "arsenal/85/",
        "there is no BinaryNotEquals",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_BinaryEquals",
    ),
    (
        "arsenal/107/",
        "a policy has at least one statement",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html",
    ),
    (
        "iam-simulate/core/boundaryNotPrincipalDenyResource/0/",
        "a denial spares a session only if its account and the session itself are listed too",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html",
    ),
    (
        "iam-simulate/core/iam/managedPolicies/aws/denied/",
        "AWS's own policies are changed by nobody: a rule of IAM, not of the decision",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-vs-inline.html#aws-managed-policies",
    ),
    (
        "iam-simulate/core/iam/roles/reserved/denied/",
        "reserved roles are changed by nobody: a rule of IAM, not of the decision",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html",
    ),
    (
        "iam-simulate/core/kms/aliases/3/",
        "AWS's own aliases: a rule of KMS, not of the decision",
        "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
    ),
    (
        "iam-simulate/core/kms/aliases/4/",
        "AWS's own aliases: a rule of KMS, not of the decision",
        "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
    ),
    (
        "iam-simulate/core/kms/aliases/5/",
        "AWS's own aliases: a rule of KMS, not of the decision",
        "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
    ),
    (
        "iam-simulate/core/noPrincipalElement/",
        "a resource's policy without a principal is refused",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html",
    ),
    (
        "iam-simulate/core/resourceWildcards/crossPatternIntersections/0/",
        "a request names one resource, not a pattern that might overlap another",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-reqcontext.html",
    ),
    (
        "iam-simulate/core/resourceWildcards/crossPatternIntersections/1/",
        "a request names one resource, not a pattern that might overlap another",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-reqcontext.html",
    ),
    (
        "iam-simulate/core/resourceWildcards/crossPatternIntersections/2/",
        "a request names one resource, not a pattern that might overlap another",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-reqcontext.html",
    ),
    (
        "iam-simulate/core/resourceWildcards/crossPatternIntersections/3/",
        "a request names one resource, not a pattern that might overlap another",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-reqcontext.html",
    ),
    (
        "iam-simulate/core/resourceWildcards/requestWildcards/0/",
        "a request for `*` is covered by `*` alone",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html",
    ),
    (
        "iam-simulate/core/resourceWildcards/requestWildcards/1/",
        "a request for `*` is covered by `*` alone",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html",
    ),
    (
        "iam-simulate/core/resourceWildcards/requestWildcards/8/",
        "a request for `*` is covered by `*` alone",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html",
    ),
    (
        "iam-simulate/core/resourceWildcards/requestWildcards/9/",
        "a request for `*` is covered by `*` alone",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html",
    ),
    (
        "iam-simulate/core/resourceWildcards/requestWildcards/10/",
        "a request for `*` is covered by `*` alone",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html",
    ),
    (
        "iam-simulate/core/scps/2/",
        "a policy has at least one statement",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html",
    ),
    (
        "iam-simulate/core/sessionPolicies/0/",
        "GetCallerIdentity needs no permission: a row of STS's table, not of the decision",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html",
    ),
    (
        "iam-simulate/core/sessionPolicies/7/",
        "a grant to the session itself is not limited by a session policy",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html",
    ),
    (
        "iam-simulate/core/sts/getCallerIdentity/",
        "GetCallerIdentity needs no permission: a row of STS's table, not of the decision",
        "https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html",
    ),
];

fn cases() -> Option<Vec<(String, Value)>> {
    let root = std::env::var_os("RINGFENCE_SHARED_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let folder = root.join("iam-cases");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("passed over: no {}", folder.display());
        return None;
    };
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let mut out = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "jsonl")) {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            out.push((case["id"].as_str().unwrap().to_owned(), case));
        }
    }
    Some(out)
}

/// A role is asked for by a session of it: only sessions act.
fn principal(text: &Value) -> Principal {
    let Some(text) = text.as_str() else {
        assert_eq!(text["type"], "Anonymous");
        return Principal::Anonymous;
    };
    let Ok(arn) = Arn::parse(text) else { return Principal::Service(text.to_owned()) };
    let account = arn.account_id().unwrap();
    let (kind, name) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    match kind {
        "root" => Principal::Root(account),
        "user" => Principal::User { arn: text.to_owned() },
        "federated-user" => Principal::FederatedUser { arn: text.to_owned(), user_arn: None },
        "role" => Principal::AssumedRole {
            role_arn: text.to_owned(),
            session_arn: format!(
                "arn:aws:sts::{account}:assumed-role/{}/session",
                name.rsplit('/').next().unwrap()
            ),
        },
        "assumed-role" => Principal::AssumedRole {
            role_arn: format!("arn:aws:iam::{account}:role/{}", name.split('/').next().unwrap()),
            session_arn: text.to_owned(),
        },
        other => panic!("a principal of kind {other}"),
    }
}

fn context(keys: &Value) -> Context {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut out = Context::default();
    for (key, value) in keys.as_object().into_iter().flatten() {
        match value {
            Value::Array(values) => out.set_many(key.clone(), values.iter().map(text)),
            one => out.set(key.clone(), text(one)),
        }
    }
    out
}

/// Some cases are written in forms that AWS refuses before it decides anything (`rules.rs` holds that
/// we refuse them too). What they ask of the decision is asked all the same, in the form that AWS takes.
fn mend(mut policy: Value, kind: Kind, endpoint: bool) -> Value {
    let statements = match &mut policy["Statement"] {
        Value::Array(list) => list.iter_mut().collect(),
        one => vec![one],
    };
    for statement in statements.into_iter().filter_map(Value::as_object_mut) {
        if kind == Kind::Identity {
            statement.remove("Principal");
        }
        if kind == Kind::Trust {
            statement.remove("Resource");
        }
        if endpoint && !statement.contains_key("NotPrincipal") {
            statement.entry("Principal").or_insert("*".into());
        }
        for element in ["Principal", "NotPrincipal"] {
            match statement.get_mut(element) {
                Some(principal) if principal.is_string() && *principal != "*" => {
                    *principal = serde_json::json!({ "AWS": principal });
                }
                _ => {}
            }
        }
    }
    policy
}

/// The documents of `[{"name": …, "policy": …}]`, or of a bare policy.
fn documents(value: &Value, kind: Kind, endpoint: bool) -> Result<Option<Vec<Document>>, String> {
    let read = |policy: &Value| {
        let policy = mend(policy.get("policy").unwrap_or(policy).clone(), kind, endpoint);
        parse(&policy.to_string(), kind).map_err(|e| format!("{e} in {policy}"))
    };
    match value {
        Value::Null => Ok(None),
        Value::Array(list) => list.iter().map(read).collect::<Result<_, _>>().map(Some),
        one => read(one).map(|one| Some(vec![one])),
    }
}

/// The levels of an organization; `addFullAccess` stands for the policy that AWS attaches itself.
fn levels(value: &Value, full: &str, kind: Kind) -> Result<Vec<Vec<Document>>, String> {
    let mut out = Vec::new();
    for level in value.as_array().into_iter().flatten() {
        let mut level_documents = documents(&level["policies"], kind, false)?.unwrap_or_default();
        if level["addFullAccess"] == true {
            level_documents.push(parse(full, kind).unwrap());
        }
        out.push(level_documents);
    }
    Ok(out)
}

fn flagged(case: &Value, flag: &str) -> bool {
    case["flags"].as_array().unwrap().iter().any(|own| own == flag)
}

fn run(case: &Value) -> Result<Decision, String> {
    let policies = &case["policies"];
    let request = &case["request"];
    let identity = documents(&policies["identity"], Kind::Identity, false)?.unwrap_or_default();
    let boundary = documents(&policies["boundary"], Kind::Identity, false)?;
    let session = documents(&policies["session"], Kind::Identity, false)?;
    let action = request["action"].as_str().unwrap();
    let trust = action.to_ascii_lowercase().starts_with("sts:assumerole");
    let kind = if trust { Kind::Trust } else { Kind::Resource };
    let mut resource =
        documents(&policies["resource"], kind, false)?.map(|mut list| list.remove(0));
    // Every key has a policy; in a case without one it allows nothing that the case asks for.
    let key = request["resource"].as_str().unwrap().contains(":key/");
    if key && resource.is_none() {
        let nothing = r#"{"Version": "2012-10-17", "Statement":
            {"Effect": "Deny", "Principal": "*", "Action": "kms:None", "Resource": "*"}}"#;
        resource = Some(parse(nothing, Kind::Resource).unwrap());
    }
    let service_control = levels(
        &policies["scps"],
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#,
        Kind::Identity,
    )?;
    let resource_control = levels(
        &policies["rcps"],
        r#"{"Version": "2012-10-17", "Statement":
            {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}"#,
        Kind::Resource,
    )?;
    let endpoint = documents(&policies["endpoint"], Kind::Resource, true)?;

    let principal = principal(&request["principal"]);
    let context = context(&request["context"]);
    // In that simulator's discovery mode a key that the request lacks is not known.
    let discovers = flagged(case, "discovery-mode");
    let known = Known::default();
    let assumed = |documents: Vec<Document>| -> Vec<Document> {
        let one = |document: Document| match discovers {
            true => assume(&document, &known, Assumption::Optimistic).into_owned(),
            false => document,
        };
        documents.into_iter().map(one).collect()
    };
    let [identity, boundary, session, resource, endpoint] =
        [Some(identity), boundary, session, resource.map(|document| vec![document]), endpoint]
            .map(|documents| documents.map(assumed));
    let [service_control, resource_control] = [service_control, resource_control]
        .map(|levels| levels.into_iter().map(assumed).collect::<Vec<_>>());
    let [boundary, resource, endpoint] =
        [boundary, resource, endpoint].map(|documents| documents?.into_iter().next());
    let request = Request {
        principal: &principal,
        action,
        resource: request["resource"].as_str().unwrap(),
        // Policies of AWS's own are of the account `aws`.
        resource_account: request["resourceAccount"].as_str().unwrap().parse().unwrap_or(AWS),
        context: &context,
    };
    let set = PolicySet {
        identity: identity.iter().flatten().collect(),
        boundary: boundary.as_ref(),
        session: session.as_ref().map(|list| list.iter().collect()),
        resource: resource.as_ref().map(|document| match (trust, key) {
            (true, _) => ResourcePolicy::Trust(document),
            (_, true) => ResourcePolicy::Key(document),
            _ => ResourcePolicy::Ordinary(document),
        }),
        service_control: service_control.iter().map(|level| level.iter().collect()).collect(),
        resource_control: resource_control.iter().map(|level| level.iter().collect()).collect(),
        endpoint: endpoint.as_ref(),
        ..PolicySet::default()
    };
    Ok(decide(&request, &set))
}

/// The layer as the cases name it.
const fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Identity => "identity",
        Layer::Resource | Layer::Trust => "resource",
        Layer::Boundary => "pb",
        Layer::Session => "session",
        Layer::ServiceControl => "scp",
        Layer::ResourceControl => "rcp",
        Layer::Endpoint => "vpce",
    }
}

/// What a decision contradicts, if anything.
fn contradiction(case: &Value, decision: Decision) -> Option<String> {
    let expected = &case["expected"];
    let (name, layer) = match decision {
        Decision::Allow => ("allowed", None),
        Decision::ExplicitDeny(layer) => ("explicitDeny", Some(layer_name(layer))),
        Decision::ImplicitDeny(layer) => ("implicitDeny", Some(layer_name(layer))),
    };
    let agrees = if flagged(case, "decision-kind-unreliable") || expected["decision"].is_null() {
        expected["allowed"].as_bool() == Some(decision.is_allowed())
    } else {
        expected["decision"] == name
    };
    // A case names every layer that denies; the decision names the first.
    let layer_agrees = match (expected["blockedBy"].as_array(), layer) {
        (Some(layers), Some(layer)) => layers.iter().any(|l| l == layer),
        _ => true,
    };
    (!agrees || !layer_agrees).then(|| format!("{decision:?}, expected {expected}"))
}

#[test]
fn decisions_agree_with_cases_of_others() {
    let Some(cases) = cases() else { return };
    let mut passed_over = BTreeMap::<&str, usize>::new();
    let (mut agreed, mut disputed, mut wrong) = (0, Vec::new(), Vec::new());
    for (id, case) in &cases {
        if let Some((_, why)) = PASSED_OVER.iter().find(|(prefix, _)| id.starts_with(prefix)) {
            *passed_over.entry(*why).or_default() += 1;
            continue;
        }
        let found = match run(case) {
            Ok(decision) => contradiction(case, decision),
            Err(refused) => Some(format!("refused: {refused}")),
        };
        let entry = DISPUTED.iter().find(|(prefix, ..)| id.starts_with(prefix));
        match (found, entry) {
            (None, None) => agreed += 1,
            (Some(_), Some((prefix, ..))) => disputed.push(*prefix),
            (Some(found), None) => wrong.push(format!("{id}\n    {found}")),
            (None, Some((prefix, ..))) => {
                wrong.push(format!("{id}: agrees, but {prefix} is disputed"))
            }
        }
    }
    for (prefix, ..) in DISPUTED {
        if !disputed.contains(prefix) {
            wrong.push(format!("{prefix}: disputed, but there is no such case"));
        }
    }
    println!(
        "{} cases: {agreed} agree, {} disputed, passed over: {passed_over:?}",
        cases.len(),
        disputed.len()
    );
    assert!(wrong.is_empty(), "{} cases disagree:\n{}", wrong.len(), wrong.join("\n"));
}
