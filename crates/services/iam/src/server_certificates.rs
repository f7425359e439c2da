//! Server certificates: with their private keys, for the services that serve with them.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_server-certs.html>

use crate::entity::{Entity, allow_list, resolve_at};
use crate::key_records::ServerCertificate;
use crate::names::folded;
use crate::records::{Record, shared_path, shared_tags};
use crate::state::Account;
use crate::tags::{self, pairs};
use crate::x509;
use crate::{Iam, arn, errors, names};
use ringfence_gateway::ids::IdKind;
use ringfence_gateway::{Answer, Call, Resolved, State, Tags};
use ringfence_keyring::{SecretString, public_key_of};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, ServerCertificateMetadata};
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// Most certificates of a chain: each costs the check of a signature.
const CHAIN: usize = 32;

fn metadata(certificate: &ServerCertificate, id: AccountId) -> ServerCertificateMetadata {
    ServerCertificateMetadata {
        path: certificate.path.to_string(),
        server_certificate_name: certificate.name.to_string(),
        server_certificate_id: certificate.id.to_string(),
        arn: certificate.arn(id),
        upload_date: Some(Timestamp::from_seconds(certificate.uploaded)),
        expiration: Some(Timestamp::from_seconds(certificate.expires)),
    }
}

pub(crate) async fn upload_server_certificate(
    iam: &Iam,
    mut call: Call<ops::UploadServerCertificate>,
) -> Result<Answer<types::UploadServerCertificateResponse>, ServiceError> {
    // Wiped when the call ends, however it ends.
    let private_key = SecretString::new(std::mem::take(&mut call.input.private_key));
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let given = input.tags.as_deref().unwrap_or_default();
    let path = input.path.as_deref().unwrap_or("/");
    let target = || {
        let arn = arn::of(ServerCertificate::KIND, id, path, &input.server_certificate_name);
        Resolved::new(arn, id, ()).requesting_tags(pairs(given))
    };
    let permit = call.allow(target())?;
    if !given.is_empty() {
        call.allow_action("iam:TagServerCertificate", target())?;
    }
    let path = names::path(input.path.as_deref())?;
    let tags = tags::with(&Tags::new(), given, false, iam.quotas.tags)?;
    let uploaded = call.now().seconds;
    let expires =
        check(&input.certificate_body, input.certificate_chain.as_deref(), &private_key, uploaded)?;
    let certificate = Arc::new(ServerCertificate {
        name: input.server_certificate_name.as_str().into(),
        path: shared_path(path),
        id: iam.unique_id(IdKind::ServerCertificate)?,
        uploaded,
        expires,
        body: input.certificate_body.as_str().into(),
        chain: input.certificate_chain.as_deref().map(Into::into),
        private_key: Arc::new(private_key),
        tags: shared_tags(tags),
    });
    let limit = iam.quotas.server_certificates;
    ledger
        .write(&permit, |account, batch| {
            if ServerCertificate::find(account, &certificate.name).is_some() {
                return Err(errors::server_certificate_exists(&certificate.name));
            }
            if account.server_certificates.len() >= limit {
                return Err(errors::over_quota("ServerCertificatesPerAccount", limit));
            }
            batch.put(Record::ServerCertificate(certificate.clone()));
            Ok(())
        })
        .await?;
    Ok(permit.answer(types::UploadServerCertificateResponse {
        server_certificate_metadata: Some(metadata(&certificate, id)),
        tags: tags::listed_if_any(&certificate.tags),
    }))
}

/// Checks that certificate, chain and key fit each other and are good now; when the certificate ends.
/// "The certificate must be valid at the time of upload", says the page above.
fn check(
    body: &str,
    chain: Option<&str>,
    key: &SecretString,
    now: i64,
) -> Result<i64, ServiceError> {
    let certificate = x509::read_one(body).ok_or_else(errors::unreadable_certificate)?;
    if !certificate.is_good_at(now) {
        return Err(errors::certificate_out_of_time());
    }
    let public = public_key_of(key).ok_or_else(errors::unreadable_private_key)?;
    if public != certificate.public_key() {
        return Err(errors::key_pair_mismatch());
    }
    if let Some(chain) = chain {
        let chain = x509::read_all(chain, CHAIN).ok_or_else(errors::unreadable_chain)?;
        let mut below = &certificate;
        for (at, above) in chain.iter().enumerate() {
            if !below.is_signed_by(above) {
                return Err(errors::broken_chain(at));
            }
            below = above;
        }
    }
    Ok(certificate.not_after())
}

pub(crate) async fn get_server_certificate(
    iam: &Iam,
    call: Call<ops::GetServerCertificate>,
) -> Result<Answer<types::GetServerCertificateResponse>, ServiceError> {
    let allowed = iam.allow::<ServerCertificate, _>(&call, &call.input.server_certificate_name)?;
    let certificate = allowed.found()?;
    let server_certificate = types::ServerCertificate {
        server_certificate_metadata: metadata(certificate, allowed.id),
        certificate_body: certificate.body.to_string(),
        certificate_chain: certificate.chain.as_deref().map(ToOwned::to_owned),
        tags: Some(tags::listed(&certificate.tags)),
    };
    Ok(allowed.permit.answer(types::GetServerCertificateResponse { server_certificate }))
}

pub(crate) async fn list_server_certificates(
    iam: &Iam,
    call: Call<ops::ListServerCertificates>,
) -> Result<Answer<types::ListServerCertificatesResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let permit = allow_list::<ServerCertificate, _>(&call, prefix)?;
    let pager = iam.pager(&call, &[prefix], input.marker.as_deref(), input.max_items)?;
    let account = ledger.view(&permit);
    let page = pager
        .cut(
            pager.of(&account.server_certificates).filter(|(_, one)| one.path.starts_with(prefix)),
        )?
        .map(|certificate| metadata(certificate, id));
    Ok(permit.answer(types::ListServerCertificatesResponse {
        is_truncated: page.truncated(),
        server_certificate_metadata_list: page.items,
        marker: page.marker,
    }))
}

pub(crate) async fn update_server_certificate(
    iam: &Iam,
    call: Call<ops::UpdateServerCertificate>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<ServerCertificate, _>(&call, &input.server_certificate_name)?;
    // A move asks for the right at both ends, says the page above.
    let (name, path) = (input.new_server_certificate_name.as_deref(), input.new_path.as_deref());
    let certificate = allowed.found()?;
    let (old, new) = (certificate.arn(allowed.id), {
        let (path, name) = (path.unwrap_or(&certificate.path), name.unwrap_or(&certificate.name));
        arn::of(ServerCertificate::KIND, allowed.id, path, name)
    });
    if new != old {
        let found = Some(certificate.clone());
        call.allow(resolve_at::<ops::UpdateServerCertificate, _>(new, allowed.id, found))?;
    }
    let path = path.map(|path| names::path(Some(path))).transpose()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let now = allowed.now(account)?;
            let mut certificate = ServerCertificate::clone(now);
            if let Some(path) = path {
                certificate.path = shared_path(path);
            }
            if let Some(name) = name {
                if folded(name) != folded(&certificate.name) {
                    if ServerCertificate::find(account, name).is_some() {
                        return Err(errors::server_certificate_exists(name));
                    }
                    batch.delete(Account::key(&Record::ServerCertificate(now.clone())));
                }
                certificate.name = name.into();
            }
            batch.put(Record::ServerCertificate(Arc::new(certificate)));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn delete_server_certificate(
    iam: &Iam,
    call: Call<ops::DeleteServerCertificate>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow::<ServerCertificate, _>(&call, &call.input.server_certificate_name)?;
    allowed.found()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let certificate = allowed.now(account)?;
            if let Some(by) = iam.server_of(&certificate.arn(allowed.id)) {
                return Err(errors::certificate_in_use(&certificate.id, &by));
            }
            batch.delete(Account::key(&Record::ServerCertificate(certificate.clone())));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

/// Who serves with server certificates: services that IAM asks before one is deleted.
pub trait CertificateServers: Send + Sync {
    /// The ARN of something that serves with the certificate of this ARN.
    fn server_of(&self, certificate: &str) -> Option<String>;
}

impl Iam {
    /// Has these asked before a server certificate is deleted. Takes effect once.
    pub fn ask_servers(&self, servers: Arc<dyn CertificateServers>) {
        // A second set would be a fault of the program's own start.
        if self.servers.set(servers).is_err() {
            tracing::error!("IAM was told twice who serves with certificates");
        }
    }

    fn server_of(&self, certificate: &str) -> Option<String> {
        self.servers.get()?.server_of(certificate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{iam_over, store};

    struct Balancer;

    impl CertificateServers for Balancer {
        fn server_of(&self, certificate: &str) -> Option<String> {
            certificate.ends_with("/used").then(|| "arn:aws:elasticloadbalancing:…".to_owned())
        }
    }

    #[test]
    fn who_serves_with_a_certificate_is_asked() {
        let iam = iam_over(&store());
        assert!(iam.server_of("arn:aws:iam::1:server-certificate/used").is_none());
        iam.ask_servers(Arc::new(Balancer));
        assert!(iam.server_of("arn:aws:iam::1:server-certificate/used").is_some());
        assert!(iam.server_of("arn:aws:iam::1:server-certificate/free").is_none());
    }
}
