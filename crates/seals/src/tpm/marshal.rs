//! TPM 2.0 structures as bytes: big-endian integers, and byte strings behind their length in two
//! bytes (Trusted Platform Module Library, Part 2: Structures, sections 4.10 and 10.4).

use super::TpmError;

/// Bytes that are being written.
#[derive(Debug, Default)]
pub(super) struct Writer(pub Vec<u8>);

impl Writer {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// A `TPM2B`: its length, then itself. INVARIANT: all that is written here is far shorter than
    /// 64 KiB; what comes from a file is checked by `sized_within`.
    pub(super) fn sized(self, bytes: &[u8]) -> Self {
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(len).bytes(bytes)
    }
}

/// Bytes that are being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], TpmError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TpmError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TpmError> {
        self.take(N)?.try_into().map_err(|_| TpmError::Malformed)
    }

    pub(super) fn u8(&mut self) -> Result<u8, TpmError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, TpmError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, TpmError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A `TPM2B`.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], TpmError> {
        let len = self.u16()?;
        self.take(len.into())
    }

    pub(super) fn end(self) -> Result<(), TpmError> {
        if self.0.is_empty() { Ok(()) } else { Err(TpmError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back_and_nothing_is_left() {
        let written = Writer::default().u8(1).u16(2).u32(3).sized(b"four").bytes(b"five").0;
        let mut reader = Reader(&written);
        assert_eq!((reader.u8(), reader.u16(), reader.u32()), (Ok(1), Ok(2), Ok(3)));
        assert_eq!((reader.sized(), reader.take(4)), (Ok(&b"four"[..]), Ok(&b"five"[..])));
        reader.end().unwrap();
    }

    #[test]
    fn bytes_that_end_early_are_refused() {
        for bytes in [&b""[..], &[0], &[0, 5, 1, 2]] {
            assert_eq!(Reader(bytes).sized(), Err(TpmError::Malformed));
        }
        assert_eq!(Reader(&[1, 2, 3]).u32(), Err(TpmError::Malformed));
        assert_eq!(Reader(&[1]).end(), Err(TpmError::Malformed));
    }
}
