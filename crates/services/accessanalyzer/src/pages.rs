//! Lists in pages: how long one may be, and what binds its token to its list.

use crate::{AccessAnalyzer, errors};
use ringfence_gateway::Call;
use ringfence_gateway::pages::Pager;
use ringfence_wire::{ServiceError, TypedOperation};

/// Entries of a page where `maxResults` is not given, and most of any.
const PAGE: usize = 100;
const LARGEST: usize = 1000;

impl AccessAnalyzer {
    /// A page of entries in the order of their keys, and the token of the next one. `narrowed` is what
    /// else says which list it is.
    ///
    /// # Errors
    /// `ValidationException` for a token that is none of this list, or a page of less than one entry.
    pub(crate) fn page<O: TypedOperation, T>(
        &self,
        call: &Call<O>,
        narrowed: &str,
        (token, max_results): (Option<&str>, Option<i32>),
        entries: Vec<(String, T)>,
    ) -> Result<(Vec<T>, Option<String>), ServiceError> {
        let limit = match max_results.map(usize::try_from) {
            None => PAGE,
            Some(Ok(max)) if max > 0 => max.min(LARGEST),
            Some(_) => return Err(errors::invalid("maxResults", "It must be at least 1.")),
        };
        let account = call.account()?.to_string();
        let place = [O::OPERATION.name, &account, &call.facts().region, narrowed];
        let pager = Pager::new(&self.tokens, &place, token, limit);
        let pager = pager.map_err(|_| {
            errors::invalid("nextToken", "The token is not valid for this request.")
        })?;
        let page = pager.cut(entries.into_iter())?;
        Ok((page.items, page.marker))
    }
}
