//! Whether regions cover a region, and a point that they leave out if they do not.
//!
//! A region is a product: one set of points for each dimension. What one region leaves of another
//! falls apart into as many disjoint regions as there are dimensions in which it does not reach over
//! the other; so the search takes, each time, a region that leaves the fewest: with none the branch is
//! covered, with one there is nothing to choose.

use super::bits::Bits;
use super::budget::{Budget, Spent};

/// A set of points for each dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region(pub Vec<Bits>);

/// How deep the search may branch: its calls are on the stack.
const DEPTH: usize = 256;

impl Region {
    /// What it costs to look at all of it.
    pub fn size(&self) -> usize {
        self.0.iter().map(Bits::words).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().any(Bits::is_empty)
    }

    fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a.intersects(b))
    }

    pub fn retain(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| a.retain(b));
    }
}

/// A point of the region, the number of its point in each dimension, that no cover contains.
///
/// # Errors
/// [`Spent`] where the search takes more work than it may, or branches too deep.
pub(super) fn uncovered(
    region: Region,
    covers: &[&Region],
    budget: &Budget,
) -> Result<Option<Vec<usize>>, Spent> {
    search(region, covers, budget, DEPTH)
}

fn search(
    mut region: Region,
    covers: &[&Region],
    budget: &Budget,
    depth: usize,
) -> Result<Option<Vec<usize>>, Spent> {
    let depth = depth.checked_sub(1).ok_or(Spent)?;
    let mut covers: Vec<&Region> = covers.to_vec();
    let size = region.size();
    loop {
        budget.take(size)?;
        if region.is_empty() {
            return Ok(None);
        }
        budget.take(covers.len() * size)?;
        covers.retain(|cover| cover.intersects(&region));
        let open = |cover: &Region| {
            let dimensions = region.0.iter().zip(&cover.0).enumerate();
            let open = dimensions.filter(|(_, (own, cover))| !own.is_subset(cover));
            open.map(|(d, _)| d).collect::<Vec<usize>>()
        };
        let Some(cover) = covers.iter().min_by_key(|cover| open(cover).len()) else {
            return Ok(region.0.iter().map(Bits::first).collect());
        };
        match open(cover).as_slice() {
            [] => return Ok(None),
            [one] => region.0[*one].remove(&cover.0[*one]),
            [branches @ .., last] => {
                for &dimension in branches {
                    let mut branch = region.clone();
                    branch.0[dimension].remove(&cover.0[dimension]);
                    if let Some(point) = search(branch, &covers, budget, depth)? {
                        return Ok(Some(point));
                    }
                    region.0[dimension].retain(&cover.0[dimension]);
                }
                region.0[*last].remove(&cover.0[*last]);
            }
        }
    }
}
