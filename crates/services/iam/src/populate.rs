//! Many users at once, for benches of large stores: the records, keys and commits are those of
//! `CreateUser` and `AttachUserPolicy`, with many users in one commit.

use crate::Iam;
use crate::records::{Credentials, Held, Record, User, shared_path, shared_tags};
use ringfence_gateway::Tags;
use ringfence_gateway::ids::IdKind;
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use std::sync::Arc;

/// Users of one commit.
const AT_ONCE: usize = 1_000;

impl Iam {
    /// Makes users `user-0` and on in an account that is there, each with a managed policy attached.
    ///
    /// # Errors
    /// When the account is not here, or the store cannot keep them.
    pub async fn populate(
        &self,
        account: AccountId,
        users: usize,
        policy_arn: &str,
    ) -> Result<(), ServiceError> {
        let ledger = self.ledger(account)?;
        let policy: Arc<str> = policy_arn.into();
        let created = self.clock.now().seconds;
        let mut made = 0;
        while made < users {
            let until = users.min(made + AT_ONCE);
            let mut batch_of = Vec::with_capacity(until - made);
            for number in made..until {
                let held = Held { attached: [policy.clone()].into(), ..Held::default() };
                batch_of.push(Arc::new(User {
                    name: format!("user-{number}").into(),
                    path: shared_path("/"),
                    id: self.unique_id(IdKind::User)?,
                    created,
                    tags: shared_tags(Tags::new()),
                    permissions: held.into(),
                    groups: Box::default(),
                    credentials: Credentials::default(),
                    renamed: false,
                }));
            }
            ledger
                .write_unasked(|_, batch| {
                    batch_of.iter().for_each(|user| batch.put(Record::User(user.clone())));
                    Ok(())
                })
                .await?;
            made = until;
        }
        Ok(())
    }
}
