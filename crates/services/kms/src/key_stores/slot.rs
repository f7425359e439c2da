//! What a server has in memory of a store: its open token, and what was tried.
//!
//! Everything here is told of a state of the store, which its record counts (`changes`). Whoever comes
//! with a state that has ended meanwhile opens nothing: a call that was under way while its store was
//! disconnected does not log in again. And a PIN that the token has refused is not tried again as long
//! as the store is as it was, whoever asks: a real token would lock.

use super::records::Connection;
use ringfence_pkcs11::{Error, Token};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What comes of opening a token; nothing while it goes on.
pub(super) type Outcome = Option<Result<Arc<Token>, Error>>;

/// The memory of one store.
#[derive(Default)]
pub(super) struct Slot(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    /// Earlier states of the store have ended.
    since: u64,
    token: Option<(u64, Arc<Token>)>,
    /// One opening at once, which all wait for.
    opening: Option<(u64, watch::Receiver<Outcome>)>,
    /// How the token refused the PIN of a state.
    refused: Option<(u64, Error)>,
    /// Which state this process connected, and what came of it.
    tried: Option<(u64, Option<Connection>)>,
}

impl Memory {
    fn refuse(&mut self, state: u64, error: &Error) {
        if self.refused.as_ref().is_none_or(|(of, _)| *of < state) {
            self.refused = Some((state, error.clone()));
        }
    }
}

/// What there is of a token.
pub(super) enum Found {
    Open(Arc<Token>),
    Opening(watch::Receiver<Outcome>),
    /// Whoever is told this opens it, and says by [`Slot::opened`] what came of it.
    Nothing(watch::Sender<Outcome>, watch::Receiver<Outcome>),
}

/// Whether to connect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Try {
    /// Now, and to tell by [`Slot::tried`] what came of it.
    Now,
    /// It goes on.
    UnderWay,
    /// It has been tried, and this came of it.
    Done(Connection),
}

impl Slot {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token of a store in a state.
    ///
    /// # Errors
    /// How it refused the PIN; [`Error::Lost`] for a state that has ended.
    pub fn token(&self, state: u64) -> Result<Found, Error> {
        let mut memory = self.memory();
        if state < memory.since {
            return Err(Error::Lost("its key store is not connected any longer".into()));
        }
        if let Some((of, error)) = &memory.refused
            && state <= *of
        {
            return Err(error.clone());
        }
        if let Some((_, token)) = &memory.token {
            return Ok(Found::Open(token.clone()));
        }
        if let Some((of, opening)) = &memory.opening
            && *of >= memory.since
        {
            return Ok(Found::Opening(opening.clone()));
        }
        let (tell, hear) = watch::channel(None);
        memory.opening = Some((state, hear.clone()));
        Ok(Found::Nothing(tell, hear))
    }

    /// Notes what came of opening the token in a state.
    pub fn opened(&self, state: u64, outcome: &Result<Arc<Token>, Error>) {
        let mut memory = self.memory();
        if memory.opening.as_ref().is_some_and(|(of, _)| *of == state) {
            memory.opening = None;
        }
        match outcome {
            Ok(token) if state >= memory.since => memory.token = Some((state, token.clone())),
            Err(error) if is_refusal(error) => memory.refuse(state, error),
            _ => {}
        }
    }

    /// Notes that the token refused the PIN while it was in use.
    pub fn refused(&self, state: u64, error: &Error) {
        self.memory().refuse(state, error);
    }

    /// Ends a state of the store, and those before it: its token is let go.
    pub fn end(&self, state: u64) {
        let mut memory = self.memory();
        memory.since = memory.since.max(state.saturating_add(1));
        let since = memory.since;
        if memory.token.as_ref().is_some_and(|(of, _)| *of < since) {
            memory.token = None;
        }
    }

    /// Whether the connection of a state is to be tried: once by a process.
    pub fn to_try(&self, state: u64) -> Try {
        let mut memory = self.memory();
        match &memory.tried {
            Some((of, None)) if *of == state => Try::UnderWay,
            Some((of, Some(outcome))) if *of == state => Try::Done(outcome.clone()),
            _ => {
                memory.tried = Some((state, None));
                Try::Now
            }
        }
    }

    /// Notes what came of connecting.
    pub fn tried(&self, state: u64, outcome: &Connection) {
        self.memory().tried = Some((state, Some(outcome.clone())));
    }
}

/// Whether a token refuses the PIN: trying it again may lock the token.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Pin | Error::PinLocked | Error::PinLastTry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(slot: &Slot, state: u64) -> bool {
        matches!(slot.token(state), Ok(Found::Nothing(..)))
    }

    #[test]
    fn a_refused_pin_is_not_tried_again_while_the_store_is_as_it_was() {
        let slot = Slot::default();
        assert!(opens(&slot, 3));
        slot.opened(3, &Err(Error::Pin));
        assert_eq!(slot.token(3).err(), Some(Error::Pin));
        // Nor by whoever still has an earlier state, nor after the store has failed.
        slot.end(3);
        assert!(slot.token(2).is_err() && slot.token(3).is_err());
        assert!(opens(&slot, 4));
    }

    #[test]
    fn one_opening_at_once_is_shared_and_its_failure_too() {
        let slot = Slot::default();
        let Ok(Found::Nothing(tell, _hear)) = slot.token(1) else {
            panic!("it is not to be opened")
        };
        let Ok(Found::Opening(hears)) = slot.token(1) else { panic!("it is opened twice") };
        slot.opened(1, &Err(Error::Late));
        tell.send_replace(Some(Err(Error::Late)));
        assert!(matches!(&*hears.borrow(), Some(Err(Error::Late))));
        assert!(opens(&slot, 1), "what has failed otherwise can be tried again");
    }

    #[test]
    fn a_state_that_has_ended_opens_nothing() {
        let slot = Slot::default();
        slot.end(5);
        assert!(matches!(slot.token(5), Err(Error::Lost(_))));
        assert!(opens(&slot, 6));
        // Who hangs in an ended state keeps nobody waiting.
        slot.end(6);
        assert!(opens(&slot, 7));
    }

    #[test]
    fn a_connection_is_tried_once() {
        let slot = Slot::default();
        assert_eq!(slot.to_try(1), Try::Now);
        assert_eq!(slot.to_try(1), Try::UnderWay);
        slot.tried(1, &Connection::Connected);
        assert_eq!(slot.to_try(1), Try::Done(Connection::Connected));
        assert_eq!(slot.to_try(3), Try::Now);
    }
}
