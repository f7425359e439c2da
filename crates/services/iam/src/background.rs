//! Work that takes long, on threads of its own: reports.

use crate::errors;
use ringfence_wire::ServiceError;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reports that are made at once; others wait for their turn.
const AT_ONCE: usize = 2;

type Work = Box<dyn FnOnce() + Send>;

/// Threads that are there while there is work. The process ends without waiting for them: what a
/// report reads is not changed by it.
#[derive(Default)]
pub(crate) struct Background(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    running: usize,
}

impl Background {
    /// Does the work when its turn comes. Work that is not done after all is dropped.
    ///
    /// # Errors
    /// `ServiceFailure` when the system has no threads.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) -> Result<(), ServiceError> {
        {
            let mut queue = lock(&self.0);
            queue.waiting.push_back(Box::new(work));
            if queue.running == AT_ONCE {
                return Ok(());
            }
            queue.running += 1;
        }
        let queue = self.0.clone();
        let begun = std::thread::Builder::new().name("iam-reports".into()).spawn(move || {
            work_off(&queue);
        });
        let Err(error) = begun else { return Ok(()) };
        let mut queue = lock(&self.0);
        queue.running -= 1;
        // Where another thread runs it will come to it.
        let dropped = if queue.running == 0 { queue.waiting.pop_back() } else { None };
        drop(queue);
        dropped.map_or(Ok(()), |_| Err(errors::failed(error)))
    }
}

fn work_off(queue: &Mutex<Queue>) {
    loop {
        let mut locked = lock(queue);
        let Some(work) = locked.waiting.pop_front() else {
            locked.running -= 1;
            return;
        };
        drop(locked);
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("a report panicked");
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // The queue is whole between any two statements that could panic.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn all_work_is_done_a_few_at_once_and_a_panic_ends_none_of_the_rest() {
        let background = Background::default();
        let (done, results) = channel();
        let now = Arc::new(Mutex::new((0, 0)));
        for number in 0..20 {
            let (done, now) = (done.clone(), now.clone());
            background
                .run(move || {
                    {
                        let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
                        now.0 += 1;
                        now.1 = now.1.max(now.0);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                    now.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
                    done.send(number).unwrap();
                    assert!(number % 5 != 0, "as the test wants it");
                })
                .unwrap();
        }
        let mut all: Vec<i32> =
            (0..20).map(|_| results.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        assert_eq!(now.lock().unwrap().1, AT_ONCE);
    }
}
