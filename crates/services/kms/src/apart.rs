//! Work that takes long, beside the calls: finding the primes of an RSA key takes up to seconds.
//!
//! Little is done at a time, and an account has so many places in the line at most, so that none keeps
//! the others waiting for long.

use crate::errors;
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;

/// How much is done at a time.
static ROOM: Semaphore = Semaphore::const_new(2);

/// Places in the line of one account, what is being done included.
const PLACES: usize = 8;

/// The places that accounts have taken.
static LINE: Mutex<Option<HashMap<AccountId, usize>>> = Mutex::new(None);

/// A place in the line, given back when it is dropped.
struct Place(AccountId);

impl Place {
    fn take(account: AccountId) -> Result<Self, ServiceError> {
        let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = line.get_or_insert_default().entry(account).or_default();
        if *taken >= PLACES {
            return Err(errors::throttled());
        }
        *taken += 1;
        Ok(Self(account))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line.get_or_insert_default();
        if let Some(taken) = line.get_mut(&self.0) {
            *taken -= 1;
            if *taken == 0 {
                line.remove(&self.0);
            }
        }
    }
}

/// Does some work for an account on a thread of its own. Its place and the room are held until the work
/// ends, whether or not anybody still waits for it.
///
/// # Errors
/// `ThrottlingException` where the account has too much waiting already.
pub(crate) async fn apart<T: Send + 'static>(
    account: AccountId,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    let place = Place::take(account)?;
    let room = ROOM.acquire().await.map_err(errors::failed)?;
    let working = tokio::task::spawn_blocking(move || {
        let _held = (room, place);
        work()
    });
    working.await.map_err(errors::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_so_many_places_and_no_say_in_those_of_others() {
        let [one, other] = [111_111_111_111, 222_222_222_222].map(|n| AccountId::new(n).unwrap());
        let places: Vec<_> = (0..PLACES).map(|_| Place::take(one).unwrap()).collect();
        assert!(Place::take(one).is_err() && Place::take(other).is_ok());
        drop(places);
        assert!(Place::take(one).is_ok());
    }
}
