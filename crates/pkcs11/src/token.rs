//! A token, and the sessions on it.

use crate::error::Error;
use crate::module::{Module, State, held};
use cryptoki::error::{Error as Raw, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use ringfence_keyring::SecretString;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::Semaphore;

/// Calls at once on a token: as many sessions are kept.
const AT_ONCE: usize = 8;

/// A token that takes our PIN.
pub struct Token {
    module: Arc<Module>,
    label: String,
    pin: SecretString,
    sessions: Mutex<Vec<Kept>>,
    /// How the PIN was refused; trying it again would lock the token.
    refused: OnceLock<Error>,
    pub(crate) room: Arc<Semaphore>,
}

/// A session that waits for its next use.
struct Kept {
    generation: u64,
    session: Session,
}

/// Closes sessions; not those of an earlier initialisation, whose handles may be somebody else's by now.
fn close(module: &Module, sessions: Vec<Kept>) {
    let state = module.read();
    for kept in sessions {
        if kept.generation != state.generation {
            std::mem::forget(kept.session);
        }
    }
}

/// What a token says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    pub label: String,
    pub manufacturer: String,
    pub model: String,
    pub serial_number: String,
    pub firmware: String,
}

impl Drop for Token {
    fn drop(&mut self) {
        let sessions = std::mem::take(&mut *held(&self.sessions));
        if sessions.is_empty() {
            return;
        }
        // The module may take its time, and this thread may have others waiting.
        let module = self.module.clone();
        let close = move || close(&module, sessions);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(close)),
            Err(_) => close(),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Token {
    /// Finds the token of a label and logs in.
    ///
    /// # Errors
    /// [`Error::Token`], [`Error::Pin`], [`Error::PinLocked`], [`Error::PinLastTry`], [`Error::Lost`].
    pub fn open(module: Arc<Module>, label: &str, pin: SecretString) -> Result<Self, Error> {
        let token = Self {
            module,
            label: label.to_owned(),
            pin,
            sessions: Mutex::new(Vec::new()),
            refused: OnceLock::new(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
        };
        token.run(|_| Ok(()))?;
        Ok(token)
    }

    /// Its label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// [`Error::Token`], [`Error::Lost`].
    pub fn info(&self) -> Result<TokenInfo, Error> {
        let state = self.module.read();
        let info = state.library.get_token_info(self.slot(&state)?)?;
        Ok(TokenInfo {
            label: info.label().to_owned(),
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            serial_number: info.serial_number().to_owned(),
            firmware: info.firmware_version().to_string(),
        })
    }

    /// Asks whether it still takes calls.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Token`].
    pub fn ping(&self) -> Result<(), Error> {
        self.run(|session| {
            session.get_session_info()?;
            Ok(())
        })
    }

    /// Fills a buffer from the token's generator.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Unsupported`] where it has none.
    pub fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.run(|session| Ok(session.generate_random_slice(bytes)?))
    }

    /// Works in a session. Where the session turns out to be lost, the work is done again in a new one,
    /// and where none can be had, once more after the module was initialised anew: `work` must bear to
    /// be done twice. A key that is not found counts as a session that is lost: a module may go on in
    /// one whose token was taken away and put back, and find nothing any longer.
    pub(crate) fn run<T>(
        &self,
        mut work: impl FnMut(&Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut last = match self.attempt(true, &mut work) {
            Err(error @ (Error::Lost(_) | Error::Token { .. } | Error::Key { found: 0, .. })) => {
                error
            }
            done => return done,
        };
        self.drop_sessions();
        if !matches!(last, Error::Token { .. }) {
            last = match self.attempt(false, &mut work) {
                Err(error @ (Error::Lost(_) | Error::Token { .. })) => error,
                done => return done,
            };
        }
        tracing::warn!(token = self.label, error = %last, "a token was lost");
        self.drop_sessions();
        // A token that is missing is no reason to end the sessions of others.
        if matches!(last, Error::Token { .. }) && self.module.serves_another(&self.label) {
            return Err(last);
        }
        let generation = self.module.read().generation;
        self.module.restart(generation)?;
        self.attempt(false, &mut work)
    }

    fn drop_sessions(&self) {
        let sessions = std::mem::take(&mut *held(&self.sessions));
        close(&self.module, sessions);
    }

    fn attempt<T>(
        &self,
        pooled: bool,
        work: &mut impl FnMut(&Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let state = self.module.read();
        let kept = || {
            let mut sessions = held(&self.sessions);
            while let Some(kept) = sessions.pop() {
                if kept.generation == state.generation {
                    return Some(kept.session);
                }
                // Not closed, as in `close`.
                std::mem::forget(kept.session);
            }
            None
        };
        let session = match pooled.then(kept).flatten() {
            Some(session) => session,
            None => self.log_in(&state)?,
        };
        let done = work(&session);
        if done.is_ok() {
            self.module.note_work(&self.label);
        }
        // A session in which the module failed is in a state that nobody knows.
        if !matches!(done, Err(Error::Lost(_) | Error::Failed(_) | Error::Unsupported(_))) {
            let mut sessions = held(&self.sessions);
            if sessions.len() < AT_ONCE {
                sessions.push(Kept { generation: state.generation, session });
            }
        }
        done
    }

    fn slot(&self, state: &State) -> Result<Slot, Error> {
        let mut found = Vec::new();
        for slot in state.library.get_slots_with_token()? {
            // A slot whose token cannot be read is not ours.
            if state
                .library
                .get_token_info(slot)
                .is_ok_and(|info| info.token_initialized() && info.label().trim_end() == self.label)
            {
                found.push(slot);
            }
        }
        match found.as_slice() {
            [slot] => Ok(*slot),
            others => Err(Error::Token { label: self.label.clone(), found: others.len() }),
        }
    }

    /// A new session, logged in with the PIN: with this very PIN, even where the process has logged in
    /// to the token before, when the module would take any.
    fn log_in(&self, state: &State) -> Result<Session, Error> {
        if let Some(error) = self.refused.get() {
            return Err(error.clone());
        }
        let slot = self.slot(state)?;
        let session = state.library.open_rw_session(slot)?;
        let mut pins = self.module.pins();
        // Somebody else may have tried it meanwhile.
        if let Some(error) = self.refused.get() {
            return Err(error.clone());
        }
        if session.get_session_info()?.session_state() != SessionState::RwUser {
            let info = state.library.get_token_info(slot)?;
            if info.user_pin_locked() {
                return Err(self.refuse(Error::PinLocked));
            }
            if info.user_pin_final_try() {
                return Err(self.refuse(Error::PinLastTry));
            }
            let pin = AuthPin::new(self.pin.expose().into());
            match session.login(UserType::User, Some(&pin)) {
                Ok(()) => {
                    pins.insert(self.label.clone(), self.pin.duplicate());
                    return Ok(session);
                }
                Err(Raw::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(raw) => return Err(self.refuse(Error::of(&raw))),
            }
        }
        let taken = pins.get(&self.label);
        let same = taken.is_some_and(|pin| pin.matches(self.pin.expose().as_bytes()));
        if same { Ok(session) } else { Err(self.refuse(Error::Pin)) }
    }

    fn refuse(&self, error: Error) -> Error {
        if matches!(error, Error::Pin | Error::PinLocked | Error::PinLastTry) {
            // Who came first has said the same.
            let _ = self.refused.set(error.clone());
        }
        error
    }
}
