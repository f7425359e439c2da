//! What keeps values, and the names that they go by, unreadable to the engine.

use crate::StoreError;

/// Seals and opens values. `place` is bound to the sealed bytes: they open nowhere else.
pub trait Sealer: Send + Sync + 'static {
    /// Seals a value for a place.
    fn seal(&self, place: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, StoreError>;
    /// Opens a value of a place.
    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError>;
    /// Whether a value is sealed under the key that [`seal`](Self::seal) uses now. One that is not
    /// opens all the same, and is sealed anew in good time: see [`Store::reseal`](crate::Store::reseal).
    fn is_current(&self, _sealed: &[u8]) -> bool {
        true
    }
    /// A pseudonym for a name: always the same for the same name, and no way back.
    fn blind(&self, name: &[&[u8]]) -> Vec<u8>;
}

/// Leaves values and names as they are. For tests of engines alone.
pub struct Unsealed;

impl Sealer for Unsealed {
    fn seal(&self, _place: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(value.to_vec())
    }

    fn open(&self, _place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(sealed.to_vec())
    }

    fn blind(&self, name: &[&[u8]]) -> Vec<u8> {
        name.join(&b'/')
    }
}
