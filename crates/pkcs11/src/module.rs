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

/// The libraries of this process, by their real paths. They are never unloaded: makers' libraries start
/// threads and do not all survive it.
static LOADED: Mutex<Vec<Arc<Module>>> = Mutex::new(Vec::new());

/// A PKCS#11 library, loaded and initialised.
pub struct Module {
    path: PathBuf,
    state: RwLock<State>,
    /// The PIN that each token, by its label, has taken from this process.
    pins: Mutex<HashMap<String, SecretString>>,
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
        let mut loaded = held(&LOADED);
        if let Some(module) = loaded.iter().find(|module| module.path == path) {
            return Ok(module.clone());
        }
        let library = Pkcs11::new(&path).map_err(|raw| Error::Module(raw.to_string()))?;
        initialize(&library)?;
        let state = State { library, generation: 0, started: Instant::now() };
        let module =
            Arc::new(Self { path, state: RwLock::new(state), pins: Mutex::new(HashMap::new()) });
        loaded.push(module.clone());
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
