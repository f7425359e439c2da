//! The way to a TPM: the kernel's resource manager, or the socket of one in software.

use super::TpmError;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// The kernel's resource manager, which lets several processes share a TPM.
pub(super) const DEFAULT_DEVICE: &str = "/dev/tpmrm0";

/// More than any response of the commands used here; the kernel's own limit on a response.
const LONGEST: usize = 4096;

/// How long a TPM in software may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a TPM is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    Device(PathBuf),
    /// On loopback: TPM commands as they are, as `swtpm socket --server` takes them.
    Socket(SocketAddr),
}

/// An open way to a TPM.
pub(super) enum Transport {
    Device(File),
    Socket(TcpStream),
}

impl Location {
    pub(super) fn open(&self) -> Result<Transport, TpmError> {
        match self {
            Self::Device(path) => {
                let file = File::options().read(true).write(true).open(path);
                let named = |error| TpmError::NotThere(format!("`{}`: {error}", path.display()));
                Ok(Transport::Device(file.map_err(named)?))
            }
            Self::Socket(address) => {
                let named = |error| TpmError::NotThere(format!("{address}: {error}"));
                let stream = TcpStream::connect_timeout(address, PATIENCE).map_err(named)?;
                stream.set_read_timeout(Some(PATIENCE)).map_err(named)?;
                stream.set_write_timeout(Some(PATIENCE)).map_err(named)?;
                Ok(Transport::Socket(stream))
            }
        }
    }
}

impl Transport {
    /// Sends a command; the response to it, whole.
    pub(super) fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TpmError> {
        let failed = |error: std::io::Error| TpmError::NotThere(error.to_string());
        let mut response = vec![0; LONGEST];
        let len = match self {
            // The driver takes a command in one write and gives its response in one read.
            Self::Device(device) => {
                device.write_all(command).map_err(failed)?;
                device.read(&mut response).map_err(failed)?
            }
            Self::Socket(stream) => {
                stream.write_all(command).map_err(failed)?;
                let (head, rest) = response.split_at_mut(10);
                stream.read_exact(head).map_err(failed)?;
                let len = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let rest = len.checked_sub(10).and_then(|len| rest.get_mut(..len));
                stream.read_exact(rest.ok_or(TpmError::Malformed)?).map_err(failed)?;
                len
            }
        };
        response.truncate(len);
        Ok(response)
    }
}
