//! Codes that are shown to STS: each is good once, and that it was used is durable before anybody
//! hears that it was right.

use super::{Enabled, Found};
use crate::Iam;
use crate::entity::Entity;
use crate::records::User;
use crate::state::Account;
use ringfence_gateway::caller::Identity;
use ringfence_gateway::directory::MfaCheck;
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// The serial number as the caller's own record has it; `None` for a device that is not the
/// caller's.
fn own(account: &Account, identity: &Identity, serial: &str) -> Option<Arc<str>> {
    let enabled = devices_of(account, identity)?.iter().find(|one| *one.serial == *serial)?;
    Some(enabled.serial.clone())
}

/// The devices of a caller; `None` for who has none, and for a user that is gone or another now.
pub(super) fn devices_of<'a>(account: &'a Account, identity: &Identity) -> Option<&'a [Enabled]> {
    let credentials = match identity {
        Identity::Root { .. } => &account.root.as_ref()?.credentials,
        Identity::User { name, id, .. } => {
            &User::find(account, name).filter(|user| *user.id == **id)?.credentials
        }
        _ => return None,
    };
    Some(&credentials.mfa)
}

impl Iam {
    /// Checks a code of the caller's device, and uses it up.
    ///
    /// # Errors
    /// `ServiceFailure` when the store cannot keep that it was used: it is then not accepted.
    pub(crate) async fn use_code(
        &self,
        identity: &Identity,
        serial: &str,
        code: &str,
        now: Timestamp,
    ) -> Result<MfaCheck, ServiceError> {
        let Some((id, ledger)) =
            identity.account().and_then(|id: AccountId| Some((id, self.ledgers.get(id)?)))
        else {
            return Ok(MfaCheck::NoDevice);
        };
        let shows_codes = |account: &Account, serial: &str| {
            Found::by_serial(account, id, serial).is_some_and(|found| found.totp().is_some())
        };
        let own_serial = {
            let account = ledger.for_deciding();
            own(&account, identity, serial).filter(|serial| shows_codes(&account, serial))
        };
        let Some(serial) = own_serial else { return Ok(MfaCheck::NoDevice) };
        if !self.mfa_attempts.admit(id, &serial, now.seconds).await? {
            return Ok(MfaCheck::WrongCode);
        }
        let checked = ledger
            .write_unasked(|account, batch| {
                let found = own(account, identity, &serial)
                    .and_then(|serial| Found::by_serial(account, id, &serial));
                let Some(found) = found else { return Ok(MfaCheck::NoDevice) };
                let Some(after) = found.shown(code, now) else {
                    return Ok(MfaCheck::WrongCode);
                };
                batch.put(after);
                Ok(MfaCheck::Accepted)
            })
            .await?;
        if checked == MfaCheck::Accepted {
            self.mfa_attempts.forget(id, &serial, now.seconds).await;
        }
        Ok(checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mfa::Device;
    use crate::records::{Proofs, Record, Root};
    use crate::testing::{ID, MFA_SEED, OTHER, code, iam_over, mfa_device, store, user};
    use ringfence_store::Store;

    const NOW: i64 = 1_700_000_000;
    const SERIAL: &str = "arn:aws:iam::123456789012:mfa/ann";

    fn ann(id: &str) -> Identity {
        Identity::User { account: ID, name: "ann".into(), path: "/".into(), id: id.into() }
    }

    async fn with_device(store: &Arc<Store>) -> Arc<Iam> {
        let iam = iam_over(store);
        iam.create_account(ID, "test").await.unwrap();
        let mut ann = user("ann", "/", "AIDA1");
        let enabled = Enabled { serial: SERIAL.into(), at: 1 };
        ann.credentials = Proofs { mfa: [enabled].into(), ..Proofs::default() }.into();
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|_, batch| {
                batch.put(User::record(Arc::new(ann.clone())));
                batch.put(Device::record(Arc::new(mfa_device("ann"))));
                Ok(())
            })
            .await
            .unwrap();
        iam
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[tokio::test]
    async fn a_code_is_its_owners_alone_and_used_up_for_every_later_start() {
        let store = store();
        let iam = with_device(&store).await;
        let good = code(MFA_SEED, NOW);
        for (identity, serial) in [
            (ann("AIDA2"), SERIAL),
            (Identity::Root { account: ID }, SERIAL),
            (Identity::Root { account: OTHER }, SERIAL),
            (ann("AIDA1"), "arn:aws:iam::123456789012:mfa/eve"),
            (ann("AIDA1"), "arn:aws:iam::123456789012:mfa/Ann"),
        ] {
            let checked = iam.use_code(&identity, serial, &good, at(NOW)).await.unwrap();
            assert_eq!(checked, MfaCheck::NoDevice, "{identity:?} {serial}");
        }
        let check = async |iam: &Iam, code: &str, now| {
            iam.use_code(&ann("AIDA1"), SERIAL, code, at(now)).await.unwrap()
        };
        assert_eq!(check(&iam, &code(MFA_SEED, NOW + 90), NOW).await, MfaCheck::WrongCode);
        assert_eq!(check(&iam, &good, NOW).await, MfaCheck::Accepted);
        assert_eq!(check(&iam, &good, NOW).await, MfaCheck::WrongCode);
        let again = iam_over(&store);
        assert_eq!(check(&again, &good, NOW).await, MfaCheck::WrongCode);
        let next = code(MFA_SEED, NOW + 30);
        assert_eq!(check(&again, &next, NOW + 30).await, MfaCheck::Accepted);
    }

    #[tokio::test]
    async fn of_many_who_show_one_code_at_once_one_is_let_in() {
        let iam = with_device(&store()).await;
        let good = code(MFA_SEED, NOW);
        let caller = ann("AIDA1");
        let one = || iam.use_code(&caller, SERIAL, &good, at(NOW));
        let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
        let accepted =
            [a, b, c, d].into_iter().filter(|r| *r.as_ref().unwrap() == MfaCheck::Accepted);
        assert_eq!(accepted.count(), 1);
    }

    #[tokio::test]
    async fn guesses_are_slowed_down_and_a_right_code_ends_it() {
        let iam = with_device(&store()).await;
        let check = async |code: &str, now| {
            iam.use_code(&ann("AIDA1"), SERIAL, code, at(now)).await.unwrap()
        };
        let wrong = code(MFA_SEED, NOW + 3000);
        for _ in 0..5 {
            assert_eq!(check(&wrong, NOW).await, MfaCheck::WrongCode);
        }
        assert_eq!(check(&code(MFA_SEED, NOW), NOW).await, MfaCheck::WrongCode);
        let later = NOW + 31;
        assert_eq!(check(&code(MFA_SEED, later), later).await, MfaCheck::Accepted);
        let later = NOW + 61;
        assert_eq!(check(&wrong, later).await, MfaCheck::WrongCode);
        assert_eq!(check(&code(MFA_SEED, later), later).await, MfaCheck::Accepted);
    }

    #[tokio::test]
    async fn roots_device_is_roots() {
        let store = store();
        let iam = with_device(&store).await;
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|account, batch| {
                let mut root = Root::clone(account.root.as_ref().unwrap());
                root.credentials.mfa = [Enabled { serial: SERIAL.into(), at: 1 }].into();
                batch.put(Record::Account(Arc::new(root)));
                batch.put(User::record(Arc::new(user("ann", "/", "AIDA1"))));
                Ok(())
            })
            .await
            .unwrap();
        let good = code(MFA_SEED, NOW);
        let root = Identity::Root { account: ID };
        for (identity, expected) in [(ann("AIDA1"), MfaCheck::NoDevice), (root, MfaCheck::Accepted)]
        {
            let checked = iam.use_code(&identity, SERIAL, &good, at(NOW)).await.unwrap();
            assert_eq!(checked, expected, "{identity:?}");
        }
    }
}
