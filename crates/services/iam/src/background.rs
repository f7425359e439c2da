//! Work that takes long, on threads of its own: reports.

use crate::errors;
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reports that are made at once; others wait for their turn.
const AT_ONCE: usize = 2;

type Work = Box<dyn FnOnce() + Send>;

/// Threads that are there while there is work. The process ends without waiting for them: what a
/// report reads is not changed by it. Accounts take turns, and each has one report made at a time.
#[derive(Default)]
pub(crate) struct Background(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: HashMap<AccountId, VecDeque<Work>>,
    /// Accounts that have work waiting and none under way, in the order of their turns.
    turns: VecDeque<AccountId>,
    under_way: HashSet<AccountId>,
    threads: usize,
}

impl Queue {
    fn push(&mut self, account: AccountId, work: Work) {
        let own = self.waiting.entry(account).or_default();
        if own.is_empty() && !self.under_way.contains(&account) {
            self.turns.push_back(account);
        }
        own.push_back(work);
    }

    /// The next work, which is under way from now on.
    fn next(&mut self) -> Option<(AccountId, Work)> {
        let account = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&account)?;
        let work = own.pop_front()?;
        if own.is_empty() {
            self.waiting.remove(&account);
        }
        self.under_way.insert(account);
        Some((account, work))
    }

    fn done(&mut self, account: AccountId) {
        self.under_way.remove(&account);
        if self.waiting.contains_key(&account) {
            self.turns.push_back(account);
        }
    }
}

impl Background {
    /// Does an account's work when its turn comes. Work that is not done after all is dropped.
    ///
    /// # Errors
    /// `ServiceFailure` when the system has no threads.
    pub fn run(
        &self,
        account: AccountId,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), ServiceError> {
        {
            let mut queue = lock(&self.0);
            queue.push(account, Box::new(work));
            if queue.threads == AT_ONCE {
                return Ok(());
            }
            queue.threads += 1;
        }
        let queue = self.0.clone();
        let begun = std::thread::Builder::new().name("iam-reports".into()).spawn(move || {
            work_off(&queue);
        });
        let Err(error) = begun else { return Ok(()) };
        let mut queue = lock(&self.0);
        queue.threads -= 1;
        // Where another thread runs it will come to it.
        if queue.threads > 0 {
            return Ok(());
        }
        (queue.waiting, queue.turns) = Default::default();
        Err(errors::failed(error))
    }
}

fn work_off(queue: &Mutex<Queue>) {
    loop {
        let mut locked = lock(queue);
        let Some((account, work)) = locked.next() else {
            locked.threads -= 1;
            return;
        };
        drop(locked);
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("a report panicked");
        }
        lock(queue).done(account);
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
                .run(AccountId::new(number % 10).unwrap(), move || {
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
        let mut all: Vec<u64> =
            (0..20).map(|_| results.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        assert_eq!(now.lock().unwrap().1, AT_ONCE);
    }

    #[test]
    fn accounts_take_turns_and_have_one_report_made_at_a_time() {
        let [busy, other] = [1, 2].map(|number| AccountId::new(number).unwrap());
        let mut queue = Queue::default();
        (0..3).for_each(|_| queue.push(busy, Box::new(|| ())));
        queue.push(other, Box::new(|| ()));
        let order = |queue: &mut Queue| queue.next().map(|(account, _)| account);
        assert_eq!((order(&mut queue), order(&mut queue)), (Some(busy), Some(other)));
        assert_eq!(order(&mut queue), None);
        queue.done(busy);
        assert_eq!((order(&mut queue), order(&mut queue)), (Some(busy), None));
        queue.done(other);
        queue.done(busy);
        assert_eq!((order(&mut queue), order(&mut queue)), (Some(busy), None));
    }
}
