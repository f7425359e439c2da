//! IAM's refusals, in AWS's words.
//!
//! Words marked *recorded* are those of AWS's answers as LocalStack's snapshot tests keep them
//! (`tests/aws/services/iam/*.snapshot.json`); the others are as AWS's users report them.

use ringfence_model_iam::types;
use ringfence_model_ringfence::types::{CeremonyNotFoundException, SecurityKeyRefusedException};
use ringfence_policy::{AccountId, Malformed};
use ringfence_webauthn::Refused;
use ringfence_wire::ServiceError;

fn missing(message: String) -> ServiceError {
    types::NoSuchEntityException::error(message)
}

fn exists(message: String) -> ServiceError {
    types::EntityAlreadyExistsException::error(message)
}

/// `NoSuchEntity` for a user, group or role. Recorded.
pub(crate) fn no_such(noun: &str, name: &str) -> ServiceError {
    missing(format!("The {noun} with name {name} cannot be found."))
}

/// `NoSuchEntity` for an instance profile. Recorded.
pub(crate) fn no_such_profile(name: &str) -> ServiceError {
    missing(format!("Instance Profile {name} cannot be found."))
}

/// `NoSuchEntity` for a role that an instance profile does not hold. Recorded.
pub(crate) fn not_in_profile(role: &str, profile: &str) -> ServiceError {
    missing(format!("Role {role} in Instance Profile {profile} cannot be found."))
}

/// `NoSuchEntity` for an inline policy. Recorded.
pub(crate) fn no_such_inline(noun: &str, name: &str) -> ServiceError {
    missing(format!("The {noun} policy with name {name} cannot be found."))
}

/// `NoSuchEntity` for an access key. Recorded.
pub(crate) fn no_such_key(id: &str) -> ServiceError {
    missing(format!("The Access Key with id {id} cannot be found."))
}

/// `NoSuchEntity` for an MFA device. Recorded.
pub(crate) fn no_such_mfa(serial: &str) -> ServiceError {
    missing(format!("MFA Device with serial number {serial} does not exist."))
}

/// `EntityAlreadyExists` for a virtual MFA device. Recorded.
pub(crate) fn mfa_exists() -> ServiceError {
    exists("MFA device already exists.".into())
}

/// `EntityAlreadyExists` for an MFA device that is to be enabled and is. Recorded.
pub(crate) fn mfa_already_in_use() -> ServiceError {
    exists("MFA Device is already in use.".into())
}

/// `DeleteConflict` for a virtual MFA device that is enabled.
pub(crate) fn mfa_in_use() -> ServiceError {
    conflict("MFA VirtualDevice in use. Must deactivate first.")
}

/// `InvalidAuthenticationCode`: the two codes are not the device's, not in a row, or used.
pub(crate) fn wrong_codes() -> ServiceError {
    types::InvalidAuthenticationCodeException::error("Authentication code for device is not valid.")
}

/// `NoSuchEntity` for a user that has no security key and would sign in by one. Ours.
pub(crate) fn no_security_key() -> ServiceError {
    missing("The caller has no security key.".into())
}

/// `EntityAlreadyExists` for a security key that somebody of the account has registered. Ours.
pub(crate) fn security_key_registered() -> ServiceError {
    exists("This security key is already registered.".into())
}

/// `CeremonyNotFound`: never begun, over, used, or another caller's or user's. Ours.
pub(crate) fn no_ceremony() -> ServiceError {
    CeremonyNotFoundException::error("There is no such ceremony, or it is over. Begin again.")
}

/// `SecurityKeyRefused`. Ours.
pub(crate) fn security_key_refused(why: &Refused) -> ServiceError {
    SecurityKeyRefusedException::error(format!("The security key was refused: {why}."))
}

/// `NoSuchEntity` for a managed policy, where it is read, tagged, deleted or detached. Recorded.
pub(crate) fn no_such_policy(arn: &str) -> ServiceError {
    missing(format!("Policy {arn} was not found."))
}

/// `NoSuchEntity` for a managed policy that is to be attached. Recorded.
pub(crate) fn not_attachable(arn: &str) -> ServiceError {
    missing(format!("Policy {arn} does not exist or is not attachable."))
}

/// `PolicyNotAttachable` for a policy of service-linked roles. The words for a role are those of
/// <https://github.com/aws/aws-cdk/issues/6131>; none are known for a user or group.
pub(crate) fn service_role_policy(kind: &str) -> ServiceError {
    let noun = match kind {
        "user" => "User",
        "group" => "Group",
        _ => "Role",
    };
    types::PolicyNotAttachableException::error(format!(
        "Cannot attach a Service Role Policy to a Customer {noun}."
    ))
}

/// `NoSuchEntity` for a managed policy that is to be a boundary. Recorded.
pub(crate) fn no_such_boundary(arn: &str) -> ServiceError {
    missing(format!("Scope ARN: {arn} does not exist or is not attachable."))
}

/// `NoSuchEntity` for a boundary that is to be removed where there is none.
pub(crate) fn no_boundary(noun: &str, name: &str) -> ServiceError {
    missing(format!("The {noun} with name {name} does not have a permissions boundary."))
}

/// `NoSuchEntity` for a version of a managed policy. Recorded.
pub(crate) fn no_such_version(arn: &str, version: &str) -> ServiceError {
    missing(format!("Policy {arn} version {version} does not exist or is not attachable."))
}

/// `NoSuchEntity` for an OpenID Connect provider. Recorded.
pub(crate) fn no_oidc_provider(arn: &str) -> ServiceError {
    missing(format!("OpenIDConnect Provider not found for arn {arn}"))
}

/// `NoSuchEntity` for an OpenID Connect provider that is to be deleted. Recorded.
pub(crate) fn no_oidc_provider_to_delete(arn: &str) -> ServiceError {
    missing(format!("OpenId connect Provider {arn} cannot be found."))
}

/// `EntityAlreadyExists` for an OpenID Connect provider. Recorded.
pub(crate) fn provider_url_exists(url: &str) -> ServiceError {
    exists(format!("Provider with url {url} already exists."))
}

/// `NoSuchEntity` for a SAML provider. Recorded.
pub(crate) fn no_saml_provider(arn: &str) -> ServiceError {
    missing(format!("Manifest not found for arn {arn}"))
}

/// `EntityAlreadyExists` for a SAML provider.
pub(crate) fn saml_provider_exists(name: &str) -> ServiceError {
    exists(format!("Provider with name {name} already exists."))
}

/// `LimitExceeded` for a third private key, in the words of
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_saml.html>
pub(crate) fn too_many_private_keys(limit: usize) -> ServiceError {
    types::LimitExceededException::error(format!("Private key limit of {limit} is reached."))
}

/// `ValidationError` for the URL of an OpenID Connect provider. Recorded.
pub(crate) fn bad_provider_url() -> ServiceError {
    validation("Invalid Open ID Connect Provider URL")
}

/// `InvalidInput` for a sixth thumbprint. Recorded.
pub(crate) fn too_many_thumbprints() -> ServiceError {
    invalid_input("Thumbprint list must contain fewer than 5 entries.")
}

/// `LimitExceeded` for the tags of a provider. Recorded.
pub(crate) fn too_many_tags_of_provider() -> ServiceError {
    types::LimitExceededException::error("The number of tags has reached the maximum limit.")
}

/// `EntityAlreadyExists` for a user, group or role; `noun` is capitalised. Recorded.
pub(crate) fn already(noun: &str, name: &str) -> ServiceError {
    exists(format!("{noun} with name {name} already exists."))
}

/// `EntityAlreadyExists` for an instance profile. Recorded.
pub(crate) fn profile_exists(name: &str) -> ServiceError {
    exists(format!("Instance Profile {name} already exists."))
}

/// `EntityAlreadyExists` for a managed policy. Recorded.
pub(crate) fn policy_exists(name: &str) -> ServiceError {
    exists(format!("A policy called {name} already exists. Duplicate names are not allowed."))
}

/// `DeleteConflict`: `must` is what has to be done first. Recorded for policies, access keys, login
/// profiles and instance profiles.
pub(crate) fn in_use(must: &str) -> ServiceError {
    conflict(format!("Cannot delete entity, must {must} first."))
}

/// `DeleteConflict` with these words.
pub(crate) fn conflict(message: impl Into<String>) -> ServiceError {
    types::DeleteConflictException::error(message)
}

/// `LimitExceeded` on a quota. Recorded.
pub(crate) fn over_quota(quota: &str, limit: usize) -> ServiceError {
    types::LimitExceededException::error(format!("Cannot exceed quota for {quota}: {limit}"))
}

/// `LimitExceeded` for the inline policies of one entity together.
pub(crate) fn inline_too_large(limit: usize, noun: &str, name: &str) -> ServiceError {
    types::LimitExceededException::error(format!(
        "Maximum policy size of {limit} bytes exceeded for {noun} {name}"
    ))
}

/// `LimitExceeded` for a sixth version. Recorded.
pub(crate) fn too_many_versions(limit: usize) -> ServiceError {
    types::LimitExceededException::error(format!(
        "A managed policy can have up to {limit} versions. Before you create a new version, you \
         must delete an existing version."
    ))
}

/// `LimitExceeded` for tags.
pub(crate) fn too_many_tags(limit: usize) -> ServiceError {
    types::LimitExceededException::error(format!(
        "The number of tags has reached the maximum limit: {limit}"
    ))
}

/// `InvalidInput` for a tag key given twice. Recorded: users and roles fold case, the others not.
pub(crate) fn duplicate_tags(folded: bool) -> ServiceError {
    invalid_input(if folded {
        "Duplicate tag keys found. Please note that Tag keys are case insensitive."
    } else {
        "Duplicate tag keys found."
    })
}

/// `InvalidInput` for a tag key that only AWS may set.
pub(crate) fn reserved_tag() -> ServiceError {
    invalid_input("aws: prefixed tag key names are not allowed for external use.")
}

/// `InvalidInput`.
pub(crate) fn invalid_input(message: impl Into<String>) -> ServiceError {
    types::InvalidInputException::error(message)
}

/// `InvalidInput` for a role under a path that only services use.
pub(crate) fn reserved_path() -> ServiceError {
    invalid_input(
        "Invalid path: '/aws-service-role/' can only be used for AWS Service linked Roles",
    )
}

/// `AccessDenied` for a service that has no role to be made, as AWS's users report it.
pub(crate) fn no_service_role(service: &str) -> ServiceError {
    ServiceError::access_denied(format!("Cannot find Service Linked Role template for {service}"))
}

/// `InvalidInput` for a suffix that a service does not take. Recorded.
pub(crate) fn no_suffix(service: &str) -> ServiceError {
    invalid_input(format!("Custom suffix is not allowed for {service}"))
}

/// `InvalidInput` for a service-linked role that is there. Recorded.
pub(crate) fn service_role_exists(name: &str) -> ServiceError {
    invalid_input(format!(
        "Service role name {name} has been taken in this account, please try a different suffix."
    ))
}

/// `ValidationError` for a suffix that makes the role's name too long, in the words of a constraint.
pub(crate) fn long_role_name(name: &str, limit: usize) -> ServiceError {
    validation(format!(
        "1 validation error detected: Value '{name}' at 'roleName' failed to satisfy constraint: \
         Member must have length less than or equal to {limit}"
    ))
}

/// `NoSuchEntity` for a role that no service owns, where one that a service owns is to be deleted: the
/// model has no other error for it.
pub(crate) fn not_linked(name: &str) -> ServiceError {
    missing(format!("The service-linked role with name {name} cannot be found."))
}

/// `NoSuchEntity` for a deletion task.
pub(crate) fn no_deletion_task(id: &str) -> ServiceError {
    missing(format!("The deletion task with id {id} cannot be found."))
}

/// `InvalidInput` for what is no id of a deletion task.
pub(crate) fn bad_deletion_task(id: &str) -> ServiceError {
    invalid_input(format!("The deletion task id {id} is not valid."))
}

/// `UnmodifiableEntity` for a role that belongs to a service.
pub(crate) fn protected_role(name: &str) -> ServiceError {
    types::UnmodifiableEntityException::error(format!(
        "Cannot perform the operation on the protected role '{name}' - this role is only \
         modifiable by AWS"
    ))
}

/// `MalformedPolicyDocument`.
pub(crate) fn malformed(why: &Malformed) -> ServiceError {
    malformed_document(why.to_string())
}

/// `MalformedPolicyDocument` with these words.
pub(crate) fn malformed_document(message: impl Into<String>) -> ServiceError {
    types::MalformedPolicyDocumentException::error(message)
}

/// `MalformedPolicyDocument` for a trusted principal that is not there.
pub(crate) fn invalid_principal(value: &str) -> ServiceError {
    malformed_document(format!("Invalid principal in policy: \"AWS\":\"{value}\""))
}

/// `MalformedPolicyDocument` for what cannot be an identity provider.
pub(crate) fn invalid_federated_principal(value: &str) -> ServiceError {
    malformed_document(format!("Invalid principal in policy: \"FEDERATED\":\"{value}\""))
}

/// `MalformedPolicyDocument` for a managed policy in the old language. Recorded.
pub(crate) fn old_language() -> ServiceError {
    malformed_document("Policy document must be version 2012-10-17 or greater.")
}

/// `ValidationError`: what the model's constraints do not express.
pub(crate) fn validation(message: impl Into<String>) -> ServiceError {
    ServiceError::new("ValidationError", 400, message)
}

/// `InvalidInput` for what is no ARN of a policy. Recorded.
pub(crate) fn no_policy_arn(text: &str) -> ServiceError {
    invalid_input(format!("ARN {text} is not valid."))
}

/// `ValidationError` for a path with an empty segment.
pub(crate) fn bad_path() -> ServiceError {
    validation(
        "The specified value for path is invalid. It must begin and end with / and contain only \
         alphanumeric characters and/or / characters.",
    )
}

/// `ValidationError` for a page marker that was not given out for this list.
pub(crate) fn bad_marker() -> ServiceError {
    validation("Invalid Marker.")
}

/// `ValidationError` where a caller that is no user names no user. Recorded.
pub(crate) fn must_name_user() -> ServiceError {
    validation("Must specify userName when calling with non-User credentials")
}

/// `NoSuchEntity` for a user without a password. Recorded.
pub(crate) fn no_login_profile(user: &str) -> ServiceError {
    missing(format!("Login Profile for User {user} cannot be found."))
}

/// `EntityAlreadyExists` for a user that has a password. Recorded.
pub(crate) fn login_profile_exists(user: &str) -> ServiceError {
    exists(format!("Login Profile for user {user} already exists."))
}

/// `ValidationError` for a login profile without a password, in the words of a constraint.
pub(crate) fn password_missing() -> ServiceError {
    validation(
        "1 validation error detected: Value at 'password' failed to satisfy constraint: Member \
         must not be null",
    )
}

/// `PasswordPolicyViolation` with these words.
pub(crate) fn password_violation(message: impl Into<String>) -> ServiceError {
    types::PasswordPolicyViolationException::error(message)
}

/// `PasswordPolicyViolation` for a password that the user had before.
pub(crate) fn password_reused() -> ServiceError {
    password_violation(
        "Policy constraint violation with password reuse prevention during password change.",
    )
}

/// `AccessDenied` for a password that is not the caller's.
pub(crate) fn wrong_old_password() -> ServiceError {
    ServiceError::access_denied("The old password was incorrect.")
}

/// `InvalidUserType` for root users and sessions of roles.
pub(crate) fn only_users_change_passwords() -> ServiceError {
    types::InvalidUserTypeException::error("Only IAM Users can change their own password.")
}

/// `EntityTemporarilyUnmodifiable` for a password that was changed meanwhile.
pub(crate) fn password_in_change() -> ServiceError {
    types::EntityTemporarilyUnmodifiableException::error(
        "The login profile is being changed by another request. Try again.",
    )
}

/// `NoSuchEntity` for the password policy of an account that has none of its own. Recorded.
pub(crate) fn no_password_policy(account: AccountId) -> ServiceError {
    missing(format!("The Password Policy with domain name {account} cannot be found."))
}

/// `NoSuchEntity` for a password policy that is to be deleted. Recorded.
pub(crate) fn no_password_policy_to_delete() -> ServiceError {
    missing("The account policy with name PasswordPolicy cannot be found.".into())
}

/// `EntityAlreadyExists` for an alias, whoever has it. The words are those of
/// <https://github.com/awslabs/aws-deployment-framework/pull/465>.
pub(crate) fn alias_exists(alias: &str) -> ServiceError {
    exists(format!("The account alias {alias} already exists."))
}

/// `NoSuchEntity` for an alias that the account has not.
pub(crate) fn no_such_alias(alias: &str) -> ServiceError {
    missing(format!("The account alias {alias} does not exist."))
}

/// `AccessDenied` for the last use of a key that nobody has. Recorded, for an administrator.
pub(crate) fn unknown_key_last_used(caller: &str, id: &str) -> ServiceError {
    ServiceError::access_denied(format!(
        "User: {caller} is not authorized to perform iam:GetAccessKeyLastUsed on resource: access \
         key {id}"
    ))
}

/// `AccessDenied` for a policy that another account, or AWS, owns.
pub(crate) fn outside_account() -> ServiceError {
    ServiceError::access_denied("Policy is outside your own account.")
}

/// `NoSuchEntity` for a server certificate. Recorded.
pub(crate) fn no_such_server_certificate(name: &str) -> ServiceError {
    missing(format!("The Server Certificate with name {name} cannot be found."))
}

/// `EntityAlreadyExists` for a server certificate. Recorded.
pub(crate) fn server_certificate_exists(name: &str) -> ServiceError {
    exists(format!("The Server Certificate with name {name} already exists."))
}

/// `DeleteConflict` for a server certificate that something serves with.
pub(crate) fn certificate_in_use(id: &str, by: &str) -> ServiceError {
    conflict(format!(
        "Certificate: {id} is currently in use by {by}. Please remove it first before deleting it \
         from IAM."
    ))
}

/// `NoSuchEntity` for an SSH public key. Recorded.
pub(crate) fn no_such_ssh_key(id: &str) -> ServiceError {
    missing(format!("The Public Key with id {id} cannot be found."))
}

/// `NoSuchEntity` for a signing certificate. Recorded.
pub(crate) fn no_such_certificate(id: &str) -> ServiceError {
    missing(format!("The Certificate with id {id} cannot be found."))
}

/// `NoSuchEntity` for a credential for one service. As LocalStack's tests against AWS have it.
pub(crate) fn no_such_service_credential(id: &str) -> ServiceError {
    missing(format!("No such credential {id} exists"))
}

/// `NoSuchEntity` for a service that takes no credentials of its own. As LocalStack's tests against
/// AWS have it; the model's `NotSupportedService` is not what AWS answers.
pub(crate) fn no_such_service(service: &str) -> ServiceError {
    missing(format!("No such service {service} is supported for Service Specific Credentials"))
}

/// `UnrecognizedPublicKeyEncoding`. The model's documentation.
pub(crate) fn unknown_key_encoding() -> ServiceError {
    types::UnrecognizedPublicKeyEncodingException::error(
        "The public key encoding format is unsupported or unrecognized.",
    )
}

/// `InvalidPublicKey`. The model's documentation.
pub(crate) fn invalid_public_key() -> ServiceError {
    types::InvalidPublicKeyException::error("The public key is malformed or otherwise invalid.")
}

/// `DuplicateSSHPublicKey`. The model's documentation.
pub(crate) fn duplicate_ssh_key() -> ServiceError {
    types::DuplicateSSHPublicKeyException::error(
        "The SSH public key is already associated with the specified IAM user.",
    )
}

/// `MalformedCertificate` for a signing certificate. Recorded; a long one is cut, as in violations.
pub(crate) fn malformed_certificate(body: &str) -> ServiceError {
    let shown: String = body.chars().take(2048).collect();
    types::MalformedCertificateException::error(format!("Certificate {shown} is malformed."))
}

/// `InvalidCertificate`. The model's documentation.
pub(crate) fn invalid_certificate() -> ServiceError {
    types::InvalidCertificateException::error("The certificate is expired or not yet valid.")
}

/// `DuplicateCertificate`. The model's documentation.
pub(crate) fn duplicate_certificate() -> ServiceError {
    types::DuplicateCertificateException::error(
        "The same certificate is associated with an IAM user in the account.",
    )
}

/// `MalformedCertificate` for a server certificate.
pub(crate) fn unreadable_certificate() -> ServiceError {
    types::MalformedCertificateException::error(
        "Unable to parse certificate. Please ensure the certificate is in PEM format.",
    )
}

/// `MalformedCertificate` for one whose time is over or has not come.
pub(crate) fn certificate_out_of_time() -> ServiceError {
    types::MalformedCertificateException::error("The certificate is expired or not yet valid.")
}

/// `MalformedCertificate` for a private key.
pub(crate) fn unreadable_private_key() -> ServiceError {
    types::MalformedCertificateException::error(
        "Unable to parse private key. Please ensure the key is not encrypted and in PEM format.",
    )
}

/// `MalformedCertificate` for a chain.
pub(crate) fn unreadable_chain() -> ServiceError {
    types::MalformedCertificateException::error(
        "Unable to parse certificate chain. Please ensure the chain is in PEM format.",
    )
}

/// `MalformedCertificate` for a chain that is broken at a certificate. The words, and the count from
/// -1, are those of <https://github.com/go-acme/lego/issues/304>: what the index counts is the
/// certificate before the one that does not fit, the server's own being -1.
pub(crate) fn broken_chain(at: usize) -> ServiceError {
    let before = i64::try_from(at).unwrap_or(i64::MAX) - 1;
    types::MalformedCertificateException::error(format!(
        "Unable to validate certificate chain. The certificate chain must start with the immediate \
         signing certificate, followed by any intermediaries in order. The index within the chain \
         of the invalid certificate is: {before}"
    ))
}

/// `KeyPairMismatch`. The model's documentation.
pub(crate) fn key_pair_mismatch() -> ServiceError {
    types::KeyPairMismatchException::error(
        "The public key certificate and the private key do not match.",
    )
}

/// `ReportNotPresent`. AWS says nothing with it: recorded.
pub(crate) fn no_report() -> ServiceError {
    types::CredentialReportNotPresentException::error("")
}

/// `ReportInProgress`, without words as [`no_report`].
pub(crate) fn report_in_progress() -> ServiceError {
    types::CredentialReportNotReadyException::error("")
}

/// `ReportExpired`, without words as [`no_report`].
pub(crate) fn report_expired() -> ServiceError {
    types::CredentialReportExpiredException::error("")
}

/// `NoSuchEntity` for what an access report is asked about.
pub(crate) fn no_such_arn(arn: &str) -> ServiceError {
    missing(format!("ARN {arn} does not exist."))
}

/// `NoSuchEntity` for the job of an access report, another caller's too.
pub(crate) fn no_such_job(id: &str) -> ServiceError {
    missing(format!("Job {id} does not exist."))
}

/// `InvalidInput` for the ARN of what has no access report.
pub(crate) fn unsupported_arn(arn: &str) -> ServiceError {
    invalid_input(format!("Invalid Entity Arn: {arn} is not supported."))
}

/// `InvalidInput` for an ARN that names no kind of thing.
pub(crate) fn no_entity_in_arn(arn: &str) -> ServiceError {
    invalid_input(format!("Could not extract entity from ARN : {arn}"))
}

/// `AccessDenied` for an access report on what another account owns.
pub(crate) fn outside(caller: &str, arn: &str) -> ServiceError {
    ServiceError::access_denied(format!(
        "User: {caller} is not authorized to perform the operation on {arn}"
    ))
}

/// `InvalidInput` for services that there are not.
pub(crate) fn no_such_namespaces(namespaces: &[&str]) -> ServiceError {
    invalid_input(format!("Invalid service namespace: [{}]", namespaces.join(", ")))
}

/// `InvalidInput` for a service that there is not; the misspelling is AWS's.
pub(crate) fn no_such_namespace(namespace: &str) -> ServiceError {
    invalid_input(format!("Service namepace {namespace} is either invalid or unsupported."))
}

/// What the job of an access report says that failed on this side. The cause is in the log.
pub(crate) fn report_failed() -> ServiceError {
    types::ServiceFailureException::error(
        "The request processing has failed because of an unknown error, exception or failure.",
    )
}

/// `Throttling`, which clients try again.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>
pub(crate) fn too_many_jobs() -> ServiceError {
    ServiceError::new("Throttling", 400, "Rate exceeded")
}

/// `NoSuchEntity` for a delegation request. No words of AWS's are known.
pub(crate) fn no_such_delegation(id: &str) -> ServiceError {
    missing(format!("The delegation request with id {id} cannot be found."))
}

/// `EntityAlreadyExists` for the workflow of another delegation request. No words of AWS's are known.
pub(crate) fn workflow_exists(id: &str) -> ServiceError {
    exists(format!("A delegation request with requestor workflow id {id} already exists."))
}

/// `InvalidInput` for a delegation request whose state does not let a step be taken. No words of
/// AWS's are known.
pub(crate) fn delegation_state(id: &str, state: &str) -> ServiceError {
    invalid_input(format!("The delegation request {id} is in state {state}."))
}

/// `AccessDenied` for a session that was lent and would lend on.
pub(crate) fn lent_credentials() -> ServiceError {
    ServiceError::access_denied("Delegated credentials cannot manage delegation requests.")
}

/// `AccessDenied` for a root user and a delegation of more than four hours.
pub(crate) fn too_long_for_root() -> ServiceError {
    ServiceError::access_denied(
        "Root users can only accept delegation requests with a duration of 4 hours or less.",
    )
}

/// `AccessDenied` for a token that the owner alone may send.
pub(crate) fn only_owner_sends() -> ServiceError {
    ServiceError::access_denied(
        "The token of this delegation request can be sent by its owner only.",
    )
}

/// `ServiceFailure` for a topic that reaches nobody.
pub(crate) fn no_channel(topic: &str) -> ServiceError {
    types::ServiceFailureException::error(format!(
        "The delegation token was not sent: this server delivers nothing to {topic}. See the \
         option --notify of `ringfence serve`."
    ))
}

/// `ServiceFailure` for a topic whose endpoint did not take the token. The cause goes to the log.
pub(crate) fn not_handed_over(topic: &str) -> ServiceError {
    types::ServiceFailureException::error(format!(
        "The delegation token was not sent: the endpoint of {topic} did not take it."
    ))
}

/// `FeatureEnabled` for outbound federation. The model's documentation.
pub(crate) fn feature_enabled() -> ServiceError {
    types::FeatureEnabledException::error(
        "Outbound identity federation is already enabled for your Amazon Web Services account.",
    )
}

/// `FeatureDisabled` for outbound federation. The model's documentation.
pub(crate) fn feature_disabled() -> ServiceError {
    types::FeatureDisabledException::error(
        "Outbound identity federation is not enabled for your Amazon Web Services account.",
    )
}

/// `OrganizationNotFoundException`. The model's documentation, as are the four that follow.
pub(crate) fn no_organization() -> ServiceError {
    types::OrganizationNotFoundException::error(
        "The request was rejected because no organization is associated with your account.",
    )
}

/// `AccountNotManagementOrDelegatedAdministratorException`.
pub(crate) fn not_an_administrator() -> ServiceError {
    types::AccountNotManagementOrDelegatedAdministratorException::error(
        "The request was rejected because the account making the request is not the management \
         account or delegated administrator account for centralized root access.",
    )
}

/// `CallerIsNotManagementAccountException`.
pub(crate) fn not_the_management_account() -> ServiceError {
    types::CallerIsNotManagementAccountException::error(
        "The request was rejected because the account making the request is not the management \
         account for the organization.",
    )
}

/// `OrganizationNotInAllFeaturesModeException`.
pub(crate) fn not_all_features() -> ServiceError {
    types::OrganizationNotInAllFeaturesModeException::error(
        "The request was rejected because your organization does not have All features enabled.",
    )
}

/// `ServiceAccessNotEnabledException`.
pub(crate) fn service_not_trusted() -> ServiceError {
    types::ServiceAccessNotEnabledException::error(
        "The request was rejected because trusted access is not enabled for IAM in Organizations.",
    )
}

/// A password where a session of `AssumeRoot` makes a login profile. The words are a guess.
pub(crate) fn password_for_root() -> ServiceError {
    invalid_input("Password must be omitted when calling with an AssumeRoot session.")
}

/// The system had no random bytes, or another failure of this side. The cause goes to the log.
pub(crate) fn failed(error: impl std::fmt::Display) -> ServiceError {
    tracing::error!(%error, "IAM failed");
    types::ServiceFailureException::error(
        "The request processing has failed because of an unknown error, exception or failure.",
    )
}
