//! What an authenticator says and signs.
//! <https://www.w3.org/TR/webauthn-3/#sctn-authenticator-data>

use crate::cbor::Entries;
use crate::{LONGEST_CREDENTIAL_ID, Refused, RelyingParty, UserVerification};

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;
const EXTENSIONS: u8 = 1 << 7;

/// Authenticator data, read.
#[derive(Debug)]
pub(crate) struct AuthenticatorData<'b> {
    relying_party: &'b [u8],
    flags: u8,
    pub counter: u32,
    /// The key that was made, in a registration.
    pub attested: Option<Attested<'b>>,
}

/// A key as it is registered.
#[derive(Debug)]
pub(crate) struct Attested<'b> {
    /// The authenticator's model.
    pub aaguid: [u8; 16],
    pub credential_id: &'b [u8],
    /// The public key, a `COSE_Key`.
    pub key: &'b [u8],
}

fn malformed() -> Refused {
    Refused::Malformed("authenticator data is cut short or too long")
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Result<&'b [u8], Refused> {
    let (taken, left) = rest.split_at_checked(length).ok_or_else(malformed)?;
    *rest = left;
    Ok(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Refused> {
    take(rest, N)?.try_into().map_err(|_| malformed())
}

/// The map that follows, as its bytes.
fn take_map<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], Refused> {
    let (_, length) = Entries::first(rest)?;
    take(rest, length)
}

impl<'b> AuthenticatorData<'b> {
    pub fn parse(bytes: &'b [u8]) -> Result<Self, Refused> {
        let mut rest = bytes;
        let relying_party = take(&mut rest, 32)?;
        let [flags] = take_array(&mut rest)?;
        let counter = u32::from_be_bytes(take_array(&mut rest)?);
        let attested = if flags & ATTESTED == 0 {
            None
        } else {
            let aaguid = take_array(&mut rest)?;
            let length = usize::from(u16::from_be_bytes(take_array(&mut rest)?));
            if length == 0 || length > LONGEST_CREDENTIAL_ID {
                return Err(Refused::Malformed("a credential id has 1 to 1023 bytes"));
            }
            let credential_id = take(&mut rest, length)?;
            Some(Attested { aaguid, credential_id, key: take_map(&mut rest)? })
        };
        if flags & EXTENSIONS != 0 {
            take_map(&mut rest)?;
        }
        if !rest.is_empty() {
            return Err(malformed());
        }
        Ok(Self { relying_party, flags, counter, attested })
    }

    /// Checks what both ceremonies ask of it: steps 13 to 17 of registration, 15 to 18 of assertion.
    pub fn check(
        &self,
        party: &RelyingParty,
        verification: UserVerification,
    ) -> Result<(), Refused> {
        if !party.has_hash(self.relying_party) {
            return Err(Refused::WrongRelyingParty);
        }
        if self.flags & USER_PRESENT == 0 {
            return Err(Refused::NotPresent);
        }
        if verification == UserVerification::Required && !self.user_verified() {
            return Err(Refused::NotVerified);
        }
        if self.flags & BACKED_UP != 0 && !self.backup_eligible() {
            return Err(Refused::InconsistentFlags);
        }
        Ok(())
    }

    /// The hash that it names the relying party by.
    pub fn relying_party(&self) -> &'b [u8] {
        self.relying_party
    }

    pub fn user_verified(&self) -> bool {
        self.flags & USER_VERIFIED != 0
    }

    /// The key may be copied to another device, as passkeys are.
    pub fn backup_eligible(&self) -> bool {
        self.flags & BACKUP_ELIGIBLE != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::{SHA256, digest};

    fn data(flags: u8, more: &[u8]) -> Vec<u8> {
        let party = digest(&SHA256, b"localhost");
        [party.as_ref(), &[flags, 0, 0, 1, 2], more].concat()
    }

    #[test]
    fn flags_say_what_must_be_so() {
        use UserVerification::{Discouraged, Preferred, Required};
        let party = RelyingParty::new("localhost", &["http://localhost"]).unwrap();
        let other = RelyingParty::new("other.localhost", &["http://other.localhost"]).unwrap();
        for (flags, party, verification, expected) in [
            (0x01, &party, Discouraged, Ok(())),
            (0x01, &party, Preferred, Ok(())),
            (0x01, &party, Required, Err(Refused::NotVerified)),
            (0x05, &party, Required, Ok(())),
            (0x04, &party, Required, Err(Refused::NotPresent)),
            (0x00, &party, Discouraged, Err(Refused::NotPresent)),
            (0x09, &party, Preferred, Ok(())),
            (0x19, &party, Preferred, Ok(())),
            (0x11, &party, Preferred, Err(Refused::InconsistentFlags)),
            (0x05, &other, Preferred, Err(Refused::WrongRelyingParty)),
        ] {
            let bytes = data(flags, &[]);
            let read = AuthenticatorData::parse(&bytes).unwrap();
            assert_eq!(read.check(party, verification), expected, "{flags:x}");
            assert_eq!(read.counter, 0x102);
        }
    }

    #[test]
    fn nothing_lacks_and_nothing_is_left_over() {
        let key: &[u8] = &[0xa1, 0x01, 0x02];
        let made = |length: u16, id: &[u8], key: &[u8]| {
            data(0x41, &[&[9; 16][..], &length.to_be_bytes(), id, key].concat())
        };
        let whole = made(2, b"id", key);
        let read = AuthenticatorData::parse(&whole).unwrap().attested.unwrap();
        assert_eq!((read.aaguid, read.credential_id, read.key), ([9; 16], &b"id"[..], key));
        for length in 0..whole.len() {
            assert!(AuthenticatorData::parse(&whole[..length]).is_err(), "{length}");
        }
        for bad in [
            [whole.clone(), vec![0]].concat(),
            made(0, b"", key),
            made(1024, &[1; 1024], key),
            made(2, b"id", &[0x01]),
            data(0x81, &[]),
            data(0x81, &[0xa0, 0xa0]),
            data(0x01, &[0xa0]),
        ] {
            assert!(AuthenticatorData::parse(&bad).is_err());
        }
        assert!(AuthenticatorData::parse(&data(0x81, &[0xa0])).is_ok());
        assert!(AuthenticatorData::parse(&made(1023, &[1; 1023], key)).is_ok());
    }
}
