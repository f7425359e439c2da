//! Documents that a service shows to everyone, signed or not: an issuer's keys, for one.

use std::sync::Arc;

/// Bytes of the longest path that a publisher is asked for.
const LONGEST_PATH: usize = 256;

/// A document for everyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its media type.
    pub content_type: &'static str,
    /// What it says.
    pub body: String,
    /// Seconds for which it may be kept.
    pub max_age: u32,
}

/// A service that publishes documents under `/_ringfence/NAME/`.
///
/// Whoever reaches the server may ask, as often as it likes: an answer must be quick, come from
/// memory, and tell nothing but what is meant for everyone.
pub trait Publisher: Send + Sync + 'static {
    /// The document at a path, which is what follows the name and its slash.
    fn document(&self, path: &str) -> Option<Published>;
}

/// The publishers of a server, by name.
#[derive(Default)]
pub(crate) struct Publishers(Vec<(&'static str, Arc<dyn Publisher>)>);

impl Publishers {
    pub fn add(&mut self, name: &'static str, publisher: Arc<dyn Publisher>) {
        self.0.push((name, publisher));
    }

    /// The document at `NAME/PATH`.
    pub fn find(&self, path: &str) -> Option<Published> {
        let (name, rest) = path.split_once('/')?;
        let (_, publisher) = self.0.iter().find(|(known, _)| *known == name)?;
        if rest.len() > LONGEST_PATH {
            return None;
        }
        publisher.document(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Publisher for Echo {
        fn document(&self, path: &str) -> Option<Published> {
            let body = path.to_owned();
            Some(Published { content_type: "text/plain", body, max_age: 1 })
        }
    }

    #[test]
    fn a_publisher_is_asked_for_what_is_under_its_name_and_of_sane_length() {
        let mut publishers = Publishers::default();
        publishers.add("echo", Arc::new(Echo));
        let found = |path: &str| publishers.find(path).map(|published| published.body);
        assert_eq!(found("echo/a/b").as_deref(), Some("a/b"));
        assert_eq!(found("echo/").as_deref(), Some(""));
        for path in ["echo", "other/a", "Echo/a", ""] {
            assert_eq!(found(path), None, "{path}");
        }
        assert!(found(&format!("echo/{}", "a".repeat(256))).is_some());
        assert!(found(&format!("echo/{}", "a".repeat(257))).is_none());
    }
}
