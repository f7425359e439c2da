//! Platform configuration registers: what was measured of the machine while it started.

use super::marshal::Writer;

/// Registers of the SHA-256 bank, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pcrs(u32);

impl Pcrs {
    /// Reads `7` or `4+7+11`: numbers from 0 to 23.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split('+')
            .try_fold(0, |mask, number| {
                let number: u32 = number.parse().ok().filter(|number| *number < 24)?;
                Some(mask | 1 << number)
            })
            .map(Self)
    }

    /// `TPML_PCR_SELECTION` (Part 2, section 10.9.7): one bank, three octets of bits.
    pub(super) fn selection(self) -> Vec<u8> {
        let octets = self.0.to_le_bytes();
        Writer::default().u32(1).u16(0x000b).u8(3).bytes(&octets[..3]).0
    }

    /// As [`parse`](Self::parse) reads it.
    pub(super) fn text(self) -> String {
        let numbers = (0..24).filter(|number| self.0 & 1 << number != 0);
        numbers.map(|number| number.to_string()).collect::<Vec<_>>().join("+")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_numbers_below_24() {
        let pcrs = Pcrs::parse("11+0+7").unwrap();
        assert_eq!(pcrs.text(), "0+7+11");
        assert_eq!(pcrs.selection(), [0, 0, 0, 1, 0, 0x0b, 3, 0x81, 0x08, 0]);
        for text in ["", "24", "7+", "-1", "a", "7,11"] {
            assert_eq!(Pcrs::parse(text), None, "{text}");
        }
    }
}
