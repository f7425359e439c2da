//! The credential report: every user of an account, root first, and the state of its credentials.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html>
//!
//! An account has one report. It is made on a thread of its own from the records of one moment, and lies in the
//! store, so that whichever server is asked next gives it: for four hours the same, whatever changes meanwhile.

use crate::Iam;
use crate::entity::Entity;
use crate::errors;
use crate::last_used::LastUsed;
use crate::password_policy::PasswordPolicy;
use crate::records::Credentials;
use crate::state::Account;
use bytes::Bytes;
use ringfence_gateway::clock::Clock;
use ringfence_gateway::transient::see_through;
use ringfence_gateway::{Answer, Call, Resolved, Transient, Transients, UnderWay};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, ReportFormatType, ReportStateType};
use ringfence_policy::AccountId;
use ringfence_wire::shape::TimestampFormat;
use ringfence_wire::{ServiceError, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How long a report is given again, in seconds.
const GOOD_FOR: i64 = 4 * 60 * 60;

/// How long one is known to have been there, in seconds.
const KEPT_FOR: i64 = 7 * 24 * 60 * 60;

/// The columns, as an answer of AWS of September 2026 has them.
const COLUMNS: &str = "user,arn,user_creation_time,password_enabled,password_last_used,\
password_last_changed,password_next_rotation,mfa_active,access_key_1_active,\
access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,\
access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,\
cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";

/// A further column that AWS's page lists and its answers lack where nobody has more than two keys
/// or certificates.
const ADDITIONAL: &str = "additional_credentials_info";

/// Keys and certificates that have columns.
const SHOWN: usize = 2;

const NONE: &str = "N/A";

/// The report of an account, in its seconds.
#[derive(Serialize, Deserialize)]
pub(crate) enum CredentialReport {
    /// A server makes it.
    Begun {
        by: UnderWay,
    },
    Done {
        content: String,
        at: i64,
    },
}

/// There is one of an account.
const NAME: &str = "report";

impl Transient for CredentialReport {
    type Of = AccountId;
    const KIND: &'static str = "iam-credential-report";

    fn name(&self) -> &str {
        NAME
    }

    fn is_over(&self, now: i64) -> bool {
        match self {
            Self::Begun { by } => by.is_abandoned(now),
            Self::Done { at, .. } => now.saturating_sub(*at) >= KEPT_FOR,
        }
    }
}

fn is_old(at: i64, now: Timestamp) -> bool {
    now.seconds.saturating_sub(at) >= GOOD_FOR
}

pub(crate) async fn generate_credential_report(
    iam: &Iam,
    call: Call<ops::GenerateCredentialReport>,
) -> Result<Answer<types::GenerateCredentialReportResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let now = call.now();
    let reports = &iam.credential_reports;
    let state = reports
        .change(id, now.seconds, |known| match known.get(NAME).map(|report| &**report) {
            Some(CredentialReport::Begun { .. }) => Ok(ReportStateType::Inprogress),
            Some(CredentialReport::Done { at, .. }) if !is_old(*at, now) => {
                Ok(ReportStateType::Complete)
            }
            _ => {
                known.put(CredentialReport::Begun { by: UnderWay::at(now.seconds) });
                Ok(ReportStateType::Started)
            }
        })
        .await?;
    let mut description = None;
    if state == ReportStateType::Started {
        description = Some("No report exists. Starting a new report generation task".to_owned());
        let (account, last_used) = (ledger.view(&permit), iam.last_used.clone());
        let (done, made) = oneshot::channel();
        let begun = iam.background.run(id, move || {
            // Who waits for it may have gone with the server.
            drop(done.send(report(&account, id, &last_used)));
        });
        if let Err(error) = begun {
            give_up(reports, id, now.seconds).await;
            return Err(error);
        }
        tokio::spawn(keep(reports.clone(), iam.clock.clone(), id, made));
    }
    Ok(permit.answer(types::GenerateCredentialReportResponse { state: Some(state), description }))
}

/// Keeps a report when it is made; one that was not finished leaves none.
async fn keep(
    reports: Arc<Transients<CredentialReport>>,
    clock: Arc<dyn Clock>,
    id: AccountId,
    made: oneshot::Receiver<String>,
) {
    let now = || clock.now().seconds;
    let put = async |report, at| {
        if let Err(error) = reports.put(id, at, report).await {
            tracing::error!(error = error.message, "a credential report is not kept");
        }
    };
    let still = || put(CredentialReport::Begun { by: UnderWay::at(now()) }, now());
    match see_through(made, still).await {
        Some(content) => put(CredentialReport::Done { content, at: now() }, now()).await,
        None => give_up(&reports, id, now()).await,
    }
}

async fn give_up(reports: &Transients<CredentialReport>, id: AccountId, now: i64) {
    if let Err(error) = reports.remove(id, now, NAME).await {
        tracing::error!(error = error.message, "a credential report that failed is still awaited");
    }
}

pub(crate) async fn get_credential_report(
    iam: &Iam,
    call: Call<ops::GetCredentialReport>,
) -> Result<Answer<types::GetCredentialReportResponse>, ServiceError> {
    let id = call.account()?;
    let permit = call.allow(Resolved::any(id))?;
    let now = call.now();
    match iam.credential_reports.get(id, NAME, now.seconds).as_deref() {
        None => Err(errors::no_report()),
        Some(CredentialReport::Begun { .. }) => Err(errors::report_in_progress()),
        Some(CredentialReport::Done { at, .. }) if is_old(*at, now) => {
            Err(errors::report_expired())
        }
        Some(CredentialReport::Done { content, at }) => {
            Ok(permit.answer(types::GetCredentialReportResponse {
                content: Some(Bytes::copy_from_slice(content.as_bytes())),
                report_format: Some(ReportFormatType::TextCsv),
                generated_time: Some(Timestamp::from_seconds(*at)),
            }))
        }
    }
}

/// The whole report. Users come by name, without regard to case.
fn report(account: &Account, id: AccountId, last_used: &LastUsed) -> String {
    let root = account.root.iter().map(|root| &root.credentials);
    let users = account.users.values().map(|user| &user.credentials);
    let additional = root.chain(users).any(|credentials| further(credentials).is_some());
    let policy = account.settings.password_policy.as_ref();
    let mut report = Csv(COLUMNS.to_owned());
    if additional {
        report.text(ADDITIONAL);
    }
    if let Some(root) = &account.root {
        report.begin("<root_account>", &id.root_arn(), root.created);
        report.password(&root.credentials, &OF_ROOT, None);
        report.proofs(account, &root.credentials, last_used, additional);
    }
    for user in account.users.values() {
        report.begin(&user.name, &user.arn(id), user.created);
        report.password(&user.credentials, &OF_USER, policy);
        report.proofs(account, &user.credentials, last_used, additional);
    }
    report.0
}

/// What is said of keys and certificates that have no columns.
fn further(credentials: &Credentials) -> Option<String> {
    let more = |count: usize, what: &str, operation: &str| {
        let more = count.checked_sub(SHOWN).filter(|more| *more > 0)?;
        Some(format!("{more} additional {what}; call {operation} to list them"))
    };
    let keys = more(credentials.keys.len(), "access keys", "ListAccessKeys");
    let certificates =
        more(credentials.certificates.len(), "certificates", "ListSigningCertificates");
    let all: Vec<String> = keys.into_iter().chain(certificates).collect();
    (!all.is_empty()).then(|| all.join(". "))
}

/// A password that was never used.
const UNUSED: &str = "no_information";

/// What is said of a password that is not there.
struct Unset {
    last_used: &'static str,
    rotation: &'static str,
}

const OF_USER: Unset = Unset { last_used: NONE, rotation: NONE };
/// In AWS root can always sign in, and tools read a date or this word: Prowler's own example of a
/// report has `not_supported,no_information,not_supported,not_supported` for root.
const OF_ROOT: Unset = Unset { last_used: UNUSED, rotation: "not_supported" };

/// Lines that are parted, not ended, by line breaks.
struct Csv(String);

impl Csv {
    fn begin(&mut self, name: &str, arn: &str, created: i64) {
        self.0.push('\n');
        self.quoted(name);
        self.text(arn);
        self.time(Some(created));
    }

    fn password(
        &mut self,
        credentials: &Credentials,
        unset: &Unset,
        policy: Option<&PasswordPolicy>,
    ) {
        let login = credentials.login.as_ref();
        self.flag(login.is_some());
        // Nobody signs in with a password here.
        self.text(if login.is_some() { UNUSED } else { unset.last_used });
        self.time(login.map(|login| login.changed));
        let rotation = login.and_then(|login| policy?.ends(login.changed));
        match rotation {
            Some(at) => self.time(Some(at)),
            None => self.text(unset.rotation),
        }
    }

    /// Keys come by id, inactive certificates before active ones, as AWS has been seen to do.
    fn proofs(
        &mut self,
        account: &Account,
        credentials: &Credentials,
        last_used: &LastUsed,
        additional: bool,
    ) {
        self.flag(!credentials.mfa.is_empty());
        let mut keys: Vec<_> = credentials.keys.iter().collect();
        keys.sort_by_key(|key| key.id);
        for place in 0..SHOWN {
            let key = keys.get(place);
            let used = key.and_then(|key| last_used.of(account, key.id.as_str()));
            self.flag(key.is_some_and(|key| key.active));
            self.time(key.map(|key| key.created));
            self.time(used.as_ref().map(|used| used.at));
            self.text(used.as_ref().map_or(NONE, |used| &used.region));
            self.text(used.as_ref().map_or(NONE, |used| &used.service));
        }
        let mut certificates: Vec<_> = credentials.certificates.iter().collect();
        certificates.sort_by_key(|one| (one.active, one.uploaded, &one.id));
        for place in 0..SHOWN {
            let certificate = certificates.get(place);
            self.flag(certificate.is_some_and(|one| one.active));
            self.time(certificate.map(|one| one.uploaded));
        }
        if additional {
            self.text(further(credentials).as_deref().unwrap_or(NONE));
        }
    }

    fn flag(&mut self, value: bool) {
        self.text(if value { "true" } else { "false" });
    }

    /// AWS wrote `+00:00` until 2024: <https://github.com/prowler-cloud/prowler/issues/4448>
    fn time(&mut self, seconds: Option<i64>) {
        match seconds {
            Some(seconds) => {
                self.text(&Timestamp::from_seconds(seconds).format(TimestampFormat::DateTime));
            }
            None => self.text(NONE),
        }
    }

    fn text(&mut self, text: &str) {
        self.0.push(',');
        self.quoted(text);
    }

    /// A field, by RFC 4180: names may hold commas, paths quotes.
    fn quoted(&mut self, text: &str) {
        if text.contains([',', '"', '\n', '\r']) {
            self.0.push('"');
            self.0.push_str(&text.replace('"', "\"\""));
            self.0.push('"');
        } else {
            self.0.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_records::SigningCertificate;
    use crate::mfa::Enabled;
    use crate::records::{Proofs, Record, Root, Used, User};
    use crate::settings::Settings;
    use crate::testing::{ID, key, login, loosest, user};
    use ringfence_gateway::State;
    use std::collections::HashMap;

    fn account(records: Vec<Record>) -> Account {
        let mut account = Account::default();
        let root = Root { name: "a".into(), created: 0, credentials: Credentials::default() };
        account.put(Record::Account(Arc::new(root)));
        records.into_iter().for_each(|record| account.put(record));
        account
    }

    fn with(name: &str, credentials: Proofs) -> Record {
        Record::User(Arc::new(User { credentials: credentials.into(), ..user(name, "/", name) }))
    }

    /// Each row's columns by name, but for those of a user that has nothing.
    fn rows(account: &Account) -> Vec<HashMap<String, String>> {
        let text = report(account, ID, &LastUsed::default());
        let mut lines = text.split('\n');
        let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
        assert!(!text.ends_with('\n') && !text.contains('\r'));
        lines
            .map(|line| {
                let fields: Vec<&str> = line.split(',').collect();
                assert_eq!(fields.len(), columns.len(), "{line}");
                let all = columns.iter().zip(fields);
                all.filter(|(_, value)| ![NONE, "false"].contains(value))
                    .map(|(column, value)| ((*column).to_owned(), value.to_owned()))
                    .collect()
            })
            .collect()
    }

    #[test]
    fn the_columns_are_those_of_aws() {
        assert_eq!(COLUMNS.split(',').count(), 22);
        assert!(!COLUMNS.contains([' ', '\n']));
    }

    #[test]
    fn root_comes_first_and_users_by_name_without_regard_to_case() {
        let names = ["b", "A", "C"].map(|name| with(name, Proofs::default()));
        let rows = rows(&account(names.into()));
        let users: Vec<&str> = rows.iter().map(|row| &*row["user"]).collect();
        assert_eq!(users, ["<root_account>", "A", "b", "C"]);
        assert_eq!(rows[0]["arn"], ID.root_arn());
        assert_eq!(rows[0]["user_creation_time"], "1970-01-01T00:00:00Z");
        assert_eq!(rows[0]["password_next_rotation"], "not_supported");
        assert_eq!(rows[1].len(), 3, "{:?}", rows[1]);
    }

    #[test]
    fn a_password_is_due_when_the_policy_says() {
        let proofs = || Proofs { login: Some(Arc::new(login())), ..Proofs::default() };
        let mut account = account(vec![with("ann", proofs())]);
        let row = |account: &Account| rows(account).remove(1);
        assert_eq!(row(&account)["password_enabled"], "true");
        assert_eq!(row(&account)["password_last_used"], "no_information");
        assert_eq!(row(&account)["password_last_changed"], "1970-01-01T00:00:01Z");
        assert!(!row(&account).contains_key("password_next_rotation"));
        let policy = PasswordPolicy { max_password_age: Some(2), ..loosest() };
        let settings = Settings { password_policy: Some(policy), ..Settings::default() };
        account.put(Record::Settings(Arc::new(settings)));
        assert_eq!(row(&account)["password_next_rotation"], "1970-01-03T00:00:01Z");
        assert_eq!(rows(&account)[0]["password_next_rotation"], "not_supported");
    }

    #[test]
    fn keys_come_by_id_and_inactive_certificates_first() {
        let certificate = |id: &str, active: bool, uploaded: i64| SigningCertificate {
            id: id.into(),
            body: "pem".into(),
            fingerprint: id.into(),
            active,
            uploaded,
        };
        let mut second = key(2);
        (second.active, second.created) = (false, 7);
        let enabled = Enabled { serial: "s".into(), at: 1 };
        let proofs = Proofs {
            keys: [second, key(1)].into(),
            mfa: [enabled].into(),
            certificates: [certificate("A", true, 5), certificate("B", false, 6)].into(),
            ..Proofs::default()
        };
        let used = Used {
            id: key(1).id.as_str().into(),
            role: None,
            at: 60,
            service: "sts".into(),
            region: "eu-west-1".into(),
        };
        let row = rows(&account(vec![with("ann", proofs), Record::Used(Arc::new(used))])).remove(1);
        let mut told: Vec<_> = row.iter().filter(|(name, _)| name.contains('_')).collect();
        told.sort();
        let expected = [
            ("access_key_1_active", "true"),
            ("access_key_1_last_rotated", "1970-01-01T00:00:01Z"),
            ("access_key_1_last_used_date", "1970-01-01T00:01:00Z"),
            ("access_key_1_last_used_region", "eu-west-1"),
            ("access_key_1_last_used_service", "sts"),
            ("access_key_2_last_rotated", "1970-01-01T00:00:07Z"),
            ("cert_1_last_rotated", "1970-01-01T00:00:06Z"),
            ("cert_2_active", "true"),
            ("cert_2_last_rotated", "1970-01-01T00:00:05Z"),
            ("mfa_active", "true"),
            ("user_creation_time", "1970-01-01T00:00:01Z"),
        ];
        let told: Vec<(&str, &str)> = told.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn more_than_two_keys_are_told_of_in_a_column_of_their_own() {
        let three = Proofs { keys: [key(1), key(2), key(3)].into(), ..Proofs::default() };
        let rows = rows(&account(vec![with("ann", three), with("bob", Proofs::default())]));
        let told = "1 additional access keys; call ListAccessKeys to list them";
        assert_eq!(rows[1][ADDITIONAL], told);
        assert!(!rows[0].contains_key(ADDITIONAL) && !rows[2].contains_key(ADDITIONAL));
    }

    #[test]
    fn a_name_with_a_comma_is_one_field() {
        let text = report(&account(vec![with("a,b", Proofs::default())]), ID, &LastUsed::default());
        let arn = format!("\"arn:aws:iam::{ID}:user/a,b\"");
        assert!(text.contains(&format!("\n\"a,b\",{arn},1970")), "{text}");
    }
}
