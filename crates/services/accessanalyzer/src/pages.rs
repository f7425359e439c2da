//! Lists in pages: a token is the key after which the next page begins, sealed, and bound to its list.

use crate::{AccessAnalyzer, errors};
use ringfence_gateway::Call;
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
        let account = call.account()?.to_string();
        let place = [O::OPERATION.name, &account, &call.facts().region, narrowed];
        let place = place.map(str::as_bytes);
        let bad_token = || errors::invalid("nextToken", "The token is not valid for this request.");
        let after = match token {
            None => None,
            Some(token) => {
                let opened = self.tokens.open_text(&place, token).map_err(|_| bad_token())?;
                Some(String::from_utf8(opened.to_vec()).map_err(|_| bad_token())?)
            }
        };
        let limit = match max_results.map(usize::try_from) {
            None => PAGE,
            Some(Ok(max)) if max > 0 => max.min(LARGEST),
            Some(_) => return Err(errors::invalid("maxResults", "It must be at least 1.")),
        };
        let after = |key: &String| after.as_ref().is_none_or(|after| key > after);
        let mut left = entries.into_iter().filter(|(key, _)| after(key)).peekable();
        let (mut page, mut last) = (Vec::new(), String::new());
        for (key, item) in left.by_ref().take(limit) {
            page.push(item);
            last = key;
        }
        let more = left.peek().is_some();
        let next = more.then(|| self.tokens.seal_text(&place, last.as_bytes()));
        Ok((page, next.transpose().map_err(errors::failed)?))
    }
}
