//! The way through: one call from its bytes to its answer.
//!
//! ```text
//!   route ─ reserve ─ authenticate ─ decode ─ handle ─ encode ─ record ─► answer
//!   which   room for  who calls?     typed    may it?           the event
//!   one?    the event                input
//! ```

use crate::audit::{Audit, Unwritable};
use crate::authenticate::{Claim, GLOBAL_REGION, authenticate, is_access_key_id, relaxed_root};
use crate::beside::{Beside, BesideAnswer, BesideRequest, Besides};
use crate::call::{CallFacts, Outcome, Shared};
use crate::caller::Caller;
use crate::dev::{Dev, OpenAccounts};
use crate::directory::{Authority, Use};
use crate::errors::missing_token;
use crate::event::{Event, cut};
use crate::ids::{self, CallId};
use crate::inside::Inside;
use crate::metrics::Metrics;
use crate::pass_role;
use crate::published::{Publisher, Publishers};
use crate::route::{NO_SERVICE, Route, Routes};
use crate::service::{Input, Mounted};
use crate::service_event::Recorder;
use crate::upkeep::{Upkeep, Upkeeps};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::request::Parts;
use ringfence_policy::AccountId;
use ringfence_policy::regions::is_region;
use ringfence_store::engine::Fitness;
use ringfence_wire::ServiceError;
use ringfence_wire::constraint;
use ringfence_wire::protocol::{Refused, Reply, Request, read_input, write_error, write_output};
use ringfence_wire::service::{Auth, Operation, Protocol, Service};
use ringfence_wire::sigv4::{self, KeyCache, Received, Signature};
use smol_str::{SmolStr, StrExt as _};
use std::cell::{OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// The services of a server and what they share.
pub struct World {
    pub(crate) routes: Routes,
    pub(crate) shared: Arc<Shared>,
    pub(crate) keys: KeyCache,
    /// In `--dev`: the default account, and who makes accounts as they are named.
    relaxed: Option<(AccountId, Arc<dyn OpenAccounts>)>,
    pub(crate) publishers: Publishers,
    pub(crate) besides: Besides,
    upkeep: Upkeeps,
    /// Whether what is known here may be decided by, where that is not always so.
    fitness: Option<Fitness>,
}

impl World {
    /// These services, every caller authenticated.
    pub fn new(services: Vec<Mounted>, shared: Arc<Shared>) -> Self {
        Self {
            routes: Routes::new(services),
            shared,
            keys: KeyCache::default(),
            relaxed: None,
            publishers: Publishers::default(),
            besides: Besides::default(),
            upkeep: Upkeeps::default(),
            fitness: None,
        }
    }

    /// The same, with a service that does some work of its own accord.
    pub fn keeping_up(mut self, service: Arc<dyn Upkeep>) -> Self {
        self.upkeep.add(service);
        self
    }

    /// The same, deciding only while it is fit to: see [`Fitness`].
    pub fn while_fit(mut self, fitness: Option<Fitness>) -> Self {
        self.fitness = fitness;
        self
    }

    /// In which tenure it decides: see [`Fitness`]; `None` where it always may.
    ///
    /// # Errors
    /// `ServiceUnavailable` where it may not.
    pub(crate) fn tenure(&self) -> Result<Option<u64>, ServiceError> {
        let Some(fitness) = &self.fitness else { return Ok(None) };
        let unfit = "This server is cut off from the others. Please try again.";
        let tenure = fitness();
        tenure.map(Some).ok_or_else(|| ServiceError::new("ServiceUnavailable", 503, unfit))
    }

    /// The same, with an API beside AWS's under `/_ringfence/NAME/`.
    pub fn beside(mut self, name: &'static str, api: Arc<dyn Beside>) -> Self {
        self.besides.add(name, api);
        self
    }

    /// The same, with what a service publishes under `/_ringfence/NAME/`.
    pub fn publishing(mut self, name: &'static str, publisher: Arc<dyn Publisher>) -> Self {
        self.publishers.add(name, publisher);
        self
    }

    /// The same with `--dev`'s credentials: see [`Dev`].
    pub fn relaxed(mut self, default: AccountId, accounts: Arc<dyn OpenAccounts>) -> Self {
        self.relaxed = Some((default, accounts));
        self
    }

    /// Random UUIDs for a call and its event.
    pub(crate) fn draw_ids(&self) -> Result<[CallId; 2], ServiceError> {
        let random = &*self.shared.random;
        let drawn = ids::of_call(random).and_then(|call| Ok([call, ids::of_call(random)?]));
        drawn.map_err(|error| {
            tracing::error!(%error, "no random bytes for a request id");
            ServiceError::internal()
        })
    }

    /// The account whose root user this access key id is, where `--dev` lets it be.
    pub(crate) fn relaxed_root(&self, access_key_id: &str) -> Option<AccountId> {
        relaxed_root(access_key_id, self.relaxed.as_ref()?.0)
    }

    /// Makes the account that `--dev`'s credentials name, unless it is there.
    async fn open_account(&self, signature: Option<&Signature<'_>>) -> Result<(), ServiceError> {
        let Some((_, accounts)) = &self.relaxed else { return Ok(()) };
        let account = signature.and_then(|s| self.relaxed_root(&s.access_key_id));
        match account {
            Some(account) => accounts.ensure(account).await,
            None => Ok(()),
        }
    }
}

/// A server, apart from its sockets.
pub struct Gateway {
    pub(crate) world: ArcSwap<World>,
    pub(crate) dev: Option<Dev>,
    pub(crate) metrics: Metrics,
    audit: Arc<Audit>,
    /// The account that hears of calls which no account made.
    owner: AccountId,
}

/// A request that has come in whole.
pub(crate) struct Incoming {
    pub parts: Parts,
    pub body: Bytes,
    pub source_ip: SmolStr,
    /// It came over TLS.
    pub secure: bool,
}

impl Incoming {
    fn path(&self) -> &str {
        self.parts.uri.path()
    }

    fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    fn received(&self) -> Received<'_> {
        Received {
            method: self.parts.method.as_str(),
            path: self.path(),
            query: self.query(),
            headers: &self.parts.headers,
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            path: self.path(),
            query: self.query(),
            headers: &self.parts.headers,
            body: &self.body,
        }
    }

    /// The host that the request was sent to, without a port.
    fn host(&self) -> SmolStr {
        let header = self.parts.headers.get(http::header::HOST);
        let text = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let end = text.rfind(':').filter(|at| !text[*at..].contains(']')).unwrap_or(text.len());
        cut(&text[..end]).to_ascii_lowercase_smolstr()
    }

    /// The client's name for itself, as conditions and the event see it: no longer than CloudTrail
    /// records, since policies may compare it with itself.
    fn user_agent(&self) -> SmolStr {
        let header = self.parts.headers.get(http::header::USER_AGENT);
        let text = header.map(|value| String::from_utf8_lossy(value.as_bytes()));
        text.map(|text| cut(&text).into()).unwrap_or_default()
    }
}

impl Gateway {
    /// A server of a world. `owner` is the account that hears of calls which no account made.
    ///
    /// # Errors
    /// When the metrics cannot be made, which is a defect of the program.
    pub fn new(
        world: World,
        audit: Audit,
        owner: AccountId,
        dev: Option<Dev>,
    ) -> Result<Self, prometheus::Error> {
        let world = ArcSwap::from_pointee(world);
        Ok(Self { world, dev, metrics: Metrics::new()?, audit: Arc::new(audit), owner })
    }

    /// Does what is due by now in every service, and carries on what was cut short.
    pub async fn carry_on(&self) {
        let recorder = Recorder { world: self.world.load_full(), audit: self.audit.clone() };
        recorder.world.upkeep.carry_on(&recorder).await;
    }

    /// Keeps what services have noted in memory.
    pub async fn keep_notes(&self) {
        self.world.load_full().upkeep.keep_notes().await;
    }

    /// Answers one call.
    pub(crate) async fn answer(&self, incoming: Box<Incoming>) -> Reply {
        let started = Instant::now();
        let world = self.world.load_full();
        let received = incoming.received();
        let signature = sigv4::parse(&received);
        let scope = signature.as_ref().ok().and_then(Option::as_ref).map(|s| &*s.service);
        let method = incoming.parts.method.as_str();
        let route = world.routes.find(method, &incoming.request(), scope);
        let Ok(ids) = world.draw_ids() else {
            return write_error(route.protocol, route.service(), &ServiceError::internal(), "");
        };
        if route.mounted.is_none() {
            self.metrics.unroutable.inc();
            let error = unroutable(&signature, &route);
            return write_error(route.protocol, &NO_SERVICE, &error, &ids[0]);
        }

        let carried_out = self.carry_out(&world, &incoming, &route, &signature, ids).await;
        // While it waits for the log, nothing of it is held but the answer: the next calls find its memory free,
        // and in the processor's caches.
        drop(incoming);
        let answered = match carried_out {
            Ok((answered, recorded)) => match recorded.await {
                Ok(()) => answered,
                Err(unwritable) => Err(self.unrecorded(unwritable)),
            },
            Err(unwritable) => Err(self.unrecorded(unwritable)),
        };
        let error = answered.as_ref().err();
        self.metrics.count(&route, error, started.elapsed());
        tracing::debug!(
            service = route.service().signing_name,
            operation = &*route.name,
            request_id = &*ids[0],
            error = error.map(|error| &*error.code),
            "answered"
        );
        answered
            .unwrap_or_else(|error| write_error(route.protocol, route.service(), &error, &ids[0]))
    }

    /// Whether a path is of an API beside AWS's.
    pub(crate) fn is_beside(&self, path: &str) -> bool {
        self.world.load().besides.find(path).is_some()
    }

    /// Answers a call of an API beside AWS's, once its event is written.
    pub(crate) async fn answer_beside(&self, incoming: Box<Incoming>) -> Reply {
        let world = self.world.load_full();
        let unavailable = |why: &str| beside_reply(503, why.to_owned().into());
        let Some(api) = world.besides.find(incoming.path()) else {
            return beside_reply(404, Bytes::new());
        };
        let (Ok([request_id, event_id]), Ok(place)) = (world.draw_ids(), self.audit.reserve())
        else {
            self.metrics.unrecorded.inc();
            return unavailable("{}");
        };
        let at = world.shared.clock.now();
        let Ok(tenure) = world.tenure() else { return unavailable("{}") };
        let answering = api.answer(BesideRequest {
            method: incoming.parts.method.as_str(),
            path: incoming.path(),
            query: incoming.query(),
            headers: &incoming.parts.headers,
            body: &incoming.body,
            request_id,
            event_id,
        });
        let answered = caught(answering).await.unwrap_or_else(|panic| {
            tracing::error!(panic, "an API beside AWS's panicked");
            BesideAnswer::failed()
        });
        if world.tenure().ok() != Some(tenure) {
            return unavailable("{}");
        }
        let event = Event {
            request_id,
            event_id,
            at,
            source_ip: incoming.source_ip.clone(),
            user_agent: incoming.user_agent(),
            service: &NO_SERVICE,
            name: answered.name.into(),
            operation: None,
            region: answered.region.as_deref().unwrap_or(GLOBAL_REGION).into(),
            caller: None,
            via: None,
            proved: None,
            claimed_key: None,
            secure: incoming.secure,
            parameters: answered.parameters.map(|parameters| parameters.to_string()),
            response: None,
            decisions: Vec::new(),
            keys: answered.keys,
            error: answered.error,
        };
        let recorded = event.told(answered.account.unwrap_or(self.owner), |line| {
            world.shared.trail.keep(line);
            // Nothing that is stored has changed: the event may be synced with the next ones.
            place.record(line, false)
        });
        if recorded.await.is_err() {
            self.metrics.unrecorded.inc();
            return unavailable("{}");
        }
        beside_reply(answered.status, answered.body)
    }

    /// Lets a call through, and has its event recorded: no answer leaves before what is returned beside it has
    /// ended.
    async fn carry_out(
        &self,
        world: &Arc<World>,
        incoming: &Incoming,
        route: &Route<'_>,
        signature: &Result<Option<Signature<'_>>, ServiceError>,
        [request_id, event_id]: [CallId; 2],
    ) -> Result<
        (Result<Reply, ServiceError>, impl Future<Output = Result<(), Unwritable>> + use<'_>),
        Unwritable,
    > {
        let place = self.audit.reserve()?;
        let mut event = Event {
            request_id,
            event_id,
            at: world.shared.clock.now(),
            source_ip: incoming.source_ip.clone(),
            user_agent: incoming.user_agent(),
            service: route.service(),
            name: route.name.clone(),
            operation: route.operation.as_ref().ok().copied(),
            region: SmolStr::new_static(GLOBAL_REGION),
            caller: None,
            via: None,
            proved: None,
            claimed_key: None,
            secure: incoming.secure,
            parameters: None,
            response: None,
            decisions: Vec::new(),
            keys: Vec::new(),
            error: None,
        };
        let tenure = world.tenure().ok().flatten();
        let inside =
            Inside { world: world.clone(), audit: self.audit.clone(), owner: self.owner, tenure };
        let passage = Passage { world, incoming, route };
        let answered = passage.go(signature, inside, &mut event).await;
        if let Err(error) = &answered {
            event.note_error(error);
        }
        // What changed nothing need not wait for the disk.
        let durable = answered.is_ok() && !event.is_read_only();
        let recorded = event.told(self.owner, |line| {
            world.shared.trail.keep(line);
            place.record(line, durable)
        });
        Ok((answered, recorded))
    }

    /// What a call is answered whose event cannot be written.
    fn unrecorded(&self, _: Unwritable) -> ServiceError {
        self.metrics.unrecorded.inc();
        ServiceError::new("ServiceUnavailable", 503, "The audit log cannot be written.")
    }
}

fn beside_reply(status: u16, body: Bytes) -> Reply {
    Reply::new(status, "application/json", body)
}

impl BesideAnswer {
    /// Something failed on this side.
    fn failed() -> Self {
        Self {
            status: 500,
            body: Bytes::from_static(b"{}"),
            name: "Unknown",
            account: None,
            region: None,
            parameters: None,
            keys: Vec::new(),
            error: Some(("InternalFailure".into(), String::new())),
        }
    }
}

/// What a request is answered that names no service of this server.
fn unroutable(
    signature: &Result<Option<Signature<'_>>, ServiceError>,
    route: &Route<'_>,
) -> ServiceError {
    match (signature, &route.operation) {
        (Err(error), _) => error.clone(),
        (Ok(None), _) => missing_token(),
        (Ok(Some(_)), Err(error)) => error.clone(),
        (Ok(Some(_)), Ok(_)) => ServiceError::internal(),
    }
}

/// One call between its route and its event.
struct Passage<'p> {
    world: &'p Arc<World>,
    incoming: &'p Incoming,
    route: &'p Route<'p>,
}

impl Passage<'_> {
    async fn go(
        &self,
        signature: &Result<Option<Signature<'_>>, ServiceError>,
        inside: Inside,
        event: &mut Event,
    ) -> Result<Reply, ServiceError> {
        let signature = signature.as_ref().map_err(Clone::clone)?.as_ref();
        if let Some(signature) = signature {
            event.region = region_of(self.route.service(), signature);
            event.claimed_key = Some(&*signature.access_key_id)
                .filter(|id| is_access_key_id(id))
                .map(str::to_owned);
        }
        self.world.open_account(signature).await?;
        let (caller, authority) = self.authenticate(signature)?;
        let caller = Arc::new(caller);
        event.claimed_key = None;
        event.caller = Some(caller.clone());
        self.note_use(&caller, event);

        let operation = self.route.operation.clone()?;
        let Some(handler) = self.route.mounted.and_then(|m| m.handler(operation)) else {
            return Err(not_implemented(self.route.service(), operation));
        };
        let mut input = handler.input();
        let protocol = self.route.protocol;
        read_input(protocol, operation, &self.incoming.request(), input.as_structure())
            .map_err(|refused| self.undecoded(refused))?;
        event.note_input(input.as_structure());

        let facts = Rc::new(CallFacts {
            operation,
            caller,
            authority,
            region: event.region.clone(),
            now: event.at,
            request_id: event.request_id,
            event_id: event.event_id,
            source_ip: self.incoming.source_ip.clone(),
            host: self.incoming.host(),
            user_agent: event.user_agent.clone(),
            secure: self.incoming.secure,
            via: None,
            inside,
            shared: self.world.shared.clone(),
            decided: RefCell::default(),
            proved: OnceCell::new(),
        });
        let mut outcome = run(input, facts, event).await?;
        Ok(write_output(protocol, operation, outcome.output.as_structure(), &event.request_id))
    }

    fn authenticate(
        &self,
        signature: Option<&Signature<'_>>,
    ) -> Result<(Caller, Authority), ServiceError> {
        let operation = self.route.operation.as_ref().ok().copied();
        let Some(signature) = signature else {
            return match operation.map(|operation| operation.auth) {
                Some(Auth::None) => Ok((Caller::anonymous(), Authority::default())),
                _ => Err(missing_token()),
            };
        };
        let claim = Claim {
            service: self.route.service(),
            operation,
            received: self.incoming.received(),
            body: &self.incoming.body,
            signature,
        };
        authenticate(self.world, &claim)
    }

    fn note_use(&self, caller: &Caller, event: &Event) {
        self.world.shared.directory.note_use(&Use {
            identity: &caller.identity,
            access_key_id: &caller.access_key_id,
            service: self.route.service().signing_name,
            region: &event.region,
            at: event.at,
        });
    }

    /// The error of a request that is no input of its operation.
    fn undecoded(&self, refused: Refused) -> ServiceError {
        match refused {
            Refused::Violations(violations) => ServiceError::new(
                self.route.service().validation_code,
                400,
                constraint::message(&violations),
            ),
            Refused::Malformed(error) => {
                let code = match self.route.protocol {
                    Protocol::AwsQuery | Protocol::Ec2Query => "MalformedInput",
                    Protocol::RestXml => "MalformedXML",
                    Protocol::AwsJson10
                    | Protocol::AwsJson11
                    | Protocol::RestJson1
                    | Protocol::RpcV2Cbor => "SerializationException",
                };
                ServiceError::new(code, 400, error.to_string())
            }
        }
    }
}

/// Runs a handler, and notes what it decided and answered.
pub(crate) async fn run(
    mut input: Box<dyn Input>,
    facts: Rc<CallFacts>,
    event: &mut Event,
) -> Result<Outcome, ServiceError> {
    let operation = facts.operation;
    let passed = pass_role::named(operation, input.as_structure());
    let handled = caught(input.run(facts.clone())).await;
    event.decisions = facts.decided.take();
    event.proved = facts.proved.get().cloned();
    let mut outcome = handled.unwrap_or_else(|panic| {
        tracing::error!(operation = operation.name, panic, "a handler panicked");
        Err(ServiceError::internal())
    })?;
    if !pass_role::was_asked(&passed, &event.decisions) {
        // Whatever the handler did is done; that it answers nobody keeps the defect from use.
        tracing::error!(operation = operation.name, "a role was passed, and nobody was asked");
        return Err(ServiceError::internal());
    }
    event.note_output(outcome.output.as_structure());
    Ok(outcome)
}

/// The region that a call is for.
fn region_of(service: &Service, signature: &Signature<'_>) -> SmolStr {
    match signature.algorithm {
        sigv4::Algorithm::V4 if !service.global && is_region(&signature.region) => {
            (&*signature.region).into()
        }
        _ => SmolStr::new_static(GLOBAL_REGION),
    }
}

/// What an operation that is not built answers. SDKs do not try it again.
pub(crate) fn not_implemented(service: &Service, operation: &Operation) -> ServiceError {
    let code = if service.id == "S3" { "NotImplemented" } else { "InvalidAction" };
    let (name, service) = (operation.name, service.id);
    ServiceError::new(
        code,
        501,
        format!("The operation {name} of {service} is not implemented in Ringfence."),
    )
}

/// Runs a future; what it panics with is an error, and the connection goes on.
async fn caught<T>(mut future: Pin<Box<dyn Future<Output = T> + '_>>) -> Result<T, String> {
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Poll::Ready(Err(text.unwrap_or_default()))
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_with_its_text() {
        let fine: Result<i32, String> = caught(Box::pin(async { 7 })).await;
        assert_eq!(fine, Ok(7));
        let broken: Result<i32, String> = caught(Box::pin(async { panic!("gone {}", 1) })).await;
        assert_eq!(broken, Err("gone 1".into()));
    }
}
