//! Work that takes long, beside the calls: finding the primes of an RSA key takes up to seconds.

use crate::errors;
use ringfence_wire::ServiceError;
use tokio::sync::Semaphore;

/// How much is done at a time.
static ROOM: Semaphore = Semaphore::const_new(2);

/// Does some work on a thread of its own. The room is held until it ends, whether or not anybody still
/// waits for it.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    let room = ROOM.acquire().await.map_err(errors::failed)?;
    let working = tokio::task::spawn_blocking(move || {
        let _room = room;
        work()
    });
    working.await.map_err(errors::failed)
}
