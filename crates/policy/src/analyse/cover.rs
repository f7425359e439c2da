//! Whether regions cover a region, and a point that they leave out if they do not.
//!
//! A region is a product: one set of points for each dimension. What one region leaves of another
//! falls apart into as many disjoint regions as there are dimensions in which it does not reach over
//! the other; so the search takes, each time, a region that leaves the fewest: with none the branch is
//! covered, with one there is nothing to choose.

use super::bits::Bits;

/// A set of points for each dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region(pub Vec<Bits>);

/// The search took more steps than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManySteps;

impl Region {
    pub fn is_empty(&self) -> bool {
        self.0.iter().any(Bits::is_empty)
    }

    pub fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a.intersects(b))
    }

    pub fn retain(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| a.retain(b));
    }
}

/// A point of the region, the number of its point in each dimension, that no cover contains.
pub(super) fn uncovered(
    mut region: Region,
    covers: &[&Region],
    steps: &mut usize,
) -> Result<Option<Vec<usize>>, TooManySteps> {
    let mut covers: Vec<&Region> = covers.to_vec();
    loop {
        *steps = steps.checked_sub(1).ok_or(TooManySteps)?;
        if region.is_empty() {
            return Ok(None);
        }
        covers.retain(|cover| cover.intersects(&region));
        let open = |cover: &Region| -> Vec<usize> {
            let dimensions = region.0.iter().zip(&cover.0).enumerate();
            dimensions.filter(|(_, (own, cover))| !own.is_subset(cover)).map(|(d, _)| d).collect()
        };
        let best = covers.iter().map(|cover| (open(cover), *cover)).min_by_key(|(o, _)| o.len());
        let Some((open, cover)) = best else {
            return Ok(region.0.iter().map(Bits::first).collect());
        };
        match open.as_slice() {
            [] => return Ok(None),
            [one] => region.0[*one].remove(&cover.0[*one]),
            [branches @ .., last] => {
                for &dimension in branches {
                    let mut branch = region.clone();
                    branch.0[dimension].remove(&cover.0[dimension]);
                    if let Some(point) = uncovered(branch, &covers, steps)? {
                        return Ok(Some(point));
                    }
                    region.0[dimension].retain(&cover.0[dimension]);
                }
                region.0[*last].remove(&cover.0[*last]);
            }
        }
    }
}
