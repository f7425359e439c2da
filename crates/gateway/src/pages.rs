//! Lists in pages, once for every operation.
//!
//! A marker is the key after which the next page begins, sealed, and bound to what says which list it
//! is (operation, account, what the list was narrowed to): it opens for the same list alone.

use imbl::OrdMap;
use ringfence_keyring::Domain;
use ringfence_wire::ServiceError;
use std::ops::Bound;
use std::sync::Arc;

/// Where a page begins and how long it may be.
pub struct Pager {
    markers: Domain,
    place: Vec<Vec<u8>>,
    after: Option<String>,
    limit: usize,
}

/// One page.
pub struct Page<T> {
    /// Its entries.
    pub items: Vec<T>,
    /// Where the next one begins; `None` where this is the last.
    pub marker: Option<String>,
}

impl<T> Page<T> {
    /// `IsTruncated`.
    pub fn truncated(&self) -> Option<bool> {
        Some(self.marker.is_some())
    }

    /// The same page of other items.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(each).collect(), marker: self.marker }
    }
}

/// A marker that was not given out for this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the marker is of no page of this list")]
pub struct BadMarker;

impl Pager {
    /// A page of at most `limit` entries of the list that `place` names, after the marker.
    ///
    /// # Errors
    /// [`BadMarker`].
    pub fn new(
        markers: &Domain,
        place: &[&str],
        marker: Option<&str>,
        limit: usize,
    ) -> Result<Self, BadMarker> {
        let place: Vec<Vec<u8>> = place.iter().map(|part| part.as_bytes().to_vec()).collect();
        let after = match marker {
            None => None,
            Some(marker) => {
                let opened = markers.open_text(&parts(&place), marker).map_err(|_| BadMarker)?;
                Some(String::from_utf8(opened.to_vec()).map_err(|_| BadMarker)?)
            }
        };
        Ok(Self { markers: markers.clone(), place, after, limit: limit.max(1) })
    }

    /// The entries of a map that this page may hold.
    pub fn of<'m, V>(
        &self,
        map: &'m OrdMap<Arc<str>, V>,
    ) -> impl Iterator<Item = (&'m str, &'m V)> + use<'m, V> {
        let start = self.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        map.range::<_, str>((start, Bound::Unbounded)).map(|(key, value)| (&**key, value))
    }

    /// Cuts a page from entries in the order of their keys. Those before the page are passed over.
    ///
    /// # Errors
    /// An internal failure when the system has no random bytes.
    pub fn cut<K: AsRef<str>, T>(
        &self,
        entries: impl Iterator<Item = (K, T)>,
    ) -> Result<Page<T>, ServiceError> {
        let mut items = Vec::new();
        let mut last: Option<K> = None;
        let mut marker = None;
        for (key, item) in entries {
            if self.after.as_deref().is_some_and(|after| key.as_ref() <= after) {
                continue;
            }
            if items.len() == self.limit {
                if let Some(last) = &last {
                    marker = Some(
                        self.markers
                            .seal_text(&parts(&self.place), last.as_ref().as_bytes())
                            .map_err(|error| {
                                tracing::error!(%error, "a marker was not sealed");
                                ServiceError::internal()
                            })?,
                    );
                }
                break;
            }
            items.push(item);
            last = Some(key);
        }
        Ok(Page { items, marker })
    }
}

fn parts(place: &[Vec<u8>]) -> Vec<&[u8]> {
    place.iter().map(Vec::as_slice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_keyring::Keyring;

    fn pages(markers: &Domain, keys: &[&str], size: usize) -> Vec<Vec<String>> {
        let mut marker = None;
        let mut all = Vec::new();
        loop {
            let pager = Pager::new(markers, &["List", "1"], marker.as_deref(), size).unwrap();
            let page = pager.cut(keys.iter().map(|key| (*key, (*key).to_owned()))).unwrap();
            all.push(page.items);
            match page.marker {
                Some(next) => marker = Some(next),
                None => return all,
            }
        }
    }

    #[test]
    fn pages_hold_each_entry_once() {
        let markers = Keyring::ephemeral().unwrap().domain("iam-marker");
        assert_eq!(pages(&markers, &["a", "b", "c"], 2), [vec!["a", "b"], vec!["c"]]);
        assert_eq!(pages(&markers, &["a", "b"], 2), [vec!["a", "b"]]);
        assert_eq!(pages(&markers, &[], 2), [Vec::<String>::new()]);
    }

    #[test]
    fn a_marker_opens_for_its_own_list_alone() {
        let markers = Keyring::ephemeral().unwrap().domain("iam-marker");
        let pager = Pager::new(&markers, &["ListUsers", "1"], None, 1).unwrap();
        let marker = pager.cut([("a", 0), ("b", 1)].into_iter()).unwrap().marker.unwrap();
        assert!(Pager::new(&markers, &["ListUsers", "1"], Some(&marker), 9).is_ok());
        for place in [["ListRoles", "1"], ["ListUsers", "2"]] {
            assert!(Pager::new(&markers, &place, Some(&marker), 9).is_err());
        }
        for text in ["", "nonsense", "AAAA"] {
            let refused = Pager::new(&markers, &["ListUsers", "1"], Some(text), 9).err();
            assert_eq!(refused, Some(BadMarker));
        }
    }

    #[test]
    fn a_marker_of_the_longest_name_fits_the_model() {
        let markers = Keyring::ephemeral().unwrap().domain("iam-marker");
        let name = "n".repeat(128);
        let pager = Pager::new(&markers, &["ListUsers", "1"], None, 1).unwrap();
        let entries = [(name.as_str(), 0), ("z", 1)].into_iter();
        assert!(pager.cut(entries).unwrap().marker.unwrap().len() <= 320);
    }
}
