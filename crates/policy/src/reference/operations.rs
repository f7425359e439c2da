//! Which actions an operation of an API asks for.
//!
//! Nineteen of twenty ask for the action of their own name. The embedded text names a prefix for each
//! API and the operations that ask for others:
//!
//! | line | fields |
//! |---|---|
//! | `S` | the API by botocore's name, the prefix of its actions |
//! | `X` | operation of the API above, actions (`;`) |

use super::{Action, action, service, text};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static TEXT: LazyLock<String> =
    LazyLock::new(|| text::unpack(include_bytes!("../../data/operations.br")));

static APIS: LazyLock<BTreeMap<&str, Api>> = LazyLock::new(|| {
    let mut apis: BTreeMap<&str, Api> = BTreeMap::new();
    let mut current = "";
    for line in TEXT.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        match (next(), next(), next()) {
            ("S", name, prefix) => {
                current = name;
                apis.insert(name, Api { prefix, exceptions: BTreeMap::new() });
            }
            (_, operation, actions) => {
                if let Some(api) = apis.get_mut(current) {
                    api.exceptions.insert(operation, actions);
                }
            }
        }
    }
    apis
});

struct Api {
    prefix: &'static str,
    exceptions: BTreeMap<&'static str, &'static str>,
}

/// The actions that an operation of an API asks for. Where there are several, its input says which of
/// them: `TransactWriteItems` of DynamoDB asks for one for each kind of item. None where nobody has
/// looked it up, or there is no such operation.
///
/// `api` is botocore's name of it, which is the AWS command line's: `s3`, `bedrock-runtime`.
///
/// ```
/// use ringfence_policy::reference::actions_of_operation;
/// let names = |api, operation| {
///     actions_of_operation(api, operation).map(|action| action.full_name()).collect::<Vec<_>>()
/// };
/// assert_eq!(names("iam", "CreateUser"), ["iam:CreateUser"]);
/// assert_eq!(names("s3", "ListObjectsV2"), ["s3:ListBucket"]);
/// assert_eq!(names("kms", "ReEncrypt"), ["kms:ReEncryptFrom", "kms:ReEncryptTo"]);
/// ```
pub fn actions_of_operation(api: &str, operation: &str) -> impl Iterator<Item = &'static Action> {
    let api = APIS.get(api);
    let exceptions = api.and_then(|api| api.exceptions.get(operation));
    let own = match exceptions {
        Some(_) => None,
        None => api.and_then(|api| service(api.prefix)?.action(operation)),
    };
    exceptions.into_iter().flat_map(|actions| actions.split(';')).filter_map(action).chain(own)
}

/// Every API by botocore's name of it, with the prefix of its actions.
pub fn apis() -> impl Iterator<Item = (&'static str, &'static str)> {
    APIS.iter().map(|(name, api)| (*name, api.prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(api: &str, operation: &str) -> Vec<String> {
        actions_of_operation(api, operation).map(Action::full_name).collect()
    }

    #[test]
    fn an_operation_asks_for_the_action_of_its_name_or_for_what_a_page_says() {
        for (api, operation, actions) in [
            ("sts", "AssumeRole", "sts:AssumeRole"),
            ("sesv2", "SendEmail", "ses:SendEmail"),
            ("cloudwatch", "PutMetricData", "cloudwatch:PutMetricData"),
            ("s3", "HeadObject", "s3:GetObject"),
            ("s3", "CopyObject", "s3:GetObject s3:PutObject"),
            ("s3control", "PutPublicAccessBlock", "s3:PutAccountPublicAccessBlock"),
            ("lambda", "Invoke", "lambda:InvokeFunction"),
            ("apigateway", "CreateRestApi", "apigateway:POST"),
            ("apigatewayv2", "DeleteApi", "apigateway:DELETE"),
            ("sqs", "SendMessageBatch", "sqs:SendMessage"),
            ("s3", "NoSuchOperation", ""),
            ("no-such-api", "CreateUser", ""),
        ] {
            let expected: Vec<&str> = actions.split(' ').filter(|own| !own.is_empty()).collect();
            assert_eq!(names(api, operation), expected, "{api} {operation}");
        }
    }

    #[test]
    fn every_exception_is_an_action() {
        let mut exceptions = 0;
        for api in APIS.values() {
            assert!(service(api.prefix).is_some(), "{}", api.prefix);
            for name in api.exceptions.values().flat_map(|actions| actions.split(';')) {
                assert!(action(name).is_some(), "{name}");
                exceptions += 1;
            }
        }
        assert!(APIS.len() > 400 && exceptions > 200, "{} {exceptions}", APIS.len());
    }
}
