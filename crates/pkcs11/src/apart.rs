//! Asking a token from asynchronous code: on threads that may block, a few at once, and not for ever.

use crate::error::Error;
use crate::module::{Module, held};
use crate::token::Token;
use ringfence_keyring::SecretString;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many tokens of a module are opened at once: one that hangs holds so many threads.
const AT_ONCE: usize = 4;

/// The room for it, by the modules' paths as they were given.
static OPENING: Mutex<BTreeMap<PathBuf, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

impl Token {
    /// [`Module::load`] and [`Token::open`] on a thread beside. It takes as long as the module does: who
    /// asks bounds how long he waits.
    ///
    /// # Errors
    /// Theirs.
    pub async fn open_apart(
        module: PathBuf,
        label: String,
        pin: SecretString,
    ) -> Result<Arc<Self>, Error> {
        let room = {
            let mut opening = held(&OPENING);
            let room = opening.entry(module.clone());
            room.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
        };
        let room = room.acquire_owned().await.map_err(|_| Error::Late)?;
        let opening = tokio::task::spawn_blocking(move || {
            let _room = room;
            Self::open(Module::load(&module)?, &label, pin).map(Arc::new)
        });
        opening.await.map_err(|why| Error::Failed(why.to_string()))?
    }

    /// Does `work` with the token on a thread beside, and waits `patience` for it at most. The room that
    /// it takes is held until the module answers, whether or not anybody still waits: a module that
    /// hangs holds a few threads, and not one more with every call.
    ///
    /// # Errors
    /// Those of `work`, [`Error::Late`].
    pub async fn apart<T: Send + 'static>(
        self: &Arc<Self>,
        patience: Duration,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let token = self.clone();
        let working = async {
            let room = token.room.clone().acquire_owned().await.map_err(|_| Error::Late)?;
            let working = tokio::task::spawn_blocking(move || {
                let _room = room;
                work(&token)
            });
            working.await.map_err(|why| Error::Failed(why.to_string()))?
        };
        tokio::time::timeout(patience, working).await.map_err(|_| Error::Late)?
    }
}
