//! The authorization row of each operation: from the service authorization reference where the
//! action has the operation's name, from the table here where it has not.

use crate::sources::Reference;
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What an operation asks for where its name does not say.
enum Exception {
    /// These actions, the main one first.
    Actions(&'static [&'static str]),
    /// No permission at all: every authenticated caller may.
    NotNeeded,
}

/// Operations whose actions differ from their names.
fn exception(prefix: &str, operation: &str) -> Option<Exception> {
    use Exception::{Actions, NotNeeded};
    Some(match (prefix, operation) {
        // "No permissions are required to perform this operation", even under an explicit deny.
        // https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
        ("sts", "GetCallerIdentity") => NotNeeded,
        // "You cannot use policies to control authentication operations."
        // https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_getsessiontoken.html
        ("sts", "GetSessionToken") => NotNeeded,
        // https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html
        ("kms", "ReEncrypt") => Actions(&["kms:ReEncryptFrom", "kms:ReEncryptTo"]),
        // The console's registration of a security key asks for it twice, told apart by
        // iam:RegisterSecurityKey.
        // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
        ("iam", "BeginSecurityKeyRegistration" | "FinishSecurityKeyRegistration") => {
            Actions(&["iam:EnableMFADevice"])
        }
        // As GetSessionToken.
        ("iam", "BeginSecurityKeySession" | "FinishSecurityKeySession") => NotNeeded,
        // "Both use access-analyzer:GetFinding", and likewise ListFindings.
        // https://docs.aws.amazon.com/access-analyzer/latest/APIReference/API_GetFindingV2.html
        ("access-analyzer", "GetFindingV2") => Actions(&["access-analyzer:GetFinding"]),
        ("access-analyzer", "ListFindingsV2") => Actions(&["access-analyzer:ListFindings"]),
        // Newer than the reference; the action has the operation's name.
        ("iam", "AcquireRole") => Actions(&["iam:AcquireRole"]),
        ("iam", "UpdateDelegationRequest") => Actions(&["iam:UpdateDelegationRequest"]),
        _ => return None,
    })
}

/// Operations that CloudTrail calls read-only, though the reference's access level is "Write": uses of
/// KMS keys change nothing. <https://docs.aws.amazon.com/kms/latest/developerguide/ct-decrypt.html>
/// and the pages beside it.
fn changes_nothing(prefix: &str, operation: &str) -> bool {
    prefix == "kms"
        && matches!(
            operation,
            "Decapsulate"
                | "Decrypt"
                | "DeriveSharedSecret"
                | "Encapsulate"
                | "Encrypt"
                | "GenerateDataKey"
                | "GenerateDataKeyPair"
                | "GenerateDataKeyPairWithoutPlaintext"
                | "GenerateDataKeyWithoutPlaintext"
                | "GenerateMac"
                | "GenerateRandom"
                | "GetParametersForImport"
                | "ReEncrypt"
                | "Sign"
                | "Verify"
                | "VerifyMac"
        )
}

/// The actions that an operation asks for, the main one first; none where it needs no permission.
pub fn actions(prefix: &str, operation: &str) -> Vec<String> {
    match exception(prefix, operation) {
        Some(Exception::NotNeeded) => Vec::new(),
        Some(Exception::Actions(actions)) => actions.iter().map(|a| (*a).to_owned()).collect(),
        None => vec![format!("{prefix}:{operation}")],
    }
}

/// The row as Rust text; `passes` are the members by which a role is passed.
pub fn row(
    prefix: &str,
    operation: &str,
    passes: &[String],
    reference: &Reference,
) -> Result<String> {
    let exception = exception(prefix, operation);
    if let Some(Exception::NotNeeded) = exception {
        return Ok(render("NotNeeded", &[], "Read", &[], &[], passes));
    }
    let source = if exception.is_some() { "Table" } else { "Reference" };
    let actions = actions(prefix, operation);
    let main = actions.first().context("a row has an action")?;
    let Some(action) = reference.action(main) else {
        if source == "Reference" && reference.trial {
            println!("  no authorisation row: {prefix}:{operation}");
        } else if source == "Reference" {
            bail!("no authorization row for `{prefix}:{operation}`: add one to the exceptions");
        }
        return Ok(render(source, &actions, "Write", &[], &[], passes));
    };
    let level = match reference.access_level(main) {
        _ if changes_nothing(prefix, operation) => "Read",
        Some("List") => "List",
        Some("Read") => "Read",
        Some("Permissions management") => "PermissionsManagement",
        Some("Tagging") => "Tagging",
        _ => "Write",
    };
    let mut resources = Vec::new();
    for kind in action["resourceTypes"].as_array().into_iter().flatten() {
        if let Some(arn) = reference.resource(kind)["arn"].as_str() {
            resources.push(arn.to_owned());
        }
    }
    let mut keys: Vec<String> = strings(&action["conditionKeys"]);
    for kind in action["resourceTypes"].as_array().into_iter().flatten() {
        keys.extend(strings(&kind["conditionKeys"]));
        keys.extend(strings(&reference.resource(kind)["conditionKeys"]));
    }
    keys.sort();
    keys.dedup();
    Ok(render(source, &actions, level, &resources, &keys, passes))
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn render(
    source: &str,
    actions: &[String],
    level: &str,
    resources: &[String],
    keys: &[String],
    passes: &[String],
) -> String {
    format!(
        "Authorization {{ source: AuthorizationSource::{source}, actions: &{actions:?}, \
         access_level: AccessLevel::{level}, resources: &{resources:?}, condition_keys: &{keys:?}, \
         passes: &{passes:?} }}"
    )
}
