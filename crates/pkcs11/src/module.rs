//! A maker's library. PKCS#11 knows one application a process and library: it is initialised once,
//! whoever asks for it, and a login counts for every session that the process has on the token.

use crate::error::Error;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error as Raw, RvError};
use ringfence_keyring::SecretString;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

/// Least time between two restarts of a module: each ends the sessions of all its tokens.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A token that did something within this time is in use: a token that is missing does not end its
/// sessions.
const IN_USE: Duration = Duration::from_secs(60);

/// The libraries of this process. They are never unloaded: makers' libraries start threads and do not
/// all survive it.
static LOADED: Mutex<Vec<Arc<Library>>> = Mutex::new(Vec::new());

/// A library by its real path. Whoever loads it holds the lock, and keeps nobody from the others.
struct Library {
    path: PathBuf,
    module: Mutex<Option<Arc<Module>>>,
}

/// A PKCS#11 library, loaded and initialised.
pub struct Module {
    path: PathBuf,
    state: RwLock<State>,
    /// The PIN that each token, by its label, has taken from this process.
    pins: Mutex<HashMap<String, SecretString>>,
    /// When each token, by its label, last did what it was asked.
    worked: Mutex<HashMap<String, Instant>>,
}

pub(crate) struct State {
    pub library: Pkcs11,
    /// Counts initialisations: sessions of an earlier one are void.
    pub generation: u64,
    started: Instant,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Module {
    /// Loads the library at a path, or finds it where it is loaded already.
    ///
    /// # Errors
    /// [`Error::Module`].
    pub fn load(path: &Path) -> Result<Arc<Self>, Error> {
        let path = path.canonicalize().map_err(|why| Error::Module(why.to_string()))?;
        let place = {
            let mut loaded = held(&LOADED);
            match loaded.iter().find(|known| known.path == path) {
                Some(known) => known.clone(),
                None => {
                    let new = Arc::new(Library { path: path.clone(), module: Mutex::default() });
                    loaded.push(new.clone());
                    new
                }
            }
        };
        let mut loaded = held(&place.module);
        if let Some(module) = &*loaded {
            return Ok(module.clone());
        }
        let library = Pkcs11::new(&path).map_err(|raw| Error::Module(raw.to_string()))?;
        initialize(&library)?;
        let state = State { library, generation: 0, started: Instant::now() };
        let module = Arc::new(Self {
            path,
            state: RwLock::new(state),
            pins: Mutex::default(),
            worked: Mutex::default(),
        });
        *loaded = Some(module.clone());
        Ok(module)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library, which is not restarted while this is held.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The PINs, which also keep two logins apart.
    pub(crate) fn pins(&self) -> MutexGuard<'_, HashMap<String, SecretString>> {
        held(&self.pins)
    }

    /// Notes that a token did what it was asked.
    pub(crate) fn note_work(&self, label: &str) {
        let mut worked = held(&self.worked);
        match worked.get_mut(label) {
            Some(at) => *at = Instant::now(),
            None => drop(worked.insert(label.to_owned(), Instant::now())),
        }
    }

    /// Whether a token of another label is in use, and there.
    pub(crate) fn serves_another(&self, label: &str) -> bool {
        let in_use: Vec<String> = {
            let worked = held(&self.worked);
            let others = worked.iter().filter(|(other, _)| *other != label);
            others.filter(|(_, at)| at.elapsed() < IN_USE).map(|(other, _)| other.clone()).collect()
        };
        if in_use.is_empty() {
            return false;
        }
        let state = self.read();
        let slots = state.library.get_slots_with_token().unwrap_or_default();
        slots.into_iter().filter_map(|slot| state.library.get_token_info(slot).ok()).any(|info| {
            info.token_initialized() && in_use.iter().any(|known| *known == info.label().trim_end())
        })
    }

    /// Initialises the library anew, so that it looks for its tokens again; not while a call is under
    /// way in it, nor soon after the last time, nor where somebody else did it since `generation`.
    pub(crate) fn restart(&self, generation: u64) -> Result<(), Error> {
        let mut state = match self.state.try_write() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        if state.generation != generation || state.started.elapsed() < RESTART_AFTER {
            return Ok(());
        }
        tracing::info!(module = %self.path.display(), "initialising a PKCS#11 module anew");
        state.started = Instant::now();
        state.generation += 1;
        // A library that has lost its device may not be able to end in order.
        if let Err(error) = state.library.clone().finalize() {
            tracing::warn!(module = %self.path.display(), %error, "the module did not end in order");
        }
        held(&self.pins).clear();
        initialize(&state.library)
    }
}

fn initialize(library: &Pkcs11) -> Result<(), Error> {
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) => Ok(()),
        // By another user of the library in this process.
        Err(Raw::Pkcs11(RvError::CryptokiAlreadyInitialized, Function::Initialize)) => Ok(()),
        Err(raw) => Err(Error::Module(raw.to_string())),
    }
}

pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
