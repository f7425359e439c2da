//! Hardware tokens: their serial numbers and seeds, taken in by whoever runs the server.

use super::Token;
use super::totp::Totp;
use crate::Iam;
use crate::errors;
use crate::records::Record;
use crate::state::Account;
use ringfence_gateway::Batch;
use ringfence_keyring::SecretBytes;
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use std::sync::Arc;

/// A token to take in.
#[derive(Debug)]
pub struct TokenSeed {
    /// Its serial number, as it is printed on it.
    pub serial: String,
    /// Its seed.
    pub seed: SecretBytes,
}

/// How many tokens were taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// New ones.
    pub new: usize,
    /// Those that were there with the same seed.
    pub known: usize,
}

/// Whether a serial number can stand in a request, by the model's `serialNumberType`, and is no ARN,
/// which virtual devices have.
pub fn is_token_serial(serial: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=/:,.@-".contains(&byte);
    (9..=256).contains(&serial.len())
        && serial.bytes().all(known)
        && !serial.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("arn:"))
}

impl Iam {
    /// Takes tokens into an account, all of them or none.
    ///
    /// # Errors
    /// `ValidationError` for what is no serial number, `EntityAlreadyExists` for one that is there
    /// with another seed, `NoSuchEntity` for an account that is not here, `ServiceFailure` when the
    /// store cannot keep them.
    pub async fn import_tokens(
        &self,
        id: AccountId,
        tokens: Vec<TokenSeed>,
    ) -> Result<Imported, ServiceError> {
        let imported = self.clock.now().seconds;
        let tokens: Vec<Arc<Token>> = tokens
            .into_iter()
            .map(|TokenSeed { serial, seed }| {
                if !is_token_serial(&serial) {
                    return Err(errors::validation("A text is no serial number of a token."));
                }
                let totp = Totp::new(seed);
                Ok(Arc::new(Token { serial: serial.into(), imported, totp }))
            })
            .collect::<Result<_, _>>()?;
        let ledger = self.ledgers.get(id).filter(|ledger| ledger.for_deciding().root.is_some());
        let ledger = ledger.ok_or_else(|| errors::no_such("account", &id.to_string()))?;
        ledger.write_unasked(|account, batch| import(account, &tokens, batch)).await
    }
}

fn import(
    account: &Account,
    tokens: &[Arc<Token>],
    batch: &mut Batch<Account>,
) -> Result<Imported, ServiceError> {
    let mut done = Imported { new: 0, known: 0 };
    for token in tokens {
        match account.mfa_tokens.get(&token.serial) {
            None => {
                batch.put(Record::MfaToken(token.clone()));
                done.new += 1;
            }
            // Never replaced: what was used of its codes would be forgotten.
            Some(there) if there.totp.same_seed(&token.totp) => done.known += 1,
            Some(_) => return Err(errors::already("MFA token", &token.serial)),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, iam_over, store};

    fn token(serial: &str, seed: u8) -> TokenSeed {
        TokenSeed { serial: serial.into(), seed: SecretBytes::new(vec![seed; 20]) }
    }

    #[tokio::test]
    async fn tokens_are_taken_in_together_and_never_replaced() {
        let store = store();
        let iam = iam_over(&store);
        iam.create_account(ID, "test").await.unwrap();
        let done = iam.import_tokens(ID, vec![token("GAHT00000001", 1)]).await.unwrap();
        assert_eq!(done, Imported { new: 1, known: 0 });
        let both = || vec![token("GAHT00000001", 1), token("GAHT00000002", 2)];
        let done = iam.import_tokens(ID, both()).await.unwrap();
        assert_eq!(done, Imported { new: 1, known: 1 });

        let mixed = vec![token("GAHT00000003", 3), token("GAHT00000001", 9)];
        let refused = iam.import_tokens(ID, mixed).await.unwrap_err();
        assert_eq!(refused.code, "EntityAlreadyExists");
        assert!(iam.import_tokens(OTHER, both()).await.is_err());
        let bad = vec![token("GAHT00000004", 4), token("short", 5)];
        assert_eq!(iam.import_tokens(ID, bad).await.unwrap_err().code, "ValidationError");
        let kept = iam_over(&store).ledger(ID).unwrap().for_deciding().mfa_tokens.len();
        assert_eq!(kept, 2);
    }

    #[test]
    fn a_serial_number_is_what_a_request_can_name() {
        for good in ["GAHT12345678", "123456789", "A/B:c,d.e@f-_+="] {
            assert!(is_token_serial(good), "{good}");
        }
        let long = "1".repeat(257);
        for bad in ["", "12345678", "1234 56789", "123456789\n", "arn:aws:iam::1:mfa/x", &long] {
            assert!(!is_token_serial(bad), "{bad}");
        }
    }
}
