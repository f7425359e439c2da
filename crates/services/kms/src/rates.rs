//! Request quotas: how many calls of a kind an account may make in a region in a second.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html>
//!
//! Cryptographic operations share a quota by the kind of their key, GenerateDataKeyPair has one by the
//! kind of pair, and every other operation its own. Whoever calls is counted, whosever the key is. A
//! call beyond its quota is refused before anything is decided about it.
//!
//! Calls are spread by the generic cell rate algorithm (ITU-T I.371): a quota of `n` a second is one
//! call every `1/n` seconds, of which a second's worth may come at once.

use crate::errors;
use ringfence_gateway::{CallFacts, Regional};
use ringfence_keyring::material::Spec;
use ringfence_wire::ServiceError;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

const SECOND: u64 = 1_000_000_000;

/// Regions of accounts whose calls are counted, before those that have been still are forgotten.
const MOST_PLACES: usize = 10_000;

/// A quota by its number in [`KINDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(usize);

/// The quotas with AWS's defaults, in calls a second. Names are those of operations, but for what
/// several share.
const KINDS: &[(&str, f64)] = &[
    // By region: see `symmetric_in`.
    ("symmetric", 10_000.0),
    ("rsa", 1_000.0),
    ("ecc", 1_000.0),
    ("ml-dsa", 1_000.0),
    // AWS's table has no row for ML-KEM yet; it is given what the other kinds have.
    ("ml-kem", 1_000.0),
    ("pair-ECC_NIST_P256", 100.0),
    ("pair-ECC_NIST_P384", 100.0),
    ("pair-ECC_NIST_P521", 100.0),
    ("pair-ECC_SECG_P256K1", 100.0),
    ("pair-ECC_NIST_EDWARDS25519", 100.0),
    ("pair-RSA_2048", 20.0),
    ("pair-RSA_3072", 4.0),
    ("pair-RSA_4096", 1.0),
    // As elliptic curves' (no row either).
    ("pair-ML_KEM_512", 100.0),
    ("pair-ML_KEM_768", 100.0),
    ("pair-ML_KEM_1024", 100.0),
    ("CancelKeyDeletion", 5.0),
    ("ConnectCustomKeyStore", 5.0),
    ("CreateAlias", 5.0),
    ("CreateCustomKeyStore", 5.0),
    ("CreateGrant", 50.0),
    ("CreateKey", 5.0),
    ("DeleteAlias", 15.0),
    ("DeleteCustomKeyStore", 5.0),
    ("DeleteImportedKeyMaterial", 15.0),
    ("DescribeCustomKeyStores", 5.0),
    ("DescribeKey", 2_000.0),
    ("DisableKey", 5.0),
    ("DisableKeyRotation", 5.0),
    ("DisconnectCustomKeyStore", 5.0),
    ("EnableKey", 5.0),
    ("EnableKeyRotation", 15.0),
    ("GetKeyLastUsage", 5.0),
    ("GetKeyPolicy", 1_000.0),
    ("GetKeyRotationStatus", 1_000.0),
    ("GetParametersForImport", 1.0),
    ("GetPublicKey", 2_000.0),
    ("ImportKeyMaterial", 15.0),
    ("ListAliases", 500.0),
    ("ListGrants", 100.0),
    ("ListKeyPolicies", 100.0),
    ("ListKeyRotations", 100.0),
    ("ListKeys", 500.0),
    ("ListResourceTags", 2_000.0),
    ("ListRetirableGrants", 100.0),
    ("PutKeyPolicy", 15.0),
    ("ReplicateKey", 5.0),
    ("RetireGrant", 50.0),
    ("RevokeGrant", 50.0),
    ("RotateKeyOnDemand", 5.0),
    ("ScheduleKeyDeletion", 15.0),
    ("TagResource", 10.0),
    ("UntagResource", 5.0),
    ("UpdateAlias", 5.0),
    ("UpdateCustomKeyStore", 5.0),
    ("UpdateKeyDescription", 5.0),
    ("UpdatePrimaryRegion", 5.0),
];

const SYMMETRIC: Kind = Kind(0);

impl Kind {
    fn named(name: &str) -> Option<Self> {
        KINDS.iter().position(|(known, _)| *known == name).map(Self)
    }

    /// The quota of a cryptographic operation with a key.
    pub fn of_key(spec: Spec) -> Self {
        match spec {
            Spec::SymmetricDefault
            | Spec::Hmac224
            | Spec::Hmac256
            | Spec::Hmac384
            | Spec::Hmac512 => SYMMETRIC,
            Spec::Rsa2048 | Spec::Rsa3072 | Spec::Rsa4096 => Self(1),
            Spec::EccNistP256
            | Spec::EccNistP384
            | Spec::EccNistP521
            | Spec::EccSecgP256K1
            | Spec::EccNistEdwards25519 => Self(2),
            Spec::MlDsa44 | Spec::MlDsa65 | Spec::MlDsa87 => Self(3),
            Spec::MlKem512 | Spec::MlKem768 | Spec::MlKem1024 => Self(4),
        }
    }

    /// The quota of making data key pairs of a kind.
    pub fn of_pair(spec: &str) -> Option<Self> {
        KINDS.iter().position(|(known, _)| known.strip_prefix("pair-") == Some(spec)).map(Self)
    }

    /// The quota of an operation that has one of its own, whatever its key.
    fn of_operation(name: &str) -> Option<Self> {
        match name {
            "GenerateRandom" => Some(SYMMETRIC),
            _ => Self::named(name),
        }
    }
}

/// What every account may do in a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// By [`Kind`]; `None` for the default of the region.
    set: Vec<Option<f64>>,
    /// Calls are counted at all.
    counted: bool,
}

impl Rates {
    /// AWS's defaults.
    pub fn of_aws() -> Self {
        Self { set: vec![None; KINDS.len()], counted: true }
    }

    /// Nothing is counted, until a quota is set.
    pub fn none() -> Self {
        Self { set: vec![Some(f64::INFINITY); KINDS.len()], counted: false }
    }

    /// Sets one by its name, or every one by `requests`; `false` where there is none of that name.
    pub fn set(&mut self, name: &str, calls: usize) -> bool {
        let calls = Some(calls as f64);
        if name == "requests" {
            self.set.fill(calls);
        } else {
            let kind = name.strip_suffix("-requests").and_then(Kind::named);
            let Some(Kind(at)) = kind else { return false };
            self.set[at] = calls;
        }
        self.counted = true;
        true
    }

    fn of(&self, Kind(at): Kind, region: &str) -> f64 {
        self.set[at].unwrap_or_else(|| match at {
            0 => symmetric_in(region),
            _ => KINDS[at].1,
        })
    }
}

/// The shared quota of symmetric keys in a region.
fn symmetric_in(region: &str) -> f64 {
    match region {
        "us-east-1" | "us-west-2" | "eu-west-1" => 100_000.0,
        "us-east-2" | "ap-southeast-1" | "ap-southeast-2" | "ap-northeast-1" | "eu-central-1"
        | "eu-west-2" => 20_000.0,
        _ => KINDS[0].1,
    }
}

/// When the next call of a kind would come if calls came evenly, in nanoseconds since the start.
#[derive(Debug, Default)]
struct Cell(AtomicU64);

impl Cell {
    /// Counts a call; `false` where it is one too many.
    fn take(&self, now: u64, rate: f64) -> bool {
        if rate <= 0.0 {
            return false;
        }
        let step = (SECOND as f64 / rate) as u64;
        // A quota below one a second still lets one through at once.
        let burst = SECOND.max(step);
        let mut next = self.0.load(Ordering::Relaxed);
        loop {
            let then = next.max(now).saturating_add(step);
            if then - now > burst {
                return false;
            }
            match self.0.compare_exchange_weak(next, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => next = other,
            }
        }
    }

    fn is_still(&self, now: u64) -> bool {
        self.0.load(Ordering::Relaxed) <= now
    }
}

type Cells = Arc<[Cell]>;

/// The calls of every account.
pub(crate) struct Counted {
    rates: Rates,
    start: Instant,
    places: RwLock<HashMap<Regional, Cells>>,
}

impl Counted {
    pub fn new(rates: Rates) -> Self {
        Self { rates, start: Instant::now(), places: RwLock::default() }
    }

    /// Counts a call of an operation whose quota hangs on nothing but its name.
    ///
    /// # Errors
    /// `ThrottlingException`.
    pub fn admit(&self, facts: &CallFacts) -> Result<(), ServiceError> {
        match Kind::of_operation(facts.operation.name) {
            Some(kind) => self.count(facts, kind),
            None => Ok(()),
        }
    }

    /// Counts a call of a kind.
    ///
    /// # Errors
    /// `ThrottlingException`.
    pub fn count(&self, facts: &CallFacts, kind: Kind) -> Result<(), ServiceError> {
        if !self.rates.counted {
            return Ok(());
        }
        let Some(account) = facts.caller.identity.account() else { return Ok(()) };
        let rate = self.rates.of(kind, &facts.region);
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let place = Regional { account, region: facts.region.clone() };
        if self.cells(place, now)[kind.0].take(now, rate) {
            Ok(())
        } else {
            Err(errors::throttled())
        }
    }

    fn cells(&self, place: Regional, now: u64) -> Cells {
        let there = self.places.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(cells) = there.get(&place) {
            return cells.clone();
        }
        drop(there);
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MOST_PLACES {
            places.retain(|_, cells| !cells.iter().all(|cell| cell.is_still(now)));
        }
        places
            .entry(place)
            .or_insert_with(|| KINDS.iter().map(|_| Cell::default()).collect())
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_model_kms::SERVICE;

    #[test]
    fn every_operation_has_a_quota_of_its_own_or_one_by_its_key() {
        let by_key = [
            "Decapsulate",
            "Decrypt",
            "DeriveSharedSecret",
            "Encapsulate",
            "Encrypt",
            "GenerateDataKey",
            "GenerateDataKeyPair",
            "GenerateDataKeyPairWithoutPlaintext",
            "GenerateDataKeyWithoutPlaintext",
            "GenerateMac",
            "ReEncrypt",
            "Sign",
            "Verify",
            "VerifyMac",
        ];
        for operation in SERVICE.operations {
            let own = Kind::of_operation(operation.name).is_some();
            assert_ne!(own, by_key.contains(&operation.name), "{}", operation.name);
        }
        for spec in Spec::ALL.iter().filter(|spec| spec.has_data_key_pairs()) {
            assert!(Kind::of_pair(spec.as_str()).is_some(), "{}", spec.as_str());
        }
    }

    #[test]
    fn the_kinds_of_keys_are_where_their_numbers_say() {
        for (spec, name) in [
            (Spec::SymmetricDefault, "symmetric"),
            (Spec::Hmac384, "symmetric"),
            (Spec::Rsa3072, "rsa"),
            (Spec::EccNistEdwards25519, "ecc"),
            (Spec::MlDsa65, "ml-dsa"),
            (Spec::MlKem768, "ml-kem"),
        ] {
            assert_eq!(Kind::named(name), Some(Kind::of_key(spec)));
        }
    }

    #[test]
    fn a_second_has_its_quota_and_the_next_one_too() {
        let cell = Cell::default();
        let take = |now: u64, times: usize| (0..times).filter(|_| cell.take(now, 5.0)).count();
        assert_eq!(take(10 * SECOND, 20), 5);
        assert_eq!(take(10 * SECOND + SECOND / 5, 20), 1);
        assert_eq!(take(20 * SECOND, 20), 5);
    }

    #[test]
    fn a_quota_below_one_a_second_lets_one_through_at_once() {
        let cell = Cell::default();
        assert!(cell.take(7, 0.25) && !cell.take(8, 0.25));
        assert!(!cell.take(7 + 3 * SECOND, 0.25) && cell.take(7 + 4 * SECOND, 0.25));
        assert!(!Cell::default().take(0, 0.0));
    }

    #[test]
    fn quotas_are_set_by_name_one_by_one_or_all() {
        let mut rates = Rates::of_aws();
        assert_eq!(rates.of(SYMMETRIC, "eu-west-1"), 100_000.0);
        assert_eq!(rates.of(SYMMETRIC, "eu-north-1"), 10_000.0);
        assert!(rates.set("symmetric-requests", 7) && rates.set("CreateKey-requests", 8));
        assert_eq!(rates.of(SYMMETRIC, "eu-west-1"), 7.0);
        assert!(!rates.set("moons-requests", 7) && !rates.set("CreateKey", 7));
        let mut rates = Rates::none();
        assert!(!rates.counted);
        assert!(rates.set("requests", 9));
        assert!(rates.counted);
        assert!(KINDS.iter().enumerate().all(|(at, _)| rates.of(Kind(at), "eu-west-1") == 9.0));
    }
}
