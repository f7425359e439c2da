//! Asking a token from asynchronous code: on threads that may block, a few at once, and not for ever.

use crate::error::Error;
use crate::token::Token;
use std::sync::Arc;
use std::time::Duration;

impl Token {
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
