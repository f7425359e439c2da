//! Lists in pages: IAM's `MaxItems`, `IsTruncated` and `Marker`.

use crate::Iam;
use crate::errors;
use ringfence_gateway::Call;
pub(crate) use ringfence_gateway::pages::{Page, Pager};
use ringfence_wire::{ServiceError, TypedOperation};

/// Entries of a page where `MaxItems` is not given.
const PAGE: usize = 100;
/// Most entries of a page.
const LARGEST: usize = 1000;

impl Iam {
    /// Reads a call's `Marker` and `MaxItems`; `narrowed` is what else says which list it is.
    ///
    /// # Errors
    /// `ValidationError` for a marker that was not given out for this list.
    pub(crate) fn pager<O: TypedOperation>(
        &self,
        call: &Call<O>,
        narrowed: &[&str],
        marker: Option<&str>,
        max_items: Option<i32>,
    ) -> Result<Pager, ServiceError> {
        let account = call.account()?.to_string();
        let mut place = vec![O::OPERATION.name, &account];
        place.extend(narrowed);
        let limit = max_items
            .and_then(|max| usize::try_from(max).ok())
            .map_or(PAGE, |max| max.clamp(1, LARGEST));
        Pager::new(&self.markers, &place, marker, limit).map_err(|_| errors::bad_marker())
    }
}
