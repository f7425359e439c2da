//! A server that decides under a lease, and loses it in the middle of a call.

use super::testing::{House, MANAGEMENT, Parts};
use super::*;
use ringfence_store::engine::Fitness;
use std::sync::Mutex;

/// A lease that is looked at: how often that was, and from which look on it is another one, or none.
#[derive(Default)]
struct Lease {
    looks: usize,
    holds_for: usize,
    afterwards: Option<u64>,
}

impl Lease {
    fn held() -> Self {
        Self { holds_for: usize::MAX, ..Self::default() }
    }

    fn look(&mut self) -> Option<u64> {
        self.looks += 1;
        if self.looks > self.holds_for { self.afterwards } else { Some(1) }
    }
}

fn house(lease: &Arc<Mutex<Lease>>) -> House {
    House::open(|Parts { iam, kms, analyzer, keyring, clock }| {
        let looked_at = lease.clone();
        let fitness: Fitness = Arc::new(move || looked_at.lock().unwrap().look());
        let issuers = Arc::new(Issuers::by_hand(&[]).unwrap());
        let trail = Trail::in_memory();
        world(iam, kms, analyzer, keyring, clock.clone(), issuers, trail).while_fit(Some(fitness))
    })
}

/// Calls with a lease that changes after each number of looks, until the call is through; the number.
fn through(afterwards: Option<u64>, parameters: &[(&str, &str)]) -> usize {
    let lease = Arc::new(Mutex::new(Lease::held()));
    let house = house(&lease);
    let root = house.root(MANAGEMENT);
    for holds_for in 0.. {
        *lease.lock().unwrap() = Lease { looks: 0, holds_for, afterwards };
        let (status, body) = root.call("iam", parameters);
        let looks = lease.lock().unwrap().looks;
        *lease.lock().unwrap() = Lease::held();
        let users = root.ok("iam", &[("Action", "ListUsers")]);
        if status == 200 {
            assert_eq!(looks, holds_for, "it was let though its lease was looked for in vain");
            return holds_for;
        }
        assert_eq!(status, 503, "{body}");
        assert!(!users.contains("<UserName>"), "refused, and written all the same: {users}");
    }
    unreachable!()
}

#[test]
fn a_lease_that_is_lost_at_any_time_within_a_call_up_to_its_commit_refuses_it() {
    let create = [("Action", "CreateUser"), ("UserName", "ann")];
    // At the beginning, when it was authenticated, when it was decided, and when it is written.
    assert_eq!(through(None, &create), 4);
    // The first look alone says under which lease the call begins.
    assert_eq!(through(None, &[("Action", "ListRoles")]), 3);
}

#[test]
fn a_lease_that_was_lost_and_taken_again_within_a_call_refuses_it() {
    let lease = Arc::new(Mutex::new(Lease::held()));
    let house = house(&lease);
    let root = house.root(MANAGEMENT);
    for (holds_for, expected) in [(0, 200), (1, 503), (2, 503), (3, 503), (4, 200)] {
        *lease.lock().unwrap() = Lease { looks: 0, holds_for, afterwards: Some(2) };
        let name = format!("user-{holds_for}");
        let (status, body) = root.call("iam", &[("Action", "CreateUser"), ("UserName", &name)]);
        assert_eq!(status, expected, "{holds_for}: {body}");
        *lease.lock().unwrap() = Lease::held();
        let users = root.ok("iam", &[("Action", "ListUsers")]);
        assert_eq!(users.contains(&name), expected == 200, "{users}");
    }
}
