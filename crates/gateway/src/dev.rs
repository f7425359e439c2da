//! What `--dev` relaxes: credentials that need no secret, a clock that moves, and starting over.

use crate::clock::Clock as _;
use crate::clock::{MovedClock, SystemClock};
use crate::gateway::World;
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, Timestamp};
use serde::Deserialize;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The mode in which nothing is kept and made-up credentials are root users.
pub struct Dev {
    /// The account of credentials that name none.
    pub account: AccountId,
    /// The time of whatever is stored or expires.
    pub clock: Arc<MovedClock>,
    /// Makes a world with nothing in it.
    pub make: Box<dyn Fn() -> Result<World, String> + Send + Sync>,
}

/// Makes accounts as they are named.
pub trait OpenAccounts: Send + Sync {
    /// Makes an account unless it is there.
    fn ensure<'a>(
        &'a self,
        id: AccountId,
    ) -> Pin<Box<dyn Future<Output = Result<(), ServiceError>> + 'a>>;
}

/// The body of `POST /_ringfence/clock`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Move {
    AdvanceSeconds(i64),
    Set(String),
}

impl Dev {
    /// Moves the clock as a request's body says; the time then, or what is wrong with the body.
    pub(crate) fn move_clock(&self, body: &[u8]) -> Result<Timestamp, String> {
        let understood = "expected {\"advance_seconds\": N} or {\"set\": \"2031-01-01T00:00:00Z\"}";
        match serde_json::from_slice(body).map_err(|error| format!("{error}; {understood}"))? {
            Move::AdvanceSeconds(seconds) => self.clock.advance(seconds),
            Move::Set(text) => {
                let to = Timestamp::parse_any(&text).ok_or(understood)?;
                self.clock.set(to);
            }
        }
        Ok(self.clock.now())
    }

    /// A world with nothing in it, at the present time.
    pub(crate) fn start_over(&self) -> Result<World, String> {
        let world = (self.make)()?;
        self.clock.set(SystemClock.now());
        Ok(world)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_by_what_the_body_says() {
        let dev = Dev {
            account: AccountId::new(0).unwrap(),
            clock: Arc::default(),
            make: Box::new(|| Err("no world".into())),
        };
        let before = dev.clock.now().seconds;
        let after = dev.move_clock(br#"{"advance_seconds": 3600}"#).unwrap().seconds;
        assert!((3600..3605).contains(&(after - before)));
        let set = dev.move_clock(br#"{"set": "2031-02-03T04:05:06Z"}"#).unwrap().seconds;
        assert!((1_927_857_906..1_927_857_910).contains(&set), "{set}");
        for body in
            ["", "{}", "[]", r#"{"set":"soon"}"#, r#"{"advance_seconds":"1"}"#, r#"{"a":1}"#]
        {
            assert!(dev.move_clock(body.as_bytes()).is_err(), "{body}");
        }
    }
}
