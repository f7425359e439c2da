//! The commands of a TPM that a seal needs: Trusted Platform Module Library, Part 3: Commands.
//! Structures and numbers are those of Part 2.
//!
//! ```text
//! wrap:    CreatePrimary ─ [StartAuthSession, PolicyPCR, PolicyGetDigest] ─ StartAuthSession ─ Create
//! unwrap:  CreatePrimary ─ Load ─ StartAuthSession ─ [PolicyPCR] ─ Unseal
//! ```
//!
//! Every object and session that is left over is flushed.

use super::TpmError;
use super::marshal::{Reader, Writer};
use super::pcrs::Pcrs;
use super::session::{self, DECRYPT, ENCRYPT, NONCE, Point, Salt, Session};
use super::transport::Transport;
use aws_lc_rs::digest;
use ringfence_keyring::SecretBytes;
use std::time::Duration;
use zeroize::Zeroizing;

// Part 2, section 6.9: `TPM_ST`.
const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;

// Part 2, section 6.5.2: `TPM_CC`.
const CREATE_PRIMARY: u32 = 0x131;
const CREATE: u32 = 0x153;
const LOAD: u32 = 0x157;
const UNSEAL: u32 = 0x15e;
const FLUSH_CONTEXT: u32 = 0x165;
const START_AUTH_SESSION: u32 = 0x176;
const POLICY_PCR: u32 = 0x17f;
const POLICY_GET_DIGEST: u32 = 0x189;

// Part 2, sections 7.4, 6.3 and 6.11: handles, algorithms, session types.
const OWNER: u32 = 0x4000_0001;
const NULL_HANDLE: u32 = 0x4000_0007;
const PASSWORD: u32 = 0x4000_0009;
const AES: u16 = 0x0006;
const KEYEDHASH: u16 = 0x0008;
const SHA256: u16 = 0x000b;
const NULL: u16 = 0x0010;
const ECC: u16 = 0x0023;
const CFB: u16 = 0x0043;
const P256: u16 = 0x0003;
const HMAC_SESSION: u8 = 0x00;
const POLICY_SESSION: u8 = 0x01;
const TRIAL_SESSION: u8 = 0x03;

// Part 2, section 8.3: `TPMA_OBJECT`.
const FIXED_TPM: u32 = 1 << 1;
const FIXED_PARENT: u32 = 1 << 4;
const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
const USER_WITH_AUTH: u32 = 1 << 6;
const NO_DA: u32 = 1 << 10;
const RESTRICTED: u32 = 1 << 16;
const DECRYPTS: u32 = 1 << 17;

/// How often a TPM that is busy is asked again, and after how long.
const BUSY: (u32, Duration) = (50, Duration::from_millis(100));

/// A TPM, and what must be flushed from it.
pub(super) struct Tpm {
    transport: Transport,
    open: Vec<u32>,
}

impl Drop for Tpm {
    fn drop(&mut self) {
        while let Some(handle) = self.open.pop() {
            let flush = Writer::default().u32(handle).0;
            // The resource manager flushes what its client leaves; a TPM without one keeps it until
            // it is restarted, and there is nobody to tell.
            let _ = self.plain(FLUSH_CONTEXT, &flush);
        }
    }
}

/// The storage key: a primary key of the owner's hierarchy, the same whenever it is made in the same
/// TPM, until that is cleared.
pub(super) struct StorageKey {
    handle: u32,
    point: Point,
    pub name: Vec<u8>,
}

/// A sealed object as the TPM gives it out. Only that TPM can load it.
pub(super) struct SealedObject {
    pub public: Vec<u8>,
    pub private: Vec<u8>,
}

impl Tpm {
    pub(super) fn over(transport: Transport) -> Self {
        Self { transport, open: Vec::new() }
    }

    /// `TPM2_CreatePrimary` (section 24.1): a storage key on P-256. The template is the one of the
    /// TCG TPM v2.0 Provisioning Guidance, section 7.5.1, whose keys are not subject to lockout.
    pub(super) fn storage_key(&mut self) -> Result<StorageKey, TpmError> {
        let attributes = FIXED_TPM
            | FIXED_PARENT
            | SENSITIVE_DATA_ORIGIN
            | USER_WITH_AUTH
            | NO_DA
            | RESTRICTED
            | DECRYPTS;
        let template = Writer::default()
            .u16(ECC)
            .u16(SHA256)
            .u32(attributes)
            .sized(b"")
            .u16(AES)
            .u16(128)
            .u16(CFB)
            .u16(NULL)
            .u16(P256)
            .u16(NULL)
            .sized(b"")
            .sized(b"")
            .0;
        let no_secret = Writer::default().sized(b"").sized(b"").0;
        let parameters = Writer::default().sized(&no_secret).sized(&template).sized(b"").u32(0).0;
        let response = self.by_password(CREATE_PRIMARY, &[OWNER], &parameters)?;
        let mut response = Reader(&response);
        let handle = response.u32()?;
        self.open.push(handle);
        response.u32()?;
        let public = response.sized()?;
        for _creation_data_and_hash in 0..2 {
            response.sized()?;
        }
        response.u16()?;
        response.u32()?;
        response.sized()?;
        let name = response.sized()?.to_vec();
        // The name is what the public area hashes to (Part 1, section 16), so what it says is what
        // is judged.
        let hash = digest::digest(&digest::SHA256, public);
        if name != Writer::default().u16(SHA256).bytes(hash.as_ref()).0 {
            return Err(TpmError::Tampered);
        }
        let point = point_of(public, &template)?;
        Ok(StorageKey { handle, point, name })
    }

    /// `TPM2_Create` (section 12.1) of an object that holds `data`, which the bus does not see.
    pub(super) fn seal(
        &mut self,
        key: &StorageKey,
        data: &SecretBytes,
        policy: Option<&[u8]>,
    ) -> Result<SealedObject, TpmError> {
        let session = self.session(key, HMAC_SESSION)?;
        // With a policy, an empty password must not do as well.
        let attributes =
            FIXED_TPM | FIXED_PARENT | NO_DA | if policy.is_none() { USER_WITH_AUTH } else { 0 };
        let public = Writer::default()
            .u16(KEYEDHASH)
            .u16(SHA256)
            .u32(attributes)
            .sized(policy.unwrap_or_default())
            .u16(NULL)
            .sized(b"")
            .0;
        // Its length once more in front; made in one piece, so that no copy is left unwiped.
        let len = u16::try_from(4 + data.len()).map_err(|_| TpmError::Malformed)?;
        let mut parameters = Zeroizing::new(Vec::with_capacity(512));
        parameters.extend(len.to_be_bytes());
        parameters.extend(0u16.to_be_bytes());
        parameters.extend((len - 4).to_be_bytes());
        parameters.extend(data.expose());
        session.encrypt(&mut parameters[2..])?;
        parameters.extend(Writer::default().sized(&public).sized(b"").u32(0).0);

        let handles = [(key.handle, key.name.as_slice())];
        let response = self.by_session(CREATE, &handles, &parameters, session, DECRYPT)?;
        let mut response = Reader(&response);
        let private = response.sized()?.to_vec();
        let public = response.sized()?.to_vec();
        Ok(SealedObject { public, private })
    }

    /// `TPM2_Load` (section 12.2) and `TPM2_Unseal` (section 12.7): what the object holds, which the
    /// bus does not see.
    pub(super) fn unseal(
        &mut self,
        key: &StorageKey,
        object: &SealedObject,
        pcrs: Option<&Pcrs>,
    ) -> Result<SecretBytes, TpmError> {
        let fits = |bytes: &[u8]| bytes.len() <= 1024;
        if !fits(&object.public) || !fits(&object.private) {
            return Err(TpmError::Malformed);
        }
        let parameters = Writer::default().sized(&object.private).sized(&object.public).0;
        let response = self.by_password(LOAD, &[key.handle], &parameters)?;
        let handle = Reader(&response).u32()?;
        self.open.push(handle);
        let hash = digest::digest(&digest::SHA256, &object.public);
        let name = Writer::default().u16(SHA256).bytes(hash.as_ref()).0;

        let kind = if pcrs.is_some() { POLICY_SESSION } else { HMAC_SESSION };
        let session = self.session(key, kind)?;
        if let Some(pcrs) = pcrs {
            self.policy_pcr(session.handle, pcrs)?;
        }
        let handles = [(handle, name.as_slice())];
        let response = self.by_session(UNSEAL, &handles, &[], session, ENCRYPT)?;
        let response = Zeroizing::new(response);
        let mut reader = Reader(&response);
        let data = SecretBytes::new(reader.sized()?.to_vec());
        reader.end()?;
        Ok(data)
    }

    /// What `TPM2_PolicyPCR` makes of the registers as they are now, by a trial session.
    pub(super) fn policy_of_now(
        &mut self,
        key: &StorageKey,
        pcrs: &Pcrs,
    ) -> Result<Vec<u8>, TpmError> {
        let session = self.session(key, TRIAL_SESSION)?;
        self.policy_pcr(session.handle, pcrs)?;
        let response = self.plain(POLICY_GET_DIGEST, &Writer::default().u32(session.handle).0)?;
        let mut response = Reader(&response);
        let digest = response.sized()?.to_vec();
        self.flush(session.handle);
        Ok(digest)
    }

    /// `TPM2_PolicyPCR` (section 23.7): with an empty digest, for the registers as they are.
    fn policy_pcr(&mut self, session: u32, pcrs: &Pcrs) -> Result<(), TpmError> {
        let parameters = Writer::default().u32(session).sized(b"").bytes(&pcrs.selection()).0;
        self.plain(POLICY_PCR, &parameters)?;
        Ok(())
    }

    /// `TPM2_StartAuthSession` (section 11.1), salted by the storage key.
    fn session(&mut self, key: &StorageKey, kind: u8) -> Result<Session, TpmError> {
        let salt = Salt::for_key(&key.point)?;
        let nonce: [u8; NONCE] = session::nonce()?;
        let point = Writer::default().sized(&salt.public.x).sized(&salt.public.y).0;
        let parameters = Writer::default()
            .u32(key.handle)
            .u32(NULL_HANDLE)
            .sized(&nonce)
            .sized(&point)
            .u8(kind)
            .u16(AES)
            .u16(128)
            .u16(CFB)
            .u16(SHA256)
            .0;
        let response = self.plain(START_AUTH_SESSION, &parameters)?;
        let mut response = Reader(&response);
        let handle = response.u32()?;
        self.open.push(handle);
        let nonce_tpm = response.sized()?;
        if nonce_tpm.len() != NONCE {
            return Err(TpmError::Malformed);
        }
        Session::started(handle, &salt, &nonce, nonce_tpm)
    }

    fn flush(&mut self, handle: u32) {
        self.open.retain(|open| *open != handle);
        // As in `drop`.
        let _ = self.plain(FLUSH_CONTEXT, &Writer::default().u32(handle).0);
    }

    /// A command without authorization: handles and parameters as they are.
    fn plain(&mut self, code: u32, body: &[u8]) -> Result<Vec<u8>, TpmError> {
        let (tag, body) = self.exchange(NO_SESSIONS, code, body)?;
        if tag == NO_SESSIONS { Ok(body) } else { Err(TpmError::Malformed) }
    }

    /// A command that an empty password authorizes. Nothing in it is secret. The response begins
    /// with the handle that the command makes, and the length of its parameters behind that is left
    /// in place.
    fn by_password(
        &mut self,
        code: u32,
        handles: &[u32],
        parameters: &[u8],
    ) -> Result<Vec<u8>, TpmError> {
        let authorization = Writer::default().u32(PASSWORD).sized(b"").u8(0).sized(b"").0;
        let mut body = Writer::default();
        for handle in handles {
            body = body.u32(*handle);
        }
        let body = body.u32(authorization.len() as u32).bytes(&authorization).bytes(parameters).0;
        let (tag, body) = self.exchange(SESSIONS, code, &body)?;
        if tag == SESSIONS { Ok(body) } else { Err(TpmError::Malformed) }
    }

    /// A command that a session authorizes, which ends with it. The parameters of the response,
    /// checked, and decrypted where they were encrypted.
    fn by_session(
        &mut self,
        code: u32,
        handles: &[(u32, &[u8])],
        parameters: &[u8],
        mut session: Session,
        attributes: u8,
    ) -> Result<Vec<u8>, TpmError> {
        let names: Vec<&[u8]> = handles.iter().map(|(_, name)| *name).collect();
        let authorization = session.authorize(code, &names, parameters, attributes);
        let mut body = Writer::default();
        for (handle, _) in handles {
            body = body.u32(*handle);
        }
        let body = body.u32(authorization.len() as u32).bytes(&authorization).bytes(parameters).0;
        let (tag, body) = self.exchange(SESSIONS, code, &body)?;
        // It has ended with the command.
        self.open.retain(|open| *open != session.handle);
        if tag != SESSIONS {
            return Err(TpmError::Tampered);
        }
        let mut reader = Reader(&body);
        let len = reader.u32()?;
        let parameters = reader.take(usize::try_from(len).map_err(|_| TpmError::Malformed)?)?;
        let nonce_tpm = reader.sized()?;
        let response_attributes = reader.u8()?;
        let tag = reader.sized()?;
        reader.end()?;
        session.check(code, parameters, nonce_tpm, response_attributes, tag)?;
        let mut parameters = parameters.to_vec();
        if attributes & ENCRYPT != 0 {
            if response_attributes & ENCRYPT == 0 {
                return Err(TpmError::Tampered);
            }
            let first = Reader(&parameters).sized()?.len();
            session.decrypt(parameters.get_mut(2..2 + first).ok_or(TpmError::Malformed)?)?;
        }
        Ok(parameters)
    }

    /// Sends a command; the tag and the body of the response to it, where that is success.
    fn exchange(&mut self, tag: u16, code: u32, body: &[u8]) -> Result<(u16, Vec<u8>), TpmError> {
        let len = u32::try_from(10 + body.len()).map_err(|_| TpmError::Malformed)?;
        let command = Writer::default().u16(tag).u32(len).u32(code).bytes(body).0;
        for _ in 0..BUSY.0 {
            let response = self.transport.transmit(&command)?;
            let mut reader = Reader(&response);
            let (tag, said, code) = (reader.u16()?, reader.u32()?, reader.u32()?);
            if usize::try_from(said) != Ok(response.len()) {
                return Err(TpmError::Malformed);
            }
            match TpmError::of_response(code) {
                Ok(()) => return Ok((tag, reader.0.to_vec())),
                Err(TpmError::Busy) => std::thread::sleep(BUSY.1),
                Err(error) => return Err(error),
            }
        }
        Err(TpmError::Busy)
    }
}

/// The point of a storage key, whose public area is the template up to it.
fn point_of(public: &[u8], template: &[u8]) -> Result<Point, TpmError> {
    let without_point = template.len().saturating_sub(4);
    let expected = template.get(..without_point).ok_or(TpmError::Malformed)?;
    let mut unique = Reader(public.strip_prefix(expected).ok_or(TpmError::Tampered)?);
    let (x, y) = (unique.sized()?.to_vec(), unique.sized()?.to_vec());
    unique.end()?;
    Ok(Point { x, y })
}
