//! `ringfence mfa`: the MFA devices of a data directory, while its server is stopped.

mod list;
mod pskc;

use crate::cli::ImportTokens;
use crate::house::House;
use crate::world;
use anyhow::{Context as _, anyhow, bail};
use ringfence_gateway::clock::SystemClock;
use ringfence_iam::{Imported, Quotas, TokenSeed, is_token_serial};
use ringfence_keyring::{SecretBytes, Zeroizing};
use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

/// Bytes of the longest file: some hundred thousand tokens.
const LARGEST: u64 = 32 << 20;

/// Takes in hardware tokens, all of a file or none.
pub fn import(options: &ImportTokens) -> anyhow::Result<()> {
    let shown = options.file.display();
    let tokens = read(&options.file)
        .and_then(|text| match text.trim_start_matches('\u{feff}').trim_start() {
            xml if xml.starts_with('<') => pskc::tokens(xml),
            list => list::tokens(list, options.seeds),
        })
        .with_context(|| format!("{shown}: nothing was imported"))?;
    let house = House::open(&options.place)?;
    let account = match options.account {
        Some(account) => account,
        None => house.management()?.context("there is no management account: give --account")?,
    };
    let clock = Arc::new(SystemClock);
    let iam = world::iam(house.store.clone(), &house.keyring, clock, Quotas::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let Imported { new, known } = runtime
        .block_on(iam.import_tokens(account, tokens))
        .map_err(|error| anyhow!("{shown}: nothing was imported: {}", error.message))?;
    writeln!(std::io::stdout(), "account {account}: {new} tokens imported, {known} were there")?;
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path)?;
    // Room for all of it at once: a buffer that grows leaves copies of seeds behind.
    text.reserve(usize::try_from(file.metadata()?.len().min(LARGEST))?.saturating_add(1));
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        bail!("it is longer than {LARGEST} bytes");
    }
    Ok(text)
}

/// Tokens as they are read, none of them twice.
#[derive(Default)]
struct Tokens {
    all: Vec<TokenSeed>,
    serials: HashSet<String>,
}

impl Tokens {
    /// Takes one more. What is wrong with it is told without repeating it: where columns are
    /// mistaken for each other, a serial number may be a seed.
    fn take(&mut self, serial: &str, seed: Vec<u8>) -> anyhow::Result<()> {
        let seed = SecretBytes::new(seed);
        if !is_token_serial(serial) {
            bail!("the serial number is not 9 to 256 letters, digits and `_+=/:,.@-`");
        }
        // RFC 4226, section 4, R6.
        if !(16..=64).contains(&seed.len()) {
            bail!("the seed is not 16 to 64 bytes long");
        }
        if !self.serials.insert(serial.to_owned()) {
            bail!("the serial number is there twice");
        }
        self.all.push(TokenSeed { serial: serial.to_owned(), seed });
        Ok(())
    }

    fn finish(self) -> anyhow::Result<Vec<TokenSeed>> {
        if self.all.is_empty() {
            bail!("there is no token in it");
        }
        Ok(self.all)
    }
}
