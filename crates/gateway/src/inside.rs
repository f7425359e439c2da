//! One service calling another, for whoever called the first: S3 asking KMS for a data key, say.
//!
//! ```text
//!   call of s3:PutObject ── as the same caller, via s3 ──► kms:GenerateDataKey ── allow ─► answer
//!   its own event                                          an event of its own
//! ```
//!
//! The second call goes the same way as one from outside, but for the bytes: it is decided for the
//! caller of the first, with the condition keys of calls that a service makes (`aws:ViaAWSService`,
//! `aws:CalledVia`, and a service's own, as `kms:ViaService`), counted against that caller's quotas,
//! and recorded before it is answered.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html>

use crate::audit::{Audit, Unwritable};
use crate::call::{Call, CallFacts, Permit};
use crate::event::Event;
use crate::gateway::{World, not_implemented, run};
use ringfence_policy::AccountId;
use ringfence_wire::{Operation, ServiceError, TypedOperation};
use std::any::Any;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// What a call inside the server needs of it.
#[derive(Clone)]
pub(crate) struct Inside {
    pub world: Arc<World>,
    pub audit: Arc<Audit>,
    pub owner: AccountId,
    /// The tenure in which the call began.
    pub tenure: Option<u64>,
}

impl Inside {
    /// Lets a decision stand that was made since the call began, where this process might decide all the
    /// while.
    ///
    /// # Errors
    /// `ServiceUnavailable`
    pub fn check_tenure(&self) -> Result<(), ServiceError> {
        match self.world.tenure()? == self.tenure {
            true => Ok(()),
            false => Err(ServiceError::new("ServiceUnavailable", 503, "Please try again.")),
        }
    }
}

/// The service through which a call came, by the first part of its principal: `s3` of
/// `s3.amazonaws.com`.
pub type Via = &'static str;

impl<O: TypedOperation> Call<O> {
    /// Calls an operation of another service on behalf of whoever made this call, once that caller may
    /// use the service that asks, `via`: what a policy lets through a service, it lets those who may
    /// use it. The input is the service's own making: the model's constraints are not checked again.
    ///
    /// ```compile_fail,E0061
    /// // A service that has not asked whether its caller may use it calls no other.
    /// # use ringfence_gateway::Call;
    /// # use ringfence_wire::TypedOperation;
    /// async fn ask<O: TypedOperation, P: TypedOperation>(call: &Call<O>, input: P::Input)
    /// where
    ///     P::Input: 'static,
    ///     P::Output: 'static,
    /// {
    ///     let _ = call.on_behalf::<P>("s3", input).await;
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of the operation; `AccessDenied` where the *caller* may not.
    pub async fn on_behalf<P>(
        &self,
        _: &Permit<impl Sized>,
        via: Via,
        input: P::Input,
    ) -> Result<P::Output, ServiceError>
    where
        P: TypedOperation,
        P::Input: 'static,
        P::Output: 'static,
    {
        let output = self.facts().inside(via, P::OPERATION, Box::new(input)).await?;
        match output.downcast::<P::Output>() {
            Ok(output) => Ok(*output),
            Err(_) => Err(defect(P::OPERATION, "it answers with another type")),
        }
    }
}

fn defect(operation: &Operation, what: &str) -> ServiceError {
    tracing::error!(operation = operation.name, what, "a call inside the server");
    ServiceError::internal()
}

impl CallFacts {
    async fn inside(
        &self,
        via: Via,
        operation: &'static Operation,
        input: Box<dyn Any>,
    ) -> Result<Box<dyn Any>, ServiceError> {
        let Inside { world, audit, owner, .. } = &self.inside;
        let unwritable = |_: Unwritable| {
            ServiceError::new("ServiceUnavailable", 503, "The audit log cannot be written.")
        };
        let place = audit.reserve().map_err(unwritable)?;
        let [request_id, event_id] = world.draw_ids()?;
        let mut event = Event {
            request_id,
            event_id,
            at: world.shared.clock.now(),
            source_ip: self.source_ip.clone(),
            user_agent: self.user_agent.clone(),
            service: operation.service,
            name: operation.name.into(),
            operation: Some(operation),
            region: self.region.clone(),
            caller: Some(self.caller.clone()),
            via: Some(via),
            proved: None,
            claimed_key: None,
            secure: self.secure,
            parameters: None,
            response: None,
            decisions: Vec::new(),
            keys: Vec::new(),
            error: None,
        };
        let answered = self.run_inside(via, operation, input, &mut event).await;
        if let Err(error) = &answered {
            event.note_error(error);
        }
        let durable = answered.is_ok() && !event.is_read_only();
        let recorded = event.told(*owner, |line| {
            world.shared.trail.keep(line);
            place.record(line, durable)
        });
        recorded.await.map_err(unwritable)?;
        answered
    }

    async fn run_inside(
        &self,
        via: Via,
        operation: &'static Operation,
        input: Box<dyn Any>,
        event: &mut Event,
    ) -> Result<Box<dyn Any>, ServiceError> {
        if self.proved.get().is_some() || self.via.is_some() {
            // Nobody of this server's accounts has signed, or a service calls through two others.
            return Err(defect(operation, "it is made for nobody who can be asked about"));
        }
        let mounted = self.inside.world.routes.mounted(operation.service);
        let Some(handler) = mounted.and_then(|mounted| mounted.handler(operation)) else {
            return Err(not_implemented(operation.service, operation));
        };
        let mut typed = handler.input();
        if !typed.put(input) {
            return Err(defect(operation, "it takes another type"));
        }
        event.note_input(typed.as_structure());
        let facts = Rc::new(CallFacts {
            operation,
            caller: self.caller.clone(),
            authority: self.authority.clone(),
            region: self.region.clone(),
            now: event.at,
            request_id: event.request_id,
            event_id: event.event_id,
            source_ip: self.source_ip.clone(),
            host: self.host.clone(),
            user_agent: self.user_agent.clone(),
            secure: self.secure,
            via: Some(via),
            inside: self.inside.clone(),
            shared: self.shared.clone(),
            decided: RefCell::default(),
            proved: OnceCell::new(),
        });
        Ok(run(typed, facts, event).await?.output.into_any())
    }
}
