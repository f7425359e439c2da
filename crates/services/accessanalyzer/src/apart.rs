//! Work that takes long, beside the calls: what a caller chose is parsed, compared and gathered there, a
//! little at a time.

use crate::errors;
use ringfence_wire::ServiceError;
use tokio::sync::Semaphore;

/// How much is done at a time: a check may take a second of a core, and a policy generation longer.
static ROOM: Semaphore = Semaphore::const_new(2);

/// Work on documents that a caller chose, on a thread of its own: it may take as long as its limits let
/// it. The room is held until it ends, whether or not anybody still waits for it.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    let room = ROOM.acquire().await.map_err(errors::failed)?;
    let working = tokio::task::spawn_blocking(move || {
        let _room = room;
        work()
    });
    working.await.map_err(errors::failed)?
}
