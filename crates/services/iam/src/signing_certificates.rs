//! Signing certificates of users and of root.

use crate::Iam;
use crate::errors;
use crate::key_records::SigningCertificate;
use crate::owner::{Owner, status};
use crate::x509;
use ringfence_gateway::ids::certificate_id;
use ringfence_gateway::{Answer, Call};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};

pub(crate) async fn upload_signing_certificate(
    iam: &Iam,
    call: Call<ops::UploadSigningCertificate>,
) -> Result<Answer<types::UploadSigningCertificateResponse>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    let body = input.certificate_body.as_str();
    let read = x509::read_one(body).ok_or_else(|| errors::malformed_certificate(body))?;
    let uploaded = call.now().seconds;
    if !read.is_good_at(uploaded) {
        return Err(errors::invalid_certificate());
    }
    let new = SigningCertificate {
        id: certificate_id(&*iam.random).map_err(errors::failed)?.into(),
        body: body.into(),
        fingerprint: read.fingerprint().into(),
        active: true,
        uploaded,
    };
    let limit = iam.quotas.signing_certificates;
    owner
        .change(|account, credentials, _| {
            if account.has_signing_certificate(&new.fingerprint) {
                return Err(errors::duplicate_certificate());
            }
            let mut certificates = credentials.certificates.to_vec();
            if certificates.len() >= limit {
                return Err(errors::over_quota("CertificatesPerUser", limit));
            }
            certificates.push(new.clone());
            credentials.certificates = certificates.into();
            Ok(true)
        })
        .await?;
    let certificate = describe(&owner, &new);
    Ok(owner.permit.answer(types::UploadSigningCertificateResponse { certificate }))
}

fn describe(owner: &Owner, certificate: &SigningCertificate) -> types::SigningCertificate {
    types::SigningCertificate {
        user_name: owner.name_or_account(),
        certificate_id: certificate.id.to_string(),
        certificate_body: certificate.body.to_string(),
        status: status(certificate.active),
        upload_date: Some(Timestamp::from_seconds(certificate.uploaded)),
    }
}

pub(crate) async fn list_signing_certificates(
    iam: &Iam,
    call: Call<ops::ListSigningCertificates>,
) -> Result<Answer<types::ListSigningCertificatesResponse>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    let narrowed = owner.user.as_deref().unwrap_or_default();
    let pager = iam.pager(&call, &[narrowed], input.marker.as_deref(), input.max_items)?;
    let credentials = owner.credentials(&owner.ledger.view(&owner.permit))?;
    let mut certificates: Vec<&SigningCertificate> = credentials.certificates.iter().collect();
    certificates.sort_by_key(|certificate| &certificate.id);
    let page = pager
        .cut(certificates.into_iter().map(|certificate| (&*certificate.id, certificate)))?
        .map(|certificate| describe(&owner, certificate));
    Ok(owner.permit.answer(types::ListSigningCertificatesResponse {
        is_truncated: page.truncated(),
        certificates: page.items,
        marker: page.marker,
    }))
}

pub(crate) async fn update_signing_certificate(
    iam: &Iam,
    call: Call<ops::UpdateSigningCertificate>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    owner.switch::<SigningCertificate>(&input.certificate_id, &input.status).await?;
    Ok(owner.permit.answer(Empty::default()))
}

pub(crate) async fn delete_signing_certificate(
    iam: &Iam,
    call: Call<ops::DeleteSigningCertificate>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    owner.discard::<SigningCertificate>(&input.certificate_id, |_, _, _| ()).await?;
    Ok(owner.permit.answer(Empty::default()))
}
